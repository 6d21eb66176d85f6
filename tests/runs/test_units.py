"""Units of work are computed once, whole, and by whoever comes first."""

import multiprocessing
import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest
import torch

from lib import locks
from lib.results import read_record, read_rows, write_record, write_rows
from lib.runs import units
from lib.runs.experiments import AFTER, experiment


def counting(folder, name="a", value=1.0):
    """A unit that leaves a mark each time it is computed."""
    def compute(device):
        (folder / f"{name}-{time.monotonic_ns()}.mark").touch()
        return {"value": np.array([value])}, {"value": value, "experiment": "toy"}
    return units.Unit(name, compute)


def summarise(records):
    return [{"experiment": "toy", "metric": "value", "value": float(r["value"][0]), "seed": 0} for r in records]


def ensure(folder, *todo, **more):
    return units.ensure("toy", todo, summarise, profile="smoke", results=folder / "results", device="cpu", **more)


def marks(folder, name="a"):
    return len(list(folder.glob(f"{name}-*.mark")))


def test_a_unit_is_computed_once_and_again_only_when_fresh(tmp_path):
    assert ensure(tmp_path, counting(tmp_path)).value.tolist() == [1.0]
    ensure(tmp_path, counting(tmp_path))
    assert marks(tmp_path) == 1
    ensure(tmp_path, counting(tmp_path), fresh=True)
    assert marks(tmp_path) == 2


def test_a_unit_that_asks_for_more_images_than_its_record_was_asked_for_is_computed_anew(tmp_path):
    """Not by how many it holds: a profile may ask for more than there are."""
    def asking(images):
        return units.Unit("a", counting(tmp_path).compute, images)
    for images, computed in ((5, 1), (5, 1), (3, 1), (8, 2), (8, 2)):
        ensure(tmp_path, asking(images))
        assert marks(tmp_path) == computed
    assert read_record(tmp_path / "results/smoke/toy/a.npz").settings["asked"] == 8
    assert ensure(tmp_path, asking(9), only=units.LISTED).stored.tolist() == [False]


@pytest.mark.parametrize("now, said", [
    ({"steps": 41}, "steps = 40, .* with 41"), ({"seed": 0, "eps": (0.1, 0.2)}, "length of eps = 1, .* with 2"),
    ({"cells": [{"eps": 0.1, "draws": 4}, {"eps": 0.3, "draws": 4}]}, r"cells\[1\].eps = 0.2, .* with 0.3"),
    ({"cells": [{"eps": 0.1, "draws": 1}]}, r"cells\[0\].draws = 4, .* with 1")])
def test_a_record_of_other_settings_is_refused_and_neither_used_nor_replaced(tmp_path, now, said):
    made = {"steps": 40, "eps": [0.1], "cells": [{"eps": 0.1, "draws": 4}, {"eps": 0.2, "draws": 4}]}

    def unit(expected, images=0):
        value, settings = counting(tmp_path).compute, made | expected
        return units.Unit("a", lambda device: (value(device)[0], settings), images, expected=expected)

    ensure(tmp_path, unit(made))
    agreeing = made | {"eps": (0.1,), "not stated by older records": 7}
    assert len(ensure(tmp_path, unit(agreeing))) == 1 and marks(tmp_path) == 1
    refused = f"a.npz was made with {said}; compute it anew .--unit a --fresh., or move"
    for asked in ({}, {"only": "a"}, {"only": units.LISTED}):
        with pytest.raises(ValueError, match=refused):
            ensure(tmp_path, unit(now, images=5), **asked)
    assert marks(tmp_path) == 1
    ensure(tmp_path, unit(now), fresh=True)
    assert len(ensure(tmp_path, unit(now))) == 1 and marks(tmp_path) == 2


def test_units_of_every_experiment_say_with_which_settings_they_are_computed(monkeypatch):
    seen = {}

    def listen(name, todo, *_, **__):
        seen[name] = list(todo)
        return pd.DataFrame()

    monkeypatch.setattr(units, "ensure", listen)
    for name in AFTER:
        experiment(name)("smoke", 3)
        assert seen[name] and all((unit.expected["experiment"], unit.expected["profile"]) == (name, "smoke")
                                  and unit.expected["seed"] >= 3 and unit.expected["dtype"] for unit in seen[name])


