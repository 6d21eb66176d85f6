"""What attacks take and give: the types, and the checks made before any work."""

import math
from collections.abc import Callable
from numbers import Integral, Real

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Images = Float[Tensor, "batch channel height width"]     # pixels in [0, 1]
Labels = Int64[Tensor, " batch"]
Logits = Float[Tensor, "batch class"]
PerImage = Float[Tensor, " batch"]
Mask = Bool[Tensor, " batch"]
Number = int | float

LogitsFn = Callable[[Images], Logits]
LossFn = Callable[[Images], PerImage]                    # one number an image, to ascend
KeepFn = Callable[[Images], Mask]                        # which images count


def check_images(x: Tensor) -> None:
    """Refuse anything but a batch of images as float32 or float64, NCHW, in [0, 1]. TypeError or ValueError."""
    if not isinstance(x, Tensor) or x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"x is {_kind(x)}; expected float32 or float64 pixels in [0, 1]: "
                        "for uint8 pixels x.float() / 255, else x.float()")
    if x.ndim != 4:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (batch, channel, height, width): "
                         "add the missing axis, as in x[None]")
    if not ((x >= 0) & (x <= 1)).all():                  # false for NaN too
        raise ValueError(f"x ranges from {x.min():g} to {x.max():g}; expected pixels in [0, 1]: "
                         "divide by 255, undo a normalisation (it belongs into the model), or look for a NaN")


def check_labels(y: Tensor) -> None:
    """Refuse anything but one int64 class number an image, from 0 up. TypeError or ValueError."""
    if not isinstance(y, Tensor) or y.dtype != torch.int64:
        raise TypeError(f"y is {_kind(y)}; expected int64 class numbers: convert with y.long()")
    if y.ndim != 1:
        raise ValueError(f"y has shape {tuple(y.shape)}; expected (batch,): one class number an image, not one-hot")
    if len(y) and y.min() < 0:
        raise ValueError(f"y holds the label {y.min()}; expected classes from 0 up: relabel them")


def check_pair(x: Tensor, y: Tensor) -> None:
    """`check_images`, `check_labels`, and that the two belong to the same batch."""
    check_images(x)
    check_labels(y)
    if len(x) != len(y):
        raise ValueError(f"x holds {len(x)} images and y {len(y)} labels; expected as many: index both alike")


def check_logits(logits: Tensor, y: Tensor, classes: int) -> None:
    """Refuse scores that are not (batch, class) for these labels; `classes` is the least number that y needs."""
    if logits.ndim != 2 or len(logits) != len(y):
        raise ValueError(f"logits have shape {tuple(logits.shape)} for {len(y)} labels; expected ({len(y)}, class): "
                         "give logits_fn and y the same images")
    if logits.shape[1] < classes:
        raise ValueError(f"the labels or the loss need {classes} classes, the logits have {logits.shape[1]}: "
                         "relabel from 0 up, or use another loss")


def check_count(name: str, value: object) -> None:
    """Refuse anything but a whole number of at least 1, of Python or of numpy."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1")


def check_size(name: str, value: object, remedy: str) -> None:
    """Refuse anything but a finite number of at least 0, of Python or of numpy."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is {value!r}; expected a finite number of at least 0: {remedy}")


def check_shape(loss: Tensor, x: Tensor) -> Tensor:
    """The loss, if it has one number an image. ValueError."""
    if loss.shape != (len(x),):
        raise ValueError(f"loss_fn gave shape {tuple(loss.shape)} for {len(x)} images; "
                         f"expected ({len(x)},), one number an image: do not average over the batch")
    return loss


def check_gradient(name: str, value: Tensor) -> Tensor:
    """The value, if it depends on the images that it was computed from: without that, an attack stands still, and what
    it attacks looks robust. name: what gave it. ValueError."""
    if not value.requires_grad:
        raise ValueError(f"{name} gives no gradient: it runs under torch.no_grad, detaches or rounds on the way; "
                         "expected a differentiable function of the images (without one: lib.attacks.spsa)")
    return value


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
