"""Predicates on rows and records whose answer is known, and the ledger over all claims of the paper."""
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lib import claims, metrics, results
from lib.claims.evidence import Estimate, Evidence, Missing, difference
from lib.claims.ledger import COLUMNS
from lib.claims.predicates import settle

ALL = claims.claims("deep-bayes")
KEY = {"dataset": "mnist", "profile": "laptop", "seed": 0}
WHITE = {"experiment": "whitebox", "protocol": "published"}


def row(value, n=400, **keys) -> dict:
    low, high = metrics.wilson(value, n) if n else (np.nan, np.nan)
    return KEY | WHITE | {"metric": "accuracy", "value": value, "low": low, "high": high, "n": n} | keys


def frame(*rows) -> dict[str, pd.DataFrame]:
    table = results.tidy(rows)
    return {name: part for name, part in table.groupby("experiment")}


def evidence(*rows) -> Evidence:
    return Evidence.of(frame(*rows), "laptop")


def write(folder, model, right, seed=0, eps=(0.1, 0.2), experiment="whitebox", first=0) -> list[dict]:
    """A record in which right (eps, image) says which images are read correctly in all ten draws; its rows."""
    right = np.asarray(right, bool)
    label = np.zeros(right.shape[1], np.int8)
    predictions = np.repeat(np.where(right, 0, 1)[..., None], 10, axis=2).astype(np.int8)
    cells = [{"attack": "pgd", "norm": "linf", "eps": e} for e in eps]
    settings = KEY | {"experiment": experiment, "model": model, "seed": seed, "protocol": protocol(experiment),
                      "cells": cells}
    arrays = {"index": np.arange(first, first + len(label)), "label": label, "predictions": predictions,
              "l2": np.ones(right.shape)}
    results.write_record(folder / "laptop" / experiment / f"{model}_pgd_seed{seed}_{first}.npz", arrays, settings)
    return [row(share, n=len(label), model=model, attack="pgd", eps=e, seed=seed, experiment=experiment,
                protocol=protocol(experiment)) for e, share in zip(eps, right.mean(1).tolist())]


def protocol(experiment) -> str:
    return "strong" if experiment == "strong" else "published"


def store(folder, *rows) -> Evidence:
    for name, part in frame(*rows).items():
        results.write_rows(folder / "laptop" / f"{name}.csv", part)
    return Evidence.of(folder, "laptop")


def bound(**changes) -> dict:
    return {"kind": "bound", **WHITE, "metric": "accuracy", "model": ["DFX"], "attack": "fgsm", "eps": 0.2,
            "below": 0.5} | changes


def compare(**changes) -> dict:
    return {"kind": "compare", **WHITE, "metric": "accuracy", "attack": "pgd", "eps": [0.1, 0.2],
            "above": {"model": ["GFZ"]}, "below": {"model": ["DFX"]}} | changes


def trend(**changes) -> dict:
    return {"kind": "trend", **WHITE, "metric": "detect_kl", "model": ["GFZ"],
            "along": {"eps": [0.1, 0.2, 0.3]}} | changes


def track(*values) -> Evidence:
    return evidence(*(row(v, metric="detect_kl", model="GFZ", eps=e) for v, e in zip(values, (0.1, 0.2, 0.3))))


# Kinds of predicates

@pytest.mark.parametrize("value, truth", [(0.3, True), (0.48, None), (0.7, False)])
def test_a_bound_is_true_false_or_open_by_its_whole_interval(value, truth):
    found = claims.judge(bound(), evidence(row(value, model="DFX", attack="fgsm", eps=0.2)))
    assert found.truth is truth and f"{100 * value:.1f} %" in found.ours and found.n == 400


def test_a_detection_rate_without_successes_is_passed_over():
    none = row(np.nan, n=0, metric="detect_kl", model="DFX", eps=0.1)
    some = row(0.99, metric="detect_kl", model="DFX", eps=0.2)
    test = {"kind": "bound", **WHITE, "metric": "detect_kl", "model": "DFX", "eps": [0.1, 0.2], "above": 0.9}
    assert claims.judge(test, evidence(none, some)).truth is True
    assert "no attack succeeded" in claims.judge(test | {"eps": [0.1]}, evidence(none)).why


