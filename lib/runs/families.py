"""Are the generative models more robust than the others? Every pair of one and another, on the images that all have.

Nothing is attacked here: every function takes stored outcomes (`lib.runs.differences.stored`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib import metrics, tables
from lib.models import MODELS
from lib.runs.differences import shared_draws
from lib.runs.outcomes import Pooled
from lib.runs.withstood import GENERATIVE


def paired(groups: Sequence[Pooled], eps: float) -> pd.DataFrame:
    """Accuracy under one attack at one eps: every generative model against every other, paired.

    groups: outcomes of one attack, a group a model; those without a cell at eps are left out. Columns: generative,
    other (models), left, right (their accuracies), difference, low, high (95 %), n: the images that all groups have.
    """
    there = {group.settings["model"]: group for group in groups
             if any(np.isclose(cell.get("eps", np.nan), eps) for cell in group.settings["cells"])}
    if not there:
        return pd.DataFrame()
    common, draws = shared_draws(there, eps)
    right = {model: found.mean(-1) for model, found in draws.items()}
    pairs = [(one, other) for one in MODELS for other in MODELS
             if one in right and other in right and one in GENERATIVE and other not in GENERATIVE]
    return pd.DataFrame([{"generative": one, "other": other, "left": right[one].mean(), "right": right[other].mean(),
                          "n": len(common)}
                         | dict(zip(("difference", "low", "high"), metrics.paired_difference(right[one], right[other])))
                         for one, other in pairs])


def in_words(groups: Sequence[Pooled], radii: Sequence[float] = (0.1, 0.2, 0.3)) -> str:
    """What `paired` says at each of `radii` at which both families have models."""
    said, n = [], None
    for eps in radii:
        found = paired(groups, eps)
        if found.empty:
            continue
        n = int(found.n.iloc[0])
        above, below = found[found.low > 0], found[found.high < 0]
        ends = [tables.span(found[side].min(), found[side].max()) for side in ("left", "right")]
        sure = (f"all {len(found)} differences" if len(above) == len(found) else
                f"{len(above)} of {len(found)} differences" if len(above) else "no difference")
        text = (f"at {eps:g} they keep {ends[0]} and the others {ends[1]}; {sure} "
                f"{'lie' if len(above) > 1 else 'lies'} surely above zero"
                + (f", {len(below)} surely below" if len(below) else ""))
        open_ = [other for other in MODELS if other in set(found[found.low <= 0].other) - set(above.other)]
        said.append(text + (f" (none of those from {tables.listed(open_)})" if above.size and open_ else ""))
    if not said:
        return "There are no rows of both families yet to tell."
    return f"Every generative model against every other, paired over the first {n} images: {'. '.join(said)}.".replace(
        ". at", ". At")


def against_adversarial_training(rows: pd.DataFrame, eps: float = 0.3) -> str:
    """How a network trained against PGD (Madry's, of lib.runs.detection) stands at its own radius, for scale.

    rows: those of lib.runs.detection.
    """
    if not len(rows):
        return "No network trained against attacks has rows here yet."
    found = rows[(rows.metric == "error") & (rows.model == "Madry") & (rows.detector == "reject 0%")
                 & (rows.loss == "Madry (8)") & np.isclose(rows.eps, eps)]
    if found.empty:
        return "No network trained against attacks has rows here yet."
    line = found.iloc[0]
    kept = tables.interval(1 - line.value, 1 - line.high, 1 - line.low)
    return (f"a network trained against PGD at {eps:g} keeps {kept} of {int(line.n)} images at that radius, under "
            "another attack")
