"""The page that loses its server says so, and never goes on looking well."""

import pytest
from conftest import DESKTOP, PHONE

WIDTHS = pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["1440", "360"], indirect=True)
WHEN_GONE = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")


def look(page):
    """What a person sees of whether the page is live."""
    script = """
      const lost = document.getElementById("lost");
      return {
        banner: !lost.hidden && lost.getBoundingClientRect().height > 30,
        wide: Math.round(lost.getBoundingClientRect().width) === document.documentElement.clientWidth,
        grey: getComputedStyle(document.querySelector("main")).filter !== "none",
        state: document.getElementById("live").textContent,
        title: document.title,
        top: lost.getBoundingClientRect().top,
      };
    """
    return page.driver.execute_script(script)


def assert_lost(page):
    page.until(lambda: look(page)["banner"])
    seen = look(page)
    assert seen["wide"]
    assert seen["grey"]
    assert seen["state"] == "Not live"
    assert seen["title"].startswith("NOT LIVE")
    assert "lost since" in page.text("#lost")
    content, window = page.width()
    assert content <= window


@WIDTHS
def test_a_server_that_says_goodbye(page, served):
    page.expected += WHEN_GONE
    page.enter()
    served.stop()
    assert_lost(page)


class TestSilence:
    @pytest.fixture
    def served(self, serve):
        return serve(silence_s=5.0)

    @WIDTHS
    def test_a_server_that_falls_silent_with_its_connections_open(self, page, served):
        page.enter()
        go_on = served.stall()
        try:
            assert_lost(page)
            assert "Nothing from the server for" in page.text("#lost")
        finally:
            go_on()
        page.until(lambda: not look(page)["banner"])
        seen = look(page)
        assert not seen["grey"]
        assert seen["state"] == "Live"


def test_a_server_that_is_cut_off_and_comes_back(page, served, serve):
    page.expected += (*WHEN_GONE, "401", "503")
    page.enter()
    served.stop(bye=False)
    assert_lost(page)
    again = serve(port=served.port, secret=served.ward.console.settings.secret)
    page.until(lambda: not look(page)["banner"])
    again.call(again.ward.limit, "p-02", "spo2-low", 80.0, level=2)
    page.until(lambda: "Bed 2" in page.names("needed"))


def test_while_it_is_lost_nothing_can_be_said(page, served):
    page.expected += WHEN_GONE
    page.enter(path="/patient/p-19")
    button = page.find('.card [data-action="acknowledge"]')
    served.stop()
    assert_lost(page)
    page.until(lambda: not button.is_enabled())


def test_a_session_that_was_ended_leads_to_the_sign_in_and_back(page, served):
    page.expected += (*WHEN_GONE, "401")
    page.enter(path="/patient/p-19")
    sessions = served.ward.console.sessions
    cookie = page.driver.get_cookie("teleward_session")["value"]
    served.call(lambda: sessions.close(sessions.read(cookie)))
    page.until(lambda: "/sign-in" in page.driver.current_url)
    page.sign_in()
    page.until(lambda: page.text("h1") == "Bed 19")


def test_signing_out(page):
    page.enter()
    page.find("#sign-out").click()
    page.until(lambda: "/sign-in" in page.driver.current_url)
    page.open("/patient/p-19")
    assert "/sign-in" in page.driver.current_url


def test_a_wrong_password_is_told(page):
    page.expected.append("401")
    page.open()
    page.sign_in(password="wrong")
    assert "do not fit" in page.find("#wrong", "do not fit").text


def test_drawn_alarms_are_reported_and_stand_on_the_page_of_times(page, served):
    page.enter()
    served.call(served.ward.limit, "p-02", "spo2-low", 80.0, level=2)
    page.until(lambda: any(row["hop"] == "show" for row in served.call(served.ward.console.hop_times.table)))
    page.find('[data-page="latency"]').click()
    page.find(".hops th", "emitted → shown")
    row = next(one for one in served.call(served.ward.console.hop_times.table) if one["hop"] == "show:draw")
    assert row["count"] == 1
    content, window = page.width()
    assert content <= window


@pytest.mark.parametrize("window", [PHONE], ids=["360"], indirect=True)
def test_the_page_of_times_fits_a_phone(page):
    page.enter(path="/latency")
    page.find(".hops th", "received → appended")
    content, window = page.width()
    assert content <= window


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page, scheme):
    """WCAG AA for all visible text of the ward and of a patient: 4.5 to 1, 3 to 1 where it is large."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        page.enter()
        assert page.driver.execute_script(CONTRAST) == []
        page.open("/patient/p-07")
        page.find(".card", "NEWS2")
        assert page.driver.execute_script(CONTRAST) == []
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


# Grounds are composed from the element up; text in SVG is left out (its ground is what was drawn under it).
CONTRAST = """
  const parse = (text) => {
    const canvas = parse.context ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const ground = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [255, 255, 255, 1];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].filter((child) => child.nodeType === 3).map((child) => child.data.trim()).join("");
    if (!own || node.closest("svg, .vh, [hidden], option, :disabled") || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(parse(style.color)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${own.slice(0, 30)} (${node.className}): ${ratio.toFixed(2)}`);
  }
  return found;
"""
