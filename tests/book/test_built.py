"""The built book: no warning, no dead link, and, in a browser without network, moving pictures."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from lib.pages import __main__ as command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [str(page.with_suffix(".html")) for page in command.listed()]
MOVING = [str(page.with_suffix(".html")) for page in command.notebooks()
          if "vnd.jupyter.widget-view" in (ROOT / page).read_text(encoding="utf-8")]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of the book's HTML, built as `make book` does but from a copy."""
    folder = tmp_path_factory.mktemp("built")
    command.lay_out(folder / "source")
    tool = Path(sys.executable).with_name("jupyter-book")
    done = subprocess.run([tool, "build", folder / "source", "--path-output", folder,
                           "-W", "--keep-going", "-n", "--quiet"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder / "_build" / "html"


@pytest.fixture(scope="module")
def soups(built) -> dict[Path, BeautifulSoup]:
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in built.rglob("*.html")
            if "_static" not in path.parts}


def test_every_page_is_built_and_the_front_leads_to_the_book(built):
    assert [page for page in PAGES if not (built / page).exists()] == []
    assert (built / "index.html").exists()


def test_every_link_inside_the_book_resolves(built, soups):
    dead = []
    for path, soup in soups.items():
        for node in soup.select("a[href], img[src], script[src], link[href]"):
            link = urlsplit(node.get("href") or node.get("src"))
            if link.scheme or link.netloc:
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            anchored = not link.fragment or target not in soups or soups[target].find(id=unquote(link.fragment))
            dead += [] if target.exists() and anchored else [f"{path.relative_to(built)}: {node.get('href') or node.get('src')}"]
    assert dead == []


def test_every_claim_links_to_its_rows_and_from_there_back_to_the_ledger(built, soups):
    ledger, one_way = built / "book" / "claims.html", []
    for entry in soups[ledger].select("article[id^=claim-]"):
        link = entry.select_one('a[href*=".html"]')
        decided = not entry.select_one(".badge.undecided")
        back = f"claims.html#{entry['id']}"
        there = soups[(ledger.parent / link["href"].partition("#")[0]).resolve()] if link else None
        if (decided and not link) or (there and not (there.find(id=entry["id"]) and there.select(f'a[href$="{back}"]'))):
            one_way.append(entry["id"])
    assert one_way == [] and len(soups[ledger].select("article[id^=claim-]")) > 60


def test_every_figure_is_shown_with_words_and_without_a_broken_reference(soups):
    """What the build lets pass: an empty alternative text, the file name as one, and raw HTML that cites what is not there."""
    silent = [str(image)[:80] for soup in soups.values() for image in soup.select("article img")
              if len(image.get("alt", "").split()) < 4 or image["alt"].endswith((".png", ".webp"))]
    raw = [text for soup in soups.values() for node in soup.select("article") if (text := node.get_text())
           and any(mark in text for mark in ("{numref}", "{glue:", "{cite:", "{doc}", "{ref}"))]
    assert silent == [] and [text[:200] for text in raw] == []


def test_nothing_is_loaded_from_elsewhere(soups):
    assert [str(node)[:200] for soup in soups.values() for node in soup.select("img[src], script[src], link[rel=stylesheet]")
            if (node.get("href") or node.get("src")).startswith(("http:", "https:", "//"))] == []


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium that can resolve no name."""
    import shutil

    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,1000",
                 "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def opened(browser, path):
    """Load a page and wait until its widgets, if any, are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait
    browser.get(path.as_uri())
    ready = ("return document.readyState == 'complete' && (!document.querySelector('script[type*=widget-view]') || "
             "!!document.querySelector('.jupyter-widgets'))")
    WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(ready))


@pytest.mark.browser
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_an_error_and_without_a_request(page, built, browser):
    import json
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


@pytest.mark.browser
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
            named = control if control.get_attribute("aria-label") else control.find_element(By.CSS_SELECTOR, "[role=slider]")
            assert named.get_attribute("aria-label") == control.find_element(By.CSS_SELECTOR, ".widget-label").text
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_controls_that_need_a_kernel_are_left_out(soups, built):
    """What is drawn from stored widgets: none of them is a button or a field that waits for an answer."""
    import json
    for path, soup in soups.items():
        views = [json.loads(node.string)["model_id"] for node in soup.select('script[type="application/vnd.jupyter.widget-view+json"]')]
        states = [json.loads(node.string)["state"] for node in soup.select('script[type="application/vnd.jupyter.widget-state+json"]')]
        shown = [name for state in states for view in views for name in kinds(state, view)]
        assert {"ButtonModel", "DropdownModel", "FloatSliderModel"} & set(shown) == set(), path.relative_to(built)


def kinds(state: dict, model: str) -> list[str]:
    """The kinds of a stored widget and of all its children."""
    children = [child.removeprefix("IPY_MODEL_") for child in state[model]["state"].get("children", [])]
    return [state[model]["model_name"], *(kind for child in children for kind in kinds(state, child))]
