"""People of whom a gallery has nothing but a single poor photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.text import printable

if TYPE_CHECKING:
    from facebank.gallery import Gallery

POOR = 0.5
"""The quality of a sample below which its person's other faces keep two thirds of their likeness and less.

Of LFW's development people (29, worsened in eight ways) with one photo of quality .7 and more another photo has a
similarity of .57 to .62 on average, below .5 of .44 and less; and there the highest 1 % of poor faces of strangers reach
.28 to .46 instead of .22.
"""


def advice_about(gallery: Gallery, name: str) -> str | None:
    """Say what to do about a person of whom there is a single poor photo.

    Parameters
    ----------
    gallery
        Where the person is enrolled.
    name
        Of the person.

    Returns
    -------
    str or None
        A sentence; None where the person has more than one photo, or a good one.

    Raises
    ------
    PersonNotFoundError
        Nobody is called that.
    """
    person = gallery.person(name)
    if person.sample_count != 1:
        return None
    (sample,) = gallery.samples(name)
    if sample.quality >= POOR:
        return None
    return (
        f"{printable(person.name)} has a single poor photo (quality {sample.quality:.2f}) and is named with care: "
        "add a good one"
    )
