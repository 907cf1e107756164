"""Curves, matrices and histograms as pictures: the same item makes the same bytes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from facebank.evaluation.report import Curves, Histogram, Matrix
from facebank.evaluation.writing.drawing_curves import draw_curves
from facebank.evaluation.writing.drawing_histograms import draw_histogram
from facebank.evaluation.writing.drawing_matrices import draw_matrix
from facebank.evaluation.writing.style import house_style
from facebank.storage.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGEST_SVG = 300_000
_DOTS_PER_INCH = 160


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn picture.

    Attributes
    ----------
    data
        The bytes of its file.
    media_type
        ``image/svg+xml`` or ``image/png``.
    description
        What is to be seen, for those who cannot see it.
    """

    data: bytes
    media_type: str
    description: str

    @property
    def url(self) -> str:
        """The picture itself as a ``data:`` address."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


def draw(item: Curves | Matrix | Histogram) -> Picture:
    """Draw an item of a report.

    Parameters
    ----------
    item
        What to draw.

    Returns
    -------
    Picture
        An SVG; a PNG where that would be very large.
    """
    with house_style():
        figure = _drawn(item)
        data, media_type = _encoded(figure, "svg"), "image/svg+xml"
        if len(data) > _LARGEST_SVG:
            data, media_type = _encoded(figure, "png"), "image/png"
    return Picture(data, media_type, _described(item))


def _drawn(item: Curves | Matrix | Histogram) -> Figure:
    if isinstance(item, Curves):
        return draw_curves(item)
    return draw_matrix(item) if isinstance(item, Matrix) else draw_histogram(item)


def _encoded(figure: Figure, form: str) -> bytes:
    nothing = ("Date", "Creator", "Format", "Type") if form == "svg" else ("Software",)
    file = BytesIO()
    figure.savefig(file, format=form, dpi=_DOTS_PER_INCH, metadata=dict.fromkeys(nothing))
    return file.getvalue()


def _described(item: Curves | Matrix | Histogram) -> str:
    if isinstance(item, Curves):
        names = ", ".join(line.label for line in item.lines)
        text = f"Plot “{item.title}”: {item.y_label} over {item.x_label}; {names}."
    elif isinstance(item, Matrix):
        text = f"Confusion matrix “{item.title}” of {len(item.rows)} people."
    else:
        names = ", ".join(label for label, _ in item.groups)
        text = f"Histogram “{item.title}” of {item.x_label}; {names}."
    return printable(text)
