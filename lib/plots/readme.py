"""The picture on the front of the README, drawn from the committed rows: python -m lib.plots.readme"""

import io

import pandas as pd
from PIL import Image

from lib.plots.curves import accuracy_against_eps
from lib.results import RESULTS, ROOT, read_rows, select

TARGET = ROOT / "assets" / "readme.webp"


def draw() -> Image.Image:
    """Accuracy against eps under PGD as published, and under the strong protocol."""
    rows = {name: read_rows(RESULTS / "laptop" / f"{name}.csv") for name in ("whitebox", "strong")}
    published = select(rows["whitebox"], metric="accuracy", attack="pgd", seed=0)
    strong = select(rows["strong"], metric="accuracy", seed=0).assign(attack="strong protocol")
    file = io.BytesIO()
    accuracy_against_eps(pd.concat([published, strong])).savefig(file, format="png", dpi=140)
    return Image.open(file).convert("RGB")


if __name__ == "__main__":
    draw().save(TARGET, quality=82)
