"""What every page does first (`begin`) and says under its results (`origin`). `python -m lib.pages` runs pages."""

from dataclasses import dataclass

import pandas as pd
from IPython.display import HTML, display

from lib.pages import parameters

SMOKE = ("<b>Profile smoke.</b> This copy proves that the machinery runs: tiny stand-in data, hardly any training. "
         "Its numbers mean nothing and no verdict is drawn from them.")


@dataclass(frozen=True)
class Page:
    """The parameters that every page has, checked."""

    profile: str
    seed: int
    device: str

    @property
    def judges(self) -> bool:
        """Whether verdicts may be drawn: never from a smoke run."""
        return self.profile != "smoke"


def begin(scope: dict) -> Page:
    """Check a page's parameters: call it as `pages.begin(globals())` in the cell after them.

    A value must fit its annotation, and a plain value without one is a parameter that the page does not have. Whole
    numbers given for a float become floats. On a smoke run it shows a banner. Raises parameters.Wrong (a ValueError)
    naming the value, what was expected and how to mend it.
    """
    parameters.check(scope)
    page = Page(scope["profile"], scope["seed"], scope["device"])
    if not page.judges:
        display(HTML(f'<div class="book-smoke">{SMOKE}</div>'))
    return page


def origin(rows: pd.DataFrame) -> HTML:
    """One line on where rows come from: profile, device, code, time of computing, data. Raises ValueError for no rows.

    Data that is JPEG, or of unknown source, is declared: numbers on it do not compare with those on original pixels.
    """
    if rows.empty:
        raise ValueError("there are no rows to say the origin of; compute them first, or check the keys that select them")
    profiles, devices, commits, data = (sorted(set(rows[c]) - {""}) for c in ("profile", "device", "commit", "data"))
    parts = [f"profile {', '.join(profiles)}", *devices, f"code {', '.join(commits) or 'of no commit'}",
             f"computed in {duration(_seconds(rows))}", f"data: {', '.join(data) or 'of unknown source'}"]
    if not data or any("unknown" in source.lower() for source in data):
        parts.append("<b>whether these are the original pixels is not known</b>")
    elif any("jpeg" in source.lower() for source in data):
        parts.append("<b>these pixels went through JPEG: not strictly comparable with the originals</b>")
    return HTML(f'<div class="book-origin">Rows: {" · ".join(parts)}</div>')


def _seconds(rows: pd.DataFrame) -> float:
    """Time of all units: each row carries that of its unit, and a unit has one model, attack and seed."""
    unit = [c for c in ("experiment", "model", "variant", "attack", "source", "seed", "protocol") if c in rows]
    return rows.drop_duplicates([*unit, "seconds"])["seconds"].sum()


def duration(seconds: float) -> str:
    """A length of time for people: "7 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
