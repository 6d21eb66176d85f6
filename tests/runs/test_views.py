"""What pages read from records of attacked systems, counted by hand on a few images."""

from pathlib import Path

import numpy as np
import pytest

from lib import tables
from lib.results import Record, write_record
from lib.runs import reject, rivals, slips, views

LABEL = np.array([0, 1, 2, 0, 1, 2])


def record(heads_read, scores, f_read=None, name="detectors (9)", attack="adam-pgd", eps=0.3, best=False,
           thumbs=True) -> Record:
    """Detectors that read `heads_read` with winning logit `scores` (others 10 below), and f and Madry that read
    `f_read`."""
    n = len(heads_read)
    heads = np.full((n, 3), 0.0, np.float32) + np.array(scores, np.float32)[:, None] - 10
    heads[np.arange(n), heads_read] = scores
    f = np.eye(3, dtype=np.float32)[LABEL[:n] if f_read is None else f_read]
    arrays = {"heads": heads, "f": f, "madry": f, "label": LABEL[:n].astype(np.int8),
              "index": np.arange(n, dtype=np.int32)}
    if thumbs:
        arrays["thumbs"] = np.zeros((min(n, 4), 1, 28, 28), np.uint8)
    return Record(arrays, {"experiment": "detection", "variant": "linf0.3", "seed": 0, "attack": attack,
                           "best": best, "eps": eps, "loss": name if attack == "adam-pgd" else "", "profile": "smoke",
                           "protocol": "published"}, Path("r"))


CLEAN = record([0, 1, 2, 0, 1, 0], [5, 6, 7, 8, 9, 4], attack="clean", thumbs=False)
FIRST = record([1, 1, 2, 0, 1, 2], [6.5, 9, 9, 9, 9, 9])                # deceived in image 0
SECOND = record([2, 2, 2, 1], [5.5, 8.5, 9, 3], name="detectors, margin")     # in 0, 1 and 3; four images only


@pytest.fixture
def bench():
    validation = record([0, 1, 2, 0, 1, 2], [1, 2, 3, 4, 5, 6], attack="validation", thumbs=False)
    return views.Bench("linf0.3", {"clean": CLEAN, "validation": validation},
                       {("detectors (9)", 0.3): FIRST, ("detectors, margin", 0.3): SECOND})


def test_the_worst_case_takes_the_highest_score_of_the_attacks_that_deceive(bench):
    top = views.hardest([FIRST, SECOND], "GAT-generative")
    assert top.tolist() == [6.5, 8.5, -np.inf, 3.0]
    found = views.curves(bench, "GAT-generative", ["detectors (9)", reject.WORST, "not stored"], 0.3)
    assert list(found) == ["detectors (9)", reject.WORST]
    assert found[reject.WORST].error[0] == 0.75 and found[reject.WORST].accuracy[0] == pytest.approx(5 / 6)
    at = found[reject.WORST].error[found[reject.WORST].threshold == 7.0]
    assert at.tolist() == [0.25]                                    # only image 1 is accepted there


def test_the_worst_case_is_never_below_one_of_its_attacks_on_the_same_images(bench):
    worst = views.worst_curve(CLEAN, [SECOND], "GAT-generative")
    alone = reject.reject_curve(CLEAN, SECOND, "GAT-generative")
    for threshold, error in zip(alone.threshold, alone.error):
        assert worst.error[np.flatnonzero(worst.threshold <= threshold)[-1]] >= error


def test_a_worst_case_holds_what_was_found_in_smaller_balls_and_its_parts_stand_on_the_same_images(bench):
    wider = record([0, 1, 2, 0, 1, 1], [9, 9, 9, 9, 9, 9], eps=0.4)                # deceived in image 5 alone
    bench.attacks["detectors (9)", 0.4] = wider
    assert bench.shared(0.4) == 4 and bench.shared(0.3) == 4
    found = views.curves(bench, "GAT-generative", ["detectors (9)", reject.WORST], 0.4)
    assert found[reject.WORST].error[0] == 0.75 and found["detectors (9)"].error[0] == 0      # image 5 is not shared
    assert (views.curves(bench, "GAT-generative", ["detectors (9)"], 0.4)["detectors (9)"].error[0]
            == pytest.approx(1 / 6))


