"""A batch from its command line, through Snakemake and papermill."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib.batch import __main__ as command
from lib.batch import report
from lib.batch.gather import settings_table
from lib.results import ROOT
from lib.runs.rings import rings

RINGS = "book/deep_bayes/two_rings.ipynb"


def batch(*words, out, **environment):
    done = subprocess.run([sys.executable, "-m", "lib.batch", *words, "--out", str(out)], cwd=ROOT, text=True,
                          env=os.environ | environment, capture_output=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_grid_goes_on_past_a_failed_setting_keeps_its_page_and_exits_with_1(results, tmp_path):
    grid, out = tmp_path / "grid.yaml", tmp_path / "out"
    grid.write_text(f"page: {RINGS}\nparameters: {{profile: [smoke], device: [cpu], fpr: [0.2, 1.5]}}")
    rings("smoke", results=results)
    (results / "smoke/rings/seed3.npz").unlink()
    (results / "smoke/rings.csv").unlink()
    rc, said = batch("--grid", str(grid), "--jobs", "2", out=out)
    assert rc == 1, said
    lines = {line["job"]: line for line in csv.DictReader((out / "report.csv").open())}
    assert [line["status"] for line in lines.values()] == ["ok", "ok", "failed"], said
    assert int(lines["rings, smoke: 1 of 1 units"]["rows"]) == len(rings("smoke", results=results))
    failed = lines["book/deep_bayes/two_rings/1.ipynb"]
    assert "Error" in failed["problem"] and "Traceback" in (out / "log" / failed["job"]).read_text()
    gathered = list(csv.DictReader((out / "table.csv").open()))
    assert [line["done"] for line in gathered] == ["True", "False"] and gathered[0]["wanted"] == "20 %"

    grid.write_text(grid.read_text().replace("[0.2, 1.5]", "[0.2]"))
    rc, said = batch("--grid", str(grid), "--jobs", "2", out=out)
    lines = list(csv.DictReader((out / "report.csv").open()))
    assert rc == 0 and [line["status"] for line in lines] == ["kept"], said


@pytest.mark.slow
def test_a_record_that_was_asked_for_too_little_is_made_though_it_is_there(results, tmp_path):
    rings("smoke", results=results)
    record = str(results / "smoke/rings/seed3.npz")
    plan = {"units": {record: {"after": [], "words": "lib.runs.rings --profile smoke --seed 0 --unit seed3"}},
            "pages": {}, "build": str(tmp_path), "results": str(results), "device": "cpu", "gpus": 0}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    log = tmp_path / "log/smoke/rings/seed3.txt"
    for again in ([], [record]):
        done = subprocess.run(command.command(tmp_path / "plan.json", 1, "local", [], again), cwd=ROOT,
                              capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True)
        assert done.returncode == 0 and log.exists() == bool(again), done.stderr


@pytest.mark.parametrize("words, said", [
    (["--profile", "huge"], "unknown profile 'huge'"),
    (["--units", "some"], "UNITS = 'some'"),
    (["--jobs", "0"], "--jobs 0; expected 1 or more"),
    (["README.md"], "README.md is no page"),
    ([RINGS, "--grid", "book/grids/rings.yaml"], "expected no other"),
    (["--grid", "none.yaml"], "none.yaml"),
])
def test_a_batch_that_cannot_be_meant_is_refused_before_any_work(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "follow", lambda *_: pytest.fail("a job was run"))
    assert command.main([*words, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_a_damaged_table_is_named_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "follow", lambda *_: pytest.fail("a job was run"))
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke/clean.csv").write_text("cut")
    assert command.main(["book/deep_bayes/graphs.ipynb", "--profile", "smoke", "--out", str(tmp_path / "out")]) == 2
    assert "clean.csv cannot be read" in capsys.readouterr().err


def test_without_snakemake_the_way_to_it_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command.sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert command.main(["book/deep_bayes/graphs.ipynb", "--out", str(tmp_path)]) == 2
    assert "make reproduce" in capsys.readouterr().err


def test_a_copy_that_is_missing_leaves_its_line_in_the_table(tmp_path):
    table = settings_table({"pages": {str(tmp_path / "0.ipynb"): {"given": {"seed": 3}}}})
    assert table.to_dict("records") == [{"seed": 3, "done": False}]
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.parametrize("newer, status", [([], "kept"), (["record"], "not run"), (None, "not run")])
def test_a_copy_is_kept_only_if_it_is_newer_than_all_that_it_is_made_from(tmp_path, newer, status):
    files = {name: tmp_path / name for name in ("page", "record", "copy.ipynb")}
    for name, path in files.items():
        path.write_text("")
        os.utime(path, (1_000 + (name == "copy.ipynb"),) * 2)
    if newer is None:
        files["record"].unlink()
    elif "record" in newer:
        os.utime(files["record"], (2_000, 2_000))
    plan = {"units": {}, "build": str(tmp_path), "results": str(tmp_path), "pages": {str(files["copy.ipynb"]): {
        "profile": "smoke", "reads": [], "inputs": [str(files["page"]), str(files["record"])]}}}
    assert report.table(plan, since=3_000, before={}).status.tolist() == [status]
