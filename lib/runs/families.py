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


def shown(groups: Sequence[Pooled], radii: Sequence[float] = (0.1, 0.2, 0.3)) -> pd.DataFrame:
    """What `paired` says, as text: a line for each of `radii` at which both families have models. May be empty.

    Columns: the lowest and highest accuracy of either family; how many of the differences lie surely above zero, and
    from which models none does; how many surely below; n.
    """
    lines = {}
    for eps in radii:
        found = paired(groups, eps)
        if found.empty:
            continue
        above, below = found[found.low > 0], found[found.high < 0]
        open_ = [other for other in MODELS if other in set(found.other) - set(above.other)]
        lines[f"{eps:g}"] = {
            "generative keep": tables.span(found.left.min(), found.left.max()),
            "others keep": tables.span(found.right.min(), found.right.max()),
            "surely above zero": f"{len(above)} of {len(found)}" + (
                f" (none from {tables.listed(open_)})" if len(above) and open_ else ""),
            "surely below": len(below), "n": int(found.n.iloc[0])}
    return pd.DataFrame(lines).T.rename_axis("eps") if lines else pd.DataFrame()


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
    return (f"a network trained against PGD at {eps:g} keeps {kept} of {int(line.n):,} images at that radius, under "
            "another attack")
