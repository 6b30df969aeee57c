"""The ward page in a real browser."""

import pytest
from conftest import DESKTOP, PHONE
from selenium.webdriver.common.by import By

from vitals.alarm_state import Raise
from vitals.log import Enrolment
from vitals.signs import MINUTE_NS, SECOND_NS

WIDTHS = pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["1440", "360"], indirect=True)


def row(page, name):
    links = [link for link in page.all(".who-link") if link.text == name]
    return links[0].find_element(By.XPATH, "ancestor::li")


@WIDTHS
def test_signed_in_the_ward_stands_there_worst_first(page):
    page.open()
    assert "/sign-in" in page.driver.current_url
    page.sign_in()
    page.until(lambda: page.live)
    assert page.names("needed") == ["Bed 7", "Bed 19", "Bed 26", "Bed 23"]
    assert page.names("later")[-1] == "Bed 15"
    assert len(page.names("quiet")) == 32
    assert page.names("quiet")[-1] == "Bed 31"
    content, window = page.width()
    assert content <= window


@WIDTHS
def test_priority_is_told_in_colour_shape_and_word(page):
    page.enter()
    badge = row(page, "Bed 19").find_element(By.CSS_SELECTOR, ".badge")
    assert badge.text == "High"
    assert badge.find_elements(By.CSS_SELECTOR, "svg path")
    paths = page.driver.execute_script(
        "return Object.fromEntries([...document.querySelectorAll('.row .badge')]"
        ".map((b) => [b.dataset.priority, b.querySelector('path').getAttribute('d')]))"
    )
    assert len(set(paths.values())) == 3


@WIDTHS
def test_a_value_has_unit_age_and_a_line_and_a_score_says_what_is_missing(page):
    page.enter()
    cell = row(page, "Bed 19").find_element(By.CSS_SELECTOR, '[data-measure="spo2"]')
    assert cell.find_element(By.CSS_SELECTOR, ".unit").text == "%"
    assert cell.find_element(By.CSS_SELECTOR, ".age").text.split()[1] in ("s", "min")
    assert cell.find_element(By.CSS_SELECTOR, ".spark-line").get_attribute("d").startswith("M")
    news = row(page, "Bed 23").find_element(By.CSS_SELECTOR, ".news")
    assert news.find_element(By.CSS_SELECTOR, ".news-number").text == "0–3"
    assert "no SpO₂" in news.text


@WIDTHS
def test_what_is_stale_is_shown_as_stale(page):
    page.enter()
    cell = row(page, "Bed 23").find_element(By.CSS_SELECTOR, '[data-measure="spo2"]')
    assert cell.get_attribute("data-stale") == ""
    assert cell.find_element(By.CSS_SELECTOR, ".age").text.startswith("stale")
    decoration = cell.find_element(By.CSS_SELECTOR, ".value").value_of_css_property("text-decoration-line")
    assert decoration == "line-through"
    assert "unobserved since" in row(page, "Bed 23").text


@WIDTHS
def test_who_is_no_longer_heard_of_is_marked_altogether(page):
    page.enter()
    silent = row(page, "Bed 28")
    assert "Stale: nothing since" in silent.text
    assert all(cell.get_attribute("data-stale") == "" for cell in silent.find_elements(By.CSS_SELECTOR, ".cell"))


def test_values_grow_stale_by_themselves_when_no_frame_comes(page, served):
    page.enter()
    assert row(page, "Bed 1").get_attribute("data-late") is None
    served.call(served.ward.clock.advance, 4 * MINUTE_NS)
    page.until(lambda: row(page, "Bed 1").get_attribute("data-late") == "")


