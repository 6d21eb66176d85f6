"""Rows of contests as the page on cost shows them."""

import pandas as pd

from lib.results import select
from lib.tables import MISSING, interval, percent, span

COLUMNS = {"seconds": "ms an image", "speedup": "times as fast", "rate": "10⁹ operations a second",
           "share": "of the machine's rate", "memory": "MB at its peak", "accuracy": "accuracy left"}
SUBJECTS = {"patches": "photographs", "noise": "noise, untrained"}


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a column `subject`: the model, what it looks at where that is not MNIST, and the batch."""
    parts = [rows.model, rows.dataset.map(SUBJECTS).fillna(""), rows["class"]]
    return rows.assign(subject=[", ".join(filter(None, words)) for words in zip(*parts)])


def table(rows: pd.DataFrame, only: tuple[str, ...] = tuple(COLUMNS), unit: str = "ms an image") -> pd.DataFrame:
    """A line for each contender of each contest, the slowest first; medians with the first and last quartile of
    the rounds, and how many rounds these were.

    only: metrics to show. unit: what seconds are called, in thousandths.
    """
    if rows.empty:
        return pd.DataFrame([[MISSING]], index=[""], columns=[""])
    rows = named(rows)
    time = rows[rows.metric == "seconds"].set_index(["subject", "variant"]).value
    rounds = rows[rows.metric == "seconds"].set_index(["subject", "variant"]).n.astype(int)
    order = {place: (-time[place[0]].max(), place[0], -seconds) for place, seconds in time.items()}
    rows = rows[rows.metric.isin(only)]
    text = rows.assign(text=[_text(row) for row in rows.itertuples()])
    wide = text.pivot(index=["subject", "variant"], columns="metric", values="text").fillna("–")
    wide = wide.loc[sorted(wide.index, key=order.__getitem__), [name for name in only if name in wide]]
    wide = wide.rename(columns=COLUMNS | {"seconds": unit}).assign(rounds=rounds).rename_axis(columns=None)
    wide.index.names = [None, None]                     # else a second line of headings, with nothing in it
    return wide.droplevel(0) if wide.index.get_level_values(0).nunique() == 1 else wide


def value(rows: pd.DataFrame, metric: str, form=lambda value: f"{value:.1f}", **keys) -> str:
    """One number of a contest as words, or that there is none yet."""
    found = select(rows, metric=metric, **keys)
    return form(found.value.iloc[0]) if len(found) == 1 else MISSING


def faster(rows: pd.DataFrame, way: str, other: str) -> str:
    """How many times as fast one way of a contest is as another, by their median seconds, or that there are no
    rows yet."""
    seconds = select(rows, metric="seconds").set_index("variant").value
    return (f"{seconds[other] / seconds[way]:.1f}"
            if seconds.index.is_unique and {way, other} <= {*seconds.index} else MISSING)


def apart(rows: pd.DataFrame, way: str, other: str) -> str:
    """Whether a way beats the same without it: by the quartiles of the rounds, in words that go on after a colon."""
    found = select(rows, metric="speedup").set_index("variant")
    if not found.index.is_unique or not {way, other} <= {*found.index}:
        return MISSING
    a, b = found.loc[way], found.loc[other]
    if a.low > b.high or a.high < b.low:
        return "they save time" if a.low > b.high else "they cost time"
    return "in time they bring no more than the spread of the rounds"


def whole(value: float) -> str:
    """A fraction in whole per cent."""
    return percent(value, 0)


def rounds_of(rows: pd.DataFrame) -> str:
    """Over how many rounds the times of these contests were taken: "3", or "3 to 21"."""
    found = rows[rows.metric == "seconds"].n.astype(float)
    return span(found.min(), found.max(), "{:.0f}".format) if len(found) else MISSING


def panels(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Growth: a frame for each axis, and one of memory, with columns way, count, value, low, high (ms an image; MB,
    measured once, so without low and high)."""
    parts = rows.variant.str.rsplit(": ", n=1, expand=True)
    rows = rows.assign(way=parts[0], count=parts[1].astype(int)) if len(rows) else rows.assign(way="", count=0)
    seconds, memory = (rows[rows.metric == metric] for metric in ("seconds", "memory"))
    seconds = seconds.assign(**{name: 1e3 * seconds[name] for name in ("value", "low", "high")})
    found = {axis: select(seconds, **{"class": axis}) for axis in ("images", "samples", "classes")}
    return found | {"images ": memory}


def grown(panel: pd.DataFrame, what: str, ways: dict[str, str]) -> str:
    """How many times as long one image takes at the greatest count of a panel of `panels` as at the smallest, and of
    this from the last count but one, of the counts that all ways have: "from 1 to 20 samples 8.6 times with ours and
    7.7 times the plain way (...)".

    what: is counted. ways: how a way is called -> its name in the panel.
    """
    found = {words: panel[panel.way == way].set_index("count").value.sort_index() for words, way in ways.items()}
    counts = sorted(set.intersection(*(set(one.index) for one in found.values())))
    if len(counts) < 2:
        return MISSING
    whole = " and ".join(f"{one[counts[-1]] / one[counts[0]]:.1f} times {words}" for words, one in found.items())
    late = " and ".join(f"{one[counts[-1]] / one[counts[-2]]:.1f}" for one in found.values())
    return f"from {counts[0]} to {counts[-1]} {what} {whole} (from {counts[-2]} to {counts[-1]}: {late} times)"


def _text(row) -> str:
    return {"seconds": lambda: interval(1e3 * row.value, 1e3 * row.low, 1e3 * row.high, _three),
            "speedup": lambda: interval(row.value, row.low, row.high, _three),
            "rate": lambda: interval(row.value / 1e9, row.low / 1e9, row.high / 1e9, lambda value: f"{value:.0f}"),
            "share": lambda: interval(row.value, row.low, row.high, whole),
            "memory": lambda: f"{row.value:.0f}",
            "accuracy": lambda: f"{percent(row.value)} of {row.n:.0f}"}[row.metric]()


def _three(value: float) -> str:
    """Three figures, without an exponent."""
    return f"{float(f'{value:.3g}'):g}"
