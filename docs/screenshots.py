"""Makes the pictures of the console in docs/ from the made-up ward that its browser tests use.

Run: ``python docs/screenshots.py`` in the project's environment, with Chromium and chromedriver installed (half a
minute). The console, its server, the alarm machine and the pager's engine are the real ones; the patients are nobody,
and ward time stands still, so that the pictures are the same on any machine.
"""

from __future__ import annotations

import base64
import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / "tests" / "browser"), str(DOCS.parent)]

from console_feed import FakeWard, Served, WardClock, made_up_ward  # noqa: E402  # found by the line above
from console_pager import Pager  # noqa: E402
from test_console_pages import board  # noqa: E402
from test_console_why import WHY, raised  # noqa: E402

from dashboards.console import Account, ConsoleSettings, Role, hash_password  # noqa: E402
from vitals.signs import MINUTE_NS  # noqa: E402

PASSWORD = "for the pictures"  # noqa: S105  # of nobody
DESKTOP, PHONE = (1440, 900), (390, 844)
COLOURS = 96
CHROMIUM = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-color-profile=srgb --hide-scrollbars --disable-dev-shm-usage"
)


def ward() -> FakeWard:
    """Forty people, of whom some are ill."""
    beds = {f"p-{i:02}": f"Bed {i}" for i in range(1, 41)}
    made = FakeWard(ConsoleSettings(title="Ward 4 West", directory=beds, tick_silence_s=86400.0), WardClock())
    hashed = hash_password(PASSWORD)
    made.console.accounts.add(Account("imre", Role.LEAD, hashed))
    made.console.accounts.add(Account("cora", Role.CARER, hashed, "p-23"))
    # As the two alarms that are raised below tell it.
    made_up_ward(made, ill={"p-05": {"resp": 2.1, "temp_c": 0.31, "hr": 4}, "p-03": {"hr": 17}})
    return made


class Photographer:
    """A headless Chromium that looks at one console."""

    def __init__(self, address: str) -> None:
        options = webdriver.ChromeOptions()
        for argument in CHROMIUM.split():
            options.add_argument(argument)
        options.page_load_strategy = "none"  # what is waited for is said each time
        # Named, so that selenium does not go and look for a driver on the network.
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        self.address = address

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for it."""
        WebDriverWait(self.driver, 240).until(lambda _: condition())

    def sees(self, selector: str, words: str = "") -> bool:
        """Whether such an element holds these words."""
        return any(words in one.text for one in self.driver.find_elements(By.CSS_SELECTOR, selector))

    def sign_in(self, name: str, holds: str) -> None:
        """Sign in and wait for what is then shown."""
        self.driver.delete_all_cookies()
        self.driver.get(self.address)
        self.until(lambda: self.sees("form"))
        self.driver.find_element(By.ID, "name").send_keys(name)
        self.driver.find_element(By.ID, "password").send_keys(PASSWORD + "\n")
        self.until(lambda: self.sees(holds))

    def take(self, name: str, size: tuple[int, int], path: str, holds: str, words: str = "") -> None:
        """Photograph a page, at least so large and no larger than it is."""
        width, height = size
        phone = width == PHONE[0]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(self.address + path)
        self.until(lambda: self.sees(holds, words))
        whole = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        picture = Image.open(io.BytesIO(base64.b64decode(whole["data"]))).convert("RGB")
        # Flat colours: a palette keeps a picture of a page at a fifth of its size.
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(DOCS / f"{name}.png", optimize=True)
        print(f"docs/{name}.png {(DOCS / f'{name}.png').stat().st_size // 1000} KB")

    def quit(self) -> None:
        """Close it."""
        self.driver.quit()


def main() -> None:
    """Make the ward, take the pictures, end it."""
    served = Served(ward)
    with tempfile.TemporaryDirectory() as folder:
        pager = served.call(Pager, served.ward, Path(folder))
        raised(served, "p-05", "sepsis-risk", "sepsis score 0.071, threshold 0.063", WHY)
        served.call(served.ward.limit, "p-03", "rate-high", 178, 2 * MINUTE_NS)
        served.call(pager.go, MINUTE_NS)
        link = next(send for send in pager.pages if send.alarm_ids[0].startswith("p-03:"))
        token = served.call(pager.tokens, link)["acknowledge"]
        served.call(served.ward.console.on_board, board(served.ward.clock.now_ns()))
        camera = Photographer(f"http://127.0.0.1:{served.port}/")
        try:
            camera.take("console-answer", PHONE, f"a/{token}", "button.primary", "Acknowledge")
            camera.sign_in("cora", ".my-values")
            camera.take("console-my", PHONE, "my", ".my-values")
            camera.sign_in("imre", ".who-link")
            for notice in served.ward.console.people.notices("imre"):
                served.call(served.ward.console.people.answered, notice["message_id"])
            camera.take("console", DESKTOP, "", ".spark-line")
            camera.take("console-phone", PHONE, "", ".spark-line")
            camera.take("console-patient", (1440, 1120), "patient/p-05", ".trace")
            camera.take("console-why", (390, 1500), "patient/p-05", ".why-list")
            camera.take("console-alarms", DESKTOP, "alarms", ".card")
            camera.take("console-shift", DESKTOP, "shift", ".holder")
        finally:
            camera.quit()
            served.stop()


if __name__ == "__main__":
    main()
