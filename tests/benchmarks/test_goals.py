"""A goal is met where the whole spread says so."""

import pytest

from benchmarks import bench, goals
from lib.results import tidy
from lib.tables import MISSING


@pytest.mark.parametrize("found, upper, met", [
    ((9.5, 9.1, 9.9), False, "yes"), ((4.6, 4.5, 4.7), False, "no"), ((9.2, 8.8, 9.4), False, "within the spread"),
    ((4.6, 4.7, 4.5), True, "yes"), ((9.5, 9.9, 9.1), True, "no"), (None, False, MISSING)])
def test_a_goal_is_met_missed_or_within_the_spread(found, upper, met):
    assert goals.Goal("speed", 9, found, upper).met == met


def test_what_was_measured_once_is_told_without_a_spread():
    assert goals._said((1.25, 1.25, 1.25)) == "1.25" and goals._said((2, 1, 4)) == "2 (1 to 4)"


def test_ratios_take_the_widest_spread():
    assert goals._ratio((8, 6, 10), (2, 1, 4)) == (4, 1.5, 10)
    assert goals._ratio(None, (1, 1, 1)) is None


def row(model, variant, metric, value, **more):
    return {"model": model, "dataset": "mnist", "variant": variant, "metric": metric, "value": value, "low": value,
            "high": value} | more


def test_the_table_reads_rows_and_says_where_there_are_none():
    rows = {name: tidy([]) for name in bench.contests("laptop", 0)}
    assert set(goals.table(rows).measured) == {MISSING, goals.NO_GPU}
    rows["gradient"] = tidy([row("GFZ", "ours, bfloat16", "speedup", 10.0)])
    rows["pgd"] = tidy([row("CNN", "ours", "speedup", 0.8), row("CNN", "ours", "seconds", 2.0),
                        row("CNN", "forward and backward alone", "seconds", 1.0), row("CNN", "slow", "seconds", 9.0),
                        row("CNN", "fast", "seconds", 4.0), row("GFZ", "ours, bfloat16", "seconds", 1.0),
                        row("GFZ", "CleverHans on the plain model", "seconds", 3.0)])
    table = goals.table(rows)
    met = table.met.to_dict()
    assert met["gradient step of GFZ against the plain way"] == "yes"
    assert met["PGD over its bare passes"] == "no"
    assert (met["PGD against the fastest library"] == "yes"
            and table.measured["PGD against the fastest library"] == "2")
    assert met["PGD on GFZ against CleverHans on the plain model"] == "no"
