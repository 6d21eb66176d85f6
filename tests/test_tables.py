"""Words and tables made from rows: intervals, missing values, and keys that fit too many rows."""

import pandas as pd
import pytest

from lib import tables
from lib.results import tidy


@pytest.fixture
def rows():
    key = {"attack": "pgd", "metric": "accuracy", "n": 100}
    return tidy([key | {"model": "GFZ", "value": 0.123, "low": 0.101, "high": 0.148},
                 key | {"model": "GBZ", "value": 0.5}])


def test_a_row_is_said_with_its_interval(rows):
    assert tables.say(rows, model="GFZ", interval=True) == "12.3 % (10.1 to 14.8)"
    assert tables.say(rows, model="GBZ", interval=True) == "50.0 %"


def test_a_missing_row_is_said_in_words(rows):
    assert tables.say(rows, model="DFX") == "no rows yet"


def test_keys_that_fit_two_rows_are_refused(rows):
    with pytest.raises(LookupError, match="2 rows with"):
        tables.say(rows, attack="pgd")


def test_published_cells_without_our_row_stay_in_the_table(rows):
    printed = tidy([{"model": m, "attack": "pgd", "value": v} for m, v in (("GFZ", 0.1), ("GFY", 0.2))])
    table = tables.beside(rows, printed, ["attack", "model"])
    assert table.loc[("pgd", "GFZ"), "difference"] == "+2.3 points"
    assert table.loc[("pgd", "GFY"), "ours (95 %)"] == "no rows yet"


def test_a_wide_table_keeps_the_order_asked_for(rows):
    table = tables.wide(rows, "model", "attack", order=["GFZ", "GFY", "GBZ"])
    assert list(table.index) == ["GFZ", "GBZ"] and table.loc["GFZ", "pgd"] == "12.3 %"
    assert "no rows yet" in tables.wide(rows[:0], "model", "attack").to_string()
    with pytest.raises(ValueError, match="several rows for"):
        tables.wide(pd.concat([rows, rows]), "model", "attack")


def test_several_seeds_in_a_place_are_told_by_their_mean_and_ends():
    rows = pd.DataFrame(
        [{"metric": "tv", "model": m, "value": v} for m, v in (("GAT", 0.1), ("GAT", 0.3), ("truth", 0.0))])
    table = tables.spread(rows, "metric", "model", {"tv": tables.percent, "kl": tables.number}, across=["truth", "GAT"])
    assert table.loc["tv"].tolist() == ["0.0 %", "20.0 % (10.0 to 30.0)"] and list(table.index) == ["tv"]
    assert tables.spread(rows[:0], "metric", "model", {"tv": tables.percent}).iloc[0, 0] == tables.MISSING


def test_published_numbers_are_matched_by_a_key_that_is_a_word_of_python(rows):
    ours, printed = rows.assign(**{"class": ["0", "1"]}), tidy([{"class": "1", "value": 0.4}])
    assert tables.beside(ours, printed, ["class"]).loc["1", "difference"] == "+10.0 points"


def test_aucs_are_told_to_the_digits_that_were_printed_and_drops_to_one_less():
    line = {"main": 0.99959, "other": 0.99951, "drop": 0.00008, "low": -0.0001, "high": 0.0002, "n": 100.0,
            "printed main": 0.99959, "printed": 0.99958}
    index = pd.MultiIndex.from_tuples([("linf0.3", "0", "2000 × 0.005")], names=["system", "class", "steps"])
    table = tables.dropped(pd.DataFrame([line], index), {"linf0.3": "l∞ 0.3"})
    assert table.index[0] == "l∞ 0.3, class 0" and table["published: main, this"].item() == "0.99959, 0.99958"
    assert table["drop (95 %)"].item() == "0.0001 (−0.0001 to 0.0002)" and table.n.item() == 100
    nothing = pd.DataFrame([line | {"drop": -0.00001}], index)
    assert tables.dropped(nothing, {"linf0.3": ""})["drop (95 %)"].item().startswith("0.0000 (")         # no minus before a zero
    assert tables.dropped(pd.DataFrame(), {}).iloc[0, 0] == "no rows yet"


def test_printed_numbers_outside_our_intervals_are_counted_where_both_are(rows):
    printed = tidy([{"model": m, "attack": "pgd", "value": v} for m, v in (("GFZ", 0.2), ("GBZ", 0.5), ("GFY", 0.1))])
    assert tables.outside(rows.fillna({"low": 0.4, "high": 0.6}), printed, ["attack", "model"]) == ([("pgd", "GFZ")], 2)


def test_neighbours_whose_intervals_do_not_meet_are_named():
    line = [("c=1", 0.6, 0.9), ("c=10", 0.1, 0.5), ("c=100", 0.4, 0.7)]
    rows = pd.DataFrame([{"model": "DFX", "variant": c, "low": low, "high": high} for c, low, high in line])
    assert tables.apart(rows, ["c=1", "c=10", "c=100"]) == ["DFX from c=1 to c=10"]
    assert tables.listed(["a", "b", "c"]) == "a, b and c" and tables.listed([]) == "none"


def test_detection_of_few_successes_and_of_a_marginal_that_means_nothing_is_left_out():
    key = {"value": 0.5, "low": 0.2, "high": 0.8, "n": 10}
    rows = tidy([key | {"model": m, "metric": d} for m in ("DFX", "GFZ") for d in ("detect_marginal", "detect_logit")]
                + [key | {"model": "GFZ", "metric": "detect_kl", "n": 9}]
                + [key | {"model": "GFZ", "metric": "joint_success", "n": 20}])
    table = tables.flagged(rows, ["model"], {"model": ["GFZ", "DFX"]}, void=["DFX"])
    assert list(table.index) == ["GFZ", "DFX"]
    assert table.loc["DFX", "marginal"] == table.loc["GFZ", "KL"] == table.loc["DFX", "fooled and unnoticed"] == "–"
    assert (table.loc["GFZ", "logit"] == "50.0 % (20.0 to 80.0)"
            and table.loc["GFZ", "fooled and unnoticed"].endswith(" of 20"))


def test_a_folding_table_breaks_before_intervals_and_never_within_a_number():
    table = pd.DataFrame({"KL": ["5.0 % (1.4 to 8.0), n = 5", "–"]}, index=["GFZ, eps 0.1", "GBZ"])
    shown = tables.Folding(table)._repr_html_()
    assert ">5.0~% (1.4~to~8.0), n~=~5</td>" in shown.replace("\u00a0", "~") and "<th>GFZ, eps 0.1</th>" in shown
    assert shown.count("white-space:normal") == 1 and repr(tables.Folding(table)) == repr(table)