def test_rows_follow_when_a_unit_is_added(tmp_path):
    ensure(tmp_path, counting(tmp_path))
    assert ensure(tmp_path, counting(tmp_path), counting(tmp_path, "b", 2.0)).value.tolist() == [1.0, 2.0]
    assert (marks(tmp_path, "a"), marks(tmp_path, "b")) == (1, 1)


def test_a_unit_that_fails_leaves_nothing_and_keeps_the_others(tmp_path):
    def fail(device):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        ensure(tmp_path, counting(tmp_path), units.Unit("b", fail))
    assert {p.name for p in (tmp_path / "results/smoke/toy").iterdir()} == {"a.npz", ".a.npz.new"}     # no rows yet
    ensure(tmp_path, counting(tmp_path), counting(tmp_path, "b"))
    assert (marks(tmp_path, "a"), marks(tmp_path, "b")) == (1, 1)


def test_rows_follow_after_a_process_that_died_between_its_record_and_its_rows(tmp_path, monkeypatch):
    todo = [counting(tmp_path), counting(tmp_path, "b", 2.0)]
    ensure(tmp_path, *todo, only="a")
    monkeypatch.setattr(units, "_bring_up_to_date", died)
    with pytest.raises(KeyboardInterrupt):
        ensure(tmp_path, *todo, only="b")
    monkeypatch.undo()
    assert ensure(tmp_path, *todo).value.tolist() == [1.0, 2.0] and marks(tmp_path, "b") == 1
    assert {p.name for p in (tmp_path / "results/smoke/toy").iterdir()} == {"a.npz", "b.npz"}


def test_rows_follow_when_records_are_copied_here_replaced_or_removed(tmp_path):
    """As by rsync from another machine: no process here has left a mark."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, todo in ((here, ("a",)), (there, ("b", "c"))):
        folder.mkdir()
        ensure(folder, *(counting(folder, name, value=float(ord(name) - 96)) for name in todo))
    records, rows = here / "results/smoke/toy", here / "results/smoke/toy.csv"

    def told():
        return ensure(here, only=units.NOTHING).value.tolist()

    for name in ("b.npz", "c.npz"):
        shutil.copy2(there / "results/smoke/toy" / name, records / name)
    assert told() == [1, 2, 3]
    write_record(records / "c.npz", {"value": np.array([30.0])}, {"experiment": "toy"})    # as long as before
    assert told() == [1, 2, 30]
    (records / "b.npz").unlink()
    assert told() == [1, 30]
    made = rows.stat().st_mtime_ns
    assert told() == [1, 30] and rows.stat().st_mtime_ns == made        # nothing new: left as they are
    shutil.rmtree(records)
    assert told() == [1, 30]                                            # rows that came without their records


def test_rows_that_do_not_say_where_they_are_from_are_made_anew(tmp_path):
    made = ensure(tmp_path, counting(tmp_path)).value.tolist()
    rows = tmp_path / "results/smoke/toy.csv"
    write_rows(rows, read_rows(rows).assign(value=7.0))
    assert made != [7.0] and ensure(tmp_path, counting(tmp_path)).value.tolist() == made


def died(*_, **__):
    raise KeyboardInterrupt


def test_units_can_be_listed_and_rows_written_without_computing_anything(tmp_path):
    todo = [counting(tmp_path), counting(tmp_path, "b")]
    assert ensure(tmp_path, *todo, only=units.NOTHING).empty and not (tmp_path / "results").exists()
    ensure(tmp_path, *todo, only="a")
    listed = ensure(tmp_path, *todo, only=units.LISTED)
    assert listed.unit.tolist() == ["a", "b"] and listed.stored.tolist() == [True, False]
    (tmp_path / "results/smoke/toy.csv").unlink()
    assert len(ensure(tmp_path, *todo, only=units.NOTHING)) == 1 and marks(tmp_path, "b") == 0


def test_two_processes_do_not_compute_the_same_unit_twice(tmp_path):
    def work():
        slow = counting(tmp_path)
        ensure(tmp_path, units.Unit("a", lambda device: (time.sleep(0.5), slow.compute(device))[1]))
    processes = [multiprocessing.get_context("fork").Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [p.exitcode for p in processes] == [0, 0] and marks(tmp_path) == 1


def test_two_processes_share_units_instead_of_waiting_for_each_other_at_each(tmp_path):
    """Time in which some unit is under way, beside that of one after the other; they sleep: no cores are needed."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(2)

    def sleep(name):
        begun = time.monotonic()
        time.sleep(0.4)
        return {"value": np.array([1.0]), "span": np.array([begun, time.monotonic()])}, {"name": name}

    def work():
        ready.wait()
        ensure(tmp_path, *(units.Unit(str(i), lambda device, i=i: sleep(str(i))) for i in range(8)))

    processes = [context.Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    spans = sorted(read_record(path)["span"].tolist() for path in (tmp_path / "results/smoke/toy").glob("*.npz"))
    assert [p.exitcode for p in processes] == [0, 0] and len(spans) == 8
    busy, until = 0.0, 0.0
    for begun, ended in spans:
        busy, until = busy + max(0.0, ended - max(begun, until)), max(until, ended)
    assert busy < 0.75 * sum(ended - begun for begun, ended in spans)


def test_a_lock_that_another_holds_is_not_waited_for_when_asked_not_to(tmp_path):
    with locks.locked(tmp_path / "a") as first, locks.locked(tmp_path / "a", wait=False) as second:
        assert (first, second) == (True, False)
    with locks.locked(tmp_path / "a", wait=False) as third:
        assert third


def test_what_a_unit_leaves_to_go_on_from_is_removed_only_when_its_record_is_there(tmp_path, monkeypatch):
    state, plain = tmp_path / "a.state", counting(tmp_path)
    unit = units.Unit("a", lambda device: (state.touch(), plain.compute(device))[1], done=state.unlink)
    monkeypatch.setattr(units, "write_record", full)
    with pytest.raises(OSError, match="No space left"):
        ensure(tmp_path, unit)
    assert state.exists()
    monkeypatch.undo()
    assert len(ensure(tmp_path, unit)) == 1 and not state.exists()


def full(*_):
    raise OSError("No space left on device")


def test_a_record_says_where_it_comes_from(tmp_path):
    ensure(tmp_path, counting(tmp_path))
    settings = read_record(tmp_path / "results/smoke/toy/a.npz").settings
    assert settings["torch"] == torch.__version__.split("+")[0] and settings["seconds"] >= 0 and settings["device"]


def test_an_unknown_unit_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="unknown unit 'c' of toy; expected one of a, b"):
        ensure(tmp_path, counting(tmp_path), counting(tmp_path, "b"), only="c")
    assert marks(tmp_path) == 0


