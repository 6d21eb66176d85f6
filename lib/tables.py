"""Rows as sentences and small tables: what pages print. What no row holds yet is said to be missing, in words."""

import functools
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.results import select

MISSING = "no rows yet"
BREAKING = re.compile(r"<td>([^<]*(?: \(|, )[^<]*)</td>")      # cells that hold a place to break at


@dataclass(frozen=True)
class Folding:
    """A table for a page whose cells may break, where room is short: before an interval or after a comma, never within
    a number. Plain tables keep each cell on one line, and scroll."""

    table: pd.DataFrame

    def _repr_html_(self) -> str:
        def fold(found: re.Match) -> str:
            words = found[1].replace(" ", "\u00a0").replace("\u00a0(", " (").replace(",\u00a0", ", ")
            return f'<td style="white-space:normal">{words}</td>'
        return BREAKING.sub(fold, self.table._repr_html_())

    def __repr__(self) -> str:
        return repr(self.table)


def percent(value: float, digits: int = 1) -> str:
    """A fraction as a percentage; "–" for NaN."""
    return "–" if np.isnan(value) else f"{100 * value:.{digits}f} %"


def points(value: float, digits: int = 1, unit: str = " points") -> str:
    """A difference of two fractions in percentage points; "–" for NaN."""
    return "–" if np.isnan(value) else f"{round(100 * value, digits) + 0.0:.{digits}f}{unit}".replace("-", "−")


def bare_points(value: float) -> str:
    """The same without its unit, for a column that names it."""
    return points(value, unit="")


def number(value: float, digits: int = 2) -> str:
    """A plain number; "–" for NaN."""
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def interval(value: float, low: float, high: float, form=percent) -> str:
    """A value with its 95 % interval: "12.3 % (10.1 to 14.8)"; without it where there is none."""
    if np.isnan(low) or np.isnan(high):
        return form(value)
    low, high = (form(end).removesuffix(" %").removesuffix(" points") for end in (low, high))
    return f"{form(value)} ({low} to {high})"


def span(low: float, high: float, form=percent) -> str:
    """A range: "9.3 to 12.3 %", or one value where both print alike."""
    low, high = form(low), form(high)
    return high if low == high else f"{low.removesuffix(' %').removesuffix(' points')} to {high}"


def cell(row, form=percent) -> str:
    """The value of a row with its interval."""
    return interval(row.value, row.low, row.high, form)


def say(rows: pd.DataFrame, form=percent, interval: bool = False, **keys) -> str:
    """The one row with these keys as words, or that there is none. Raises LookupError if the keys fit several."""
    found = select(rows, **keys).dropna(subset="value")
    if len(found) > 1:
        raise LookupError(f"{len(found)} rows with {keys}; add keys that tell them apart")
    if found.empty:
        return MISSING
    return cell(found.iloc[0], form) if interval else form(found.iloc[0].value)


def wide(rows: pd.DataFrame, index: str | list[str], columns: str, form=percent, order=None,
         across=None) -> pd.DataFrame:
    """Values as text, spread over two keys: a line for each `index`, a column for each value of `columns`.

    order, across: the sequence of lines (of the last index key within the others) and of columns. Raises ValueError
    where two rows fall on one place.
    """
    keys = [index] if isinstance(index, str) else list(index)
    if rows.empty:
        return pd.DataFrame([[MISSING]], index=[""], columns=[""])
    if rows.duplicated([*keys, columns]).any():
        first = rows[rows.duplicated([*keys, columns], keep=False)].iloc[0][[*keys, columns]].to_dict()
        raise ValueError(f"several rows for {first}; select one metric, variant and profile first")
    table = rows.pivot(index=keys, columns=columns, values="value").map(lambda value: "–" if pd.isna(value)
                                                                        else form(value))
    if order is not None:
        places = table.index if len(keys) > 1 else [(name,) for name in table.index]
        ranks = [(place[:-1], list(order).index(place[-1])) for place in places]
        table = table.iloc[sorted(range(len(table)), key=ranks.__getitem__)]
    table = table[[name for name in across if name in table]] if across is not None else table
    return table.rename_axis(columns=None, index=None if len(keys) == 1 else keys)


def spread(rows: pd.DataFrame, index: str, columns: str, forms: dict, across=None) -> pd.DataFrame:
    """Several rows in a place, of several seeds, as text: their mean, and from the smallest to the largest of them.

    forms: how to write each value of `index`, in the order of the lines; those without rows are left out. across: the
    sequence of columns.
    """
    groups = rows.dropna(subset="value").groupby([index, columns]).value.agg(["mean", "min", "max", "count"])
    text = {place: (interval(each["mean"], each["min"], each["max"], forms[place[0]]) if each["count"] > 1
                    else forms[place[0]](each["mean"])) for place, each in groups.iterrows() if place[0] in forms}
    if not text:
        return pd.DataFrame([[MISSING]], index=[""], columns=[""])
    table = pd.Series(text).unstack().fillna("–")
    table = table.reindex([name for name in forms if name in table.index])
    return table[[name for name in across if name in table]] if across is not None else table