def test_the_attack_of_the_largest_error_is_named_once_where_it_is_the_same(bench, monkeypatch):
    wrong = {("a", 0.01): [1, 1, 0, 0, 0, 0], ("b", 0.01): [0, 1], ("a", 0.05): [1, 0, 0, 0, 0, 0], ("b", 0.05): [0, 0]}
    monkeypatch.setattr(slips, "lost", lambda of, model, name, eps, share: (
        np.array(wrong[name, share]) if (name, share) in wrong else None))

    def said(*words):
        return slips.hardest_in_words(bench, "GAT-generative", list(words), 0.3)

    assert said("a", "b", "not stored") == "a, at 1 % and at 5 %"       # of the two images that both got
    wrong["b", 0.05] = [0, 1]
    assert said("a", "b") == "a at 1 % and a and b at 5 %"
    assert said("not stored").startswith(tables.MISSING)


def test_systems_meet_where_as_many_natural_images_are_read_and_accepted(bench):
    found = rivals.at_equal_accuracy(bench, 0.3)
    assert found.accuracy.iloc[0] == 1 and found.n.tolist() == [4] * len(found)            # Madry's network reads all
    line = found.iloc[0]        # the detectors read 5 of 6 at most, all of which they accept from a score of 5 on
    assert line["GAT-generative"] == 0.5 and line["Madry"] == 0 and line["more GAT-generative"] == 0.5
    assert line["low GAT-generative"] < 0.5 < line["high GAT-generative"]
    bench.attacks.update({(name, 0.3): FIRST for name in ("classifier (8)", "combined (11)")})
    assert rivals.at_equal_accuracy(bench, 0.3, single=True).n.tolist() == [6] * len(found)     # three of four have six
    assert rivals.in_words(found).startswith("at 100.0 % no significant difference")
    sure = found.assign(**{"low GAT-integrated": 0.1, "high GAT-generative": -0.1})
    assert (rivals.in_words(sure.head(1))
            == "at 100.0 % the integrated one significantly more and the generative one significantly less")
    assert (rivals.in_words(sure.assign(**{"low GAT-generative": 0.1, "high GAT-generative": 0.2}).head(1))
            == "at 100.0 % both significantly more")
    assert rivals.tally(sure.head(1), sure.head(1)) == (
        "Of 4 comparisons at equal natural accuracy the detectors err significantly less than this robust network in "
        "2, significantly more in 2.")
    nothing = rivals.at_equal_accuracy(views.Bench("linf0.3", {}, {}), 0.3)
    assert nothing.empty and rivals.lines(nothing).empty and rivals.tally(nothing) == "No rows yet."


def test_intervals_are_widened_for_as_many_comparisons_as_there_are(bench):
    found = rivals.at_equal_accuracy(bench, 0.3).head(1)
    barely = found.assign(**{f"{end} {model}": value for model in reject.SYSTEMS[:2]
                             for end, value in (("low", 0.01), ("high", 0.2))})
    assert rivals.in_words(barely).endswith("no significant difference")      # of two: 1.14 times as wide
    assert "both significantly more" in rivals.in_words(barely.assign(**{f"low {m}": 0.05 for m in reject.SYSTEMS[:2]}))


def test_the_detectors_are_laid_beside_what_is_printed_for_the_robust_network(bench):
    said = rivals.beside_the_ring(bench, 0.3, 0.5, 0.08)
    assert "the integrated system errs on" in said and "of 4 images" in said and "in print on 8.0 %" in said
    assert rivals.beside_the_ring(views.Bench("linf0.3", {}, {}), 0.3, 0.5, 0.08) == tables.MISSING


def test_lines_of_equal_accuracy_have_errors_and_points_with_their_intervals(bench):
    text = rivals.lines(rivals.at_equal_accuracy(bench, 0.3).head(1))
    assert (list(text.index) == ["100.0 %, n 4"]
            and list(text["error, %"].columns) == ["integrated", "generative", "Madry"])
    assert text.iloc[0][("error, %", "generative")] == "50.0"
    assert text.iloc[0][("points more than Madry", "generative")].startswith("50.0 (")


