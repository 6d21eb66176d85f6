"""What every committed page holds, read from the files without running them."""

import re
from pathlib import Path

import nbformat
import pytest

from lib.pages import __main__ as command
from lib.pages import parameters

ROOT = Path(__file__).resolve().parents[2]
MACHINE = re.compile(r"(?<![\w./-])/(?:home|root|tmp|Users|work|mnt|private|var/folders)/[\w.-]+|[A-Z]:\\\\Users\\\\")
ASKED = {"two_rings": {"0.5 %"}}        # percentages with a decimal that were asked for, not measured
pages = pytest.mark.parametrize("page", command.notebooks(), ids=str)


def cells(page, kind="code"):
    return [cell for cell in nbformat.read(ROOT / page, as_version=4).cells if cell.cell_type == kind]


def outputs(page):
    return [(cell, output) for cell in cells(page) for output in cell.outputs]


def test_every_entry_of_the_contents_is_a_page():
    assert [str(page) for page in command.listed() if not (ROOT / page).exists()] == []


def test_every_page_is_in_the_contents():
    written = {path.relative_to(ROOT) for end in ("ipynb", "md") for path in (ROOT / "book").rglob(f"*.{end}")
               if ".ipynb_checkpoints" not in path.parts}
    assert written - set(command.listed()) == set()


@pages
def test_a_page_was_run_from_top_to_bottom(page):
    counts = [cell.execution_count for cell in cells(page) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


@pages
def test_a_page_shows_something_and_no_error(page):
    kinds = [output.output_type for _, output in outputs(page)]
    assert {"display_data", "execute_result"} & set(kinds)
    assert "error" not in kinds


@pages
def test_a_page_opens_with_checked_parameters_of_the_laptop_profile(page):
    code = cells(page)
    assert "parameters" in code[0].metadata.get("tags", [])
    assert "begin(globals())" in code[1].source
    parameters.check_page(ROOT / page, {})
    assert parameters.defaults(ROOT / page)["profile"] == "laptop"


@pages
def test_a_page_keeps_no_trace_of_the_machine_or_the_runner(page):
    notebook = nbformat.read(ROOT / page, as_version=4)
    assert notebook == command.bare(nbformat.read(ROOT / page, as_version=4))
    assert not [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    shown = [output.get("text", "")
             + "".join(str(output.get("data", {}).get(kind, "")) for kind in ("text/plain", "text/html"))
             for _, output in outputs(page)]
    assert MACHINE.findall("\n".join([*shown, *(cell.source for cell in notebook.cells)])) == []


@pages
def test_a_page_has_short_cells(page):
    assert [len(cell.source.splitlines()) for cell in cells(page) if len(cell.source.splitlines()) > 15] == []


@pages
def test_a_page_is_light(page):
    """360 kB, or 1.2 MB with widgets."""
    widgets = "widgets" in nbformat.read(ROOT / page, as_version=4).metadata
    assert (ROOT / page).stat().st_size < (1_200_000 if widgets else 360_000)


@pages
def test_every_figure_says_in_words_what_it_shows(page):
    silent = []
    for cell, output in outputs(page):
        data = output.get("data", {})
        if any(kind.startswith("image/") for kind in data):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            silent += [] if len(alt.split()) >= 4 else [cell.source]
        silent += [tag for tag in re.findall(r"<img\b[^>]*>", data.get("text/html", ""))
                   if not re.search(r'alt="[^"]{8,}"', tag)]
    assert silent == []


def test_every_figure_with_a_name_is_cited_in_prose_and_every_citation_names_one():
    named, cited = [], []
    for page in command.notebooks():
        named += [figure["name"] for cell in cells(page) if (figure := cell.metadata.get("mystnb", {}).get("figure"))]
        cited += re.findall(r"\{numref\}`([^`]+)`", "\n".join(cell.source for cell in cells(page, "markdown")))
    assert sorted(set(named)) == sorted(named) and set(named) == set(cited)


@pages
def test_a_page_says_where_its_rows_come_from(page):
    """At its end, by `pages.origin`; or in words, that it has none."""
    shown = [output.data.get("text/html", "") for cell in cells(page)[-1:]
             for output in cell.outputs if "data" in output]
    assert any("book-origin" in text for text in shown) or "shows no stored rows" in cells(page, "markdown")[-1].source


@pages
def test_every_number_that_prose_glues_was_glued_by_the_page(page):
    glued = [name for cell in cells(page) for output in cell.outputs
             if (name := output.get("metadata", {}).get("scrapbook", {}).get("name"))]
    said = re.findall(r"\{glue:text\}`([\w.-]+)", "\n".join(cell.source for cell in cells(page, "markdown")))
    assert set(said) <= set(glued) and sorted(set(glued)) == sorted(glued)


@pages
def test_prose_types_no_result_by_hand(page):
    """Results carry a decimal and are glued; what a paper printed or a page asked for is a whole number of per cent."""
    prose = "\n".join(cell.source for cell in cells(page, "markdown"))
    assert set(re.findall(r"\d+\.\d+ ?%", prose)) <= ASKED.get(page.stem, set())