def beside(rows: pd.DataFrame, published: pd.DataFrame, key: list[str], form=percent) -> pd.DataFrame:
    """Published numbers with ours beside them: one line a published cell; columns published, ours, difference, n.

    rows and published share the key columns (say attack and model) and one metric. A cell without our row says so.
    """
    found = rows.dropna(subset="value")
    if found.duplicated(key).any():
        twice = tuple(found[found.duplicated(key)].iloc[0][key])
        raise ValueError(f"several rows for {twice}; select one variant and profile first")
    ours, lines = {tuple(row[key]): row for _, row in found.iterrows()}, []
    for printed in published.sort_values(key, kind="stable")[[*key, "value"]].to_dict("records"):
        place = tuple(printed[name] for name in key)
        line = dict(zip(key, place)) | {"published": form(printed["value"])}
        if (row := ours.get(place)) is not None:
            line |= {"ours (95 %)": cell(row, form),
                     "difference": _signed(row.value - printed["value"], points if form is percent else form),
                     "n": int(row.n)}
        else:
            line |= {"ours (95 %)": MISSING, "difference": "–", "n": 0}
        lines.append(line)
    return pd.DataFrame(lines).set_index(key)


def outside(rows: pd.DataFrame, published: pd.DataFrame, key: list[str]) -> tuple[list[tuple], int]:
    """The places whose published number lies outside the interval of our row, and how many places have both."""
    both = published.merge(rows.dropna(subset="value"), on=key, suffixes=("_published", ""))
    away = both[(both.value_published < both.low) | (both.value_published > both.high)]
    return [tuple(place) for place in away[key].values], len(both)


def apart(rows: pd.DataFrame, along: list[str]) -> list[str]:
    """Neighbours whose intervals do not overlap, as words: "DFX from c=1 to c=10". along: variants in their order."""
    found = []
    for model, line in rows.groupby("model", sort=False):
        line = line.set_index("variant")
        for a, b in zip(along, along[1:]):
            if {a, b} <= set(line.index) and (line.low[a] > line.high[b] or line.high[a] < line.low[b]):
                found.append(f"{model} from {a} to {b}")
    return found


def listed(words: list[str], nothing: str = "none") -> str:
    """Words as a list in a sentence: "a, b and c"; `nothing` where there are none."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:]))) or nothing


def flagged(rows: pd.DataFrame, key: list[str], order: dict[str, list], void=(), least: int = 10) -> pd.DataFrame:
    """Shares of successes that detectors flag, and of images fooled and unnoticed, as text: a line for each key.

    rows: metrics detect_marginal, detect_logit, detect_kl and joint_success, one detector rule. Shares of fewer than
    `least` successes are left out. order: the sequence of each key. void: models whose marginal detection
    means nothing.
    n: successes.
    """
    columns = {"detect_marginal": "marginal", "detect_logit": "logit", "detect_kl": "KL"}
    rows = rows.assign(**{name: pd.Categorical(rows[name], order[name]) for name in key})
    rates = rows[rows.metric.isin(columns)]
    if rates.empty:
        return pd.DataFrame([[MISSING]], index=[""], columns=[""])
    shown = (rates.n >= least) & ~((rates.metric == "detect_marginal") & rates.model.isin(void))
    text = [cell(row) if fit else "–" for row, fit in zip(rates.itertuples(), shown)]
    table = rates.assign(text=text, metric=rates.metric.map(columns)).pivot(index=key, columns="metric", values="text")
    table = table.reindex(columns=[*columns.values()]).fillna("–").assign(
        n=rates.groupby(key, observed=True).n.first().astype(int))
    quiet = rows[rows.metric == "joint_success"].set_index(key)
    if len(quiet):
        quiet = quiet.reindex(table.index)
        table["fooled and unnoticed"] = ["–" if pd.isna(row.n) else f"{cell(row)} of {row.n:.0f}"
                                         for row in quiet.itertuples()]
    return table.rename_axis(columns=None)


def compared(same: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """`runs.differences.side_by_side` as text; names: how its attack columns are headed."""
    if same.empty:
        return pd.DataFrame([[MISSING]], index=[""], columns=[""])
    shown = same.drop(columns=["drop", "low", "high", "n"]).map(percent).rename(columns=names)
    drop = [interval(*bounds, bare_points) for bounds in same[["drop", "low", "high"]].values]
    return shown.assign(**{"drop, points": drop, "n": same.n.astype(int)})


def dropped(compared: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """`runs.strength.compared` as text, a line a detector and test: AUC to five digits, as printed, drops to four.
    names: what systems are called."""
    if compared.empty:
        return pd.DataFrame([[MISSING]], index=[""], columns=[""])
    form = functools.partial(number, digits=5)
    found = compared.reset_index()
    shown = found[["steps", "main", "other"]].rename(columns={"main": "main attack", "other": "this attack"})
    shown[["main attack", "this attack"]] = shown[["main attack", "this attack"]].map(form)
    shown["drop (95 %)"] = [interval(*map(float, ends), _small) for ends in found[["drop", "low", "high"]].values]
    printed = found[["printed main", "printed"]].astype(float)
    if printed["printed"].notna().any():
        shown["published: main, this"] = printed["printed main"].map(form) + ", " + printed["printed"].map(form)
    who = found.system.map(names) + ", class " + found["class"]
    return shown.assign(n=found.n.astype(int)).set_index(pd.Index(who, name="detector"))


def _small(value: float) -> str:
    """A difference to four digits; one that rounds to nothing has no sign."""
    return f"{round(value, 4) + 0.0:.4f}".replace("-", "−")


def _signed(difference: float, form) -> str:
    return ("+" if difference >= 0 else "−") + form(abs(difference))
