"""One patient's page, and what can be said there, in a real browser."""

import pytest
from conftest import DESKTOP, PHONE
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

WIDTHS = pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["1440", "360"], indirect=True)


def dialog_for(page, action, holding):
    """Open an action's dialog on the alarm that holds a text."""
    card = page.find(".cards .card", holding)
    card.find_element(By.CSS_SELECTOR, f'[data-action="{action}"]').click()
    return page.find("dialog")


@WIDTHS
def test_from_the_ward_to_a_patient_and_back(page):
    page.enter()
    page.find(".who-link", "Bed 7").click()
    page.until(lambda: page.text("h1") == "Bed 7")
    assert page.driver.current_url.endswith("/patient/p-07")
    assert page.focused() == "Bed 7"
    page.until(lambda: page.all(".trace"))
    content, window = page.width()
    assert content <= window
    page.driver.back()
    page.until(lambda: page.names("needed"))


@WIDTHS
def test_the_alarm_says_why_and_what_happened(page):
    page.enter(path="/patient/p-07")
    card = page.find(".card", "NEWS2 7 or more")
    points = {
        tr.text.rsplit(" +", 1)[0].strip(): tr.text.rsplit("+", 1)[-1]
        for tr in card.find_elements(By.CSS_SELECTOR, ".why-table tbody tr")
    }
    assert points["respiration"] == "2"
    assert [step.text for step in card.find_elements(By.CSS_SELECTOR, ".steps b")] == [
        "Got worse",
        "Acknowledgement ran out",
        "Acknowledged by imre",
        "Raised",
    ]
    card.find_element(By.XPATH, ".//summary[text()='How long each hop took']").click()
    hops = card.find_element(By.CSS_SELECTOR, ".hop-bars").text
    assert "received → appended" in hops
    assert "published → received ‡\n60 to 140 ms" in hops, "between the bounds of the device's clock"
    assert all(
        row.size["width"] >= row.get_property("scrollWidth") for row in card.find_elements(By.CSS_SELECTOR, ".hop-ms")
    )
    notes = [note.text for note in card.find_elements(By.CSS_SELECTOR, "details .note") if note.is_displayed()]
    assert [note[0] for note in notes if note[:1] in "†‡"] == ["‡"]


def test_trends_show_gaps_limits_and_alarms(page):
    page.enter(path="/patient/p-23")
    page.until(lambda: page.all('.chart[aria-label^="Oxygen"] .gap rect'))
    assert page.all('.chart[aria-label^="Oxygen"] .trace')
    assert page.all('.chart[aria-label^="Oxygen"] .limit')
    assert page.all('.span[data-priority="medium"]')


def test_an_own_limit_is_named_as_such(page):
    page.enter(path="/patient/p-19")
    page.until(lambda: any("own limit ≤ 88" in label.text for label in page.all(".limit-label")))


def test_charts_are_read_with_the_arrow_keys(page):
    page.enter(path="/patient/p-19")
    page.until(lambda: page.all(".trace"))
    page.driver.execute_script("document.querySelector('.charts').focus()")
    page.press(Keys.ARROW_LEFT)
    page.until(lambda: "heart rate" in page.text(".readout"))
    assert "oxygen saturation" in page.text(".readout")
    # A pointer that rests on the page, and is told to leave when the layout moves, does not take the line away.
    page.driver.execute_script("document.querySelector('.charts').dispatchEvent(new PointerEvent('pointerleave'))")
    assert "heart rate" in page.text(".readout")
    page.find(".numbers summary").click()
    page.until(lambda: len(page.all(".numbers tbody tr")) == 13)  # the browser tells of the opening in its own time
    page.until(lambda: "no value" not in page.all(".numbers tbody tr")[0].text)


@WIDTHS
def test_acknowledge(page, served):
    page.enter(path="/patient/p-19")
    dialog = dialog_for(page, "acknowledge", "SpO₂ low")
    assert "As imre" in dialog.text
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.find(".toast", "Acknowledged")
    page.until(lambda: "Acknowledged by imre" in page.text(".card"))
    (command,) = served.ward.commands
    assert (command.by, command.action, command.patient) == ("imre", "acknowledge", "p-19")
    page.find(".back a").click()
    page.until(lambda: "Bed 19" in page.names("attended"))


