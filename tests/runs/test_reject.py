"""Rows of reject curves follow from what the networks said, by counting."""

from pathlib import Path

import numpy as np
import pytest

from lib.results import Record
from lib.runs import reject

RNG = np.random.default_rng(0)
LABEL = np.arange(60) % 3


def record(attack, loss="", best=False, shift=0.0, n=60) -> Record:
    """f and detectors that mostly name the true class of images; `shift` moves all towards the next class."""
    truth = np.eye(3)[LABEL[:n]]
    moved = np.roll(truth, 1, axis=1)
    logits = {name: (4 * truth + shift * moved + RNG.normal(0, 1, (n, 3))).astype(np.float32)
              for name in ("f", "heads", "madry")}
    return Record(logits | {"label": LABEL[:n].astype(np.int8), "index": np.arange(n)},
                  {"experiment": "detection", "variant": "linf0.3", "seed": 0, "attack": attack,
                   "loss": loss, "best": best, "eps": 0.3 if loss else 0.0, "profile": "laptop",
                   "protocol": "published"}, Path("record.npz"))


NATURAL = [record("clean"), record("validation")]
ATTACKS = [record("adam-pgd", "detectors (9)", shift=4.0), record("adam-pgd", "switching (12)", True, shift=6.0, n=40)]


def rows():
    return reject.summarise(NATURAL + ATTACKS)


def find(**keys):
    (row,) = [row for row in rows() if all(row.get(k, "") == v for k, v in keys.items())]
    return row


@pytest.mark.parametrize("system", reject.SYSTEMS)
def test_without_a_threshold_accuracy_and_error_are_plain(system):
    read, _ = reject.reading(NATURAL[0], system)
    attacked, _ = reject.reading(ATTACKS[0], system)
    key = {"model": system, "detector": "reject 0%"}
    assert find(**key, metric="accuracy")["value"] == pytest.approx(np.mean(read == LABEL))
    assert find(**key, loss="detectors (9)", metric="error")["value"] == pytest.approx(np.mean(attacked != LABEL))


def test_a_threshold_rejects_its_share_of_validation_images():
    _, score = reject.reading(NATURAL[1], "GAT-generative")
    accepted = score >= np.sort(score)[3]                        # 5 % of 60
    assert accepted.mean() == 0.95
    _, clean = reject.reading(NATURAL[0], "GAT-generative")
    value = find(model="GAT-generative", detector="reject 5%", metric="accepted")["value"]
    assert value == pytest.approx(np.mean(clean >= np.sort(score)[3]))


def test_the_worst_case_is_over_images_that_all_attacks_share_and_never_below_one_of_them():
    worst = find(model="GAT-integrated", detector="reject 5%", loss=reject.WORST)
    assert worst["n"] == 40 and worst["protocol"] == "strong"
    single = [find(model="GAT-integrated", detector="reject 5%", loss="switching (12), best iterate")]
    assert all(worst["value"] >= row["value"] for row in single)


def test_an_offset_a_class_gives_every_detector_the_same_rejection_of_its_own_class():
    offsets = reject.class_offsets(NATURAL[1], 0.05)
    for k in range(3):
        own = NATURAL[1]["heads"][LABEL == k, k]
        assert np.mean(own < offsets[k]) <= 0.05 < np.mean(own <= offsets[k])
    read, score = reject.reading(NATURAL[1], "GAT-generative", offsets)
    assert np.array_equal(read, (NATURAL[1]["heads"] - offsets).argmax(1)) and score.shape == (60,)


def test_a_class_without_a_held_out_image_is_named():
    held = NATURAL[1].arrays
    some = Record({name: array[held["label"] != 1] for name, array in held.items()}, {}, Path("two classes"))
    with pytest.raises(ValueError, match=r"no validation image has label \[1\]"):
        reject.class_offsets(some, 0.05)


def test_whole_numbers_change_the_error_of_near_ties_only():
    table = reject.cut_to_whole_numbers(NATURAL + ATTACKS)
    assert list(table.index) == ["detectors (9)", "switching (12), best iterate"]
    whole = Record({k: np.trunc(v) if k == "heads" else v for k, v in ATTACKS[0].arrays.items()},
                   ATTACKS[0].settings, Path("r"))
    exact_natural = Record({k: np.trunc(v) if k == "heads" else v for k, v in NATURAL[1].arrays.items()},
                           NATURAL[1].settings, Path("r"))
    already = reject.cut_to_whole_numbers([NATURAL[0], exact_natural, whole])
    assert already["largest difference"].item() == 0 and already["exact"].item() == already["whole"].item()


def test_nothing_is_said_before_the_natural_records_are_there():
    assert reject.summarise(ATTACKS) == [] and reject.summarise([NATURAL[0], *ATTACKS]) == []


def test_a_target_is_reached_where_its_logit_is_as_high_as_natural_images_of_that_class_have():
    heads = np.zeros((20, 2), np.float32)
    heads[:10, 0], heads[10:, 1] = np.arange(10), 100 + np.arange(10)             # class 1 has higher logits throughout
    clean = Record({"heads": heads, "madry": heads, "label": np.repeat([0, 1], 10).astype(np.int8)}, {}, Path("clean"))
    pushed = np.array([[0, 104], [5, 0], [0, 5]], np.float32)
    attacked = Record({"heads": pushed, "madry": pushed, "label": np.array([0, 1, 0], np.int8),
                       "target": np.array([1, 0, 1], np.int8)}, {}, Path("attacked"))
    for system in reject.SYSTEMS[1:]:
        assert reject.reached(clean, attacked, system, 0.2).tolist() == [True, True, False]
    assert reject.reached(clean, Record(attacked.arrays | {"target": np.array([2, 0, 0])} | {"heads": np.ones((3, 3))},
                                        {}, Path("no class 2")), "GAT-generative").tolist() == [False, True, True]


def test_rows_say_how_often_a_target_is_reached_on_the_attacked_system_alone():
    pushed = record("adam-pgd", "random class, Madry", shift=9.0)
    pushed.arrays["target"], pushed.settings["system"] = ((LABEL + 1) % 3).astype(np.int8), "Madry"
    (row,) = [row for row in reject.summarise([*NATURAL, pushed]) if row["metric"] == "target_reached"]
    assert row["model"] == "Madry" and row["value"] > 0.9 and row["low"] < row["value"] and row["n"] == 60
