"""One attacked image: what the records say of it, and what an attack made now says."""

import numpy as np
import pytest

from lib.results import ROOT, read_record
from lib.runs import explorer, outcomes

RESULTS = ROOT / "data" / "results"                 # not $BOOK_RESULTS: what is committed


def test_stored_cases_are_those_of_the_records(mnist):
    cases = explorer.stored(["GFZ"], ["mim"], "laptop", 0, results=RESULTS)
    record = read_record(RESULTS / "laptop/whitebox/GFZ_mim_seed0_00000-00010.npz")
    assert len(cases) == 5 * 4
    case = cases["GFZ", "mim", 2, 0.3]
    assert (case.label, case.seen) == (mnist.test.y[2], record["log_joint"][2, 2].argmax())
    assert np.abs(case.attacked / 255 - case.clean / 255).max() == pytest.approx(record["linf"][2, 2], abs=1 / 255)


def test_a_reading_flags_as_the_detector_does(mnist):
    detectors = outcomes.fitted("GFZ", "laptop", 0, RESULTS)
    for case in explorer.stored(["GFZ"], ["fgsm"], "laptop", 0, results=RESULTS).values():
        import torch
        scores = torch.from_numpy(case.log_joint)[None]
        assert case.alarms == [name for name in explorer.SPOKEN if detectors[name, "quantile"].flags(scores).item()]


def test_the_typical_score_is_below_the_threshold_that_few_exceed(mnist):
    for case in explorer.stored(["GBZ"], ["pgd"], "laptop", 0, results=RESULTS).values():
        assert all(reading.typical < reading.threshold for reading in case.readings.values())


def test_models_without_p_of_x_get_no_marginal_reading():
    assert list(explorer.readings("DFX", "laptop", 0, np.zeros(10), results=RESULTS)) == ["logit", "kl"]


def test_no_records_give_no_cases(tmp_path):
    assert explorer.stored(["GFZ"], ["fgsm"], "laptop", 0, results=tmp_path) == {}
    assert explorer.readings("GFZ", "laptop", 0, np.zeros(10), results=tmp_path) == {}


@pytest.mark.slow
def test_an_attack_made_now_ends_where_the_stored_one_did(mnist):
    """The same noise, alone instead of in a batch, and perhaps on another machine: hence some room."""
    there = explorer.stored(["GFZ"], ["fgsm"], "laptop", 0, results=RESULTS)["GFZ", "fgsm", 0, 0.1]
    now = explorer.live("GFZ", "fgsm", 0.1, 0, "laptop", 0, "cpu")
    assert np.array_equal(now.clean, there.clean) and (now.attacked != there.attacked).mean() < 0.05
    assert np.abs(now.log_joint - there.log_joint).max() < 5 and now.verdict == there.verdict


def test_no_radius_leaves_the_image_alone_at_a_radius_of_ones_own_it_is_obeyed(mnist):
    still = explorer.live("DFX", "pgd", 0.0, 11, "laptop", 0, "cpu")
    assert np.array_equal(still.clean, still.attacked) and still.seen == still.label
    moved = explorer.live("DFX", "fgsm", 0.07, 11, "laptop", 0, "cpu")
    assert 0 < np.abs(moved.attacked.astype(int) - moved.clean).max() <= round(0.07 * 255) + 1


@pytest.mark.parametrize("given, said", [(("GFX", "fgsm", 0.1, 0), "'GFX'.*GFZ"), (("GFZ", "cw", 0.1, 0), "'cw'.*fgsm"),
                                         (("GFZ", "fgsm", 30.0, 0), "eps = 30"),
                                         (("GFZ", "fgsm", 0.1, 10_000), "image = 10000")])
def test_what_cannot_be_attacked_is_named_with_what_can(given, said, mnist):
    with pytest.raises(ValueError, match=said):
        explorer.live(*given, "laptop", 0, "cpu")
