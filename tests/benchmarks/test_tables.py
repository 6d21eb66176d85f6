"""Tables of contests: the slowest first, three figures, and words where nothing is there yet."""

import pandas as pd
import pytest

from benchmarks import tables
from lib.results import tidy


def rows(*cells):
    key = {"model": "GFZ", "dataset": "mnist", "experiment": "bench-gradient"}
    return tidy([key | {"variant": v, "metric": m, "value": x, "low": x, "high": x, "n": 3} for v, m, x in cells])


FOUND = rows(("fast", "seconds", 0.001), ("slow", "seconds", 0.0123456), ("fast", "speedup", 12.3456),
             ("slow", "speedup", 1.0))


def test_the_slowest_comes_first_and_times_are_in_thousandths():
    table = tables.table(FOUND)
    assert list(table.index) == ["slow", "fast"] and list(table.columns) == ["ms an image", "times as fast", "rounds"]
    assert table.rounds.tolist() == [3, 3] and tables.rounds_of(FOUND) == "3"
    assert (table.loc["slow", "ms an image"] == "12.3 (12.3 to 12.3)"
            and table.loc["fast", "times as fast"].startswith("12.3 "))


def test_a_number_is_said_or_said_to_be_missing():
    assert tables.value(FOUND, "speedup", variant="fast") == "12.3"
    assert tables.value(FOUND, "speedup", variant="none") == "no rows yet"
    assert tables.table(FOUND[:0]).iloc[0, 0] == "no rows yet"


@pytest.mark.parametrize("value, text", [(0.01234, "0.0123"), (0.5, "0.5"), (1.2345, "1.23"), (1234.5, "1230")])
def test_three_figures_without_an_exponent(value, text):
    assert tables._three(value) == text


def test_panels_split_a_count_off_the_name_of_a_way():
    found = rows(("ours: 5", "seconds", 0.002), ("ours: 5", "memory", 12.0)).assign(**{"class": "images"})
    panels = tables.panels(found)
    assert panels["images"][["way", "count", "value", "low", "high"]].values.tolist() == [["ours", 5, 2.0, 2.0, 2.0]]
    assert panels["images "].value.tolist() == [12.0] and panels["samples"].empty
    assert all(frame.empty for frame in tables.panels(found[:0]).values())


def test_growth_is_told_over_all_counts_and_over_the_last_two():
    panel = pd.DataFrame({"way": ["a"] * 4 + ["b"] * 3, "count": [100, 20, 1, 10, 20, 1, 10],
                          "value": [50.0, 8, 1, 4, 9, 3, 6]})
    said = tables.grown(panel, "samples", {"ours": "a", "theirs": "b"})
    assert said == "from 1 to 20 samples 8.0 times ours and 3.0 times theirs (from 10 to 20: 2.0 and 1.5 times)"
    assert tables.grown(panel, "samples", {"ours": "c"}) == tables.MISSING


def test_ways_are_compared_by_median_seconds_and_told_apart_by_their_quartiles():
    rows = pd.DataFrame({"metric": ["seconds", "seconds", "speedup", "speedup"], "variant": ["a", "b"] * 2,
                         "value": [2.0, 5.0, 1.7, 1.8], "low": [1.0, 4.0, 1.6, 1.65], "high": [3.0, 6.0, 1.9, 2.0]})
    assert tables.faster(rows, "a", "b") == "2.5" and tables.faster(rows, "a", "c") == tables.MISSING
    assert "no more than the spread" in tables.apart(rows, "a", "b") and tables.apart(rows, "a", "c") == tables.MISSING
    wide = rows.assign(low=[0, 0, 1.6, 2.0], high=[0, 0, 1.7, 2.1])
    assert tables.apart(wide, "b", "a") == "they save time" and tables.apart(wide, "a", "b") == "they cost time"


def test_rates_shares_and_accuracies_are_told_with_their_spread_or_their_images():
    found = rows(("ours", "seconds", 0.001), ("ours", "rate", 6.9e10), ("ours", "share", 0.88),
                 ("ours", "accuracy", 0.975))
    line = tables.table(found, ("rate", "share", "accuracy")).iloc[0].tolist()
    assert line == ["69 (69 to 69)", "88 % (88 to 88)", "97.5 % of 3", 3]
