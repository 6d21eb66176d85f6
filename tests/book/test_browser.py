"""The built book in a browser without network: it opens, its pictures move, it can be read anywhere."""

import json
from pathlib import Path

import pytest

from lib.pages import __main__ as command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [str(page.with_suffix(".html")) for page in command.listed()]
MOVING = [str(page.with_suffix(".html")) for page in command.notebooks()
          if "vnd.jupyter.widget-view" in (ROOT / page).read_text(encoding="utf-8")]
CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
pytestmark = pytest.mark.browser


def opened(browser, path):
    """Load a page and wait until its widgets, if any, are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait
    browser.get(path.as_uri())
    ready = ("return document.readyState == 'complete' && (!document.querySelector('script[type*=widget-view]') || "
             "!!document.querySelector('.jupyter-widgets'))")
    WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(ready))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_an_error_and_without_a_request(page, built, browser):
    from selenium.webdriver.support.ui import WebDriverWait
    browser.get_log("browser"), browser.get_log("performance")
    opened(browser, built / page)
    if browser.execute_script("return !!document.querySelector('.math')"):
        WebDriverWait(browser, 30).until(lambda d: d.execute_script("return !!document.querySelector('mjx-container')"))
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if url.startswith(("http:", "https:", "ws:", "wss:"))] == []
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def moves(control):
    """How a reader without a mouse moves a control, and back: two pairs of an element and the keys that it gets."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    if handles := control.find_elements(By.CSS_SELECTOR, "[role=slider]"):
        return (handles[0], Keys.ARROW_RIGHT * 2), (handles[0], Keys.ARROW_LEFT * 2)
    buttons = control.find_elements(By.CSS_SELECTOR, "button")
    return (buttons[1], Keys.ENTER), (buttons[0], Keys.ENTER)


@pytest.mark.parametrize("page", MOVING)
def test_every_control_changes_the_picture_by_keyboard_and_says_its_name(page, built, browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
    browser.get_log("browser")
    opened(browser, built / page)
    boxes = browser.find_elements(By.CSS_SELECTOR, ".widget-vbox:has(> .book-frame)")
    assert boxes
    for box in boxes:
        frame = box.find_element(By.CSS_SELECTOR, ".book-frame")
        controls = box.find_elements(By.CSS_SELECTOR, ".widget-slider, .widget-toggle-buttons")
        assert controls
        for control in controls:
            before, (there, back) = frame.screenshot_as_png, moves(control)
            there[0].send_keys(there[1])
            WebDriverWait(browser, 10).until(lambda _: frame.screenshot_as_png != before)
            back[0].send_keys(back[1])
            WebDriverWait(browser, 10).until(lambda _: frame.screenshot_as_png == before)
            named = (control if control.get_attribute("aria-label")
                     else control.find_element(By.CSS_SELECTOR, "[role=slider]"))
            assert named.get_attribute("aria-label") == control.find_element(By.CSS_SELECTOR, ".widget-label").text
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_legible_in_light_and_dark_on_a_phone_and_on_paper(page, built, browser):
    """Text has a contrast of 4.5 (WCAG 2.2, AA); at 360 pixels nothing sticks out; paper is white whatever the
    screen was."""
    from selenium.webdriver.support.ui import WebDriverWait
    opened(browser, built / page)
    theme = "document.documentElement.dataset.theme = arguments[0]"

    def turns(name):        # the page hears of a change of medium only when the next frame is drawn
        WebDriverWait(browser, 10).until(
            lambda d: d.execute_script("return document.documentElement.dataset.theme") == name)

    for name in ("light", "dark"):
        browser.execute_script(theme, name)
        browser.execute_async_script("setTimeout(arguments[0], 300)")       # the theme fades its colours
        assert browser.execute_script(CONTRAST) == [], name
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    try:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    try:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        turns("light")
        controls = ("return [...document.querySelectorAll('.widget-slider, .widget-toggle-buttons')].filter(c => "
                    "c.checkVisibility())")
        assert browser.execute_script(controls) == []
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    turns("dark")
