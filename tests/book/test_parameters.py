"""What `pages.begin` and the command line refuse, and what a run leaves behind."""

import nbformat
import pandas as pd
import pytest

from lib import pages
from lib.pages import __main__ as command
from lib.pages import parameters

SOURCE = "profile: str = 'laptop'\nseed: int = 0\ndevice: str = 'cpu'\neps: float = 0.3\nmodels: list[str] = ['GFZ']"


def scope(**given):
    names = {"profile": "laptop", "seed": 0, "device": "cpu", "eps": 0.3, "models": ["GFZ"], "note": None}
    kinds = {"profile": str, "seed": int, "device": str, "eps": float, "models": list[str], "note": str | None}
    return {"In": [""], "Out": {}, "_i1": "", "pd": pd, "__annotations__": kinds} | names | given


def test_parameters_that_fit_become_the_page():
    assert pages.begin(scope(seed=3)) == pages.Page("laptop", 3, "cpu")
    assert pages.begin(scope()).judges and not pages.begin(scope(profile="smoke")).judges


def test_a_whole_number_given_for_a_float_becomes_one():
    pages.begin(given := scope(eps=1))
    assert type(given["eps"]) is float


@pytest.mark.parametrize("given, words", [
    ({"sed": 1}, ["sed = 1", "unknown", "seed"]),
    ({"seed": "1"}, ["seed = '1'", "int", "str"]),
    ({"seed": True}, ["seed = True", "int"]),
    ({"seed": -1}, ["seed = -1", "0 or more"]),
    ({"eps": "0.3"}, ["eps = '0.3'", "float"]),
    ({"eps": float("nan")}, ["eps = nan", "float"]),
    ({"models": "GFZ"}, ["models = 'GFZ'", "list[str]"]),
    ({"models": [1]}, ["models = [1]", "list[str]"]),
    ({"profile": "huge"}, ["'huge'", "smoke", "laptop", "paper"]),
    ({"device": "tpu"}, ["'tpu'", "cpu", "cuda"]),
    ({"note": 3}, ["note = 3", "str | None"]),
])
def test_a_wrong_parameter_is_named_with_what_was_expected(given, words):
    with pytest.raises(parameters.Wrong) as caught:
        pages.begin(scope(**given))
    assert [word for word in words if word not in str(caught.value)] == []


def test_running_the_check_again_after_the_page_made_names_of_its_own_is_fine():
    pages.begin(given := scope())
    pages.begin(given | {"total": 3})


@pytest.fixture
def page(tmp_path):
    """A notebook of two cells, written by the test's arguments."""
    def write(second, tags=("parameters",), name="page.ipynb"):
        first = nbformat.v4.new_code_cell(SOURCE, metadata={"tags": list(tags)})
        notebook = nbformat.v4.new_notebook(cells=[first, nbformat.v4.new_code_cell(second)])
        nbformat.write(notebook, tmp_path / name)
        return tmp_path / name
    return write


def test_a_page_is_checked_without_running_it(page):
    path = page("raise SystemExit")
    parameters.check_page(path, {"seed": 2, "eps": 0.1})
    with pytest.raises(parameters.Wrong, match="page.ipynb: unknown parameter sed"):
        parameters.check_page(path, {"sed": 2})
    with pytest.raises(parameters.Wrong, match="0 cells tagged parameters"):
        parameters.check_page(page("1", tags=()), {})


def test_a_notebook_that_is_none_is_named(tmp_path):
    (tmp_path / "cut.ipynb").write_text('{"cells": [')
    with pytest.raises(parameters.Wrong, match="cut.ipynb: .*cannot be read"):
        parameters.check_page(tmp_path / "cut.ipynb", {})


@pytest.mark.parametrize("words, said", [
    (["run", "elsewhere.ipynb"], "elsewhere.ipynb is no page"),
    (["run", "-p", "seed"], "expected NAME=VALUE"),
    (["run", "--profile", "huge"], "'huge'"),
    (["run", "--in-place", "-p", "seed=1"], "takes no parameters"),
])
def test_the_command_refuses_before_it_runs_anything(words, said, capsys, monkeypatch):
    monkeypatch.setattr(command, "run", lambda *_: pytest.fail("a page was run"))
    assert command.main(words) == 2
    assert said in capsys.readouterr().err


def test_values_of_the_command_line_are_pythons_own():
    assert command.values(["lr=1e-3", "n=2", "on=True", "models=['GFZ', 'DBX']", "device=cpu"]) == {
        "lr": 1e-3, "n": 2, "on": True, "models": ["GFZ", "DBX"], "device": "cpu"}


def test_a_failed_page_is_kept_with_its_error_and_without_the_runners_notes(page, tmp_path):
    problem = command.execute(page("print(seed)\nraise ValueError('no such eps')"),
                              out := tmp_path / "out.ipynb", {"seed": 7})
    assert problem == "ValueError: no such eps"
    kept = nbformat.read(out, as_version=4)
    assert "no such eps" in str([cell.get("outputs") for cell in kept.cells])
    assert "7\n" in str([cell.get("outputs") for cell in kept.cells]).replace("\\n", "\n")
    assert "papermill" not in kept.metadata and not [cell for cell in kept.cells if "papermill" in cell.metadata]