@WIDTHS
def test_shelve_with_a_reason_an_end_and_a_bound(page, served):
    page.enter(path="/patient/p-26")
    dialog = dialog_for(page, "shelve", "HR high")
    content, window = page.width()
    assert content <= window
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.until(lambda: "needs a reason" in dialog.text)
    assert served.ward.commands == []
    page.press("being treated")
    dialog.find_element(By.CSS_SELECTOR, 'input[type="number"]').send_keys("185")
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.find(".toast", "Shelved")
    (command,) = served.ward.commands
    assert (command.reason, command.bound, command.direction) == ("being treated", 185, "above")
    assert command.until_ns == served.ward.clock.now_ns() + 1800 * 10**9
    page.until(lambda: "Shelved by imre" in page.text(".card"))


def test_expect_and_resolve(page, served):
    page.enter(path="/patient/p-26")
    dialog = dialog_for(page, "expect", "HR high")
    page.press("gave a beta blocker")
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.until(lambda: "imre expects it to get better" in page.text(".card"))
    dialog = dialog_for(page, "resolve", "HR high")
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.until(lambda: "Say what it was" in dialog.text)
    dialog.find_element(By.CSS_SELECTOR, 'input[value="confirmed"]').click()
    dialog.find_element(By.TAG_NAME, "textarea").send_keys("fast atrial fibrillation")
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.find(".none", "No open alarms")
    page.find("details.closed summary").click()
    assert "“fast atrial fibrillation”" in page.driver.execute_script(
        "return document.querySelector('.closed .steps').textContent"
    )


def test_what_the_floor_list_forbids_cannot_be_chosen(page):
    page.enter(path="/patient/p-19")
    card = page.find(".card", "SpO₂ low")
    button = card.find_element(By.CSS_SELECTOR, '[data-action="shelve"]')
    assert not button.is_enabled()
    assert "floor list" in button.get_attribute("title")


@WIDTHS
def test_a_refused_command_is_told_to_the_person(page, served):
    page.enter(path="/patient/p-26")
    dialog = dialog_for(page, "acknowledge", "HR high")
    served.call(served.ward.worsen, "p-26", "rate-high", 195)  # between the look and the word
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.until(lambda: "The ward refused: it has become worse since it was seen" in dialog.text)
    page.press(Keys.ESCAPE)
    page.until(
        lambda: (
            "Command refused by imre"
            in page.driver.execute_script("return document.querySelector('.card .steps').textContent")
        )
    )


def test_a_command_counts_only_when_the_ward_has_confirmed_it(page, served):
    served.ward.deaf = True
    page.enter(path="/patient/p-19")
    dialog = dialog_for(page, "acknowledge", "SpO₂ low")
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.until(lambda: "Waiting for the ward to confirm" in dialog.text)
    page.until(lambda: "has not confirmed this" in dialog.text)
    assert "SpO₂ low" in page.find(".card").text
    assert not page.all(".toast")
    served.ward.deaf = False
    dialog.find_element(By.CSS_SELECTOR, "button.primary").click()
    page.find(".toast", "Acknowledged")
    assert len({command.command_id for command in served.ward.commands}) == 1


def test_a_viewer_looks_and_cannot_act(page):
    page.enter("vera", "/patient/p-19")
    page.find(".card", "SpO₂ low")
    assert not [button for button in page.all(".card .actions button") if button.is_displayed()]


@WIDTHS
def test_with_the_keyboard_alone(page, served):
    page.enter()
    page.press(Keys.TAB)
    assert page.focused() == "Skip to the content"
    page.press(Keys.ENTER, Keys.TAB)
    assert page.focused() == "Bed 7"
    assert (
        page.driver.execute_script("return getComputedStyle(document.activeElement, '::after').outlineStyle") == "solid"
    )
    page.press(Keys.TAB, Keys.ENTER)
    page.until(lambda: page.focused() == "Bed 19")
    page.find(".card", "SpO₂ low")
    for _ in range(40):
        if page.focused() == "Acknowledge":
            break
        page.press(Keys.TAB)
    page.press(Keys.ENTER)
    page.find("dialog")
    seen = set()
    for _ in range(6):  # round and round inside the dialog
        seen.add(
            page.driver.execute_script(
                "return document.activeElement.closest('dialog') !== null || document.activeElement === document.body"
            )
        )
        page.press(Keys.TAB)
    assert seen == {True}
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    assert page.focused() == "Acknowledge"
    assert served.ward.commands == []
    page.press(Keys.ENTER)
    page.find("dialog")
    page.until(lambda: page.focused() == "Acknowledge")
    page.press(Keys.ENTER)
    page.find(".toast", "Acknowledged")
    assert len(served.ward.commands) == 1


def test_somebody_who_is_not_there_is_not_made_up(page):
    page.expected.append("404")
    page.enter(path="/patient/nobody")
    assert "Nobody of this name" in page.find(".note.warn").text
