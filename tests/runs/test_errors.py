"""Misread and flagged clean images by parts of the test set, on records made by hand whose answers are known."""

import numpy as np
import pytest

from lib.runs import errors
from lib.runs.outcomes import Pooled


def record(model="GFZ", images=10_000, wrong=(), train_wrong=0) -> Pooled:
    """Clean outcomes: everything is read as class 0, which is right but for the images listed."""
    scores = np.zeros((images, 2), np.float32)
    scores[:, 0] = 1
    label = np.zeros(images, int)
    label[list(wrong)] = 1
    return Pooled({"model": model}, {"test_index": np.arange(images), "test_label": label, "test_log_joint": scores,
                                     "train_label": (np.arange(1000) < train_wrong).astype(int),
                                     "train_log_joint": scores[:1000]})


def test_errors_are_told_of_the_parts_that_a_record_holds_whole():
    parts = errors.by_part(errors.misread([record(wrong=range(50)), record("DFX", 2000, wrong=range(4))]))
    found = parts.set_index(["model", "part"]).value
    assert found["GFZ", "0 to 1,999"] == 0.025 and found["GFZ", "5,000 to 9,999"] == 0 and found["GFZ", "all"] == 0.005
    assert list(found["DFX"].index) == ["0 to 1,999"]


def test_the_harder_half_is_said_to_be_the_attacked_one_only_where_it_is():
    said = errors.halves_in_words(errors.by_part(errors.misread([record(wrong=range(50))])))
    assert said == ("The first half is misread more often than the second by 1 of 1 (GFZ), beyond the intervals by 1. "
                    "Attacked images are the first ones, and so from the harder half.")
    said = errors.halves_in_words(errors.by_part(errors.misread([record(wrong=[9999])])))
    assert "by 0 of 1" in said and "harder" not in said
    assert (errors.halves_in_words(errors.by_part(errors.misread([record(images=2000)])))
            == "No record holds both halves yet.")


def test_a_model_that_surely_misreads_its_own_training_images_lacks_fit():
    both = errors.train_and_test([record(train_wrong=50), record("DFX", train_wrong=20, wrong=[0])])
    assert both.loc["GFZ", "train"] == pytest.approx(0.05) and both.loc["DFX", "n test"] == 10_000
    assert errors.unfitted(both) == ["GFZ"]             # 2 % of 1,000 is not surely more than 2 %


class Flags:
    def flags(self, scores):
        return scores[:, 1] > 0


def test_false_positives_are_taken_over_halves_and_without_what_means_nothing():
    group = record("DFX")
    group["test_log_joint"][:100, 1] = 1
    detectors = {("logit", "quantile"): Flags(), ("marginal", "quantile"): None, ("logit", "alpha"): None}
    assert errors.flagged_by_half([group], lambda model: detectors) == pytest.approx((0.02, 0))
    assert "harder half, and part of the excess is this" in errors.flagged_in_words(0.02, 0)
    assert "not the cause" in errors.flagged_in_words(0, 0.02) and "yet" in errors.flagged_in_words(np.nan, np.nan)
    assert np.isnan(errors.flagged_by_half([record(images=2000)], lambda model: detectors)).all()
