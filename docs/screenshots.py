"""Makes the pictures of the console in docs/ from a running demo.

Run: ``python docs/screenshots.py [seconds]`` in the project's environment, with Chromium and chromedriver installed.
Starts the demo, signs in, waits until several patients are ill (80 s of the wall by default), and photographs.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

DOCS = Path(__file__).parent
TELEWARD = Path(sys.executable).parent / "teleward"
CHROMIUM = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-color-profile=srgb --hide-scrollbars"
)


def browser() -> webdriver.Chrome:
    """A headless Chromium."""
    options = webdriver.ChromeOptions()
    for argument in CHROMIUM.split():
        options.add_argument(argument)
    # Named, so that selenium does not go and look for a driver on the network.
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def picture(page: webdriver.Chrome, name: str, width: int, height: int, *, phone: bool = False) -> None:
    """Photograph the page at a size."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    time.sleep(1)
    page.save_screenshot(str(DOCS / f"{name}.png"))
    print(f"docs/{name}.png")


def sign_in(page: webdriver.Chrome, url: str, password: str) -> None:
    """Sign in as the demo's user."""
    page.get(url)
    fields = WebDriverWait(page, 20).until(lambda p: p.find_elements(By.TAG_NAME, "input"))
    fields[0].send_keys("demo")
    fields[1].send_keys(password)
    page.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    WebDriverWait(page, 20).until(lambda p: p.find_elements(By.CSS_SELECTOR, "a[href*='/patient/']"))


def main() -> None:
    """Start the demo, take the pictures, end the demo."""
    wait_s = float(sys.argv[1]) if len(sys.argv) > 1 else 80.0
    demo = subprocess.Popen([TELEWARD, "demo", "--port", "0"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        said = ""
        while not (found := re.search(r"page +(http\S+).*password +(\S+)", said, re.DOTALL)):
            line = demo.stderr.readline().decode() if demo.stderr else ""
            if not line:
                sys.exit(f"the demo ended: {said}")
            said += line
        page = browser()
        try:
            sign_in(page, found[1], found[2])
            time.sleep(wait_s)
            picture(page, "console", 1440, 900)
            first = page.find_element(By.CSS_SELECTOR, "a[href*='/patient/']").get_attribute("href")
            picture(page, "console-phone", 360, 740, phone=True)
            page.get(first or found[1])
            picture(page, "console-patient", 1440, 1100)
        finally:
            page.quit()
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(90)


if __name__ == "__main__":
    main()
