"""Continuous checking catches what it is there for: a page whose outputs are no longer those of its rows."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
ROWS = "import pandas as pd\nfrom myst_nb import glue\nrows = pd.read_csv('rows.csv')"
GLUE, TABLE = "glue('accuracy', f'{rows.value[0]:.1%}', display=False)", "rows"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A folder with rows of one line, and a page that was run on them."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "rows.csv").write_text("model,value\nGFZ,0.912\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (ROWS, GLUE, TABLE)])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(notebook, folder / "page.ipynb")
    return folder


def checked(folder) -> str:
    """What continuous checking says of the page: as for the book's own."""
    words = ["-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "-c", "/dev/null",
             "--rootdir", str(folder), f"--nbval-sanitize-with={ROOT / 'tests/book/sanitize.cfg'}",
             str(folder / "page.ipynb")]
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=folder, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_a_page_that_agrees_with_its_rows_passes(page):
    assert "3 passed" in checked(page)


@pytest.mark.slow
def test_rows_that_changed_under_a_page_fail_its_glued_number_and_its_table(page):
    (page / "rows.csv").write_text("model,value\nGFZ,0.843\n")
    try:
        said = checked(page)
    finally:
        (page / "rows.csv").write_text("model,value\nGFZ,0.912\n")
    assert "2 failed, 1 passed" in said and "91.2%" in said and "84.3%" in said


@pytest.mark.slow
def test_an_output_edited_by_hand_fails(page):
    original = (page / "page.ipynb").read_text()
    (page / "page.ipynb").write_text(original.replace("91.2%", "99.2%"))
    try:
        assert "1 failed, 2 passed" in checked(page)
    finally:
        (page / "page.ipynb").write_text(original)