def test_a_new_alarm_comes_to_the_top_and_is_said_aloud(page, served):
    page.enter()
    served.call(served.ward.limit, "p-02", "spo2-low", 80.0, 60 * MINUTE_NS, level=2)
    page.until(lambda: "Bed 2" in page.names("needed")[:3])
    page.until(lambda: page.driver.execute_script("return document.getElementById('say-now').textContent"))
    said = page.driver.execute_script("return document.getElementById('say-now').textContent")
    assert said.startswith("High priority: Bed 2, SpO₂ low")
    assert page.driver.title.startswith("(5)")


def test_a_medium_alarm_is_said_politely(page, served):
    page.enter()
    served.call(served.ward.limit, "p-02", "spo2-low", 86.0)
    page.until(lambda: page.driver.execute_script("return document.getElementById('say').textContent"))
    assert page.driver.execute_script("return document.getElementById('say-now').textContent") == ""


def test_a_frame_changes_values_in_place(page, served):
    page.enter()
    before = row(page, "Bed 1")
    served.ward.bodies["p-01"].base.update(dict.fromkeys(served.ward.bodies["p-01"].base, 40.0))
    now = served.ward.clock.now_ns()
    served.call(served.ward.minute, now + MINUTE_NS)
    value = '[data-patient="p-01"] [data-measure="rate"] .value'
    page.until(lambda: 30 < int(page.text(value)) < 50)
    assert before.is_displayed()  # the same element: nothing was drawn anew


def test_a_pause_says_who_why_and_until_when(page, served):
    page.enter()
    pause = Enrolment(
        patient="p-05",
        state="paused",
        at_ns=served.ward.clock.now_ns(),
        by="ana",
        reason="at dialysis",
        until_ns=served.ward.clock.now_ns() + 30 * MINUTE_NS,
    )
    served.call(served.ward.console.on_registry, pause)
    page.until(lambda: "Paused by ana until" in row(page, "Bed 5").text)
    assert "at dialysis" in row(page, "Bed 5").text


def test_many_alarms_of_one_patient_are_counted(page, served):
    page.enter()
    for rule in ("spo2-low", "rate-high", "battery-low", "device-clock", "observe-temp", "observe-sbp"):
        told = Raise(at_ns=served.ward.clock.now_ns() - SECOND_NS, cause="it is so", device="watch-p-03")
        served.call(served.ward.signal, "p-03", rule, told)
    page.until(lambda: "and 4 more" in row(page, "Bed 3").text)


def test_what_has_to_be_observed_is_one_line_and_calls_nobody(page, served):
    page.enter()
    for rule in ("observe-temp", "observe-sbp", "observe-oxygen"):
        told = Raise(at_ns=served.ward.clock.now_ns() - SECOND_NS, cause="please observe", device="")
        served.call(served.ward.signal, "p-03", rule, told)
    page.until(lambda: "Bed 3" in page.names("later"))
    (line,) = row(page, "Bed 3").find_elements(By.CSS_SELECTOR, ".alarm")
    assert line.text.split("\n")[1:] == ["Observe", "temperature, systolic pressure, air or oxygen"]
    assert "2 to observe" in page.text("#summary")


def test_the_volatile_ward_says_so_and_what_it_is_not(page):
    page.enter()
    assert page.find("#volatile").text == "Volatile demo"
    assert "Research software, not a medical device." in page.text(".foot")


def test_a_part_that_does_not_work_is_told_on_every_page(page, served):
    page.enter()
    told = {"part": "bridge", "status": "slow", "text": "1204 bundles wait", "at_ns": served.ward.clock.now_ns()}
    served.call(served.ward.console.on_health, told)
    assert "Slow: bridge" in page.find(".problem", "1204 bundles wait").text
    page.find('[data-page="latency"]').click()
    page.find("h1", "Latency")
    assert page.find(".problem", "1204 bundles wait")


class TestWithoutTicks:
    @pytest.fixture
    def served(self, serve):
        return serve(patients=31, tick_silence_s=0.5)

    def test_time_that_stands_still_is_told(self, page):
        page.enter()
        assert "no tick for" in page.find('.problem[data-status="down"]', "Ward time").text
