"""Records grow by the further images alone, and like is joined with like."""

import time

import numpy as np
import pytest

from lib.results import read_record
from lib.runs import growth, units


def rising(folder, images, weights="one", dtype="float32", most=100, further=(), **stated):
    """A unit of so many images (at most `most`), of which each is its own number, and whose record grows."""
    def part(first):
        (folder / f"{first}-{time.monotonic_ns()}.mark").touch()
        arrays = {"index": np.arange(first, min(images, most)), "value": 2.0 * np.arange(first, min(images, most))}
        arrays |= {"natural": np.zeros(3)} | {name: arrays["value"] for name in further}
        return arrays if first < most else {}, {"experiment": "toy", "dtype": dtype, "weights": weights} | stated

    def grow(device, record):
        growth.of_weights(record, weights)
        return part(len(record["index"]))
    return units.Unit("a", lambda device: part(0), images, grow=grow, expected={"dtype": dtype})


def grown(folder, *todo, **more):
    units.ensure("toy", todo, lambda records: [], profile="smoke", results=folder / "results", device="cpu", **more)
    return read_record(folder / "results/smoke/toy/a.npz")


def test_a_record_grows_by_the_further_images_alone_and_says_what_its_runs_were(tmp_path):
    for images, runs in ((4, 1), (6, 2), (5, 2), (9, 3)):
        record = grown(tmp_path, rising(tmp_path, images))
        assert len(list(tmp_path.glob("*.mark"))) == runs
    assert sorted(int(mark.name.split("-")[0]) for mark in tmp_path.glob("*.mark")) == [0, 4, 6]
    assert record["index"].tolist() == list(range(9)) and (record["value"] == 2 * record["index"]).all()
    assert record["natural"].shape == (3,)
    runs = record.settings["runs"]
    assert record.settings["asked"] == 9 and [run["asked"] for run in runs] == [4, 6, 9]
    assert record.settings["seconds"] == pytest.approx(sum(run["seconds"] for run in runs), abs=0.01)
    assert "runs" not in grown(tmp_path, rising(tmp_path, 9), fresh=True).settings


def test_a_grown_record_names_every_code_and_device_that_made_a_part_of_it(tmp_path, monkeypatch):
    for images, code in ((4, "aaa"), (6, "bbb-dirty"), (9, "aaa")):
        monkeypatch.setattr(units, "commit", lambda code=code: code)
        record = grown(tmp_path, rising(tmp_path, images))
    assert record.settings["commit"] == "aaa+bbb-dirty" and len(record.settings["runs"]) == 3
    assert "+" not in record.settings["device"]


def test_where_there_are_no_further_images_a_record_only_says_that_it_was_asked_for_them(tmp_path):
    for asked in (5, 8, 12, 12):
        record = grown(tmp_path, rising(tmp_path, asked, most=7))
        assert len(record["index"]) == min(asked, 7) and record.settings["asked"] == asked
    assert len(record.settings["runs"]) == 2 and len(list(tmp_path.glob("*.mark"))) == 3


@pytest.mark.parametrize("now, said", [({"further": ("linf",)}, "do not both have the arrays linf"),
                                       ({"data": "another pack"}, "made with data = '', its further images with 'ano"),
                                       ({"threshold": 2.5}, "made with threshold = 3.0, its further images with 2.5")])
def test_parts_that_are_not_alike_do_not_become_one_record(tmp_path, now, said):
    first = {"threshold": 3.0}
    grown(tmp_path, rising(tmp_path, 4, **first))
    with pytest.raises(ValueError, match=said):
        grown(tmp_path, rising(tmp_path, 6, **(first | now)))
    assert len(grown(tmp_path, rising(tmp_path, 4, **first))["index"]) == 4
    assert len(grown(tmp_path, rising(tmp_path, 6, threshold=3.00001))["index"]) == 6     # as another device fits it


def test_a_record_of_other_weights_does_not_grow_and_is_left_as_it_was(tmp_path):
    grown(tmp_path, rising(tmp_path, 4))
    with pytest.raises(ValueError, match="made with weights one, and would grow with two; put its weights back"):
        grown(tmp_path, rising(tmp_path, 6, weights="two"))
    assert len(grown(tmp_path, rising(tmp_path, 4, weights="two"))["index"]) == 4
    assert len(grown(tmp_path, rising(tmp_path, 6, weights="two"), fresh=True)["index"]) == 6


def test_images_attacked_in_two_formats_never_share_a_record(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.arithmetic.has_bfloat16", lambda kind: True)
    grown(tmp_path, rising(tmp_path, 4, dtype="bfloat16"))
    monkeypatch.setattr("lib.arithmetic.has_bfloat16", lambda kind: False)
    record = grown(tmp_path, rising(tmp_path, 6, dtype="bfloat16"))
    assert record.settings["dtype"] == "float32" and "runs" not in record.settings and len(record["index"]) == 6
