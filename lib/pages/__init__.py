"""What every page does first (`begin`) and says under its results (`origin`). `python -m lib.pages` runs pages."""

from dataclasses import dataclass

from IPython.display import HTML, display

from lib.pages import parameters
from lib.pages.source import duration, origin

__all__ = ["Page", "begin", "duration", "origin"]

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
