"""A process that is killed outright loses nothing but time: the same command goes on, to the same numbers."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch

from lib.data import Split
from lib.models.bayes import DeepBayes
from lib.models.nets import Architecture
from lib.profiles import Training
from lib.results import KEYS, ROOT, read_record, read_rows, write_record
from lib.runs import clean, units
from lib.runs.training import training
from lib.train import fit

TINY = Architecture((1, 4, 4), channels=(2, 2, 2), hidden=8, latent=2)


def started(target, *args):
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def killed_when(process, sign, patience: float = 60.0) -> bool:
    """Kill the process as soon as `sign()` is true; False if it ended by itself before that."""
    end = time.monotonic() + patience
    while process.is_alive() and not sign() and time.monotonic() < end:
        time.sleep(0.002)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


def same(a, b) -> bool:
    """Whether two records hold the same numbers, bit by bit."""
    return set(a.arrays) == set(b.arrays) and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a.arrays
                                                  if np.issubdtype(a[name].dtype, np.number))


def train(folder, slowly: bool = True):
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DeepBayes("GFZ", classes=3, arch=TINY)
    generator = torch.Generator().manual_seed(0)
    split = Split(torch.randint(0, 256, (40, 1, 4, 4), generator=generator).byte(), torch.arange(40) % 3)
    history = fit(model, split, Training(60, batch=8, dtype="float32"), seed=1, state=folder / "a.state", save_every=5)
    weights = torch.cat([p.flatten() for p in model.parameters()]).detach().numpy()
    write_record(folder / "a.npz", {"history": history, "weights": weights}, {})


def test_a_training_that_is_killed_again_and_again_ends_with_the_same_weights(tmp_path, tally):
    """Each life of it is ended when it has saved twice more than the one before."""
    faults, cut, whole = tally("killed", "SIGKILL while a model is trained"), tmp_path / "cut", tmp_path / "whole"
    cut.mkdir(), whole.mkdir()
    train(whole)
    expected, kills = read_record(whole / "a.npz"), 0
    for _ in range(6):
        seen = stamp(cut / "a.state")
        if not killed_when(started(train, cut), lambda seen=seen: stamp(cut / "a.state") != seen):
            break
        kills += 1
    assert kills >= 2
    train(cut)
    for _ in range(kills):
        faults.count(same(read_record(cut / "a.npz"), expected))
    assert faults.lost == 0


def stamp(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def write_for_ever(folder):
    rng = np.random.default_rng(0)
    for number in range(10**6):
        write_record(folder / "a.npz", {"x": np.full(20_000, number), "noise": rng.random(20_000)}, {"number": number})


def test_a_record_is_whole_or_not_there_whenever_its_writer_is_killed(tmp_path, tally):
    faults, chance = tally("killed", "SIGKILL while a record is written"), np.random.default_rng(0)
    for _ in range(12):
        process = started(write_for_ever, tmp_path)
        time.sleep(chance.uniform(0.02, 0.2))
        process.kill(), process.join()
        whole = not (tmp_path / "a.npz").exists()
        if not whole:
            record = read_record(tmp_path / "a.npz")
            whole = (record["x"] == record.settings["number"]).all()
        faults.count(whole)
    assert faults.lost == 0


@pytest.mark.slow
def test_a_unit_that_is_killed_is_computed_whole_by_the_same_call(tmp_path, tally):
    faults, expected = tally("killed", "SIGKILL while a unit is computed"), None
    training("smoke", results=tmp_path, only="DBX_seed0")
    clean.clean("smoke", device="cpu", results=tmp_path, only="DBX_clean_seed0")
    path = tmp_path / "smoke/clean/DBX_clean_seed0.npz"
    expected = read_record(path)
    for wait in (0.0, 0.05, 0.15):
        path.unlink()
        process = started(lambda: clean.clean("smoke", device="cpu", results=tmp_path, only="DBX_clean_seed0"))
        begun = time.monotonic()
        locks = path.with_name(f".{path.name}.lock")
        killed_when(process, lambda wait=wait: locks.exists() and time.monotonic() - begun > wait)
        rows = clean.clean("smoke", device="cpu", results=tmp_path, only="DBX_clean_seed0")
        faults.count(len(rows) > 0 and same(read_record(path), expected)
                     and {p.name for p in path.parent.iterdir()} <= {path.name, locks.name})
    assert faults.lost == 0


def crowded(folder):
    """Six units of a tenth of a second, each leaving a mark when it is computed."""
    def compute(device, name):
        (folder / f"{name}-{os.getpid()}.mark").touch()
        time.sleep(0.1)
        return {"number": np.array([int(name)])}, {"experiment": "toy"}
    todo = [units.Unit(str(i), lambda device, i=i: compute(device, str(i))) for i in range(6)]
    return units.ensure("toy", todo,
                        lambda records: [{"experiment": "toy", "value": int(r["number"][0])} for r in records],
                        profile="smoke", results=folder, device="cpu")


def test_processes_that_share_results_do_each_unit_once_and_leave_all_rows(tmp_path, tally):
    faults = tally("killed", "four processes at the same units")
    crowd = [started(crowded, tmp_path) for _ in range(4)]
    for process in crowd:
        process.join()
    whole = (read_rows(tmp_path / "smoke/toy.csv").value.tolist() == list(range(6))
             and len(list(tmp_path.glob("*.mark"))) == 6)
    for process in crowd:
        faults.count(process.exitcode == 0 and whole)
    assert faults.lost == 0


@pytest.mark.slow
def test_a_batch_whose_drivers_are_killed_goes_on_by_the_same_command(results, undisturbed, tmp_path, tally):
    """Its jobs are left running, as `kill -9` leaves them; a second batch finds their locks and their records."""
    faults = tally("killed", "SIGKILL of a batch, its jobs left running")
    expected = read_rows(undisturbed / "smoke/rings.csv")
    (results / "smoke/rings").mkdir(parents=True)
    for seed in (0, 1):
        shutil.copy(undisturbed / f"smoke/rings/seed{seed}.npz", results / "smoke/rings")
    kept = stamp(results / "smoke/rings/seed0.npz")
    line = [sys.executable, "-m", "lib.batch", "book/deep_bayes/two_rings.ipynb", "--profile", "smoke", "--out",
            str(tmp_path / "out")]
    batch = subprocess.Popen(line, cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while batch.poll() is None and len(list((results / "smoke/rings").glob("*.npz"))) < 3:
        time.sleep(0.1)
    drivers = [batch.pid,
               *(child.pid for child in psutil.Process(batch.pid).children()
                 if "snakemake" in " ".join(child.cmdline()))]
    for driver in drivers:
        os.kill(driver, signal.SIGKILL)
    batch.wait()
    again = subprocess.run(line, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    found = read_rows(results / "smoke/rings.csv")
    faults.count(len(drivers) == 2 and again.returncode == 0 and stamp(results / "smoke/rings/seed0.npz") == kept
                 and found[list(KEYS)].equals(expected[list(KEYS)])
                 and (tmp_path / "out/book/deep_bayes/two_rings.ipynb").exists())
    assert faults.lost == 0, again.stdout + again.stderr