def test_the_recipe_of_the_robust_network_stands_beside_the_published_one():
    assert rivals.recipe("paper") == ("100,000 updates of 50 images at a rate of 0.0001 under 40 PGD steps of 0.01 "
                                      "at radius 0.3")
    assert "one-cycle rate up to 0.001" in rivals.recipe("laptop") and "grows over the first" in rivals.recipe("laptop")
    for name in ("Madry", "f"):
        assert rivals.recipe("laptop", name).endswith(f"(published: {rivals.recipe('paper', name)})")
    assert rivals.recipe("paper", "f") == "18,750 updates of 32 images at a rate of 0.0005"


def test_attacks_are_compared_on_the_images_that_all_of_a_group_got(bench):
    groups = [("detectors (9)", "detectors, margin"), ("detectors (9)", "not stored")]
    found = slips.together(bench, groups[:1], 0.3)
    assert found.n.tolist() == [4, 4] and found["generative, 1%"].str.startswith(("25", "75")).all()
    assert slips.together(bench, groups[1:], 0.3).n.tolist() == [6]
    assert slips.together(bench, [("not stored",)], 0.3).iloc[0, 0] == tables.MISSING


def test_what_deceiving_images_are_taken_for_is_counted(bench):
    said = slips.taken_for(bench, "GAT-generative", "detectors, margin", 0.3, 0.0)
    assert said == "of the 3 of 4 images that it misreads and accepts, it reads 2 as 2 and 1 as 1"
    assert slips.taken_for(bench, "GAT-generative", "not stored", 0.3, 0.0) == tables.MISSING


def test_many_comparisons_widen_the_intervals_that_are_shown(bench):
    found = rivals.at_equal_accuracy(bench, 0.3)
    shown = rivals.widened(found)
    assert (shown["high GAT-generative"] > found["high GAT-generative"]).all()
    assert (shown["more GAT-generative"] == found["more GAT-generative"]).all() and shown.shape == found.shape


def test_records_of_different_images_have_no_worst_case():
    other = Record(SECOND.arrays | {"index": np.arange(1, 5, dtype=np.int32)}, SECOND.settings, Path("r"))
    with pytest.raises(ValueError, match="different images"):
        views.hardest([FIRST, other], "GAT-generative")


def test_records_are_found_by_system_and_seed_and_nothing_stored_is_no_error(tmp_path, bench):
    assert not views.bench("linf0.3", "smoke", 0, tmp_path).ready
    for i, one in enumerate([CLEAN, bench.natural["validation"], FIRST]):
        write_record(tmp_path / f"smoke/detection/GAT_linf0.3_{i}_seed0.npz", one.arrays, one.settings)
    write_record(tmp_path / "smoke/detection/GAT_linf0.3_9_seed1.npz", SECOND.arrays, SECOND.settings | {"seed": 1})
    found = views.bench("linf0.3", "smoke", 0, tmp_path)
    assert found.ready and list(found.attacks) == [("detectors (9)", 0.3)] and found.at(0.4) == {}
    assert "Nothing to recompute" in views.spot_check("linf0.3", "smoke", 0, "cpu", results=tmp_path)


def test_other_readers_are_counted_on_the_misread_images_alone(bench):
    told = record([1, 2, 0, 0, 1, 2], [9] * 6, f_read=[1, 1, 0, 0, 0, 0])   # deceived in 0, 1, 2; f agrees in 0 and 2
    bench.attacks[("detectors (9)", 0.4)] = told
    line = views.read_by_others(bench, {"GAT-generative": ("detectors (9)", "Madry")},
                                (0.4,)).loc[("GAT-generative", "0.4")]
    assert line["misread"] == 0.5 and line["f agrees"] == pytest.approx(2 / 3) and line["n"] == 3
    assert all(line[f"low {name}"] < line[name] < line[f"high {name}"]
               for name in ("misread", "f agrees", "second agrees"))
    assert line["f sees the true class"] == pytest.approx(1 / 3) and line["second agrees"] == pytest.approx(2 / 3)


