"""The point sets of Yin et al. (2020), appendix F, with their true densities: one on the line, four in the plane.

Positives are drawn in coordinates of their own and then mapped into the middle of the unit square ("scale" in
`SHAPES`); negatives are uniform around them. Generators and scales are those of the authors' public notebooks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray
from scipy.special import ndtr

from lib.models import stream

GAP = 0.05                      # in the plane no negative lies this near to the bounding box of the positives
HOLE = (0.3, 0.7)               # on the line none lies between these
REACH = 3.0                     # a blob's support ends at so many of its standard deviations
TURNS, THICK, SHRINK = 3 * np.pi, 0.5, 3.0      # spirals: the angle at their ends, the side of the blur, the divisor
ARM, BINS = 400_000, 2000       # points of an arm that stand for its curve, and the cells that they are counted in


@dataclass(frozen=True)
class Shape:
    """A distribution of positives. Either blobs (Gaussians of equal weight) or a `draw` with a `density`.

    centres (blob, dimension) and spread (blob): standard deviations. draw(rng, count) and density(points): in the
    shape's own coordinates too. scale: width that the positives get in the unit square; None: they stay where they are.
    """

    dimension: int
    scale: float | None = None
    centres: Shaped[ndarray, "blob axis"] | None = None
    spread: Float[ndarray, " blob"] | None = None
    draw: Callable[[np.random.Generator, int], ndarray] | None = None
    density: Callable[[ndarray], ndarray] | None = None

    def sample(self, rng: np.random.Generator, count: int) -> Float[ndarray, "point axis"]:
        """`count` points, as many of each blob. Raises ValueError for a count that the blobs cannot share."""
        if self.centres is None:
            return self.draw(rng, count)
        if count < 1 or count % len(self.centres):
            raise ValueError(f"{count} points cannot be shared by {len(self.centres)} blobs; expected a multiple")
        which = np.repeat(np.arange(len(self.centres)), count // len(self.centres))
        return self.centres[which] + self.spread[which, None] * rng.standard_normal((count, self.dimension))

    def at(self, points: Float[ndarray, "point axis"]) -> Float[ndarray, " point"]:
        """The density at points, in the shape's own coordinates."""
        if self.centres is None:
            return self.density(points)
        found = np.zeros(len(points))
        for centre, sd in zip(self.centres, self.spread):
            squares = np.square((points - centre) / sd).sum(1)
            found += np.exp(-squares / 2) / (np.sqrt(2 * np.pi) * sd) ** self.dimension / len(self.centres)
        return found

    def cells(self, edges: list[Float[ndarray, " edge"]]) -> Float[ndarray, " cell"]:
        """Probability of each cell of a grid: exact for blobs, which may be narrower than a cell. edges: along each
        axis, in the shape's own coordinates. The order of cells is that of rows, the first axis running fastest."""
        parts = [[np.diff(ndtr((axis - c) / sd)) for axis, c in zip(edges, centre)]
                 for centre, sd in zip(self.centres, self.spread)]
        return sum(one[0] if len(one) == 1 else np.outer(one[1], one[0]).ravel() for one in parts) / len(parts)

    def holds(self, points: Float[ndarray, "point axis"]) -> Bool[ndarray, " point"]:
        """Whether points lie in the support: within REACH deviations of a blob's centre, else where the density is
        not zero."""
        if self.centres is None:
            return self.density(points) > 0
        near = [np.square(points - centre).sum(1) <= (REACH * sd) ** 2 for centre, sd in zip(self.centres, self.spread)]
        return np.any(near, axis=0)


@dataclass(frozen=True)
class Points:
    """A training set in the unit interval or square. low, span: the map from the shape's coordinates, see `own`."""

    shape: Shape
    positives: Float[ndarray, "positive axis"]
    negatives: Float[ndarray, "negative axis"]
    low: float
    span: float

    def own(self, points: Float[ndarray, "*place"]) -> Float[ndarray, "*place"]:
        """Coordinates of the unit square in the shape's own coordinates."""
        return points if self.shape.scale is None else self.low + self.span * ((points - 0.5) / self.shape.scale + 0.5)

    @property
    def stretch(self) -> float:
        """How much longer a distance is in the shape's own coordinates."""
        return 1.0 if self.shape.scale is None else self.span / self.shape.scale

    def density(self, points: Float[ndarray, "point axis"]) -> Float[ndarray, " point"]:
        """The true density of positives over the unit interval or square."""
        return self.shape.at(self.own(points)) * self.stretch**self.shape.dimension

    def probabilities(self, side: int, ends: tuple[float, float] = (0, 1)) -> Float[ndarray, " cell"]:
        """The true distribution over a grid of `side` points between `ends` along each axis, row by row: sums to 1."""
        if self.shape.centres is None:
            found = self.density(grid_points(self.shape.dimension, side, ends))
        else:
            step = (ends[1] - ends[0]) / (side - 1)
            edges = self.own(np.linspace(ends[0] - step / 2, ends[1] + step / 2, side + 1))
            found = self.shape.cells([edges] * self.shape.dimension)
        return found / found.sum()

    def support(self, points: Float[ndarray, "point axis"]) -> Bool[ndarray, " point"]:
        """Whether points lie in the true support of the positives (`Shape.holds`)."""
        return self.shape.holds(self.own(points))

    @property
    def centres(self) -> Float[ndarray, "blob axis"] | None:
        """Centres of the blobs in the unit square; None for a shape without blobs."""
        return None if self.shape.centres is None else into(self.shape, self.shape.centres, self.low, self.span)

    @property
    def spread(self) -> Float[ndarray, " blob"] | None:
        """Standard deviations of the blobs in the unit square; None for a shape without blobs."""
        return None if self.shape.spread is None else self.shape.spread / self.stretch


