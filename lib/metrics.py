"""What is reported of per-image outcomes: shares, smallest radii, detection rates, and their 95 % intervals (numpy)."""
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy import ndarray
from scipy.special import stdtrit

Z = 1.959963984540054          # two-sided 95 % of the standard normal
WORST = "worst of all"         # what rows and figures call an image's worst case over attacks


def correct(predictions: Int[ndarray, "*lead image draw"], labels: Int[ndarray, " image"]
            ) -> Float[ndarray, "*lead image"]:
    """Share of the draws in which an image is read correctly; the mean over images is the headline accuracy."""
    return (np.asarray(predictions) == np.asarray(labels)[:, None]).mean(axis=-1)


def majority(predictions: Int[ndarray, "*lead image draw"], labels: Int[ndarray, " image"]
             ) -> Bool[ndarray, "*lead image"]:
    """Whether an image withstands a vote: False where it is read wrong in at least 6 of 10 draws."""
    return 1 - correct(predictions, labels) < 0.6 - 1e-9


def wilson(p: float | np.floating, n: int | np.integer | float) -> tuple[float, float]:
    """95 % interval of a share p of n images. Source: Wilson (1927).

    p may be a mean over images of shares over draws: then the interval is, if anything, too wide. (nan, nan) if n is 0.
    """
    if n == 0 or np.isnan(p):
        return np.nan, np.nan
    if not 0 <= p <= 1 or n < 0:
        raise ValueError(f"p is {p}, n {n}; expected a share in [0, 1], not a percentage, of at least 0 images")
    centre, spread = p + Z**2 / (2 * n), Z * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    low, high = (centre - spread) / (1 + Z**2 / n), (centre + spread) / (1 + Z**2 / n)
    return float(low if p > 0 else 0), float(high if p < 1 else 1)      # exactly 0 and 1, not a rounding error off


def mean_interval(values: Shaped[ndarray, " image"]) -> tuple[float, float, float]:
    """Mean and 95 % interval (low, high) by Student's t, NaN left out. For l2, min_eps and other numbers that are no
    shares. The interval is NaN for fewer than two values."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return (float(values[0]) if len(values) else np.nan), np.nan, np.nan
    mean, spread = values.mean(), stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values))
    return float(mean), float(mean - spread), float(mean + spread)


def paired_difference(a: Shaped[ndarray, " image"], b: Shaped[ndarray, " as_many"], span: float = 1.0
                      ) -> tuple[float, float, float]:
    """Mean of a - b over the same images, and its 95 % interval (low, high).

    Two pseudo-images, one with difference +span and one with -span, enter the interval (not the mean): without them a
    handful of images that all differ in one direction would look certain. span: the largest difference there can be.
    Source: Bonett and Price (2012), for 0 and 1; the same rule is used here for shares over draws.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        raise ValueError(f"paired values have shapes {a.shape} and {b.shape}; expected one number an image, of the "
                         "same images: select those that both have")
    if len(a) == 0:
        return np.nan, np.nan, np.nan
    padded = np.concatenate([a - b, [span, -span]])
    spread = Z * padded.std() / np.sqrt(len(padded))
    return float((a - b).mean()), float(padded.mean() - spread), float(padded.mean() + spread)


EPS_FILL = 0.1      # published: an image that survives the whole grid counts as its largest eps + 0.1


def survival(right: Shaped[ndarray, "eps image *draw"], carried: bool = False) -> Float[ndarray, "eps image"]:
    """Share of an image's evaluations that are right at every radius up to the k-th, of ascending radii.

    right: True or False, by draw where there are several; or the share of draws that were right. Draws at different
    radii are independent of each other, so that their shares multiply: the expectation of the published rule, which
    judges each radius by a single draw.
    carried: whether what deceives at one radius is kept for the larger ones, as the strong protocol does. Then one
    image is judged again at each radius, and the radius that is worst for it counts, as `worst_share` finds it.
    """
    right = np.asarray(right, float)
    if right.ndim not in (2, 3) or (right.size and (right.min() < 0 or right.max() > 1)):
        raise ValueError(f"right has shape {right.shape}; expected (eps, image) or (eps, image, draw) with values in "
                         "[0, 1]")
    draws = right if right.ndim == 3 else right[..., None]
    if not carried:
        return np.cumprod(draws.mean(axis=-1), axis=0)
    return np.stack([worst_share(draws[:k + 1]) for k in range(len(draws))])


