"""Fixtures that every test may use, and when a test may be skipped.

REQUIRE_MNIST=1 and REQUIRE_BROWSER=1 turn "skipped because it is not here" into a failure.
"""

import functools
import os
import shutil
from pathlib import Path

import pytest

# Before torch is loaded: tests compare bits that a GPU adds in another order. TEST_GPU=1 lets them see it, for the one
# that needs it.
if os.environ.get("TEST_GPU") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

ROOT = Path(__file__).resolve().parents[1]
NO_MNIST = ("needs mnist.npz in $BOOK_DATA or data/raw; get it with: "
            "python -c 'from lib.data import load; load(\"mnist\")'")
NO_BROWSER = "needs Chromium and its driver; on Debian: apt-get install chromium chromium-driver"


def has_mnist() -> bool:
    folders = [os.environ.get("BOOK_DATA"), ROOT / "data" / "raw"]
    return any(folder and (Path(folder) / "mnist.npz").exists() for folder in folders)


def has_browser() -> bool:
    return bool(shutil.which("chromium") or shutil.which("google-chrome")) and bool(shutil.which("chromedriver"))


def skip_or_fail(reason: str, variable: str) -> None:
    if os.environ.get(variable) == "1":
        pytest.fail(f"{variable}=1, but this test {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_collection_modifyitems(items):
    """Every cell of a page whose spot check recomputes MNIST images is an `mnist` test, and so is a user of `mnist`."""
    for item in items:
        notebook = item.path.suffix == ".ipynb"
        if needs_mnist(item.path) if notebook else "mnist" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.mnist)
        if notebook and item.get_closest_marker("mnist") and not has_mnist() and os.environ.get("REQUIRE_MNIST") != "1":
            item.add_marker(pytest.mark.skip(reason=NO_MNIST))      # the hook below is not called outside tests/


@functools.cache
def needs_mnist(page: Path) -> bool:
    return "spot_check" in page.read_text(encoding="utf-8")


def pytest_runtest_setup(item):
    if item.get_closest_marker("mnist") and not has_mnist():
        skip_or_fail(NO_MNIST, "REQUIRE_MNIST")
    if item.get_closest_marker("browser") and not has_browser():
        skip_or_fail(NO_BROWSER, "REQUIRE_BROWSER")


@pytest.fixture(scope="session")
def mnist():
    """MNIST as lib.data gives it."""
    from lib.data import load                       # here, not above: the jaxtyping hook must see the first import
    return load("mnist")


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """An empty results folder, also for the processes that a test starts."""
    folder = tmp_path / "results"
    monkeypatch.setenv("BOOK_RESULTS", str(folder))
    return folder