def test_attacks_are_compared_on_the_images_that_both_got(bench):
    value, low, high, n = slips.harder(bench, "GAT-generative", "detectors, margin", "detectors (9)", 0.3, 0.0)
    assert (value, n) == (0.5, 4) and low < value < high               # images 1 and 3 are lost to the margin alone
    assert slips.harder(bench, "GAT-generative", "detectors, margin", "not stored", 0.3, 0.0)[3] == 0
    share, low, high = slips.shared_error(bench, "GAT-generative", "detectors (9)", 0.3, 0.0)
    assert share == 0.25 and low < share < high                         # image 0, of the four that both attacks got
    assert np.isnan(slips.shared_error(bench, "Madry", "not stored", 0.3, 0.0)[0])


def test_an_error_image_by_image_adds_up_to_that_of_the_rows(bench):
    records = [*bench.natural.values(), FIRST, SECOND]
    rows = [row for row in reject.summarise(records) if row["metric"] == "error" and row["loss"] == "detectors (9)"]
    assert len(rows) == 13
    for row in rows:
        share, _, per_class = row["detector"].removeprefix("reject ").partition(", ")
        found = views.lost(bench, row["model"], "detectors (9)", 0.3, int(share[:-1]) / 100, bool(per_class))
        assert found.mean() == row["value"]


def test_winning_logits_are_of_right_natural_and_misread_attacked_images(bench):
    natural, attacked = views.scores(bench, "GAT-generative", "detectors, margin", 0.3)
    assert natural.tolist() == [5, 6, 7, 8, 9] and attacked.tolist() == [5.5, 8.5, 3]
    share, low, high, n = views.as_likely(natural, attacked, share=0.2)             # the quantile is 6
    assert (share, n) == (pytest.approx(1 / 3), 3) and low < share < high
    assert np.isnan(views.as_likely(natural, attacked[:0])[0])


def test_pictures_say_what_both_read_and_frame_what_is_misread_and_accepted(bench):
    clean = np.zeros((6, 28, 28))
    shown = views.pictures(bench, clean, {"generative": ("GAT-generative", "detectors (9)", 0.3),
                                          "not stored": ("Madry", "Madry (8)", 0.3)})
    assert shown["rows"] == ["test image", "generative\n17 % of 6"] and shown["columns"] == ["a 0", "a 1", "a 2", "a 0"]
    assert shown["captions"][1][0] == "1, f: 0" and shown["flagged"][1] == [True, False, False, False]


def test_pictures_put_what_a_system_refuses_in_brackets(bench):
    bench.natural["validation"] = record([0, 1, 2, 0, 1, 2], [1, 2, 9, 9, 9, 9], attack="validation", thumbs=False)
    case = {"generative": ("GAT-generative", "detectors, margin", 0.3)}                    # scores 5.5, 8.5, 9 and 3
    shown = views.pictures(bench, np.zeros((6, 28, 28)), case, rejected=0.4)               # threshold 9
    assert (shown["captions"][1] == ["(2), f: 0", "(2), f: 1", "2, f: 2", "(1), f: 0"]
            and shown["flagged"][1] == [False] * 4)
    shown = views.pictures(bench, np.zeros((6, 28, 28)), case, rejected=0)
    assert shown["captions"][1][0] == "2, f: 0" and shown["flagged"][1] == [True, True, False, True]


def test_pictures_pushed_towards_a_class_are_named_by_it_and_scored_by_its_logit(bench):
    pushed = record([1, 2, 0, 0], [9, 8, 7, 6], name="random class, generative", eps=0.4)
    pushed.arrays["target"] = np.array([1, 2, 0, 1], np.int8)
    bench.attacks["random class, generative", 0.4] = pushed
    case = ("GAT-generative", "random class, generative", 0.4)
    assert views.pictures(bench, np.zeros((6, 28, 28)),
                          {"pushed": case})["columns"] == ["0 to 1", "1 to 2", "2 to 0", "0 to 1"]
    natural, attacked = views.target_scores(bench, *case)
    assert natural.tolist() == [5, 6, 7, 8, 9, -6] and attacked.tolist() == [9, 8, 7, -4]      # others are 10 below
    assert views.target_scores(bench, "Madry", "random class, Madry", 0.4) is None


