"""The second paper's ledger, and its claims about densities."""

import pytest

from lib import claims
from tests.claims.rows import frame, row


def density_row(value, metric, **keys) -> dict:
    """A row as lib.runs.density writes it: no interval of its own."""
    key = {"experiment": "density", "dataset": "two-gaussians", "variant": "paper", "model": "GAT", "class": ""}
    return row(value, metric=metric, n=0, **key | keys)


LINE = {"valley": 0.1, "separated": 1.0, "peak_ratio": 2.0, "tv": 0.1}


def lines(variants=("paper", "notebook"), **changes) -> list[dict]:
    """Rows of three trainings under which Figure 19's claim holds, but for `changes`."""
    made = []
    for seed in range(3):
        for variant in variants:
            key = {"seed": seed, "variant": variant}
            made += [density_row(value, metric, **key) for metric, value in (LINE | changes).items()]
            made += [density_row(0.005, "offset", **key, **{"class": k}) for k in "01"]
            made += [density_row(0.46 + 0.01 * seed, "mass", **key, **{"class": k}) for k in "01"]
            made.append(density_row(0.9, "valley", **key, model="ordinary"))
    return made


def test_all_claims_of_the_second_paper_are_in_its_ledger_and_say_what_they_wait_for(tmp_path):
    table = claims.ledger("gat", rows=tmp_path)
    assert list(table.id) == [c["id"] for c in claims.claims("gat")] and len(table) == 36
    assert set(table.verdict) == {"undecided"} and (table["where"] != "").all()
    assert table.why.str.contains("waits for|a matter of the eye").all()
    assert "F4a-1, F4a-2" in claims.waiting(table).loc["the CIFAR-10 detectors", "would decide"]


def test_every_claim_of_the_second_paper_has_a_predicate_that_can_be_judged():
    for predicate in [c["predicate"] for c in claims.claims("gat")]:
        assert predicate["reading"].endswith(".")
        claims.check(predicate["published"])
        claims.check(predicate["second"])


@pytest.mark.parametrize("changes, expected", [
    ({}, "holds"), ({"tv": 0.4}, "fails"), ({"valley": 0.7}, "fails"), ({"peak_ratio": 1.2}, "fails")])
def test_figure_19_is_judged_by_its_peaks_and_its_distance(changes, expected):
    claim = next(c for c in claims.claims("gat") if c["id"] == "F19-1")
    assert claims.verdict(claim, frame(*lines(**changes))).verdict == expected


def test_one_training_decides_nothing_and_the_masses_are_told_whatever_they_are():
    table = claims.ledger("gat", rows=frame(*[r for r in lines() if r["seed"] == 0])).set_index("id")
    assert table.verdict["F19-1"] == "undecided" and "at least 3 seeds" in table.why["F19-1"]
    assert table.also["F19-1"].startswith("mass at 0.4: 46.0 %; mass at 0.6: 46.0 %")
    three = claims.ledger("gat", rows=frame(*lines(tv=0.9))).set_index("id")
    assert three.verdict["F19-1"] == "fails" and "mass at 0.4: 47.0 % (46.0 to 48.0)" in three.also["F19-1"]
    assert "mass at 0.4: 47.0 %" in claims.as_html(three.reset_index(), "gat")
