"""A plain network on points of the line or the plane, with one logit: the detector of Yin et al. (2020), appendix F."""

from jaxtyping import Float
from torch import Tensor, nn

from lib.models.nets import glorot_uniform


class MLP(nn.Sequential):
    """`layers` hidden ReLU layers of `width` units, Glorot-uniform weights, biases 0.

    Points come as images of one pixel with `inputs` channels, so that the balls and attacks for images serve them too.
    """

    randomised = False

    def __init__(self, inputs: int, width: int, layers: int):
        if min(inputs, width, layers) < 1:
            raise ValueError(
                f"an MLP of {inputs} inputs and {layers} layers of {width} units; expected at least 1 of each")
        sizes = [inputs, *[width] * layers]
        hidden = [part for pair in zip(sizes, sizes[1:]) for part in (nn.Linear(*pair), nn.ReLU())]
        super().__init__(nn.Flatten(), *hidden, nn.Linear(width, 1))
        self.name = "GAT"
        self.apply(glorot_uniform)

    def forward(self, x: Float[Tensor, "point axis 1 1"]) -> Float[Tensor, " point"]:
        """One logit a point."""
        return super().forward(x)[:, 0]
