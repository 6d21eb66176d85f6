"""Attacks on any classifier that is given as a function: none of them knows a model."""

from lib.attacks.carlini_wagner import carlini_wagner as carlini_wagner
from lib.attacks.distortion import smallest_change as smallest_change
from lib.attacks.gradient import adam_pgd as adam_pgd
from lib.attacks.gradient import best_by as best_by
from lib.attacks.gradient import fgsm as fgsm
from lib.attacks.gradient import input_gradient as input_gradient
from lib.attacks.gradient import mim as mim
from lib.attacks.gradient import pgd as pgd
from lib.attacks.losses import averaged as averaged
from lib.attacks.losses import cross_entropy as cross_entropy
from lib.attacks.losses import dlr as dlr
from lib.attacks.losses import margin as margin
from lib.attacks.losses import towards as towards
from lib.attacks.norms import L2 as L2
from lib.attacks.norms import Ball as Ball
from lib.attacks.norms import Linf as Linf
from lib.attacks.norms import ball as ball
from lib.attacks.one_vs_rest import aligned as aligned
from lib.attacks.one_vs_rest import best_wrong_detector as best_wrong_detector
from lib.attacks.one_vs_rest import combined as combined
from lib.attacks.one_vs_rest import detector_margin as detector_margin
from lib.attacks.one_vs_rest import switching as switching
from lib.attacks.spsa import spsa as spsa
from lib.attacks.strong import misread_share as misread_share
from lib.attacks.strong import strong as strong
