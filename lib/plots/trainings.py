"""What another training of the same model would give, drawn from a table with a column for each training seed."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lib.plots.curves import panels
from lib.plots.palette import NAMES, blank, look, ordered, styled


@styled
def by_training(table: pd.DataFrame) -> Figure:
    """Accuracy after each training: a panel for each attack and radius, a row for each model, a mark for each seed.

    table: index (model, attack, eps), columns seeds (int), values fractions in [0, 1]; as `lib.runs.spread.by_seed`.
    An upright line joins what the same images and the same attack leave of one model after its several trainings.
    """
    seeds = [name for name in table if isinstance(name, int)]
    kinds = dict.fromkeys(table.index.droplevel("model")) if len(table) else ()
    places = [(attack, eps) for attack, eps in kinds if attack != "clean"]
    if not places:
        return blank("no rows yet after trainings of other seeds")
    models = ordered(table.index.get_level_values("model").unique())[::-1]
    figure, axes = panels(len(places), legend=False, height=0.9 + 0.24 * len(models))
    figure.get_layout_engine().set(wspace=0.05, hspace=0.05)        # so that 100 % and 0 % of neighbours stay apart
    for axis, (attack, eps) in zip(axes, places):
        lines = table.xs((attack, eps), level=["attack", "eps"])[seeds]
        for model, values in lines.iterrows():
            row, paint = models.index(model), look(model)
            axis.hlines(row, values.min(), values.max(), color=paint["color"], linewidth=2.4, alpha=0.5)
            axis.plot(values, [row] * len(values), clip_on=False, **{**paint, "linestyle": "none", "markersize": 7})
        axis.set(title=f"{NAMES.get(attack, attack)}, eps {eps:g}", yticks=range(len(models)), yticklabels=models,
                 xlim=(0, 1))
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.grid(True, axis="both")
    for axis in axes[-2:]:
        axis.set_xlabel("accuracy")
    return figure
