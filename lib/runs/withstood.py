"""What a model withstands at most: the worst of several attacks image by image, and with its noise held fixed.

Nothing is attacked here: every function takes stored outcomes (`lib.runs.differences.stored`) or rows.
"""

import numpy as np
import pandas as pd

from lib import metrics, tables
from lib.models.graphs import GRAPHS
from lib.runs.outcomes import Pooled

GENERATIVE = tuple(name for name, graph in GRAPHS.items() if graph.generative)


def fixed_beside_fresh(fixed: list[Pooled], fresh: dict[str, list[Pooled]]) -> pd.DataFrame:
    """Accuracy with noise held fixed and with noise drawn afresh, on the images and at the eps that all records have.

    fixed: groups of `lib.runs.referee`, of which models with noise count. fresh: attack -> groups. A line for each
    model and way of asking: columns model, eps, noise ("fixed" or "fresh"), attack, value, low, high, n.
    """
    lines = []
    for group in fixed:
        for number, cell in enumerate(group.settings["cells"]):
            theirs = {attack: [(g, k) for g in groups if g.settings["model"] == group.settings["model"]
                               for k, other in enumerate(g.settings["cells"]) if np.isclose(other["eps"], cell["eps"])]
                      for attack, groups in fresh.items()} if "eps" in cell else {}
            if not theirs or not all(theirs.values()):
                continue
            asked = [("fixed", cell["variant"], group, number),
                     *(("fresh", name, *found[0]) for name, found in theirs.items())]
            common = sorted(set.intersection(*(set(g["index"].tolist()) for *_, g, _ in asked)))
            for noise, name, g, k in asked:
                share = metrics.correct(g["predictions"][k], g["label"])[np.isin(g["index"], common)]
                low, high = metrics.wilson(share.mean(), len(share))
                lines.append({"model": g.settings["model"], "eps": cell["eps"], "noise": noise, "attack": name,
                              "value": share.mean(), "low": low, "high": high, "n": len(share)})
    table = pd.DataFrame(lines, columns=["model", "eps", "noise", "attack", "value", "low", "high", "n"])
    return table.drop_duplicates(["model", "eps", "noise", "attack"])


def noise_in_words(noise: pd.DataFrame, draws: int | str, little: float = 0.1) -> str:
    """What our strong protocol leaves of each model of `fixed_beside_fresh` when it draws afresh, and when its noise
    is fixed.

    draws: over how many the attack averages its gradient. little: a difference that needs no explanation.
    """
    found = []
    for (model, eps), rows in noise.groupby(["model", "eps"]):
        fresh, fixed = (rows[(rows.noise == kind) & (rows.attack == name)]
                        for kind, name in (("fresh", "strong"), ("fixed", "ours")))
        if len(fresh) and len(fixed):
            a, b = fresh.iloc[0], fixed.iloc[0]
            why = (f": either the attack averages too few draws ({draws}), or the noise is the defence"
                   if a.value - b.value > little else "")
            found.append(f"On the same {a.n} images at eps {eps:g}, under our strong protocol, {model} keeps "
                         f"{tables.cell(a)} when it draws afresh and {tables.cell(b)} when its draws are fixed{why}.")
    return " ".join(found) or "No records of fresh noise at the same eps exist yet."
