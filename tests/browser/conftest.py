"""A Chromium without a head, two widths, and a made-up ward behind a real server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from console_feed import FakeWard, Served, WardClock, made_up_ward
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from dashboards.console import Account, ConsoleSettings, Role, hash_password

PASSWORD = "correct-horse"
DESKTOP = (1440, 900, False)
PHONE = (360, 740, True)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[webdriver.Chrome]:
    """One browser for all tests; skipped where there is none, an error where CI should have one."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        missing = "a Chromium" if browser is None else "chromedriver"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{missing} is missing; CI must have it")
        pytest.skip(f"{missing} is missing: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


@pytest.fixture(scope="session")
def hashed() -> str:
    return hash_password(PASSWORD)


@pytest.fixture
def serve(hashed) -> Iterator[Callable[..., Served]]:
    """Starts made-up wards; all are stopped at the end."""
    started: list[Served] = []

    def start(patients: int = 40, hours: float = 1.0, port: int = 0, **settings) -> Served:
        def make() -> FakeWard:
            directory = {f"p-{i:02}": f"Bed {i}" for i in range(1, patients + 1)}
            # Ward time stands still in these tests unless they move it, so no tick is no trouble here.
            known = {"title": "Ward 4 West", "directory": directory, "tick_silence_s": 86400.0, "volatile": True}
            # A busy machine may be slow to beat; only a test about silence is about seconds.
            known["silence_s"] = 120.0
            ward = FakeWard(ConsoleSettings(**(known | settings)), WardClock())
            ward.console.accounts.add(Account("imre", Role.CLINICIAN, hashed))
            ward.console.accounts.add(Account("vera", Role.VIEWER, hashed))
            made_up_ward(ward, patients, hours)
            return ward

        started.append(Served(make, port))
        return started[-1]

    yield start
    for served in started:
        if served.running:
            served.stop()


@pytest.fixture
def served(serve) -> Served:
    return serve()


class Page:
    """The console in the browser, as a person uses it."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver = driver
        self.address = address
        self.expected: list[str] = []  # pieces of console messages that a test brings about on purpose

    def open(self, path: str = "/") -> None:
        self.driver.get(self.address + path)

    def sign_in(self, name: str = "imre", password: str = PASSWORD) -> None:
        self.find("#name").send_keys(name)
        self.find("#password").send_keys(password, Keys.ENTER)

    def enter(self, name: str = "imre", path: str = "/") -> None:
        """Open a path, sign in, wait until it is live."""
        self.open(path)
        self.sign_in(name)
        self.until(lambda: self.live)

    @property
    def live(self) -> bool:
        found = self.all("#live")
        return bool(found) and found[0].get_attribute("data-state") == "live"

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def find(self, selector: str, holding: str = "") -> WebElement:
        """The first visible element that holds a text, as soon as it is there."""

        def found() -> WebElement | None:
            visible = (one for one in self.all(selector) if one.is_displayed())
            return next((one for one in visible if holding in one.text), None)

        return self.until(found, f"{selector} holding {holding!r}")

    def until(self, condition: Callable, what: str = "", seconds: float = 90):
        # Elements are drawn anew at any time; one that went is asked for again.
        from selenium.common.exceptions import StaleElementReferenceException

        waiting = WebDriverWait(self.driver, seconds, 0.05, ignored_exceptions=[StaleElementReferenceException])
        return waiting.until(lambda _: condition(), what)

    def text(self, selector: str) -> str:
        return self.until(lambda: [one.text for one in self.all(selector)][:1], selector)[0]

    def names(self, group: str) -> list[str]:
        """Who stands in a group of the ward page, in order."""
        script = "return [...document.querySelectorAll(arguments[0])].map((link) => link.textContent)"
        return self.driver.execute_script(script, f"[data-group='{group}'] .who-link")

    def width(self) -> tuple[int, int]:
        """How wide the content is, and the window."""
        return tuple(self.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]"))

    def focused(self) -> str:
        return self.driver.execute_script("return document.activeElement.textContent || document.activeElement.id")

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """What the browser's console said, less what a test brought about on purpose."""
        said = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        return [message for message in said if not any(piece in message for piece in self.expected)]


@pytest.fixture
def window(request, chromium) -> webdriver.Chrome:
    """The browser at a width and with nobody signed in; parametrize indirectly with DESKTOP or PHONE."""
    width, height, mobile = getattr(request, "param", DESKTOP)
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chromium.get_log("browser")
    return chromium


@pytest.fixture
def page(window, served) -> Iterator[Page]:
    """The console of the ward that `served` made. At the end the browser must have had nothing to complain about."""
    made = Page(window, f"http://127.0.0.1:{served.port}")
    yield made
    assert made.complaints() == []
