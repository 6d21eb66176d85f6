"""The built book, once a process, and a browser without network to look at it."""

import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from lib.pages import __main__ as command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The folder of the book's HTML, built as `make book` does but from a copy."""
    folder = tmp_path_factory.mktemp("built")
    command.lay_out(folder / "source")
    tool = Path(sys.executable).with_name("jupyter-book")
    done = subprocess.run([tool, "build", folder / "source", "--path-output", folder,
                           "-W", "--keep-going", "-n", "--quiet"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder / "_build" / "html"


@pytest.fixture(scope="session")
def soups(built) -> dict[Path, BeautifulSoup]:
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in built.rglob("*.html")
            if "_static" not in path.parts}


@pytest.fixture(scope="session")
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
