"""Every page opens at both widths, complains of nothing, fits, and breaks no rule of WCAG 2.2 AA that axe can check."""

from pathlib import Path

import axe_playwright_python
import pytest
from conftest import DESKTOP, PHONE

from dashboards.console import Account, Role
from vitals import duty
from vitals.events import Priority
from vitals.signs import HOUR_NS, MINUTE_NS

WIDTHS = pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["1440", "360"], indirect=True)
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def board(now):
    shift = duty.Duty(team="ward", line="first", person="imre", from_ns=now - HOUR_NS, to_ns=now + 7 * HOUR_NS)
    receipts = (duty.Receipt("queued", now), duty.Receipt("sent", now), duty.Receipt("answered", now))
    page = duty.Message(
        message_id="0" * 24,
        person="imre",
        kind="page",
        priority=Priority.HIGH,
        at_ns=now,
        title="URGENT - bed 19",
        alarms=("p-19:spo2-low:1",),
        receipts=receipts,
    )
    return duty.Board(
        at_ns=now,
        zone="Europe/Berlin",
        people=(duty.Member(person="imre", teams=("ward",), channels=2, broken=1), duty.Member(person="lena")),
        holders=(duty.Holder(team="ward", line="first", people=("imre",), until_ns=now + 7 * HOUR_NS),),
        duties=(shift,),
        gaps=(duty.Gap(team="ward", line="first", from_ns=now + 7 * HOUR_NS, to_ns=now + 9 * HOUR_NS),),
        tests=(duty.Test(message_id="1" * 24, person="imre", from_ns=now, sent_ns=now - MINUTE_NS),),
        hand_overs=(
            duty.HandOver(
                message_id="2" * 24, team="ward", line="first", out="lena", into="imre", from_ns=now, digest="2 open"
            ),
        ),
        messages=(page,),
    )


def violations(page):
    page.driver.execute_script(AXE)
    script = "const done = arguments[1]; axe.run(document, {runOnly: arguments[0]}).then((r) => done(r.violations))"
    found = page.driver.execute_async_script(script, RULES)
    return [(one["id"], [node["html"][:160] for node in one["nodes"]][:3]) for one in found]


@WIDTHS
@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("/", "Someone is needed"),
        ("/patient/p-19", "SpO₂ low"),
        ("/alarms", "Waiting for an answer"),
        ("/shift", "Who has the pager now"),
        ("/rota", "Nobody"),
        ("/burden", "Budget"),
        ("/audit", "chain"),
        ("/latency", "Parts"),
    ],
)
def test_a_page_opens_fits_and_is_accessible(page, served, hashed, path, holds):
    served.call(served.ward.console.accounts.add, Account("imre", Role.LEAD, hashed))
    served.call(served.ward.console.on_board, board(served.ward.clock.now_ns()))
    page.enter(path=path)
    page.find("main", holds)
    content, window = page.width()
    assert content <= window
    assert violations(page) == []


@WIDTHS
def test_a_carers_page_is_in_plain_words_and_accessible(page, served, hashed):
    served.call(served.ward.console.accounts.add, Account("cora", Role.CARER, hashed, "p-23"))
    page.open()
    page.sign_in("cora")
    assert "Your finger sensor is loose." in page.find("main", "Newest values").text
    assert "Bed" not in page.text("main")
    content, window = page.width()
    assert content <= window
    assert violations(page) == []


def test_a_shelf_is_taken_back(page, served):
    page.enter(path="/patient/p-15")
    page.find('[data-action="unshelve"]').click()
    page.find("dialog").find_element("css selector", "button.primary").click()
    page.find(".toast", "taken back")
    assert served.ward.commands[-1].action == "unshelve"