def test_an_interval_over_seeds_runs_from_the_smallest_to_the_largest():
    rows = [row(v, experiment="rings", metric="detect_tv", variant="far", seed=s, n=0)
            for s, v in enumerate((0.2, 0.3, 0.5))]
    test = {"kind": "bound", "experiment": "rings", "metric": "detect_tv", "variant": ["far"], "over_seeds": True}
    assert claims.judge(test | {"below": 0.55}, evidence(*rows)).truth is True
    assert claims.judge(test | {"below": 0.45}, evidence(*rows)).truth is None
    assert "at least 3" in claims.judge(test | {"below": 0.45}, evidence(*rows[:2])).why


@pytest.mark.parametrize("above, truth", [(0.8, True), (0.52, None), (0.2, False)])
def test_a_comparison_without_records_uses_the_two_intervals(above, truth):
    rows = [row(above if m == "GFZ" else 0.5, model=m, attack="pgd", eps=e) for m in ("GFZ", "DFX") for e in (0.1, 0.2)]
    assert claims.judge(compare(), evidence(*rows)).truth is truth


def test_pairing_over_images_decides_what_two_intervals_cannot(tmp_path):
    hard = np.arange(400) % 2 == 0
    easier = hard | (np.arange(400) < 40)                   # every image that DFX reads GFZ reads too
    rows = write(tmp_path, "GFZ", [easier] * 2) + write(tmp_path, "DFX", [hard] * 2)
    assert claims.judge(compare(), evidence(*rows)).truth is None
    found = claims.judge(compare(), store(tmp_path, *rows))
    assert found.truth is True and found.ours.startswith("+5.0 points") and found.n == 400


def test_blocks_of_images_are_joined_and_only_shared_images_are_compared(tmp_path):
    rows = write(tmp_path, "GFZ", np.ones((2, 100))) + write(tmp_path, "DFX", np.zeros((2, 50)))
    write(tmp_path, "DFX", np.zeros((2, 30)), first=50)
    found = claims.judge(compare(), store(tmp_path, *rows))
    assert found.truth is True and found.n == 80 and found.ours.startswith("+100.0 points")


def test_the_worst_of_attacks_is_taken_image_by_image(tmp_path):
    half = np.arange(100) < 50
    rows = write(tmp_path, "GFZ", [half, ~half]) + write(tmp_path, "DFX", [half, half])
    test = compare(worst=["eps"], above={"model": ["DFX"]}, below={"model": ["GFZ"]})
    found = claims.judge(test, store(tmp_path, *rows))
    assert found.truth is True and found.ours.startswith("+50.0 points")      # no image survives both eps on GFZ


def test_saturated_cells_are_left_out():
    rows = [row(v, model=m, attack="pgd", eps=e) for m, e, v in (
        ("GFZ", 0.1, 0.99), ("DFX", 0.1, 0.98), ("GFZ", 0.2, 0.8), ("DFX", 0.2, 0.1))]
    assert claims.judge(compare(), evidence(*rows)).truth is None
    assert claims.judge(compare(skip_saturated=True), evidence(*rows)).truth is True
    assert "saturated" in claims.judge(compare(skip_saturated=True, eps=[0.1]), evidence(*rows)).why


@pytest.mark.parametrize("other, truth", [(0.5, None), (0.51, None), (0.9, False)])
def test_alike_needs_the_whole_interval_within_the_margin(other, truth):
    rows = [row(v, model=m, attack="pgd", eps=e) for m, v in (("GFZ", 0.5), ("DFX", other)) for e in (0.1, 0.2)]
    assert claims.judge(compare(within=0.05), evidence(*rows)).truth is truth


def test_alike_is_true_for_models_that_read_the_same_images(tmp_path):
    half = np.arange(400) % 2 == 0
    rows = write(tmp_path, "GFZ", [half] * 2) + write(tmp_path, "DFX", [half] * 2)
    assert claims.judge(compare(within=0.05), store(tmp_path, *rows)).truth is True


