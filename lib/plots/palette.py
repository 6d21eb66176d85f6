"""How a model looks in every figure: family by hue, model by shade and marker, bottleneck by a dashed line.

Generative models are warm (detectors trained generatively among them), discriminative latent-variable models cool,
baselines grey-green. No two models share a
marker, so that a figure can be read without colour. The ground is a warm near-white of its own, never transparent:
figures keep their contrast on a dark page and on paper. Widths are chosen for a phone: 6.4 inches with 11 points
leave about 9 pixels of text height on a screen 360 pixels wide.
"""

import functools
import io

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

GROUND, INK, FAINT = "#fbfaf6", "#26241f", "#8d897f"
CLASSES = ("#c4412f", "#2f6db3")  # the two classes of the toy, red and blue as in the paper

LOOKS = {  # colour, marker, line style
    "GFZ": ("#d1452c", "o", "-"),
    "GFY": ("#e58a1f", "s", "-"),
    "GBZ": ("#7d1d3f", "D", "--"),
    "GBY": ("#b5890f", "^", "--"),
    "GAT": ("#c2185b", "p", "-"),
    "GAT-generative": ("#a0522d", "<", "-"),
    "GAT-integrated": ("#e0708a", ">", "--"),
    "DFX": ("#1d6fb8", "v", "-"),
    "DFZ": ("#35a3b8", "P", "-"),
    "DBX": ("#3b3a94", "X", "--"),
    "BNN": ("#5f8566", "h", ":"),
    "CNN": ("#7d8580", "*", ":"),
    "Madry": ("#54695c", "H", ":"),
    "ordinary": ("#6f6a60", "d", ":"),
    "ordinary-long": ("#94907f", "8", "-."),
}
NAMES = {"fgsm": "FGSM", "pgd": "PGD", "mim": "MIM", "cw": "CW", "clean": "clean", "marginal": "marginal",
         "logit": "logit", "kl": "KL", "tv": "TV", "all": "all together", "joint": "any detector", "strong": "strong",
         "linf0.3": "l∞ 0.3", "linf0.5": "l∞ 0.5", "l2-2.5": "l2 2.5", "l2-5.0": "l2 5.0"}
SEABORN = {     # its style "ticks" in the context "paper" at 1.2, written out: to import it costs every page a second
    "font.family": ["sans-serif"], "font.size": 11.52, "legend.title_fontsize": 11.52,
    "font.sans-serif": ["Arial", "DejaVu Sans", "Liberation Sans", "Bitstream Vera Sans", "sans-serif"],
    "axes.axisbelow": True, "axes.linewidth": 1.0, "lines.solid_capstyle": "round", "lines.markersize": 4.8,
    "grid.linestyle": "-", "patch.edgecolor": "w", "patch.force_edgecolor": True, "patch.linewidth": 0.8,
    **{f"{axis}tick.{name}": value for axis in "xy" for name, value in {
        "direction": "out", "major.width": 1.0, "minor.width": 0.8, "major.size": 4.8, "minor.size": 3.2}.items()},
}
RC = {
    **SEABORN,
    "figure.facecolor": GROUND, "axes.facecolor": GROUND, "savefig.facecolor": GROUND,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK,
    "axes.titlelocation": "left", "axes.titlesize": 11.5, "axes.titleweight": "bold", "axes.labelsize": 11,
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#e4e0d6", "grid.linewidth": 0.8,
    "xtick.labelsize": 10.5, "ytick.labelsize": 10.5, "legend.fontsize": 10.5, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 120, "lines.linewidth": 1.8,
}


def look(model: str) -> dict:
    """Keywords for `Axes.plot`: colour, marker and line style of a model. ValueError for a model without a look."""
    if model not in LOOKS:
        raise ValueError(f"no colour is set for model {model!r}; known: {', '.join(LOOKS)}")
    color, marker, linestyle = LOOKS[model]
    return {"color": color, "marker": marker, "linestyle": linestyle, "markersize": 8 if marker in "PX*" else 6,
            "markeredgecolor": GROUND, "markeredgewidth": 0.7, "label": model}


def ordered(models) -> list[str]:
    """The given models once each, in the order of the palette: generative, discriminative, baselines."""
    present = set(models)
    return [name for name in LOOKS if name in present] + sorted(present - set(LOOKS))


class Plate(Figure):
    """A figure that a notebook shows as a small PNG of its own making, whatever plotting backend the kernel has."""

    dots, colours = 108, 128                    # an inch and in all, in a notebook: as wide as the text of a page
    octree = False                              # a coarser palette: a fifth lighter, and too coarse for colour maps

    def savefig(self, *args, **kwargs) -> None:
        with mpl.rc_context(RC):                # ticks are made when they are drawn: keep the style in force until then
            super().savefig(*args, **kwargs)

    def _repr_png_(self) -> bytes:
        return encode(self, dpi=self.dots, colours=self.colours, octree=self.octree)


def styled(draw):
    """Run `draw` (which returns a Figure) under the book's style, without touching matplotlib's global settings."""

    @functools.wraps(draw)
    def wrapped(*args, **kwargs) -> Figure:
        with mpl.rc_context(RC):
            return draw(*args, **kwargs)

    return wrapped


def blank(message: str) -> Figure:
    """A strip that says in words why there is no figure yet."""
    figure = Plate(figsize=(6.4, 0.8))
    figure.text(0.02, 0.5, message, va="center", style="italic", color=INK, fontsize=11)
    return figure


def encode(figure: Figure, kind: str = "png", dpi: int = 90, colours: int = 255, octree: bool = False) -> bytes:
    """The figure as bytes of a small image: `png` on a palette of `colours`, or `webp` for the frames of a slider.

    A palette makes a page about three times lighter; with far fewer colours the lines of a family run into one another.
    """
    from PIL import Image

    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=dpi)
    image = Image.open(raw).convert("RGB")
    if kind == "webp":
        image.save(small, format="webp", quality=82, method=6)
    else:
        method = Image.Quantize.FASTOCTREE if octree else Image.Quantize.MEDIANCUT
        _reduced(image, colours, method).save(small, format="png", optimize=True)
    return small.getvalue()


def _reduced(image, colours: int, method: int, reserved: int = 32, apart: int = 40):
    """The image on a palette, in which the commonest colours that lie apart from each other keep a place of their own:
    a cut by counts alone would give the colour of a thin line to its neighbours."""
    from PIL import Image

    pixels = np.asarray(image).reshape(-1, 3).astype(np.int32)
    seen, where, counts = np.unique(pixels @ [65536, 256, 1], return_inverse=True, return_counts=True)
    seen = np.stack([seen >> 16, seen >> 8 & 255, seen & 255], axis=1)
    kept: list[np.ndarray] = []
    for colour in seen[np.argsort(-counts, kind="stable")[:4_000]]:
        if all(((colour - other) ** 2).sum() >= apart**2 for other in kept):
            kept.append(colour)
        if len(kept) == min(reserved, colours // 2):
            break
    rest = image.quantize(colours - len(kept), method=method, dither=Image.Dither.NONE).getpalette()
    palette = np.array([*kept, *np.reshape(rest[:3 * (colours - len(kept))], (-1, 3))], np.int32)
    nearest = np.concatenate([((part[:, None] - palette) ** 2).sum(2).argmin(1) for part in np.array_split(
        seen, 1 + len(seen) // 4_000)])
    small = Image.frombytes("P", image.size, nearest[where].astype(np.uint8).tobytes())
    small.putpalette(palette.astype(np.uint8).tobytes())
    return small
