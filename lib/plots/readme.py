"""The picture on the front of the README, drawn from the committed rows: python -m lib.plots.readme"""

import io

from PIL import Image

from lib.plots.curves import accuracy_against_eps
from lib.results import RESULTS, ROOT, read_rows, select

TARGET = ROOT / "assets" / "readme.webp"


def draw() -> Image.Image:
    """Accuracy against eps under PGD and MIM as published."""
    rows = select(read_rows(RESULTS / "laptop" / "whitebox.csv"), metric="accuracy", attack=["pgd", "mim"], seed=0)
    file = io.BytesIO()
    accuracy_against_eps(rows).savefig(file, format="png", dpi=140)
    return Image.open(file).convert("RGB")


if __name__ == "__main__":
    draw().save(TARGET, quality=82)
