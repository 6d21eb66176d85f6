"""Node-and-arrow pictures of the factorisations, drawn from the table of graphs and nothing else."""

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from lib.plots.palette import FAINT, GROUND, INK, LOOKS, Plate, blank, styled

PLACES = {"z": (0.5, 0.86), "y": (0.12, 0.2), "x": (0.88, 0.2)}


@styled
def factorisations(graphs: dict, columns: int = 4) -> Figure:
    """One small diagram a graph: an arrow from each parent, a double ring around the root, x hatched where it is given.

    graphs: name -> an object with fields z, y, x that hold the parents ("" = root, None = not modelled).
    """
    if not graphs:
        return blank("no graphs to draw")
    lines = -(-len(graphs) // columns)
    figure = Plate(figsize=(6.4, 1.85 * lines), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.985))           # room above the names
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (name, graph) in zip(axes, graphs.items()):
        axis.set(xlim=(-0.1, 1.1), ylim=(-0.05, 1.35), aspect="equal")
        axis.set_title(name, loc="center", color=LOOKS[name][0], fontsize=13, y=0.88)
        diagram(axis, graph, LOOKS[name][0])
    return figure


def diagram(axis, graph, colour: str) -> None:
    """Three nodes at fixed places, so that only the arrows differ between models."""
    radius = 0.17
    for child in PLACES:
        for parent in getattr(graph, child) or "":
            axis.add_patch(FancyArrowPatch(PLACES[parent], PLACES[child], arrowstyle="-|>", mutation_scale=15,
                                           color=colour, linewidth=2, shrinkA=17, shrinkB=18, zorder=1))
    for node, (across, up) in PLACES.items():
        parents = getattr(graph, node)
        given = parents is None
        axis.add_patch(Circle((across, up), radius, facecolor="#e9e5da" if given else GROUND, zorder=2,
                              edgecolor=FAINT if given else colour, linewidth=1.6, linestyle="--" if given else "-"))
        if parents == "":
            axis.add_patch(Circle((across, up), radius - 0.035, fill=False, edgecolor=colour, linewidth=1, zorder=3))
        axis.text(across, up - 0.01, node, ha="center", va="center", style="italic", fontsize=13, color=INK, zorder=4)
