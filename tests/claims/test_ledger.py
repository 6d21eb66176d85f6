"""Verdicts, and the ledger over all claims of both papers."""

import json
import re
import subprocess
import sys

import pytest

from lib import claims, published, results
from lib.claims.ledger import COLUMNS
from tests.claims.rows import bound, decided, frame, protocol, row

ALL = claims.claims("deep-bayes")


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


def test_rows_of_another_profile_decide_nothing():
    claim = next(c for c in ALL if c["id"] == "fig3b")
    assert claims.verdict(claim, frame(*decided())).verdict == "holds"
    assert claims.verdict(claim, frame(*decided()), profile="paper").verdict == "undecided"


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
    content = json.loads((published.PAPER / "deep-bayes.json").read_text())
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
    linked = [c["predicate"] for c in ALL + claims.claims("gat")]
    for page, _, place in {predicate.get("page", "").partition("#") for predicate in linked} - {("", "", "")}:
        cells = json.loads((results.ROOT / "book" / f"{page}.ipynb").read_text())["cells"]
        lines = "".join("\n" + "".join(c["source"]) for c in cells if c["cell_type"] == "markdown").splitlines()
        slugs = {re.sub("[^a-z0-9]+", "-", line.lower()).strip("-") for line in lines if line.startswith("#")}
        assert not place or place in slugs, f"{page} has no heading for {place}: {sorted(slugs)}"


def test_the_ledger_needs_no_torch():
    code = "import sys, lib.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=results.ROOT).returncode == 0
