"""Detectors that reject what the model finds unlikely: by log p(x), or by log p(x, y) of the predicted class."""
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lib.detectors.thresholds import check_fit, check_log_joint, class_thresholds, predictions, threshold


@dataclass(frozen=True)
class Marginal:
    """Rejects inputs with log p(x) below that of all but `fpr` of the clean training images.

    Without meaning for models that leave p(x) out (DFX, DBX): their score is only the slack of the estimate.
    Source: Li et al. (2019), "marginal detection".
    """
    threshold: float

    @classmethod
    def fit(cls, log_joint: Float[Tensor, "image class"], labels: Int64[Tensor, " image"], fpr: float = 0.05,
            rule: str = "quantile") -> "Marginal":
        """From clean training images; `labels` are the true ones (not needed here, but every detector takes them)."""
        check_fit(log_joint, labels, fpr, rule)
        return cls(threshold(-log_joint.double().logsumexp(dim=1), fpr, rule))

    def score(self, log_joint: Float[Tensor, "batch class"], predicted: Int64[Tensor, " batch"] | None = None
              ) -> Float[Tensor, " batch"]:
        """-log p(x), in nats, in float64; differentiable."""
        check_log_joint(log_joint)
        return -log_joint.double().logsumexp(dim=1)

    def flags(self, log_joint: Float[Tensor, "batch class"], predicted: Int64[Tensor, " batch"] | None = None
              ) -> Bool[Tensor, " batch"]:
        """True where the input is rejected."""
        return self.score(log_joint) > self.threshold


@dataclass(frozen=True, eq=False)
class Logit:
    """Rejects inputs whose log p(x, y), y the predicted class, is low for training images truly of that class.

    Source: Li et al. (2019), "logit detection", with the sign of the authors' code.
    """
    thresholds: Float[Tensor, " class"]

    @classmethod
    def fit(cls, log_joint: Float[Tensor, "image class"], labels: Int64[Tensor, " image"], fpr: float = 0.05,
            rule: str = "quantile") -> "Logit":
        """From clean training images and their true labels, one threshold a class."""
        check_fit(log_joint, labels, fpr, rule)
        own = -log_joint.double().gather(1, labels[:, None])[:, 0]
        return cls(class_thresholds(own, labels, log_joint.shape[1], fpr, rule))

    def score(self, log_joint: Float[Tensor, "batch class"], predicted: Int64[Tensor, " batch"] | None = None
              ) -> Float[Tensor, " batch"]:
        """-log p(x, y) of the predicted class, in nats, in float64; differentiable."""
        check_log_joint(log_joint, len(self.thresholds))
        return -log_joint.double().gather(1, predictions(log_joint, predicted)[:, None])[:, 0]

    def flags(self, log_joint: Float[Tensor, "batch class"], predicted: Int64[Tensor, " batch"] | None = None
              ) -> Bool[Tensor, " batch"]:
        """True where the input is rejected."""
        predicted = predictions(log_joint, predicted)
        return self.score(log_joint, predicted) > self.thresholds.to(log_joint.device)[predicted]
