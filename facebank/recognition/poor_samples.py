"""People of whom a gallery has nothing but a single poor photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.gallery import Gallery

POOR = 0.5
"""The quality of a sample below which its person's other faces keep two thirds of their likeness and less.

Measured on 29 of LFW's development people, worsened in eight ways: another photo of the person has a similarity of
.57 to .62 on average where the single sample's quality is .7 and more, of .44 and less below .5; and there the highest
1 % of strangers' poor faces reach .28 to .46 instead of .22.
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
