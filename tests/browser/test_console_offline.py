"""Installed on a phone, on a bad link, and with sound."""

import pytest
from conftest import DESKTOP, PHONE
from selenium.webdriver.common.by import By

WIDTHS = pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["1440", "360"], indirect=True)
GONE = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
KEPT = """
  const done = arguments[0];
  (async () => {
    const kept = [];
    for (const name of await caches.keys())
      for (const request of await (await caches.open(name)).keys()) kept.push(new URL(request.url).pathname);
    done(kept);
  })();
"""
ACTIVE = """
  const done = arguments[0];
  navigator.serviceWorker.ready.then(({ active }) => {
    if (active.state === "activated") done(true);
    else active.addEventListener("statechange", () => done(active.state === "activated"));
  });
"""
PICTURES = """
  const done = arguments[0];
  (async () => {
    const manifest = await (await fetch("/manifest.webmanifest")).json();
    const sizes = [];
    for (const { src, sizes: said } of manifest.icons.filter(({ type }) => type === "image/png")) {
      const picture = new Image();
      picture.src = src;
      await picture.decode();
      sizes.push([said, `${picture.naturalWidth}x${picture.naturalHeight}`]);
    }
    done([manifest.start_url, manifest.display, sizes]);
  })();
"""


def asked(page, script):
    page.driver.set_script_timeout(30)
    return page.driver.execute_async_script(script)


def test_it_can_be_installed_and_keeps_nothing_about_patients(page, served):
    page.enter()
    start, display, sizes = asked(page, PICTURES)
    assert (start, display) == ("/", "standalone")
    assert len(sizes) == 3
    assert all(said == found for said, found in sizes)
    assert page.driver.execute_script("return document.querySelector('link[rel=manifest]').href").endswith("manifest")
    assert asked(page, ACTIVE)
    page.open("/patient/p-19")
    page.find(".card", "SpO₂ low")
    page.open("/alarms")
    page.find(".card")
    kept = asked(page, KEPT)
    assert "/offline" in kept
    assert [path for path in kept if path != "/offline" and not path.startswith("/static/")] == []


@WIDTHS
def test_opened_without_a_link_it_says_so_and_comes_back_by_itself(page, served, serve):
    page.expected += (*GONE, "ERR_INTERNET_DISCONNECTED", "401", "503", "Failed to load resource")
    page.enter()
    assert asked(page, ACTIVE)
    served.stop()
    page.open("/patient/p-19")
    assert "Not connected" in page.find("h1", "Not connected").text
    assert "Nothing is shown" in page.find(".alert-box").text
    assert "Bed" not in page.text("body")
    content, window = page.width()
    assert content <= window
    serve(port=served.port, secret=served.ward.console.settings.secret)
    page.until(lambda: page.text("h1") == "Bed 19")


def played(page):
    return int(page.find("#sound").get_attribute("data-played") or 0)


def test_sound_is_asked_for_and_calls_for_what_nobody_attends_to(page, served):
    page.enter()
    button = page.find("#sound")
    assert button.get_attribute("data-state") == "off"
    assert played(page) == 0
    button.click()
    page.until(lambda: button.get_attribute("data-state") == "on")
    assert button.get_attribute("aria-pressed") == "true"
    page.until(lambda: played(page) >= 2)  # the beep that proves it, and the call of what waits

    # Opened anew the browser lets nothing out before a tap; the page says so, and any tap will do.
    page.open("/alarms")
    page.until(lambda: page.find("#sound").get_attribute("data-state") == "blocked")
    assert "Sound waits" in page.find("#sound").text
    page.find("h1", "Alarms").click()
    page.until(lambda: page.find("#sound").get_attribute("data-state") == "on")
    page.until(lambda: played(page) >= 1)

    page.find("#sound").click()
    page.until(lambda: page.find("#sound").get_attribute("data-state") == "off")


def test_nothing_sounds_where_somebody_has_every_alarm_of_high_priority(page, served):
    page.enter()
    for bed in ("Bed 7", "Bed 19"):
        page.open("/")
        page.find(".who-link", bed).click()
        card = page.find('.cards .card[data-priority="high"]')
        card.find_element(By.CSS_SELECTOR, '[data-action="acknowledge"]').click()
        page.find("dialog").find_element(By.CSS_SELECTOR, "button.primary").click()
        page.find(".toast", "Acknowledged")
    waits = page.driver.execute_async_script(
        "const done = arguments[0]; import('/static/js/sound.js').then((sound) => done(sound.waits()));"
    )
    assert waits is False
    served.call(served.ward.limit, "p-02", "spo2-low", 80.0, level=2)
    asks = "const done = arguments[0]; import('/static/js/sound.js').then((sound) => done(sound.waits()));"
    page.until(lambda: page.driver.execute_async_script(asks) is True)
