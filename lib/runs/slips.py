"""What slips through: attacks compared on the same images, and what the images that deceive are taken for."""

import numpy as np
import pandas as pd

from lib.metrics import paired_difference, wilson
from lib.runs.reject import SYSTEMS, reading
from lib.runs.views import Bench, lost
from lib.tables import MISSING, interval, listed


def shared_error(of: Bench, model: str, words: str, eps: float, rejected: float, per_class: bool = False
                 ) -> tuple[float, float, float]:
    """The error under one attack on the images that every attack at this radius got, as in the worst case;
    low, high."""
    found = lost(of, model, words, eps, rejected, per_class)
    if found is None:
        return np.nan, np.nan, np.nan
    found = found[:of.shared(eps)]
    return (float(found.mean()), *wilson(found.mean(), len(found)))


def harder(of: Bench, model: str, words: str, other: str, eps: float,
           rejected: float) -> tuple[float, float, float, int]:
    """How much more a system errs under an attack than under another, paired over the images of both; low, high, n."""
    one, two = (lost(of, model, name, eps, rejected) for name in (words, other))
    if one is None or two is None:
        return np.nan, np.nan, np.nan, 0
    n = min(len(one), len(two))
    return (*paired_difference(one[:n], two[:n]), n)


def hardest_in_words(of: Bench, model: str, words: list[str], eps: float,
                     shares: tuple[float, ...] = (0.01, 0.05)) -> str:
    """Which of some attacks make the largest error where these shares are refused, on the images that all of them got:
    "a at 1 % and b at 5 %", or "a, at 1 % and at 5 %" where it is the same."""
    top = {}
    for share in shares:
        found = {name: wrong for name in words if (wrong := lost(of, model, name, eps, share)) is not None}
        n = min(map(len, found.values()), default=0)
        errors = {name: wrong[:n].mean() for name, wrong in found.items()}
        most = [name for name, error in errors.items() if error == max(errors.values())]
        top[f"at {100 * share:g} %"] = listed(most, MISSING)
    if len(set(top.values())) == 1:
        return f"{next(iter(top.values()))}, {listed(list(top))}"
    return listed([f"{words} {place}" for place, words in top.items()])


def together(of: Bench, groups: list[tuple[str, ...]], eps: float, shares: tuple[float, ...] = (0.01, 0.05),
             models: tuple[str, ...] = SYSTEMS[:2]) -> pd.DataFrame:
    """Errors of attacks as text, a line an attack, each group of them on the images that all of the group got.

    groups: words of attacks. shares: of rejected natural images, a column for each model and share; n: the images.
    """
    lines: dict[str, dict] = {}
    for words in groups:
        found = {(name, model, share): wrong for name in words for model in models for share in shares
                 if (wrong := lost(of, model, name, eps, share)) is not None}
        n = min(map(len, found.values()), default=0)
        for (name, model, share), wrong in found.items():
            error = float(wrong[:n].mean())
            line = lines.setdefault(name, {"n": n})
            line[f"{model.removeprefix('GAT-')}, {share:.0%}"] = interval(error, *wilson(error, n))
    if not lines:
        return pd.DataFrame([[MISSING]], index=[""], columns=[""])
    columns = [f"{model.removeprefix('GAT-')}, {share:.0%}" for model in models for share in shares]
    return pd.DataFrame(lines).T[[*columns, "n"]].rename_axis("loss")


def taken_for(of: Bench, model: str, words: str, eps: float, rejected: float, most: int = 2) -> str:
    """Of the images that a system misreads and accepts under an attack: how many, and as which classes most of them
    are read, in words."""
    wrong = lost(of, model, words, eps, rejected)
    if wrong is None:
        return MISSING
    counts = np.bincount(reading(of.at(eps)[words], model)[0][wrong])
    top = [k for k in np.argsort(-counts, kind="stable")[:most] if counts[k]]
    said = listed([f"{counts[k]} as {k}" for k in top])
    return f"of the {wrong.sum()} of {len(wrong):,} images that it misreads and accepts, it reads {said}"
