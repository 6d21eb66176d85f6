"""The seven graphs have the published factorisations and sizes."""

import pytest
import torch

from lib.models import GRAPHS, build
from lib.models.graphs import factorisation, log_joint

MNIST = {"GFZ": 1_833_154, "GFY": 1_865_272, "GBZ": 2_078_654, "GBY": 1_860_272, "DFZ": 2_797_246, "DFX": 3_079_042,
         "DBX": 2_109_950, "BNN": 1_852_294}
CIFAR_BINARY = {"GFZ": 11_776_402, "GFY": 11_904_656, "GBZ": 12_775_402, "GBY": 11_902_656, "DFZ": 17_900_650,
                "DFX": 19_026_258, "DBX": 12_900_010, "BNN": 12_301_498}


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("shape, classes, sizes", [((1, 28, 28), 10, MNIST), ((3, 32, 32), 2, CIFAR_BINARY)])
def test_networks_have_the_sizes_of_the_published_code(shape, classes, sizes):
    with torch.device("meta"):
        found = {name: build(name, shape, classes) for name in sizes}
    assert {name: count(model) for name, model in found.items()} == sizes


def test_parts_have_the_sizes_of_the_published_code():
    with torch.device("meta"):
        models = {name: build(name) for name in GRAPHS}
    assert {count(m.posterior) for m in models.values()} == {1_038_720}
    assert count(models["GFZ"].posterior.trunk) == 719_092
    assert count(models["GFZ"].factors["x"].decoder.convs) == 206_400
    assert (count(models["GBZ"].factors["x"]), count(models["GFZ"].factors["x"])) == (751_924, 756_924)
    assert (count(models["GFZ"].factors["y"]), count(models["GBZ"].factors["y"])) == (37_510, 288_010)
    assert (count(models["GFY"].factors["z"]), count(models["DFX"].factors["z"])) == (69_628, 1_033_720)
    assert count(models["DFX"].factors["y"]) == 1_006_602


@pytest.mark.parametrize("name", GRAPHS)
def test_log_joint_adds_one_term_for_each_modelled_variable(name):
    class Known:
        def __init__(self, value): self.value = value
        def log_prob(self, _): return torch.tensor(self.value)
    asked = {}

    def factor(variable, value):
        def given(**parents):
            asked[variable] = "".join(parents)
            return Known(value)
        return given
    graph = GRAPHS[name]
    total = log_joint(graph, {"z": factor("z", 1.), "y": factor("y", 10.), "x": factor("x", 100.)}, x=torch.tensor(0),
                      y=torch.tensor(0), z=torch.tensor(0))
    assert asked == {v: graph.parents(v) for v in "zyx" if graph.parents(v) is not None}
    assert total == sum({"z": 1, "y": 10, "x": 100}[v] for v in asked)


def test_generative_graphs_are_those_that_make_the_image_and_do_not_read_the_class_off_it():
    assert [name for name, graph in GRAPHS.items() if graph.generative] == ["GFZ", "GFY", "GBZ", "GBY"]


def test_factorisations_read_as_in_the_paper():
    assert factorisation("GFZ") == r"p(z)\,p(y \mid z)\,p(x \mid z, y)"
    assert factorisation("DBX") == r"p(z \mid x)\,p(y \mid z)"
    assert factorisation("GBY") == r"p(y)\,p(z \mid y)\,p(x \mid z)"


def test_an_unknown_model_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="'GFX'.*GFZ.*BNN"):
        build("GFX")


def test_images_without_a_published_model_are_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"\(1, 30, 30\).*\(1, 28, 28\)"):
        build("GFZ", (1, 30, 30))