def test_another_training_seed_that_turns_the_order_round_leaves_it_open(tmp_path):
    high, low = np.arange(300) < 200, np.arange(300) < 100
    rows = write(tmp_path, "GFZ", [high] * 2) + write(tmp_path, "DFX", [low] * 2)
    assert claims.judge(compare(), store(tmp_path, *rows)).truth is True
    rows += write(tmp_path, "GFZ", [low], seed=1, eps=(0.2,)) + write(tmp_path, "DFX", [high], seed=1, eps=(0.2,))
    found = claims.judge(compare(mean=["eps"]), store(tmp_path, *rows))
    assert found.truth is None and "training seed" in found.why and found.seeds == 2


def test_other_training_seeds_that_agree_are_counted(tmp_path):
    high, low = np.arange(300) < 200, np.arange(300) < 100
    rows = [r for seed, eps in ((0, (0.1, 0.2)), (1, (0.1,)), (2, (0.1,)))
            for model, right in (("GFZ", high), ("DFX", low))
            for r in write(tmp_path, model, [right] * len(eps), seed=seed, eps=eps)]
    found = claims.judge(compare(mean=["eps"]), store(tmp_path, *rows))
    assert found.truth is True and found.seeds == 3


def test_smallest_radii_are_compared_image_by_image(tmp_path):
    rows = write(tmp_path, "GFZ", np.ones((2, 50))) + write(tmp_path, "DFX", np.zeros((2, 50)))
    rows += [row(v, n=50, metric="min_eps", model=m, attack="pgd") for m, v in (("GFZ", 0.3), ("DFX", 0.1))]
    test = compare(metric="min_eps", by=0.05)
    del test["eps"]
    found = claims.judge(test, store(tmp_path, *rows))
    assert found.truth is True and found.ours.startswith("+0.200")


@pytest.mark.parametrize("values, up, down", [((0.2, 0.5, 0.9), True, False), ((0.9, 0.5, 0.2), False, True),
                                              ((0.5, 0.52, 0.51), None, None), ((0.2, 0.9, 0.5), False, False)])
def test_a_trend_needs_its_ends_and_forbids_a_step_against_it(values, up, down):
    assert claims.judge(trend(direction="up"), track(*values)).truth is up
    assert claims.judge(trend(direction="down"), track(*values)).truth is down


@pytest.mark.parametrize("values, truth", [((0.9, 0.2, 0.8), True), ((0.2, 0.5, 0.9), False), ((0.5, 0.51, 0.5), None)])
def test_not_monotone_needs_a_rise_and_a_fall(values, truth):
    assert claims.judge(trend(direction="not monotone"), track(*values)).truth is truth


@pytest.mark.parametrize("values, truth", [((0.2, 0.8, 0.3), True), ((0.2, 0.5, 0.9), False), ((0.2, 0.5, 0.48), None)])
def test_a_peak_must_exceed_every_other_point(values, truth):
    assert claims.judge(trend(direction="peak", at=0.2), track(*values)).truth is truth


@pytest.mark.parametrize("one, other, truth", [
    (0.3, 0.3, True), (0.3, 0.9, False), (0.5, 0.9, False), (0.3, 0.5, None)])
def test_all_is_false_if_one_part_is_and_open_if_one_is_open(one, other, truth):
    parts = [bound(model=["DFX"]), bound(model=["DFZ"])]
    rows = [row(v, model=m, attack="fgsm", eps=0.2) for m, v in (("DFX", one), ("DFZ", other))]
    assert claims.judge({"kind": "all", "parts": parts}, evidence(*rows)).truth is truth


def test_waits_and_eye_are_open_and_say_for_what():
    assert claims.judge({"kind": "waits", "for": "the moon"}, evidence(row(1.0))).why == "waits for the moon"
    assert "readers could decide" in claims.judge({"kind": "eye", "could_decide": "readers"}, evidence(row(1.0))).why


def test_many_comparisons_do_not_refute_a_claim_by_chance():
    barely = Estimate(-0.05, -0.099, -0.001, 100, "barely below")
    assert settle([barely], "accuracy", 0.0, np.inf, 1).truth is False
    assert settle([barely] * 1 + [Estimate(0.1, 0.05, 0.15, 100)] * 19, "accuracy", 0.0, np.inf, 1).truth is None


