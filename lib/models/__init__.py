"""Classifiers: the seven deep Bayes graphs and the networks they are compared with."""

from lib.models.bayes import DeepBayes as DeepBayes
from lib.models.bayes import class_scores as class_scores
from lib.models.classifiers import BNN as BNN
from lib.models.classifiers import CNN as CNN
from lib.models.graphs import GRAPHS as GRAPHS
from lib.models.heads import ConvNet as ConvNet
from lib.models.heads import Heads as Heads
from lib.models.noise import Noise as Noise
from lib.models.noise import stream as stream

MODELS = (*GRAPHS, "BNN")


def build(name: str, shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10):
    """An untrained model by the paper's name. Raises ValueError for a name that is not in MODELS."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; expected one of {', '.join(MODELS)}")
    return BNN(shape, classes) if name == "BNN" else DeepBayes(name, shape, classes)
