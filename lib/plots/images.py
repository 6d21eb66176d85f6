"""Grids of images with names along both edges, and nothing between the pixels and the reader."""

import numpy as np
from matplotlib.figure import Figure

from lib.plots.palette import FAINT, INK, Plate, blank, styled


@styled
def grid(images, rows: list[str], columns: list[str], captions=None, flagged=None, title: str = "") -> Figure:
    """Draw `images[row][column]`, each (H, W) in [0, 1] or uint8, grey; None leaves a place empty.

    captions: text under each image, such as the predicted class. flagged: bool of the same shape; flagged images get a
    red frame, the way the paper marks ambiguous digits.
    """
    if not len(rows) or not len(columns):
        return blank("no images are stored yet")
    side = min(0.78, 5.7 / len(columns))
    room = max(0.72, 0.09 * max(len(line) for name in rows for line in name.split("\n")))   # for the names on the left
    tall, wide = side + (0.24 if captions is not None else 0.04), max(2.4, room + len(columns) * (side + 0.04))
    figure = Plate(figsize=(wide, len(rows) * tall + 0.42 + (0.3 if title else 0)), layout="constrained")
    figure.dots, figure.colours, figure.octree = 84, 40, True      # enough for 28 grey pixels across, and lighter
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0.01, hspace=0.01, rect=(0.008, 0.006, 0.984, 0.988))
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for i, name in enumerate(rows):
        for j, above in enumerate(columns):
            axis = axes[i][j]
            axis.set(xticks=[], yticks=[])
            place(axis, images[i][j], flagged is not None and flagged[i][j])
            if captions is not None:
                axis.set_xlabel(captions[i][j], fontsize=9.5, labelpad=2.8)     # below the frame
            if i == 0:
                axis.set_title(above, fontsize=10.5, fontweight="normal", loc="center", pad=3)
            if j == 0:
                axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10.5, labelpad=4)
    if title:
        figure.suptitle(title, fontsize=11.5, x=0.01, ha="left")
    return figure


def place(axis, image, framed: bool) -> None:
    """One image into one axis; a full scale is fixed so that a faint image looks faint."""
    for spine in axis.spines.values():
        spine.set(visible=True, color="#c4412f" if framed else FAINT, linewidth=2.6 if framed else 0.5)
    if image is None:
        axis.set_box_aspect(1)
        axis.text(0.5, 0.5, "–", transform=axis.transAxes, ha="center", va="center", color=INK)
        return
    image = np.asarray(image)
    top = 255 if image.dtype == np.uint8 else 1
    axis.imshow(image, cmap="gray", vmin=0, vmax=top, interpolation="nearest")