def grid_points(dimension: int, side: int, ends: tuple[float, float] = (0, 1)) -> Float[ndarray, "point axis"]:
    """`side` equally spaced points between `ends` along each axis, row by row from the bottom: x runs fastest."""
    edge = np.linspace(*ends, side)
    return np.stack(np.meshgrid(*[edge] * dimension, indexing="xy"), axis=-1).reshape(-1, dimension)


def into(shape: Shape, points: Float[ndarray, "point axis"], low: float, span: float) -> Float[ndarray, "point axis"]:
    """Points of a shape's own coordinates, mapped into the unit square."""
    return points if shape.scale is None else 0.5 + shape.scale * ((points - low) / span - 0.5)


def draw(name: str, seed: int, positives: int, negatives: int) -> Points:
    """A training set, float64. Raises ValueError for an unknown name, or counts that the shape cannot have."""
    if name not in SHAPES:
        raise ValueError(f"unknown point set {name!r}; expected one of {', '.join(SHAPES)}")
    if negatives < 1:
        raise ValueError(f"{negatives} negatives; expected at least 1: without them there is nothing to learn")
    shape, rng = SHAPES[name], stream(f"density/{name}", seed)
    raw = shape.sample(rng, positives)
    low = float(raw.min())
    span = float(raw.max() - low)
    mine = into(shape, raw, low, span)
    return Points(shape, mine, _around(mine, rng, negatives), low, span)


def _around(positives: ndarray, rng: np.random.Generator, count: int) -> ndarray:
    """Uniform points of the unit interval or square outside the hole that the positives lie in."""
    low, high = positives.min(0) - GAP, positives.max(0) + GAP
    if positives.shape[1] == 1:
        low, high = np.array([HOLE[0]]), np.array([HOLE[1]])
    kept = np.empty((0, positives.shape[1]))
    while len(kept) < count:
        fresh = rng.random((10 * count, positives.shape[1]))
        kept = np.concatenate([kept, fresh[((fresh < low) | (fresh > high)).any(1)]])
    return kept[:count]


def _spirals(rng: np.random.Generator, count: int) -> ndarray:
    """Two arms, the second the mirror image of the first, point by point."""
    if count < 2 or count % 2:
        raise ValueError(f"{count} points cannot be shared by 2 arms; expected an even number")
    turn, blur = TURNS * np.sqrt(rng.random(count // 2)), THICK * rng.random((count // 2, 2))
    arm = np.stack([-turn * np.cos(turn), turn * np.sin(turn)], axis=1) + blur
    return np.concatenate([arm, -arm]) / SHRINK


@cache
def _arm() -> tuple[float, ndarray]:
    """Half the width of a square around the curve of an arm, and its points counted in BINS x BINS cells, summed up."""
    turn = TURNS * np.sqrt((np.arange(ARM) + 0.5) / ARM)
    curve = np.stack([-turn * np.cos(turn), turn * np.sin(turn)], axis=1) / SHRINK
    half = float(np.abs(curve).max()) + 1e-9
    counts, _, _ = np.histogram2d(*curve.T, bins=BINS, range=[(-half, half)] * 2)
    return half, np.pad(counts, ((1, 0), (1, 0))).cumsum(0).cumsum(1) / ARM


def _spirals_density(points: ndarray) -> ndarray:
    """Each arm is a curve blurred by a small square: the share of the curve whose square covers the point.

    Counted in cells of 1 / 300 of the shape's unit, a fifth of a step of the finest grid that is measured on.
    """
    half, total = _arm()
    side, found = THICK / SHRINK, np.zeros(len(points))
    for arm in (points, -points):
        ends = np.clip(np.rint((np.stack([arm - side, arm]) + half) * BINS / (2 * half)), 0, BINS).astype(int)
        (left, below), (right, above) = ends[0].T, ends[1].T
        covered = total[right, above] - total[left, above] - total[right, below] + total[left, below]
        found += covered / (2 * side**2)
    return np.where(found > 1e-9, found, 0.0)


def _checkerboard(rng: np.random.Generator, count: int) -> ndarray:
    if count < 1:
        raise ValueError(f"{count} points; expected at least 1")
    across = 4 * rng.random(count) - 2
    up = rng.random(count) - 2 * rng.integers(0, 2, count) + np.floor(across) % 2
    return 2 * np.stack([across, up], axis=1)


def _checkerboard_density(points: ndarray) -> ndarray:
    """Uniform on eight of the sixteen squares of side 2 in [-4, 4]^2: column and row are both even, or both odd."""
    column, row = np.floor(points / 2).T
    inside = (np.abs(points) < 4).all(1) & ((column - row) % 2 == 0)
    return inside / 32.0


def _circle(count: int) -> ndarray:
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


_FIVE = np.linspace(0, 1, 5)
SHAPES = {
    "two-gaussians": Shape(1, None, np.array([[0.4], [0.6]]), np.array([0.01, 0.005])),
    "ring": Shape(2, 0.4, _circle(8), np.full(8, 0.02)),
    "grid": Shape(2, 0.35, np.stack(np.meshgrid(_FIVE, _FIVE), axis=-1).reshape(-1, 2), np.full(25, 0.001)),
    "spirals": Shape(2, 0.4, draw=_spirals, density=_spirals_density),
    "checkerboard": Shape(2, 0.3, draw=_checkerboard, density=_checkerboard_density),
}
