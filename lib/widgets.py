"""Sliders over pictures that move in a built page without a kernel."""

import base64
import html
import io
from collections.abc import Sequence

import ipywidgets
from PIL import Image


def frames(pictures: Sequence, labels: Sequence[str], *, description: str, alt: str | Sequence[str],
           budget: int = 900_000) -> ipywidgets.VBox:
    """A slider over `labels` that shows the picture of each. The link is made in the browser, so no kernel is needed.

    pictures: matplotlib figures (they are closed) or the bytes of PNG files; stored as WebP, lossless where that is
    smaller. alt: what a picture shows, one text for all (its label is added) or one each. budget: bytes that all
    pictures may take in the page, in base64. Raises ValueError for unequal lengths, no pictures, or a broken budget.
    """
    pictures, labels = list(pictures), [str(label) for label in labels]
    texts = [f"{alt}; {description}: {label}" for label in labels] if isinstance(alt, str) else list(alt)
    if not pictures or not len(pictures) == len(labels) == len(texts):
        raise ValueError(f"{len(pictures)} pictures, {len(labels)} labels and {len(texts)} alternative texts; expected as "
                         "many of each, and at least one")
    if len(set(labels)) < len(labels) or not all(text.strip() for text in texts):
        raise ValueError(f"labels {labels} and alternative texts must be distinct and not blank")
    sources = [base64.b64encode(webp(picture)).decode() for picture in pictures]
    if (size := sum(map(len, sources))) > budget:
        raise ValueError(f"{len(sources)} pictures take {size:,} bytes, the budget is {budget:,}; use fewer or smaller ones")
    shown = [ipywidgets.HTML(f'<img src="data:image/webp;base64,{source}" alt="{html.escape(text)}">')
             for source, text in zip(sources, texts)]
    stack = ipywidgets.Stack(shown, selected_index=0)
    stack.add_class("book-frame")
    slider = ipywidgets.SelectionSlider(options=labels, index=0, description=description, continuous_update=True,
                                        style={"description_width": "initial"}, layout={"width": "min(32rem, 95%)"})
    ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    return ipywidgets.VBox([slider, stack])


def webp(picture: object, dpi: int = 100) -> bytes:
    """A matplotlib figure or the bytes of a PNG file as WebP: lossless or at quality 90, whichever is smaller."""
    if not isinstance(picture, bytes):
        picture = _png(picture, dpi)
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    encoded = []
    for settings in ({"lossless": True}, {"quality": 90}):
        image.save(file := io.BytesIO(), "WEBP", method=5, **settings)
        encoded.append(file.getvalue())
    return min(encoded, key=len)


def _png(figure, dpi: int) -> bytes:
    import matplotlib.pyplot
    figure.savefig(file := io.BytesIO(), format="png", dpi=dpi)    # not cut to its content: frames must not jump
    matplotlib.pyplot.close(figure)
    return file.getvalue()
