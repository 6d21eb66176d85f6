"""The two systems of detectors beside Madry's network where all three are right on equally many natural images."""

from statistics import median_low

import numpy as np
import pandas as pd

from lib import tables
from lib.metrics import paired_difference, wider, wilson
from lib.profiles import DETECTORS
from lib.results import Record
from lib.runs.reject import REJECTED, SYSTEMS, fitted, reading
from lib.runs.views import Bench, hardest

SHORT = dict(zip(SYSTEMS, ("integrated", "generative", "Madry")))


def at_equal_accuracy(of: Bench, eps: float, single: bool = False) -> pd.DataFrame:
    """Errors of the systems in the worst case, each at the threshold that leaves as many natural test images read right
    and accepted as Madry's network has without one, and where it refuses 1 % and 5 %.

    single: without the dear attacks that got fewer images than most, so on more images. Columns: accuracy; a column a
    system; for both systems of detectors how much more they err than Madry's network, paired, with low and high; n.
    """
    lines, tops = [], _tops(of, eps, single)
    for rejected in REJECTED if tops else ():
        right, accepted = fitted(of.natural["validation"], "Madry", rejected)(of.natural["clean"])
        line = {"accuracy": float((right & accepted).mean())}
        wrong = {model: top >= _threshold(of.natural["clean"], model, line["accuracy"]) for model, top in tops.items()}
        line |= {model: found.mean() for model, found in wrong.items()} | {"n": len(wrong["Madry"])}
        for model in SYSTEMS[:2]:
            line |= dict(zip((f"more {model}", f"low {model}", f"high {model}"),
                             paired_difference(wrong[model], wrong["Madry"])))
        lines.append(line)
    return pd.DataFrame(lines)


def recipe(profile: str, name: str = "Madry") -> str:
    """How Madry's network or f is trained, in words, beside the published training where that is another."""
    def said(profile: str) -> str:
        settings = DETECTORS[profile]
        training, inner, ramp = (settings.robust if name == "Madry" else settings.classifier, settings.robust_inner,
                                 settings.robust_ramp)
        rate = "a rate of" if training.schedule == "constant" else "a one-cycle rate up to"
        attack = (f" under {inner.steps} PGD steps of {inner.step_size:g} at radius {inner.eps:g}"
                  + (f", which grows over the first {ramp:,}" if ramp else ""))
        return (f"{training.updates:,} updates of {training.batch} images at {rate} {training.rate:g}"
                + (attack if name == "Madry" else ""))
    return said(profile) if said(profile) == said("paper") else f"{said(profile)} (published: {said('paper')})"


def _tops(of: Bench, eps: float, single: bool) -> dict[str, np.ndarray]:
    """Of each image the highest score under which a system misreads it, by system; {} without attacks."""
    attacked = of.within(eps) if of.ready else []
    if single and attacked:
        many = median_low(len(record["label"]) for record in attacked)
        attacked = [record for record in attacked if len(record["label"]) >= many]
    return {model: hardest(attacked, model) for model in SYSTEMS} if attacked else {}


def beside_the_ring(of: Bench, eps: float, accuracy: float, error: float) -> str:
    """The errors of both systems of detectors at the accuracy that is printed for Madry's network, beside the error
    that is printed with it, in words; without the dear attacks that got fewer images than most."""
    tops = _tops(of, eps, single=True)
    if not tops:
        return tables.MISSING
    said = []
    for model in SYSTEMS[:2]:
        wrong = tops[model] >= _threshold(of.natural["clean"], model, accuracy)
        said.append(f"the {SHORT[model]} system errs on "
                    f"{tables.interval(wrong.mean(), *wilson(wrong.mean(), len(wrong)))}")
    return (f"{' and '.join(said)} of {len(wrong):,} images in the worst of these attacks, that network in print on "
            f"{tables.percent(error)} of other images under one weaker attack")


def _threshold(clean: Record, model: str, accuracy: float) -> float:
    """The largest score at which a system still reads and accepts this share of natural images (all it can,
    if less; infinite for none)."""
    read, score = reading(clean, model)
    kept = np.sort(score[read == clean["label"]])[::-1]
    count = min(round(accuracy * len(read)), len(kept))
    return float(kept[count - 1]) if count else np.inf


def widened(found: pd.DataFrame) -> pd.DataFrame:
    """What `at_equal_accuracy` says, with intervals for so many comparisons (Bonferroni), of which any may decide."""
    times = wider(2 * len(found))
    found = found.copy()
    for model in SYSTEMS[:2] if len(found) else ():
        low, high = found[f"low {model}"], found[f"high {model}"]
        centre, reach = (low + high) / 2, (high - low) / 2 * times
        found[f"low {model}"], found[f"high {model}"] = centre - reach, centre + reach
    return found


def lines(found: pd.DataFrame) -> pd.DataFrame:
    """What `at_equal_accuracy` says, as text: a line an accuracy; errors in per cent, and how many points more the two
    systems of detectors err than Madry's network, with its interval, `widened`. Index: natural accuracy and n. May be
    empty."""
    text = {f"{tables.percent(line['accuracy'])}, n {line['n']:.0f}":
            {("error, %", SHORT[model]): tables.bare_points(line[model]) for model in SYSTEMS}
            | {("points more than Madry", SHORT[model]):
               tables.interval(*(line[f"{part} {model}"] for part in ("more", "low", "high")), tables.bare_points)
               for model in SYSTEMS[:2]}
            for line in widened(found).to_dict("records")}
    return pd.DataFrame(text).T if text else pd.DataFrame()


def tally(*found: pd.DataFrame) -> str:
    """Of one or several of `at_equal_accuracy`: in how many comparisons the systems of detectors err significantly less
    or more than Madry's network, by intervals that are `widened` for all of them, in a sentence."""
    lines = widened(pd.concat(found))
    if lines.empty:
        return f"{tables.MISSING.capitalize()}."
    less, more = (sum(int(there.sum()) for there in each) for each in (
        [lines[f"high {model}"] < 0 for model in SYSTEMS[:2]], [lines[f"low {model}"] > 0 for model in SYSTEMS[:2]]))
    return (f"Of {2 * len(lines)} comparisons at equal natural accuracy the detectors err significantly less than this "
            f"robust network in {less or 'none'}, significantly more in {more or 'none'}.")


def in_words(found: pd.DataFrame) -> str:
    """What `at_equal_accuracy` says: which system errs surely more or less than Madry's network, at each accuracy, by
    intervals that are `widened`."""
    said = []
    for line in widened(found).to_dict("records"):
        words = {model.removeprefix("GAT-"): "more" if line[f"low {model}"] > 0
                 else "less" if line[f"high {model}"] < 0 else "" for model in SYSTEMS[:2]}
        sure = [f"{'both' if len(names) == 2 else f'the {names[0]} one'} significantly {word}"
                for word in ("more", "less") if (names := [name for name, is_word in words.items() if is_word == word])]
        said.append(f"at {tables.percent(line['accuracy'])} {' and '.join(sure) or 'no significant difference'}")
    return "; ".join(said) or tables.MISSING