def worst_share(right: Shaped[ndarray, "attack image draw"]) -> Float[ndarray, " image"]:
    """Share of draws in which each image is read right under the attack that is worst for it.

    To take the smallest of several noisy shares would pick luck as well. So the attack is chosen on one half of the
    draws and judged on the other, then the other way round, and the two are averaged; of equals the first is chosen.
    A single draw cannot be halved: there it chooses and judges.
    """
    draws, every = right.shape[-1], np.arange(right.shape[1])
    halves = [slice(0, draws // 2), slice(draws // 2, draws)] if draws > 1 else [slice(None)] * 2
    means = [right[..., half].mean(-1) for half in halves]
    return (means[1][means[0].argmin(0), every] + means[0][means[1].argmin(0), every]) / 2


def min_eps(right: Shaped[ndarray, "eps image *draw"], grid: Sequence[float] | ndarray, fill: float,
            carried: bool = False) -> Float[ndarray, " image"]:
    """Smallest radius of the ascending `grid` at which an image is misread, `fill` where none is; expected value over
    draws. right, carried: as in `survival`. Source: Li et al. (2019), who fill in the largest eps + 0.1."""
    grid = np.asarray(grid, float)
    if np.shape(right)[:1] != grid.shape or (np.diff(grid) <= 0).any() or fill <= grid[-1]:
        raise ValueError(f"grid {grid.tolist()} with fill {fill} does not fit outcomes of shape {np.shape(right)}; "
                         "expected ascending radii, one a row, and a fill above them")
    return grid[0] + np.diff(grid, append=fill) @ survival(right, carried)


def mean_min_eps(upto: Sequence[float] | ndarray, grid: Sequence[float] | ndarray, fill: float) -> float:
    """The mean smallest radius that follows from accuracies "for eps up to" each radius of the grid.

    On MNIST 0.1 + 0.1 (a1 + ... + a5): an identity, to check one of two published columns by the other.
    """
    grid = np.asarray(grid, float)
    return float(grid[0] + np.diff(grid, append=fill) @ np.asarray(upto, float))


def detection_rates(flags: Bool[ndarray, " image"], predicted: Int[ndarray, " image"], success: Bool[ndarray, " image"]
                    ) -> dict[str, float]:
    """Detection rate over successful attacks. micro: share of the successes. macro: share within each predicted class,
    then the unweighted mean over the classes that occur (as published for logit and KL). n: how many successes.

    predicted: the class of the stored prediction that the success was judged by. Rates are NaN if nothing succeeded.
    """
    flags, predicted, success = np.asarray(flags), np.asarray(predicted), np.asarray(success, bool)
    flags, predicted = flags[success].astype(float), predicted[success]
    if not success.any():
        return {"micro": np.nan, "macro": np.nan, "n": 0}
    return {"micro": float(flags.mean()), "n": int(success.sum()),
            "macro": float(np.mean([flags[predicted == c].mean() for c in np.unique(predicted)]))}


def kl_index_fault(predicted: Int[ndarray, " image"], success: Bool[ndarray, " image"]
                   ) -> tuple[Int[ndarray, " row"], Int[ndarray, " row"]]:
    """Which attacked inputs the published script scores for KL detection, and the class it compares each with.

    The successes predicted as class c are numbered within the list of successes, but looked up under that number in the
    list of all attacked inputs. The faulty rate is then

        rows, classes = kl_index_fault(predicted, success)
        detection_rates(kl.flags(log_joint[rows], classes), classes, every_row_counts)["macro"]

    Source: the authors' detection script. The two lists agree only if every attack succeeds.
    """
    found = np.asarray(predicted)[np.asarray(success, bool)]
    rows = np.argsort(found, kind="stable")         # positions within the successes, one class after the other
    return rows, found[rows]


def auc_interval(clean: Shaped[ndarray, " image"], attacked: Shaped[ndarray, " attack"]) -> tuple[float, float]:
    """95 % interval of `auc` over both samples. Its variance is that of DeLong et al. (1988); the interval is Wilson's
    for a share with that variance, which stays in [0, 1] and is not empty at 1 (there: as many images as the
    smaller sample).
    """
    if np.isnan(clean).any() or np.isnan(attacked).any():
        raise ValueError(f"{np.isnan(clean).sum() + np.isnan(attacked).sum()} scores are NaN; expected numbers")
    if min(len(clean), len(attacked)) < 2:
        return np.nan, np.nan
    ahead, behind = beaten(attacked, clean), beaten(clean, attacked)
    area, variance = ahead.mean(), ahead.var(ddof=1) / len(ahead) + behind.var(ddof=1) / len(behind)
    smaller = min(len(clean), len(attacked))
    return wilson(min(1.0, area), area * (1 - area) / variance if variance > 0 else smaller)


def auc(clean: Shaped[ndarray, " image"], attacked: Shaped[ndarray, " attack"]) -> float:
    """Area under the ROC curve of a score that should be higher on attacked inputs. Source: scikit-learn.

    Raises ValueError for NaN, or where a side has no score.
    """
    if not len(clean) or not len(attacked) or np.isnan(clean).any() or np.isnan(attacked).any():
        raise ValueError(f"{len(clean)} clean and {len(attacked)} attacked scores, "
                         f"{np.isnan(clean).sum() + np.isnan(attacked).sum()} of them NaN; expected some numbers "
                         "of either kind")
    from sklearn.metrics import roc_auc_score      # here, since importing it takes a second, which most pages can save
    return float(roc_auc_score(np.repeat([0, 1], [len(clean), len(attacked)]), np.concatenate([clean, attacked])))


def beaten(scores: Shaped[ndarray, " image"], others: Shaped[ndarray, " other"]) -> Float[ndarray, " image"]:
    """The share of `others` below each score, ties by half."""
    others = np.sort(others)
    return (np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / (2 * len(others))


def gibbs(logits: Float[ndarray, " point"]) -> Float[ndarray, " point"]:
    """log of e^logit / sum of e^logit over the points of a grid: probabilities that sum to 1, in nats."""
    logits = np.asarray(logits, float)
    if logits.ndim != 1 or not len(logits) or not np.isfinite(logits).all():
        raise ValueError(f"logits of shape {logits.shape} with {np.isnan(logits).sum()} NaN; expected finite "
                         "numbers along one axis: flatten a grid first")
    top = logits.max()
    return logits - top - np.log(np.exp(logits - top).sum())


def total_variation(p: Float[ndarray, " point"], q: Float[ndarray, " as_many"]) -> float:
    """Half the sum of |p - q| over the same points: 0 for equal distributions, 1 for disjoint ones."""
    _check_distributions(p, q)
    return float(np.abs(p - q).sum() / 2)


def divergence(p: Float[ndarray, " point"], log_q: Float[ndarray, " as_many"]) -> float:
    """Kullback-Leibler divergence of q from p, sum of p log(p / q), in nats: what coding p by q costs.

    log_q: logarithms, so that a q that is tiny where p is not gives a large number and not an infinite one.
    """
    _check_distributions(p, np.exp(log_q))
    inside = np.asarray(p) > 0
    return max(0.0, float((p[inside] * (np.log(p[inside]) - log_q[inside])).sum()))


def iou(a: Bool[ndarray, "*grid"], b: Bool[ndarray, "*grid"]) -> float:
    """Intersection over union of two sets of points; NaN where both are empty."""
    either = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / either) if either else np.nan


def _check_distributions(p: ndarray, q: ndarray) -> None:
    if np.shape(p) != np.shape(q):
        raise ValueError(
            f"distributions have shapes {np.shape(p)} and {np.shape(q)}; expected the same points for both")
    for name, values in (("p", p), ("q", q)):
        if np.min(values) < 0 or not np.isclose(np.sum(values), 1, atol=1e-6):
            raise ValueError(f"{name} sums to {np.sum(values):g} with a least value of {np.min(values):g}; expected "
                             "probabilities that sum to 1: divide by their sum")
