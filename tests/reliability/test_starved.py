"""Without disk, memory, network or sense in its parameters, a run stops early, says why, and leaves nothing
half-done."""

import multiprocessing
import resource
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lib.pages.__main__ import main as pages
from lib.profiles import DETECTORS
from lib.results import ROOT, read_record
from lib.runs import heads, units
from lib.runs.density import density
from lib.runs.negatives import AgainstNegatives
from lib.runs.training import training

SUMMARISE = [{"experiment": "toy", "metric": "value", "value": 1.0, "seed": 0}]


def ensure(folder, *names, megabytes=0.1, **more):
    """Rows of units that each store that much noise."""
    def compute(device, name):
        noise = np.random.default_rng(len(name)).random(int(megabytes * 125_000))
        return {"noise": noise}, {"experiment": "toy", "name": name}
    todo = [units.Unit(name, lambda device, name=name: compute(device, name)) for name in names]
    return units.ensure("toy", todo, lambda records: SUMMARISE * len(records), profile="smoke", results=folder,
                        device="cpu", **more)


@contextmanager
def disk(folder, size: str):
    """A file system of its own in `folder`."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs to mount a file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


def test_a_full_disk_is_named_keeps_what_was_there_and_is_mended_by_room(root, tmp_path, tally):
    faults = tally("starved", "a full disk")
    with disk(tmp_path / "disk", "400k") as folder:
        ensure(folder, "a")
        for names in (("a", "bb"), ("a", "bb", "ccc")):
            with pytest.raises(OSError, match=r"cannot write .*\.npz: .*No space left.*Free space") as caught:
                ensure(folder, *names, megabytes=1)
            whole = [path.name for path in (folder / "smoke/toy").iterdir() if not path.name.startswith(".")]
            faults.count("nothing was left behind" in str(caught.value) and whole == ["a.npz"]
                         and not list((folder / "smoke/toy").glob(".*.tmp")))
        remount(folder, "size=8m")
        assert len(ensure(folder, "a", "bb", megabytes=1)) == 2
    assert faults.lost == 0


def test_a_record_that_cannot_be_written_after_a_training_costs_no_training(root, tmp_path, tally, monkeypatch):
    """The same call goes on from where the training ended, to the same numbers."""
    faults, unit, updates = tally("starved", "a full disk after a training"), "GAT_linf0.3_classes3_seed0", []
    sizes, objective = DETECTORS["smoke"], AgainstNegatives.objective
    monkeypatch.setitem(DETECTORS, "smoke", replace(sizes, training=replace(sizes.training, updates=6), candidates=3))
    monkeypatch.setattr(AgainstNegatives, "objective", lambda *args: (updates.append(1), objective(*args))[1])

    def trained(folder):
        updates.clear()
        heads.heads("smoke", 0, "cpu", folder, only=unit)
        return (read_record(folder / f"smoke/heads/{unit}.npz"),
                load_file(heads.checkpoint("GAT", "smoke", 0, "linf0.3-class3", folder)))

    expected, weights = trained(tmp_path / "whole")
    assert len(updates) == 6
    (tmp_path / "cut/smoke").mkdir(parents=True)
    with disk(tmp_path / "cut/smoke/heads", "8k") as folder:
        (folder / ".full").write_bytes(bytes(8192))
        with pytest.raises(OSError, match=r"cannot write .*\.npz: .*No space left.*Free space"):
            trained(tmp_path / "cut")
        (folder / ".full").unlink()
        remount(folder, "size=8m")
        found, again = trained(tmp_path / "cut")
        faults.count(len(updates) <= 2 and np.array_equal(found["objective"], expected["objective"])
                     and all(torch.equal(again[name], weights[name]) for name in weights))
    left = {path.suffix for path in (tmp_path / "cut/smoke/checkpoints").iterdir()}
    assert faults.lost == 0 and left == {".safetensors"}


@pytest.mark.parametrize("experiment, unit, folder", [(training, "DBX_seed0", "checkpoints"),
                                                      (density, "two-gaussians_paper_gat_seed0", "density")])
def test_what_a_training_goes_on_from_outlives_a_record_that_cannot_be_written(experiment, unit, folder, tmp_path,
                                                                               monkeypatch, tally):
    faults, module, begun = tally("starved", "a full disk after a training"), sys.modules[experiment.__module__], []
    fit = module.fit

    def often(*args, **settings):                       # smoke trains too shortly to write a state by itself
        begun.append(settings["state"].exists())
        return fit(*args, **settings | {"save_every": 1})

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "fit", often)
    experiment("smoke", results=tmp_path / "whole", only=unit)
    expected = read_record(tmp_path / f"whole/smoke/{experiment.__name__}/{unit}.npz")
    with monkeypatch.context() as patch:
        patch.setattr(units, "write_record", full)
        with pytest.raises(OSError, match="No space left"):
            experiment("smoke", results=tmp_path, only=unit)
    begun.clear()
    experiment("smoke", results=tmp_path, only=unit)
    found = read_record(tmp_path / f"smoke/{experiment.__name__}/{unit}.npz")
    faults.count(begun[0]
                 and all(np.array_equal(found[name], array, equal_nan=True) for name, array in expected.arrays.items())
                 and not [path for path in (tmp_path / "smoke" / folder).iterdir()
                          if path.suffix in (".state", ".partial")])
    assert faults.lost == 0


def test_results_that_cannot_be_written_can_be_read_and_are_named_when_work_is_missing(root, tmp_path, tally):
    faults = tally("starved", "results that can only be read")
    with disk(tmp_path / "disk", "8m") as folder:
        stored = ensure(folder, "a")
        remount(folder, "ro")
        faults.count(ensure(folder, "a").equals(stored))
        with pytest.raises(OSError, match="cannot write in .*toy.*Read-only"):
            ensure(folder, "a", "bb")
        remount(folder, "rw")
        faults.count(len(ensure(folder, "a", "bb")) == 2)
    assert faults.lost == 0


@pytest.mark.slow
def test_without_a_network_everything_runs_that_needs_none_and_the_rest_says_so(root, tmp_path, tally):
    faults = tally("starved", "no network")
    code = ("import sys; from pathlib import Path; from lib import data; from lib.runs.rings import rings\n"
            "data.RAW = folder = Path(sys.argv[1])\n"
            "print(len(rings('smoke', results=folder)), data.load('digits').name)\n"
            "data.load('mnist')")
    done = subprocess.run(["unshare", "--net", sys.executable, "-c", code, tmp_path], cwd=ROOT,
                          capture_output=True, text=True,
                          env={"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, timeout=300)
    faults.count(done.stdout.split()[-1:] == ["digits"])
    faults.count(done.returncode == 1 and "FileNotFoundError: no mnist.npz on this machine" in done.stderr
                 and "Three ways to mend it" in done.stderr)
    assert faults.lost == 0, done.stderr


def hungry(folder):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000,) * 2)
    ensure(folder, "a")
    ensure(folder, "a", "bb", megabytes=400)


def test_without_memory_a_unit_is_given_up_and_the_others_are_kept(tmp_path, tally):
    faults = tally("starved", "a limit on memory")
    for number in range(2):
        process = multiprocessing.get_context("fork").Process(target=hungry, args=(tmp_path / str(number),))
        process.start(), process.join()
        folder = tmp_path / str(number) / "smoke/toy"
        faults.count(process.exitcode == 1 and [p.name for p in folder.glob("[!.]*")] == ["a.npz"])
        faults.count(len(ensure(tmp_path / str(number), "a", "bb")) == 2
                     and len(read_record(folder / "bb.npz")["noise"]) == 12_500)
    assert faults.lost == 0


@pytest.mark.parametrize("given", ["sed=1", "seed=1.5", "seed=-1", "seed='1'", "device=tpu", "profile=huge",
                                   "fpr=None", "fpr=nan", "fpr=[0.1]", "sigma", "=1"])
def test_parameters_that_cannot_be_meant_are_refused_before_any_work(given, tmp_path, monkeypatch, tally, capsys):
    faults = tally("starved", "page parameters that cannot be meant")
    monkeypatch.setattr("lib.pages.__main__.execute", lambda *_: pytest.fail("a page was run"))
    rc = pages(["run", "book/deep_bayes/two_rings.ipynb", "--out", str(tmp_path / "out"), "-p", given])
    faults.count(rc == 2 and capsys.readouterr().err.startswith("error: ") and not (tmp_path / "out").exists())
    assert faults.lost == 0
