"""Detectors of adversarial inputs: they read log joints, never a model. A higher score is more suspicious.

Every detector is made by `fit(log_joint, labels, fpr, rule)` on clean training images and offers
`score(log_joint, predicted)` and `flags(log_joint, predicted)`, so that code can loop over DETECTORS.
"""
from lib.detectors.divergence import KL, TV
from lib.detectors.likelihood import Logit, Marginal

DETECTORS = {"marginal": Marginal, "logit": Logit, "kl": KL, "tv": TV}
