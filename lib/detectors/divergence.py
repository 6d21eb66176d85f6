"""Detectors that reject unusual class probabilities: far from the mean probabilities of the predicted class."""
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lib.detectors.thresholds import check_fit, check_log_joint, class_thresholds, predictions


@dataclass(frozen=True, eq=False)
class _Divergence:
    """`profiles[c]`: log of the mean class probabilities over training images of class c."""
    profiles: Float[Tensor, "class other"]
    thresholds: Float[Tensor, " class"]

    @staticmethod
    def distance(log_profile: Float[Tensor, "batch class"], log_p: Float[Tensor, "batch class"]
                 ) -> Float[Tensor, " batch"]:
        raise NotImplementedError

    @classmethod
    def fit(cls, log_joint: Float[Tensor, "image class"], labels: Int64[Tensor, " image"], fpr: float = 0.05,
            rule: str = "quantile") -> "_Divergence":
        """From clean training images and their true labels: a mean probability vector and a threshold a class."""
        check_fit(log_joint, labels, fpr, rule)
        log_p, classes = log_joint.double().log_softmax(dim=1), log_joint.shape[1]
        # in logs, since a probability may be too small for any float while its logarithm is not
        profiles = log_p.new_empty(classes, classes)
        for c in range(classes):
            own = log_p[labels == c]
            profiles[c] = own.logsumexp(dim=0) - own.new_tensor(len(own)).log()
        scores = cls.distance(profiles[labels], log_p)
        return cls(profiles, class_thresholds(scores, labels, classes, fpr, rule))

    def score(self, log_joint: Float[Tensor, "batch class"], predicted: Int64[Tensor, " batch"] | None = None
              ) -> Float[Tensor, " batch"]:
        """Distance of p(y | x) from the mean probabilities of the predicted class, in float64; differentiable."""
        check_log_joint(log_joint, len(self.thresholds))
        profile = self.profiles.to(log_joint.device)[predictions(log_joint, predicted)]
        return self.distance(profile, log_joint.double().log_softmax(dim=1))

    def flags(self, log_joint: Float[Tensor, "batch class"], predicted: Int64[Tensor, " batch"] | None = None
              ) -> Bool[Tensor, " batch"]:
        """True where the input is rejected."""
        predicted = predictions(log_joint, predicted)
        return self.score(log_joint, predicted) > self.thresholds.to(log_joint.device)[predicted]


@dataclass(frozen=True, eq=False)
class KL(_Divergence):
    """Rejects inputs by KL(mean probabilities of the predicted class, p(y | x)), in nats.

    Source: Li et al. (2019), "divergence detection".
    """

    @staticmethod
    def distance(log_profile: Float[Tensor, "batch class"], log_p: Float[Tensor, "batch class"]
                 ) -> Float[Tensor, " batch"]:
        """sum_j q_j (log q_j - log p_j), q the profile."""
        return (log_profile.exp() * (log_profile - log_p)).sum(dim=1)


@dataclass(frozen=True, eq=False)
class TV(_Divergence):
    """As KL, with the total variation distance, in [0, 1]: half the l1 distance (the half is our choice).

    Source: Li et al. (2019), who use it for Figure 2 alone.
    """

    @staticmethod
    def distance(log_profile: Float[Tensor, "batch class"], log_p: Float[Tensor, "batch class"]
                 ) -> Float[Tensor, " batch"]:
        """sum_j |q_j - p_j| / 2, q the profile."""
        return (log_profile.exp() - log_p.exp()).abs().sum(dim=1) / 2
