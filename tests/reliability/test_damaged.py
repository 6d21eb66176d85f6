"""A damaged or hostile file is named, and never believed; deleting just it mends it."""

import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch

from lib import data
from lib.results import KEYS, read_record, read_rows, write_record
from lib.runs.rings import rings
from lib.runs.training import trained
from lib.train import load_weights, save_weights

FLIPS, CUTS = 150, 40


@pytest.fixture
def folder(tmp_path, undisturbed):
    """Rows and records of the two rings, and weights of a network of one layer."""
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    record = read_record(tmp_path / "smoke/rings/seed0.npz")    # a smaller one, so that flips reach every part of it
    write_record(tmp_path / "small.npz", {"points": record["points"][:30], "label": record["label"][:30]},
                 record.settings)
    save_weights(tmp_path / "weights.safetensors", torch.nn.Linear(8, 4), {"model": "toy"})
    return tmp_path


def record_in(path):
    found = read_record(path)
    return found.settings, {name: array.tolist() for name, array in found.arrays.items()}


def rows_in(path):
    return read_rows(path).to_csv()


def weights_in(path):
    net = torch.nn.Linear(8, 4)
    return load_weights(path, net, {"model": "toy"}), net.weight.tolist(), net.bias.tolist()


KINDS = {"record": ("small.npz", record_in), "table": ("smoke/rings.csv", rows_in),
         "checkpoint": ("weights.safetensors", weights_in)}


def named_or_harmless(path, read, expected) -> bool:
    """Whether reading gives what was written, or an error that names the file and says to delete it."""
    try:
        return read(path) == expected
    except ValueError as error:
        return str(path) in str(error) and "delete" in str(error)


def damaged(content: bytes, seed: int):
    """Copies of a file with one bit turned over, and copies that were cut off."""
    chance = np.random.default_rng(seed)
    for bit in chance.choice(8 * len(content), FLIPS, replace=False):
        broken = bytearray(content)
        broken[bit // 8] ^= 1 << bit % 8
        yield "one bit of a {} turned over", bytes(broken)
    for length in chance.choice(len(content), CUTS, replace=False):
        yield "a {} cut off", content[:length]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_and_never_believed(folder, kind, tally):
    name, read = KINDS[kind]
    path = folder / name
    content, expected = path.read_bytes(), read(path)
    faults = {words: tally("damaged", words.format(kind)) for words in ("one bit of a {} turned over", "a {} cut off")}
    for words, broken in damaged(content, seed=0):
        path.write_bytes(broken)
        faults[words].count(named_or_harmless(path, read, expected))
    assert [fault.lost for fault in faults.values()] == [0, 0]


def test_deleting_just_the_damaged_file_mends_it(folder, tally):
    faults, expected = tally("damaged", "a damaged file deleted"), read_rows(folder / "smoke/rings.csv")[list(KEYS)]
    stamps = {path: path.stat().st_mtime_ns for path in sorted((folder / "smoke/rings").glob("*.npz"))}
    for path in (folder / "smoke/rings/seed2.npz", folder / "smoke/rings.csv"):
        path.write_bytes(path.read_bytes()[:-50])
        (folder / "smoke/rings.csv").unlink() if path.suffix == ".npz" else None     # the rows are wanted anew
        with pytest.raises(ValueError, match=path.name):
            rings("smoke", results=folder)
        path.unlink()
        again = rings("smoke", results=folder)[list(KEYS)]
        others = [other for other in stamps if other.name != "seed2.npz"]
        faults.count(again.equals(expected) and all(o.stat().st_mtime_ns == stamps[o] for o in others))
    assert faults.lost == 0


def test_deleting_just_the_damaged_weights_or_state_of_a_training_mends_it(tmp_path, tally):
    """Weights are trained again to the same numbers; a training cut short begins again where its state cannot
    be read."""
    faults = tally("damaged", "a damaged file deleted")
    first = trained("DBX", "smoke", 0, torch.device("cpu"), results=tmp_path).state_dict()
    (weights,) = (tmp_path / "smoke/checkpoints").glob("*.safetensors")
    content = weights.read_bytes()
    for path in (weights, weights.with_suffix(".state")):
        weights.unlink()
        path.write_bytes(content[:-50])
        with pytest.raises(ValueError, match=path.name):
            trained("DBX", "smoke", 0, torch.device("cpu"), results=tmp_path)
        path.unlink()
        again = trained("DBX", "smoke", 0, torch.device("cpu"), results=tmp_path).state_dict()
        faults.count(all(torch.equal(again[name], value) for name, value in first.items())
                     and not path.with_suffix(".state").exists())
    assert faults.lost == 0


class Hostile:
    """Unpickling one of these leaves a file behind."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_what_would_run_code_when_it_is_read_is_refused_and_does_not_run(tmp_path, monkeypatch, tally):
    faults, mark = tally("hostile", "a file that would run code when it is read"), tmp_path / "ran"
    thing = np.empty(1, object)
    thing[0] = Hostile(mark)
    np.savez(tmp_path / "a.npz", settings=thing)
    np.savez(tmp_path / "b.npz", settings=np.array("{}"), label=thing)
    (tmp_path / "c.npz").write_bytes(pickle.dumps(Hostile(mark)))
    torch.save({"weight": Hostile(mark)}, tmp_path / "d.safetensors")
    (tmp_path / "e.safetensors").write_bytes(pickle.dumps(Hostile(mark)))
    monkeypatch.setenv("BOOK_DATA", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", **dict.fromkeys(data.ARRAYS, thing))
    for name in "abcde":
        (path,) = tmp_path.glob(f"{name}.*")
        read = read_record if path.suffix == ".npz" else weights_in
        faults.count(refused(lambda path=path, read=read: read(path), path.name) and not mark.exists())
    faults.count(refused(lambda: data.load("mnist"), "mnist.npz") and not mark.exists())
    assert faults.lost == 0
    pickle.loads(pickle.dumps(Hostile(mark))).close()
    assert mark.exists()                                            # it would have


def test_a_file_that_promises_more_than_memory_holds_is_refused(tmp_path, tally):
    faults = tally("hostile", "a file that promises more than memory holds")
    head = (b"\x93NUMPY\x01\x00\x76\x00"
            + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }".ljust(117) + b"\n")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("settings.npy", head)
    (tmp_path / "b.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    faults.count(refused(lambda: read_record(tmp_path / "a.npz"), "a.npz"))
    faults.count(refused(lambda: weights_in(tmp_path / "b.safetensors"), "b.safetensors"))
    assert faults.lost == 0


def refused(read, name: str) -> bool:
    try:
        read()
    except ValueError as error:
        return name in str(error)
    return False