def test_readers_of_a_target_are_counted_by_who_was_attacked(bench):
    pushed = record([1, 2, 0, 1], [9, 8, 7, 6], f_read=[0, 2, 0, 0], name="random class, generative", eps=0.4)
    pushed.arrays["target"] = np.array([1, 2, 1, 2], np.int8)
    bench.attacks["random class, generative", 0.4] = pushed
    found = views.read_as_target(bench, {"GAT-generative": "random class, generative", "Madry": "not stored"}, 0.4)
    shares = dict(zip(zip(found.model, found.reader), found.value))
    assert shares == {("GAT-generative", "GAT-generative"): 0.5, ("GAT-generative", "Madry"): 0.25,
                      ("GAT-generative", "f"): 0.25}
    assert (found.low < found.value).all() and set(found.n) == {4}
    assert views.read_as_target(bench, {"Madry": "not stored"}, 0.4).empty


def test_two_systems_are_compared_each_under_its_own_attack_on_the_images_of_both(bench):
    one, two = ("GAT-generative", "detectors, margin"), ("GAT-integrated", "detectors (9)")
    value, low, high, n = slips.apart(bench, one, two, 0.3, 0.0)
    errors = [views.lost(bench, *side, 0.3, 0.0)[:4].mean() for side in (one, two)]
    assert (value, n) == (errors[0] - errors[1], 4) and low <= value <= high
    assert slips.apart(bench, one, ("GAT-integrated", "not stored"), 0.3, 0.0)[3] == 0


def test_cells_that_err_less_under_best_iterates_are_counted_and_those_of_transfer_told_apart(bench):
    bench.attacks["detectors (9), best iterate", 0.3] = record([0, 1, 2, 0, 1, 2], [9] * 6, best=True)
    attacks = {"detectors (9)": "GAT-integrated", "not stored": "GAT-generative"}
    assert slips.easier(bench, attacks, 0.3, (0.0,)) == (1, 2, 1)       # the generative one, at which it was not aimed
    assert slips.easier(bench, {"not stored": "GAT-generative"}, 0.3) == (0, 0, 0)


def test_the_worst_case_without_some_losses_stands_on_the_same_images(bench):
    assert slips.worst_share(bench, "GAT-generative", 0.3, 0.0) == 0.75
    assert slips.worst_share(bench, "GAT-generative", 0.3, 0.0, ("detectors, margin",)) == 0.25     # of four, not six
    assert np.isnan(slips.worst_share(bench, "GAT-generative", 0.1, 0.0))


def test_an_error_is_told_by_true_class(bench):
    said = slips.by_true_class(bench, "GAT-generative", "detectors (9)", 0.3, 0.0)
    assert said == "from 0 % of the images of 1 to 50 % of those of 0"
    assert slips.by_true_class(bench, "GAT-generative", "not stored", 0.3, 0.0) == tables.MISSING


def test_what_f_sees_is_compared_on_the_images_that_deceive_both(bench):
    cases = {"GAT-generative": "detectors, margin", "Madry": "detectors (9)"}
    assert slips.seen_alike(bench, cases, 0.3) == {}                    # Madry's network is never deceived here
    bench.attacks["Madry (8)", 0.3] = record([0] * 6, [9] * 6, f_read=np.array([1, 2, 0, 0, 1, 0]), name="Madry (8)")
    found = slips.seen_alike(bench, cases | {"Madry": "Madry (8)"}, 0.3)        # both misread images 0 and 1
    assert found["n"] == 2 and found["Madry"] == 1.0 and found["GAT-generative"] == 0.0
    assert found["more"] == -1.0 and found["low"] <= found["more"] <= found["high"]
    assert slips.seen_alike(bench, cases | {"Madry": "not stored"}, 0.3) == {}


def test_a_system_that_may_accept_nothing_accepts_nothing():
    assert rivals._threshold(CLEAN, "GAT-generative", 0.0) == np.inf
    assert rivals._threshold(record([1, 2, 0], [5, 6, 7], attack="clean"), "GAT-generative", 0.9) == np.inf
