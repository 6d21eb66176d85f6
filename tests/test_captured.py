"""An update on a GPU: noise in fixed places, and the graph does what the lines do."""

import contextlib
from types import SimpleNamespace

import pytest
import torch

from lib.captured import Buffers, Captured, Update, update_of
from lib.data import Split
from lib.models.bayes import DeepBayes
from lib.models.nets import Architecture
from lib.profiles import DBX_TRAINING, Training
from lib.train import initial_weights

CPU, TINY = torch.device("cpu"), Architecture((1, 4, 4), channels=(2, 2, 2), hidden=8, latent=2)


def draws(buffers: Buffers, update: int, place: int = 0) -> tuple[torch.Tensor, ...]:
    buffers.key(place, 3, update)
    buffers.at(place)
    return buffers.normal(5), buffers.uniform(2, 2), buffers.normal(5)


def test_noise_depends_on_the_update_alone_and_stays_where_it_is():
    buffers = Buffers(2, 4, CPU)
    first = draws(buffers, 7)
    kept, places = [draw.clone() for draw in first], [draw.data_ptr() for draw in first]
    assert [draw.shape for draw in first] == [(4, 5), (4, 2, 2), (4, 5)] and not torch.equal(first[0], first[2])
    other = draws(buffers, 8)
    assert [draw.data_ptr() for draw in other] == places
    assert not any(torch.equal(a, b) for a, b in zip(kept, other))
    assert all(torch.equal(a, b) for a, b in zip(kept, draws(buffers, 7, place=1)))
    assert 0 <= other[1].min() and other[1].max() < 1


def tiny(device: str = "cpu") -> tuple[DeepBayes, Split]:
    with initial_weights(0):
        model = DeepBayes("GFZ", classes=3, arch=TINY)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, 1, 4, 4), generator=generator).byte()
    return model.to(device), Split(pixels, torch.arange(40) % 3)


def test_only_a_gpu_gets_a_graph():
    assert type(update_of(*tiny(), Training(10, batch=8), 0)) is Update


class Replay:
    """What stands for a graph where there is no GPU: it makes the prepared updates, and draws nothing itself."""

    def __init__(self, update: Captured):
        self.replay = lambda: update.lines(update.stride)


def captured_on_cpu(monkeypatch) -> Captured:
    def nothing(*args, **more):
        return contextlib.nullcontext(SimpleNamespace(wait_stream=lambda other: None))
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda *args: SimpleNamespace(wait_stream=lambda other: None))
    monkeypatch.setattr(torch.cuda, "stream", nothing)
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda weights, lr, **more: adam(weights, lr=lr))
    update = Captured(*tiny(), Training(40, batch=8, dtype="float32", rate=1e-3, schedule="one-cycle"), 0)
    update.capture = lambda: Replay(update)
    return update


def test_graphs_and_lines_make_the_same_updates(monkeypatch):
    graphs, lines = captured_on_cpu(monkeypatch), captured_on_cpu(monkeypatch)
    found = [graphs(*stretch) for stretch in [(0, 10), (10, 20), (20, 27), (27, 37)]]
    expected = torch.cat([lines(u, u + 1) for u in range(37)])
    assert isinstance(graphs.graph, Replay) and lines.graph is None
    assert torch.equal(torch.cat(found), expected) and expected.unique().numel() == 37
    assert all(torch.equal(a, b) for a, b in zip(graphs.model.parameters(), lines.model.parameters()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a GPU")
def test_a_graph_ends_where_the_lines_do():
    recipe = Training(40, batch=8, dtype="float32", rate=1e-3, schedule="one-cycle")
    (one, split), (other, _) = tiny("cuda"), tiny("cuda")
    graph, lines = update_of(one, split, recipe, 0), Captured(other, split, recipe, 0)
    assert type(graph) is Captured and type(update_of(one, split, DBX_TRAINING, 0)) is Update
    stretches = [(0, 10), (10, 20), (20, 27), (27, 37)]
    values = [(graph(*stretch), torch.cat([lines(u, u + 1) for u in range(*stretch)])) for stretch in stretches]
    assert graph.graph is not None and lines.graph is None
    assert all(torch.allclose(a, b, rtol=1e-4) for a, b in values)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one.parameters(), other.parameters()))