def test_a_results_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="cannot write in .*results"):
        ensure(tmp_path, counting(tmp_path))


@pytest.mark.parametrize("name, message", [("gpu", "unknown device 'gpu'; expected 'auto', 'cpu'"),
                                           ("cuda:7" if not torch.cuda.is_available() else "tpu",
                                            "finds no GPU|unknown device")])
def test_a_device_that_is_not_there_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        units.device_of(name)


@pytest.mark.parametrize("name, message", [("cuda:2", "the GPUs are cuda:0 to cuda:1"), ("cudax", "unknown device"),
                                           ("cuda:abc", "unknown device")])
def test_a_gpu_that_is_not_among_those_there_are_is_refused(name, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert units.device_of("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match=message):
        units.device_of(name)


def test_without_git_records_name_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert units.commit.__wrapped__() == ""


def test_a_record_made_on_a_gpu_names_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a fast one")
    assert units.device_name(torch.device("cuda")) == "a fast one"
    assert units.device_name(torch.device("cpu")).endswith(" threads")


def test_a_lock_that_its_holder_removes_while_another_looks_at_it_is_asked_for_again(tmp_path, monkeypatch):
    path, looked = tmp_path / "a.npz", []

    def removed_meanwhile(number, fstat=os.fstat):
        if not looked:
            next(tmp_path.glob(".a.npz.lock")).unlink()
        looked.append(number)
        return fstat(number)

    monkeypatch.setattr(locks.os, "fstat", removed_meanwhile)
    with locks.locked(path):
        assert len(looked) == 2 and (tmp_path / ".a.npz.lock").exists()
    assert not list(tmp_path.iterdir())
