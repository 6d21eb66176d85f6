"""What slips through: attacks compared on the same images, and what the images that deceive are taken for."""

import numpy as np
import pandas as pd

from lib.metrics import paired_difference, wilson
from lib.runs.reject import SYSTEMS, fitted, reading
from lib.runs.views import Bench, lost
from lib.tables import MISSING, interval, listed, percent


def shared_error(of: Bench, model: str, words: str, eps: float, rejected: float, per_class: bool = False
                 ) -> tuple[float, float, float]:
    """The error under one attack on the images that every attack at this radius got, as in the worst case;
    low, high."""
    found = lost(of, model, words, eps, rejected, per_class)
    if found is None:
        return np.nan, np.nan, np.nan
    found = found[:of.shared(eps)]
    return (float(found.mean()), *wilson(found.mean(), len(found)))


def apart(of: Bench, one: tuple[str, str], two: tuple[str, str], eps: float,
          rejected: float) -> tuple[float, float, float, int]:
    """How much more one system errs under its attack than another under its own, (model, words of the attack) each,
    paired over the images of both attacks; low, high, n."""
    found = [lost(of, model, words, eps, rejected) for model, words in (one, two)]
    if found[0] is None or found[1] is None:
        return np.nan, np.nan, np.nan, 0
    n = min(map(len, found))
    return (*paired_difference(found[0][:n], found[1][:n]), n)


def harder(of: Bench, model: str, words: str, other: str, eps: float,
           rejected: float) -> tuple[float, float, float, int]:
    """How much more a system errs under an attack than under another, paired over the images of both; low, high, n."""
    return apart(of, (model, words), (model, other), eps, rejected)


def easier(of: Bench, attacks: dict[str, str], eps: float, shares: tuple[float, ...] = (0.01, 0.05),
           way: str = ", best iterate") -> tuple[int, int, int]:
    """In how many cells (attack, system, share rejected) a system errs less under the best iterates of an attack than
    under its last, of how many, and how many of them are cells of a system that the attack was not aimed at.

    attacks: words of the last iterates -> the system that is aimed at.
    """
    cells = [(model != aim, harder(of, model, words + way, words, eps, share)) for words, aim in attacks.items()
             for model in SYSTEMS[:2] for share in shares]
    cells = [(transfer, less[0] < 0) for transfer, less in cells if less[3]]
    return sum(less for _, less in cells), len(cells), sum(less and transfer for transfer, less in cells)


def worst_share(of: Bench, model: str, eps: float, rejected: float, without: tuple[str, ...] = ()) -> float:
    """The error in the worst case, image by image, over all attacks in this ball but those of some losses, on the
    images that all of them got, those left out too. NaN without attacks."""
    found = [record for record in of.within(eps) if record.settings["loss"] not in without] if of.ready else []
    if not found:
        return np.nan
    judge, n = fitted(of.natural["validation"], model, rejected), of.shared(eps)
    wrong = [(~right & accepted)[:n] for right, accepted in map(judge, found)]
    return float(np.any(wrong, axis=0).mean())


def by_true_class(of: Bench, model: str, words: str, eps: float, rejected: float) -> str:
    """From which true class to which the error under an attack runs, in words."""
    wrong = lost(of, model, words, eps, rejected)
    if wrong is None:
        return MISSING
    label = of.at(eps)[words]["label"][:len(wrong)]
    shares = {k: wrong[label == k].mean() for k in np.unique(label).tolist()}
    least, most = min(shares, key=shares.get), max(shares, key=shares.get)
    return f"from {percent(shares[least], 0)} of the images of {least} to {percent(shares[most], 0)} of those of {most}"


def seen_alike(of: Bench, cases: dict[str, str], eps: float) -> dict:
    """On the images that two systems both misread, each under its own attack: in how many f, which was not attacked,
    sees the wrong class that a system sees. cases: two systems -> words of the attack on each.

    Returns {} without records, else n, a share for each system, and more, low and high: how much more often f agrees
    with the first, paired.
    """
    there = {model: of.at(eps).get(words) for model, words in cases.items()}
    if any(record is None for record in there.values()):
        return {}
    n = min(len(record["label"]) for record in there.values())
    read = {model: reading(record, model)[0][:n] for model, record in there.items()}
    both = np.all([read[model] != record["label"][:n] for model, record in there.items()], axis=0)
    if not both.any():
        return {}
    same = {model: (record["f"].argmax(1)[:n] == read[model])[both] for model, record in there.items()}
    more, low, high = paired_difference(*same.values())
    return {"n": int(both.sum()), "more": more, "low": low, "high": high} | {
        model: float(found.mean()) for model, found in same.items()}


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
