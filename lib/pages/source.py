"""Where the rows of a page come from: what made them, when, from which code and data, and how long it took."""

from html import escape
from pathlib import Path

import pandas as pd
from IPython.display import HTML

from lib.results import RESULTS, read_settings


def origin(*frames: pd.DataFrame, results: Path | None = None) -> HTML:
    """A line for each experiment among the rows of a page: records, dates, time of computing, device, format of its
    products (`lib.arithmetic`) and code.

    Dates are those of the records that the rows were computed from. Data that is JPEG, or of unknown source, is
    declared: numbers on it do not compare with those on original pixels. No rows at all: a sentence that says so.
    """
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return HTML('<div class="book-origin">No rows yet at this profile and seed.</div>')
    rows = pd.concat(frames)
    lines = "".join(_line(name, part, results) for name, part in rows.groupby("experiment", sort=False))
    head = "".join(f"<th>{name}" for name in ("rows of", "records", "made on", "in", "on", "multiplying in", "by code"))
    return HTML(f'<div class="book-origin"><table><thead><tr>{head}<tbody>{lines}</table>'
                f"<p>Profile {_list(rows.profile)}. {_pixels(rows.data)}</p></div>")


def duration(seconds: float) -> str:
    """A length of time for people: "7 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _line(experiment: str, rows: pd.DataFrame, results: Path | None) -> str:
    behind = _behind(experiment, rows, Path(results or RESULTS))
    taken = sum(one.get("seconds", 0.0) for one in behind)
    dates = sorted(run.get("date", "") for one in behind for run in one.get("runs", [one]))     # of a grown record all
    devices, formats, codes = (pd.Series([one for joined in rows[name] for one in joined.split("+")])
                               for name in ("device", "dtype", "commit"))
    cells = [escape(experiment), len(behind) or "–", _span(dates), duration(taken) if behind else "–",
             _list(devices), _list(formats) or "–", _list(codes) or "of no commit"]
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells)


def _behind(experiment: str, rows: pd.DataFrame, results: Path) -> list[dict]:
    """The settings of the records behind some rows.

    A record that names no model has rows of several, and one of "GAT" those of the systems made of it, such as
    "GAT-generative".
    """
    found = [read_settings(path) for profile in set(rows.profile)
             for path in (results / profile / experiment).glob("*.npz")]
    seeds, models = set(rows.seed.dropna().astype(int)), set(rows.model)
    models |= {model.split("-")[0] for model in models}
    return [one for one in found
            if one.get("seed") in seeds and one.get("model", next(iter(models), "")) in models]


def _span(dates: list[str]) -> str:
    ends = sorted({date for date in dates if date})
    return " to ".join(dict.fromkeys([ends[0], ends[-1]])) if ends else "–"


def _list(values: pd.Series) -> str:
    return escape(", ".join(sorted(set(values) - {""})))


def _pixels(sources: pd.Series) -> str:
    known = sorted(set(sources) - {""})
    said = f"Data: {escape(', '.join(known)) or 'of unknown source'}."
    if not known or any("unknown" in source.lower() for source in known):
        return said + " <b>Whether these are the original pixels is not known.</b>"
    if any("jpeg" in source.lower() for source in known):
        return said + " <b>These pixels went through JPEG: not strictly comparable with the originals.</b>"
    return said
