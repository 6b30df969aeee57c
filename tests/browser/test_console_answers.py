"""A page's link on a phone: read, answered, refused; and what a nurse does from there."""

import pytest
from conftest import PHONE
from console_pager import Pager
from selenium.webdriver.common.by import By

from dashboards.console import Account, Role
from vitals.signs import HOUR_NS, MINUTE_NS

pytestmark = pytest.mark.parametrize("window", [PHONE], ids=["360"], indirect=True)


@pytest.fixture
def pager(served, hashed, tmp_path):
    def start():
        served.ward.console.accounts.add(Account("lena", Role.LEAD, hashed))
        return Pager(served.ward, tmp_path)

    return served.call(start)


@pytest.fixture
def paged(served, pager):
    """A page to imre about a fast heart; its tokens by action."""
    served.call(served.ward.limit, "p-03", "rate-high", 178, 2 * MINUTE_NS)
    served.call(pager.go, MINUTE_NS)
    (send,) = pager.pages
    assert send.person == "imre"
    return served.call(pager.tokens, send)


def press(page, words):
    page.find("button.primary", words).click()


def refused(page, why):
    page.until(lambda: page.text("#title") == "This link does nothing")
    assert why in page.find(".alert-box").text
    assert not [one for one in page.all("#body button") if one.is_displayed()]


def test_a_nurse_on_a_phone_from_the_link_to_its_coming_back(page, served, pager, paged):
    page.open(f"/a/{paged['acknowledge']}")
    page.find("button.primary", "Acknowledge")
    lines = page.text(".answer-lines")
    assert "heart rate 178 /min" in lines
    assert "170" in lines  # the limit that it passed
    content, window = page.width()
    assert content <= window
    assert served.ward.commands == []  # opening a link changes nothing
    press(page, "Acknowledge")
    page.until(lambda: page.text("#title") == "✓ Done")
    (command,) = served.ward.commands
    assert (command.action, command.by, command.patient) == ("acknowledge", "imre", "p-03")

    # Why, on the patient's page: the phone was not signed in, and comes back to where it was going.
    page.find("a.button", "Open the patient").click()
    page.sign_in()
    page.until(lambda: page.text("h1") == "Bed 3")
    card = page.find(".card", "HR high")
    assert "heart rate 178 /min (limit 170 /min)" in card.text
    assert "Acknowledged by imre" in card.text

    card.find_element(By.CSS_SELECTOR, '[data-action="shelve"]').click()
    dialog = page.find("dialog")
    page.press("Being treated")
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.find(".toast", "Shelved")
    page.until(lambda: "Shelved by imre" in page.text(".card") and "Being treated" in page.text(".card"))

    # It gets worse: the shelf does not cover that, and the phone is called again.
    told = len(pager.pages)
    served.call(served.ward.worsen, "p-03", "rate-high", 195)
    page.until(lambda: "Got worse" in page.text(".card .steps"))
    assert page.find(".card .badge").text == "High"
    assert "Shelved by" not in page.text(".card .card-body")
    served.call(pager.go, MINUTE_NS)
    assert [send.person for send in pager.pages[told:]][:1] == ["imre"]
    notice = page.find(".notice", "p-03")
    assert notice.get_attribute("data-priority") == "high"

    # Answered in one tap on the page itself; then nobody is wanted, and the notice is gone.
    notice.find_element(By.CSS_SELECTOR, '[data-action="acknowledge"]').click()
    page.until(lambda: not page.all(".notice"))
    page.until(lambda: "Acknowledged by imre" in page.text(".card"))


@pytest.mark.parametrize(
    ("action", "words", "done", "command"),
    [
        ("on-my-way", "I am on my way", "on your way", "acknowledge"),
        ("hand-on", "Hand to the next person", "Handed", None),
        ("snooze", "Snooze", "Snoozed", "shelve"),
    ],
)
def test_a_link_does_what_it_says(page, served, pager, paged, action, words, done, command):
    page.open(f"/a/{paged[action]}")
    page.find("button.primary", words)
    if action == "snooze":
        press(page, words)
        assert "needs a reason" in page.find(".wrong", "needs a reason").text
        page.press("at physiotherapy")
    press(page, words)
    assert done in page.find(".done-box", done).text
    assert [one.action for one in served.ward.commands] == ([command] if command else [])
    if command == "shelve":
        assert served.ward.commands[0].reason == "at physiotherapy"
    if action == "hand-on":
        page.until(lambda: "lena" in [send.person for send in pager.pages])


def test_a_used_a_forged_an_old_and_a_foreign_link_do_nothing_and_are_written_down(page, served, pager, paged):
    page.expected.append("409")
    page.open(f"/a/{paged['on-my-way']}")
    press(page, "I am on my way")
    page.until(lambda: page.text("#title") == "✓ Done")
    page.open(f"/a/{paged['on-my-way']}")
    refused(page, "used before")

    good = paged["acknowledge"]
    page.open(f"/a/{good[:-1]}{'A' if good[-1] != 'A' else 'B'}")
    refused(page, "not one of ours")

    page.open("/")
    page.sign_in("lena")
    page.until(lambda: page.live)
    page.open(f"/a/{good}")
    refused(page, "somebody else")

    served.call(served.ward.clock.advance, 2 * HOUR_NS)
    page.driver.delete_all_cookies()
    page.open(f"/a/{good}")
    refused(page, "run out")

    assert len(served.ward.commands) == 1
    written = served.call(pager.journal)
    assert [what for what in written if what.startswith("link-")] == [
        "link-used",
        "link-forged",
        "link-foreign",
        "link-old",
    ]


def test_without_a_pager_a_link_says_so_and_can_be_tried_again(page):
    page.expected.append("503")
    page.open(f"/a/{'0' * 24}.a.1.{'A' * 22}")
    page.until(lambda: page.text("#title") == "Not answered")
    assert "No pager runs" in page.text(".alert-box")
    assert page.find("button", "Try again")
