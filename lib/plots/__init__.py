"""Figures of the book: functions that take rows or arrays and return a Figure (no torch, no global state)."""

from lib.plots.curves import accuracy_against_eps, accuracy_against_l2, beside, detection_against, margins, shares
from lib.plots.densities import along_training, maps, on_the_line
from lib.plots.diagrams import factorisations
from lib.plots.images import grid
from lib.plots.palette import LOOKS, NAMES, encode, look, ordered
from lib.plots.rejects import auc_by_class, distances, logit_histograms, logit_ranges, reject_curves
from lib.plots.rings import acceptance, divergences
from lib.plots.speed import growth, speedups
from lib.plots.trainings import by_training

__all__ = ["LOOKS", "NAMES", "acceptance", "accuracy_against_eps", "accuracy_against_l2", "along_training",
           "auc_by_class", "beside", "by_training", "detection_against", "distances", "divergences", "encode",
           "factorisations", "grid", "growth", "logit_histograms", "logit_ranges", "look", "maps", "margins",
           "on_the_line", "ordered", "reject_curves", "shares", "speedups"]
