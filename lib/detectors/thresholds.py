"""What all detectors share: how a threshold is set so that a wanted share of clean scores lies above it."""
import torch
from jaxtyping import Float, Int64
from torch import Tensor

RULES = ("quantile", "alpha")


def threshold(scores: Float[Tensor, " image"], fpr: float, rule: str) -> float:
    """The number that a share `fpr` of the clean `scores` exceeds.

    rule "quantile": exact; of n scores, fpr * n rounded to a whole number exceed it (fewer if scores are tied).
    rule "alpha": mean + alpha * population standard deviation, with alpha found by bisection in [0, 3] from 1.5, at
    most 20 halvings, ending within 0.01 percentage points. Where no alpha in [0, 3] gives `fpr`, the end of the
    interval is used without a word, as published: compute the achieved rate with `flags`, and show it.
    Source: Li et al. (2019), and the authors' code for the bisection.
    """
    if rule == "quantile":
        above = min(round(fpr * len(scores)), len(scores) - 1)
        return scores.sort(descending=True).values[above].item()
    mean, std = scores.mean(), scores.std(correction=0)
    low, high, alpha = 0.0, 3.0, 1.5
    for _ in range(20):
        rate = (scores > mean + alpha * std).double().mean().item()
        if abs(rate - fpr) <= 1e-4:
            break
        low, high = (alpha, high) if rate > fpr else (low, alpha)
        alpha = (low + high) / 2
    return (mean + alpha * std).item()


def class_thresholds(scores: Float[Tensor, " image"], labels: Int64[Tensor, " image"], classes: int, fpr: float,
                     rule: str) -> Float[Tensor, " class"]:
    """One threshold for each class, from the scores of the training images of that class."""
    return scores.new_tensor([threshold(scores[labels == c], fpr, rule) for c in range(classes)])


def check_fit(log_joint: Tensor, labels: Tensor, fpr: float, rule: str) -> None:
    """Refuse training scores from which no detector can be fitted, before anything is computed."""
    check_log_joint(log_joint)
    if len(log_joint) == 0:
        raise ValueError("there are no log joints to fit on; pass those of the clean training images")
    if rule not in RULES:
        raise ValueError(f"there is no rule {rule!r}; choose one of {', '.join(RULES)}")
    if not 0 < fpr < 1:
        raise ValueError(f"fpr is {fpr}; expected a share between 0 and 1, such as 0.05 for 5 %")
    if labels.shape != log_joint.shape[:1]:
        raise ValueError(f"{len(log_joint)} log joints came with labels of shape {tuple(labels.shape)}; "
                         "expected one label an image")
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise TypeError(f"labels are {labels.dtype}; expected whole class numbers: convert with labels.long()")
    classes = log_joint.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels range from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}, the "
                         "columns of the log joints")
    missing = [c for c in range(classes) if not (labels == c).any()]
    if missing:
        raise ValueError(f"no training image has label {missing}; every class needs some to set its threshold: "
                         "fit on more images")


def check_log_joint(log_joint: Tensor, classes: int | None = None) -> None:
    """Refuse what is no (image, class) table of finite numbers, or has another number of classes than was fitted."""
    if log_joint.ndim != 2 or (classes is not None and log_joint.shape[1] != classes):
        raise ValueError(f"log joints have shape {tuple(log_joint.shape)}; expected (image, "
                         f"{'class' if classes is None else classes})")
    if not torch.isfinite(log_joint).all():
        bad = (~torch.isfinite(log_joint)).any(dim=1).nonzero()[:3, 0].tolist()
        raise ValueError(f"log joints of images {bad} hold NaN or infinity; expected finite nats: look at the model's "
                         "log-sigma outputs for these images")


def predictions(log_joint: Float[Tensor, "batch class"], predicted: Int64[Tensor, " batch"] | None
                ) -> Int64[Tensor, " batch"]:
    """The class whose threshold applies: the given one (say, of another noisy draw), else the best of these scores.

    Raises TypeError or ValueError for predictions that are no int64 class number an image.
    """
    if predicted is None:
        return log_joint.argmax(dim=1)
    if predicted.dtype != torch.int64:
        raise TypeError(f"predicted is {predicted.dtype}; expected int64 class numbers: convert with predicted.long()")
    if predicted.shape != log_joint.shape[:1]:
        raise ValueError(f"{len(log_joint)} log joints came with predictions of shape {tuple(predicted.shape)}; "
                         "expected one class an image")
    if len(predicted) and not 0 <= predicted.min() <= predicted.max() < log_joint.shape[1]:
        raise ValueError(f"predictions range from {predicted.min()} to {predicted.max()}; expected 0 to "
                         f"{log_joint.shape[1] - 1}, the columns of the log joints")
    return predicted
