"""A link for a carer, from the button that makes it to the one that takes it back, in a real browser."""

import pytest
from conftest import PASSWORD, PHONE
from selenium.webdriver.common.by import By

from dashboards.console import Account, Role, hash_password


@pytest.mark.parametrize("window", [PHONE], ids=["360"], indirect=True)
def test_a_carer_comes_in_by_a_link_and_is_out_when_it_is_taken_back(page, served):
    served.ward.console.accounts.add(Account("lena", Role.LEAD, hash_password(PASSWORD)))
    as_lead = Browser(page, "lena")
    as_lead.box().find_element(By.XPATH, ".//button[text()='Make a link']").click()
    link = page.find(".pass-link").get_attribute("value")
    page.find(".pass", "not used yet")
    content, window = page.width()
    assert content <= window

    as_carer = Browser(page)
    page.driver.get(link)
    assert link not in page.driver.current_url, "the key is not left where somebody looks over a shoulder"
    page.find("button", "Show my values").click()
    page.until(lambda: page.driver.current_url.endswith("/my"))
    page.find("main", "Heart rate")
    assert "Bed 20" not in page.text("body"), "one patient, nobody else"

    as_lead.back()
    box = as_lead.box()
    page.find(".pass", "used ")
    box.find_element(By.XPATH, ".//button[text()='Take back']").click()
    page.find(".pass-box .note", "Taken back: it opens nothing any more")
    page.find(".pass-box li", "Nobody has a link to this patient's page.")

    as_carer.back()
    page.expected.append("401")  # the browser says that it was refused
    page.driver.get(page.address + "/my")
    page.until(lambda: "/sign-in" in page.driver.current_url)
    page.driver.get(link)
    page.find("button", "Show my values").click()
    page.expected.append("409")
    page.find("[role=alert]", "link")
    assert "Heart rate" not in page.text("main")


class Browser:
    """Whoever sits at the browser: their cookies, kept while somebody else does."""

    now = None

    def __init__(self, page, name=""):
        """Nobody's cookies, and with a name signed in."""
        self.page, self.cookies, self.name = page, [], name
        self._sit_down()
        if name:
            page.enter(name, "/patient/p-19")

    def back(self):
        """Sit down again, as who one was."""
        self._sit_down()
        self.page.driver.get(self.page.address + "/sign-in")
        for cookie in self.cookies:
            self.page.driver.add_cookie(cookie)

    def _sit_down(self):
        if Browser.now is not None:
            Browser.now.cookies = self.page.driver.get_cookies()
        self.page.driver.delete_all_cookies()
        Browser.now = self

    def box(self):
        """The patient's folded box of links, opened."""
        self.page.open("/patient/p-19")
        box = self.page.find(".pass-box")
        box.find_element(By.TAG_NAME, "summary").click()
        return box
