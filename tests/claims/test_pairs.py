"""Comparisons of the second paper meet on the same images, and their means are the rows."""

from pathlib import Path

import numpy as np
import pytest

from lib.claims import pairs
from lib.claims.contrasts import contrast
from lib.claims.evidence import Evidence
from lib.metrics import auc
from lib.results import Record, write_record
from lib.runs import reject
from tests.runs.test_reject import ATTACKS, NATURAL

ERROR = {"experiment": "detection", "variant": "linf0.3", "metric": "error", "eps": 0.3}
RNG = np.random.default_rng(1)


@pytest.mark.parametrize("detector", ["reject 0%", "reject 5%", "reject 5%, per class"])
@pytest.mark.parametrize("loss", ["detectors (9)", "switching (12), best iterate", reject.WORST])
def test_the_mean_over_images_is_the_row(detector, loss):
    keys = ERROR | {"model": "GAT-integrated", "detector": detector, "loss": loss}
    (row,) = [row for row in reject.summarise(NATURAL + ATTACKS)
              if all(row.get(k) == keys[k] for k in ("metric", "model", "detector", "loss"))]
    found = pairs.outcomes(NATURAL + ATTACKS, keys)
    assert found.mean() == pytest.approx(row["value"]) and len(found) == row["n"]


def test_accuracy_is_over_natural_images():
    keys = {"metric": "accuracy", "model": "GAT-generative", "detector": "reject 1%"}
    (row,) = [row for row in reject.summarise(NATURAL + ATTACKS) if all(row.get(k) == v for k, v in keys.items())]
    assert pairs.outcomes(NATURAL + ATTACKS, keys).mean() == pytest.approx(row["value"])


def test_accuracy_is_over_natural_images_where_keys_of_one_attack_are_given_too():
    keys = {"metric": "accuracy", "model": "GAT-generative", "detector": "reject 1%"}
    attack = {"eps": 0.3, "loss": "detectors (9)"}
    assert pairs.outcomes(NATURAL + ATTACKS, keys | attack).equals(pairs.outcomes(NATURAL + ATTACKS, keys))
    without = [record for record in NATURAL if record.settings["attack"] != "clean"]
    assert pairs.outcomes(without + ATTACKS, keys | attack) is None


@pytest.mark.parametrize("gone", [{"loss": "another"}, {"eps": 0.4}, {"detector": "reject 7%"}])
def test_without_a_record_or_a_known_threshold_there_is_nothing_to_pair(gone):
    keys = ERROR | {"model": "Madry", "detector": "reject 5%", "loss": "detectors (9)"} | gone
    assert pairs.outcomes(NATURAL + ATTACKS, keys) is None
    assert pairs.outcomes(ATTACKS, keys | {"detector": "reject 5%"}) is None


def ranked(restarts=0, n=50, lift=0.0, step=0.01):
    settings = {"variant": "linf0.3", "class": 0, "attack": "adam", "norm": "linf", "eps": 0.3, "steps": 200,
                "step_size": step, "restarts": restarts, "seed": 0}
    attacked = (np.random.default_rng(2).normal(0, 1, 50) + lift)[:n]
    return Record({"attacked": attacked, "natural": RNG_NATURAL, "index": np.arange(n)}, settings, Path("auc.npz"))


RNG_NATURAL = RNG.normal(2, 1, 30)


def test_the_mean_rank_is_the_auc():
    record = ranked()
    found = pairs.ranks([record, ranked(10, lift=0.1)], {"class": "0", "restarts": 0, "eps": 0.3})
    assert found.mean() == pytest.approx(auc(-RNG_NATURAL, -record["attacked"]))
    assert pairs.ranks([record, ranked(10)], {"class": "0"}) is None            # two records fit
    assert pairs.ranks([record], {"class": "1"}) is None


def test_two_attacks_on_a_detector_are_compared_on_the_negatives_that_both_got(tmp_path):
    for name, record in {"main": ranked(), "restarts": ranked(10, n=20, lift=0.05)}.items():
        write_record(tmp_path / "laptop" / "auc" / f"GAT_linf0.3_{name}_seed0.npz", record.arrays, record.settings)
    (tmp_path / "laptop" / "auc.csv").write_text("experiment,metric,model,seed\n")
    keys = {"experiment": "auc", "metric": "auc", "model": "GAT", "variant": "linf0.3", "class": "0"}
    found = contrast({}, keys | {"restarts": 0}, keys | {"restarts": 10},
                     Evidence(rows={}, records=tmp_path / "laptop", profile="laptop"))
    first, second = ranked()["attacked"][:20], ranked(10, n=20, lift=0.05)["attacked"]
    assert found.n == 20 and found.value == pytest.approx(auc(-RNG_NATURAL, -first) - auc(-RNG_NATURAL, -second))
    assert 0 < found.value and found.high - found.low < 0.3          # paired: far narrower than two intervals of 20