def test_a_difference_of_two_intervals_is_wider_than_either_and_narrower_than_their_sum():
    a, b = Estimate(0.6, 0.5, 0.7, 100), Estimate(0.3, 0.2, 0.4, 100)
    found = difference(a, b)
    assert found.value == pytest.approx(0.3) and 0.1 < found.low < 0.2 and 0.4 < found.high < 0.5


@pytest.mark.parametrize("broken", [
    {"kind": "guess"}, {"kind": "bound", "experiment": "x", "metric": "y"}, {"kind": "waits"}, compare(epsilon=0.1),
    {"kind": "compare", "experiment": "x", "metric": "y", "above": {"modle": "GFZ"}, "below": {"model": "DFX"}},
    trend(direction="sideways"), {"kind": "all", "parts": [{"kind": "guess"}]}])
def test_a_predicate_that_cannot_be_judged_is_refused(broken):
    with pytest.raises(ValueError, match="predicate"):
        claims.check(broken)


@pytest.mark.parametrize("accuracy, truth", [(0.12, None), (0.95, True)])
def test_a_model_that_has_not_learned_its_task_decides_nothing(accuracy, truth):
    clean = {"experiment": "clean", "attack": "clean", "variant": "one-draw", "model": "DFX"}
    found = claims.judge(bound(), evidence(row(accuracy, **clean), row(0.1, model="DFX", attack="fgsm", eps=0.2)))
    assert found.truth is truth and ("DFX (12%)" in found.why) == (truth is None)


def test_missing_rows_are_named():
    with pytest.raises(Missing, match="the row of whitebox: accuracy, GFZ, eps 0.3"):
        evidence(row(0.5)).row(WHITE | {"metric": "accuracy", "model": "GFZ", "eps": 0.3})


# Verdicts

@pytest.mark.parametrize("published, second, expected", [
    (0.3, 0.3, "holds"), (0.3, 0.7, "holds as published"), (0.3, 0.5, "holds as published"),
    (0.3, None, "holds as published"), (0.7, 0.3, "fails"), (0.5, 0.3, "undecided"), (None, 0.3, "undecided")])
def test_the_verdict_follows_from_both_protocols(published, second, expected):
    claim = {"id": "x", "predicate": {"published": bound(), "second": bound(experiment="strong", protocol="strong")}}
    rows = [row(0.5, model="CNN")]
    rows += [row(v, model="DFX", attack="fgsm", eps=0.2, experiment=e, protocol=protocol(e))
             for e, v in (("whitebox", published), ("strong", second)) if v is not None]
    found = claims.verdict(claim, frame(*rows))
    assert found.verdict == expected
    if (published, second) == (0.3, 0.7):
        assert "false under the harder test" in found.why
    if second is None:
        assert "not decided under the harder test" in found.why and "waits for the strong rows" in found.why


def test_a_smoke_run_never_gives_a_verdict():
    table = claims.ledger(rows=frame(*(r | {"profile": "smoke"} for r in decided())), profile="smoke")
    assert set(table.verdict) == {"undecided"} and table.why.str.contains("smoke").all()


def decided() -> list[dict]:
    """Rows that decide claim fig3b at profile laptop."""
    return [row(0.01, model=m, attack=a, eps=0.2, experiment=e, protocol=protocol(e)) for m in ("DFX", "DFZ")
            for e, a in (("whitebox", "fgsm"), ("strong", "pgd"))]


def test_rows_of_another_profile_decide_nothing():
    claim = next(c for c in ALL if c["id"] == "fig3b")
    assert claims.verdict(claim, frame(*decided())).verdict == "holds"
    assert claims.verdict(claim, frame(*decided()), profile="paper").verdict == "undecided"


# The claims of the paper

def test_all_33_claims_have_a_predicate_in_words_and_in_cells():
    assert len(ALL) == 33
    for claim in ALL:
        predicate = claim["predicate"]
        assert predicate["reading"].endswith("."), claim["id"]
        claims.check(predicate["published"])
        claims.check(predicate["second"])


def leaves(test: dict):
    yield from ([leaf for part in test["parts"] for leaf in leaves(part)] if test["kind"] == "all" else [test])


