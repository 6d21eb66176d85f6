"""The seven deep Bayes classifiers as data: who is whose parent (Li et al. 2019, section 3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

VARIABLES = "zyx"


@dataclass(frozen=True)
class Graph:
    """Parents of each variable: "" is a root with a prior, None a variable the model leaves out."""

    z: str
    y: str
    x: str | None
    y_hidden: int = 1       # hidden layers of p(y | z); the authors' code gives GBZ one more than the others

    @property
    def generative(self) -> bool:
        """Whether the model has p(x | ...) and does not read the class off the image: the paper's split of
        the seven."""
        return self.x is not None and "x" not in self.y

    def parents(self, variable: str) -> str | None:
        return getattr(self, variable)


GRAPHS = {                                          # the last letter names the root
    "GFZ": Graph(z="", y="z", x="zy"),              # p(z) p(y|z) p(x|z,y)
    "GFY": Graph(z="y", y="", x="zy"),              # p(y) p(z|y) p(x|z,y)
    "GBZ": Graph(z="", y="z", x="z", y_hidden=2),   # p(z) p(y|z) p(x|z)
    "GBY": Graph(z="y", y="", x="z"),               # p(y) p(z|y) p(x|z)
    "DFZ": Graph(z="", y="xz", x="z"),              # p(z) p(x|z) p(y|x,z)
    "DFX": Graph(z="x", y="xz", x=None),            # p(z|x) p(y|x,z)
    "DBX": Graph(z="x", y="z", x=None),             # p(z|x) p(y|z)
}


def log_joint(graph: Graph, factors: nn.ModuleDict | Mapping[str, Callable], **value: Tensor) -> Tensor:
    """Sum of log p(variable | its parents) over the variables that the graph models.

    factors: a callable for each modelled variable, from its parents (by name) to a distribution with `log_prob`.
    Leading axes of the values broadcast; the result has their shape. Unit: nats.
    """
    modelled = {v: graph.parents(v) for v in VARIABLES if graph.parents(v) is not None}
    return sum(factors[v](**{p: value[p] for p in parents}).log_prob(value[v]) for v, parents in modelled.items())


def factorisation(name: str) -> str:
    """The joint of a graph as TeX, for instance p(z)\\,p(y \\mid z)\\,p(x \\mid z, y)."""
    graph = GRAPHS[name]
    terms = {v: graph.parents(v) for v in ("zyx" if name != "DFZ" else "zxy")}
    if name.endswith("Y"):
        terms = {v: terms[v] for v in "yzx"}
    return r"\,".join(f"p({v})" if not p else rf"p({v} \mid {', '.join(p)})" for v, p in terms.items() if p is not None)
