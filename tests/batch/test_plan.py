"""What a batch would do is known, and refused, before anything is done."""

import re
from pathlib import Path

import pytest

from lib.batch import plan
from lib.pages import parameters
from lib.pages.__main__ import notebooks
from lib.results import ROOT, write_record
from lib.runs import experiments, units

RINGS = "book/deep_bayes/two_rings.ipynb"


def drawn(pages, profile, folder, units=None, names=None):
    jobs = plan.settings([Path(page) for page in pages], profile, 0, "cpu")
    return plan.draw_up(jobs, folder / "build", units=units,
                        experiments=plan.wanted([page for page, *_ in jobs]) if names is None
                        else names, device="cpu", gpus=0, results=folder)


def test_every_experiment_of_the_library_is_in_the_plan():
    commands = {path.stem for path in (ROOT / "lib" / "runs").glob("*.py")
                if re.search(r"^    units\.main\(", path.read_text(), re.M)}
    assert commands == set(experiments.AFTER)


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_a_unit_waits_for_units_of_its_model_that_come_before_it(profile, tmp_path):
    found = experiments.plan(profile, results=tmp_path)
    seen = set()
    for unit in found.itertuples():
        assert set(unit.after) <= seen and not unit.stored
        assert {record.name.split("_")[0] for record in unit.after} <= {unit.unit.split("_")[0]}
        seen.add(unit.record)
    assert len(seen) == len(found) and list(tmp_path.iterdir()) == []
    whitebox = found[found.experiment == "whitebox"]
    assert whitebox.after.map(len).eq(1).all() and {r.parent.name for w in whitebox.after for r in w} == {"clean"}


def test_only_missing_units_are_planned_and_only_of_what_the_page_reads(tmp_path):
    write_record(tmp_path / "smoke/rings/seed0.npz", {}, {})
    found = drawn([RINGS], "smoke", tmp_path)
    assert [job["unit"] for job in found["units"].values()] == [f"seed{s}" for s in range(1, 5)]
    (page,) = found["pages"].values()
    assert page["reads"] == ["rings"] and str(tmp_path / "smoke/rings/seed0.npz") in page["inputs"]


def test_a_record_that_was_asked_for_fewer_images_is_planned_again(tmp_path):
    path = tmp_path / "smoke/clean/GFZ_clean_seed0.npz"
    for asked, planned in ((4, [str(path)]), (10, [])):
        write_record(path, {}, {"asked": asked})
        assert units.stored(path, 10) == (not planned)
        found = drawn([RINGS], "smoke", tmp_path, names={"clean"})
        assert found["again"] == planned and (str(path) in found["units"]) == bool(planned)


def test_the_reading_profile_computes_nothing_unless_it_is_asked_to(tmp_path):
    everything = set(experiments.AFTER)
    assert drawn([RINGS], "laptop", tmp_path, names=everything)["units"] == {}
    found = drawn([RINGS], "laptop", tmp_path, units="all", names=everything)
    assert {job["experiment"] for job in found["units"].values()} == everything
    with pytest.raises(parameters.Wrong, match="UNITS = 'some'; expected one of stored, all"):
        drawn([RINGS], "laptop", tmp_path, units="some")


def test_pages_name_the_experiments_that_they_read():
    assert plan.reads(Path(RINGS)) == ["rings"] and plan.reads(Path("book/deep_bayes/graphs.ipynb")) == []
    assert {"clean", "whitebox", "strong"} <= set(plan.reads(Path("book/deep_bayes/mnist.ipynb")))
    assert "carlini" in plan.reads(Path("book/deep_bayes/carlini_wagner.ipynb"))
    assert plan.wanted([Path("book/beyond/differences.ipynb")]) >= {"training", "clean", "strong"}


@pytest.fixture
def grid_file(tmp_path):
    def write(text):
        (tmp_path / "grid.yaml").write_text(text)
        return tmp_path / "grid.yaml"
    return write


def test_a_grid_is_every_combination_of_its_values(grid_file):
    path = grid_file(f"page: {RINGS}\nparameters: {{fpr: [0.1, 0.2], seed: [0, 1, 2]}}")
    page, points = plan.grid(path)
    assert str(page) == RINGS and len(points) == 6 and points[3] == {"fpr": 0.2, "seed": 0}
    jobs = plan.grid_settings(path, "smoke", None, "cpu")
    assert jobs[0][1] == {"profile": "smoke", "device": "cpu", "fpr": 0.1, "seed": 0}
    assert len({copy for *_, copy in jobs}) == 6


@pytest.mark.parametrize("text, said", [
    (f"page: {RINGS}\nparameters: {{fprr: [0.1]}}", "unknown parameter fprr = 0.1"),
    (f"page: {RINGS}\nparameters: {{fpr: [1e-1]}}", "fpr = '1e-1' is str; expected float"),
    (f"page: {RINGS}\nparameters: {{seed: 1}}", "expected a list of values for each name"),
    (f"page: {RINGS}\nparameters: {{profile: [huge]}}", "unknown profile 'huge'"),
    (f"page: {RINGS}\nsettings: {{}}", "expected the keys page and parameters, got page, settings"),
    ("page: README.md\nparameters: {seed: [1]}", "README.md is no page of the book"),
    ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ("page: [", "while parsing"),
])
def test_a_grid_that_does_not_fit_its_page_is_refused_by_name(grid_file, text, said):
    with pytest.raises(parameters.Wrong, match="grid .*grid.yaml: ") as caught:
        plan.grid(grid_file(text))
    assert said in str(caught.value)


def test_every_grid_of_the_book_fits_its_page():
    for path in sorted((ROOT / "book" / "grids").glob("*.yaml")):
        page, points = plan.grid(path)
        assert page in notebooks() and points