def test_detection_claims_wait_for_an_attack_that_knows_the_detector():
    for claim in ALL:
        tests = list(leaves(claim["predicate"]["published"]))
        if any(t.get("metric", "").startswith(("detect", "joint")) and t["experiment"] != "rings" for t in tests):
            assert claim["predicate"]["second"] == {"kind": "waits", "for": "the detector-aware attack"}, claim["id"]


def test_what_needs_other_data_or_eyes_is_never_decided_true():
    later = ("fig4", "fig7", "fig8", "tab", "appA", "fig6", "fig3c", "fig3d", "fig3f", "mask")
    for claim in ALL:
        if claim["id"].startswith(later):
            assert any(t["kind"] in ("waits", "eye") for t in leaves(claim["predicate"]["published"])), claim["id"]


def test_with_no_rows_every_claim_is_undecided_and_says_what_it_waits_for(tmp_path):
    table = claims.ledger(rows=tmp_path)
    assert list(table.id) == [c["id"] for c in ALL] and tuple(table.columns) == COLUMNS
    assert set(table.verdict) == {"undecided"}
    assert table.why.str.contains("waits for|matter of the eye").all()
    assert claims.counts(table) == {"holds": 0, "holds as published": 0, "fails": 0, "undecided": 33}


def test_the_tables_beside_the_claims_are_the_published_ones():
    content = json.loads((results.PAPER / "deep-bayes.json").read_text())
    assert content["table1_mnist"]["rows"][0]["cells"]["GBZ"] == {"mean_min_linf": 0.3, "victim_accuracy_pct": 30.78}


def test_an_unknown_paper_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match="'bayes'.*deep-bayes"):
        claims.claims("bayes")


def test_what_is_waited_for_is_listed_with_the_claims_it_would_decide():
    table = claims.waiting(claims.ledger(rows=frame(*decided())))
    assert table.loc["the SPSA rows", "would decide"] == "tab3, mask"
    assert "abs1" in table.loc["the rest of the whitebox rows", "would decide"]
    assert "fig3b" not in " ".join(table.to_numpy().ravel())
    assert claims.waiting(claims.ledger(rows={}, profile="smoke")).empty


def test_every_link_leads_to_a_heading_that_is_there():
    linked = [c["predicate"] for c in ALL + claims.claims("gat") if "predicate" in c]
    for page, _, place in {predicate.get("page", "").partition("#") for predicate in linked} - {("", "", "")}:
        cells = json.loads((results.ROOT / "book" / f"{page}.ipynb").read_text())["cells"]
        lines = "".join("\n" + "".join(c["source"]) for c in cells if c["cell_type"] == "markdown").splitlines()
        slugs = {re.sub("[^a-z0-9]+", "-", line.lower()).strip("-") for line in lines if line.startswith("#")}
        assert not place or place in slugs, f"{page} has no heading for {place}: {sorted(slugs)}"


# The second paper

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


def test_every_predicate_of_the_second_paper_can_be_judged():
    for predicate in [c["predicate"] for c in claims.claims("gat") if "predicate" in c]:
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


# The table on the page

def test_the_html_names_every_verdict_in_words_and_escapes_text():
    table = claims.ledger(rows=frame(*decided()))
    html = claims.as_html(table.assign(why="a < b & c"))
    assert html.count("<article") == 33 and "a &lt; b &amp; c" in html
    assert html.count(">undecided</span>") == 32 and html.count(">holds</span>") == 1
    assert 'href="deep_bayes/mnist.html#attacks-as-published"' in html


def test_a_page_shows_its_own_claims_without_a_link_to_itself():
    table = claims.ledger(rows=frame(*decided()))
    html = claims.as_html(table[table.id == "fig3b"].assign(link=""))
    assert html.count("<article") == 1 and "href" not in html


@pytest.mark.parametrize("colour", ["#1f6f43", "#7a5a00", "#a5281b", "#57606a"])
def test_badges_are_legible(colour):
    """Contrast of white on the badge at least 4.5 (WCAG 2.2, level AA)."""
    channels = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    assert colour in claims.as_html(claims.ledger(rows=frame(*decided())))
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5


def test_the_ledger_needs_no_torch():
    code = "import sys, lib.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=results.ROOT).returncode == 0
