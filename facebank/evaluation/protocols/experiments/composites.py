"""Photos put together: two people side by side, and a face on another's body, before another's background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.vision.alignment import similarity_transform

if TYPE_CHECKING:
    from facebank.types import Detection, RGBImage

_WIDER, _HIGHER = 0.56, 0.60
"""Half axes of the head that is carried over, of the sides of the face's box."""
_SOFT = 0.04
"""How softly it fades into the other photo, of the longer side of the box."""


def side_by_side(left: RGBImage, right: RGBImage) -> RGBImage:
    """Put two photos beside each other; the lower one gets black below.

    Returns
    -------
    RGBImage
        ``uint8`` of shape ``(the greater height, sum of the widths, 3)``.
    """
    height = max(len(left), len(right))
    padded = [np.pad(part, ((0, height - len(part)), (0, 0), (0, 0))) for part in (left, right)]
    return np.concatenate(padded, axis=1)


def face_on_another(pixels: RGBImage, face: Detection, other: RGBImage, others: Detection) -> RGBImage:
    """Paste a face over the face of another photo, which gives hair's edge, shirt and background.

    Parameters
    ----------
    pixels, face
        Where the face comes from.
    other, others
        The photo that the rest comes from, and its face, which is covered.

    Returns
    -------
    RGBImage
        Of the shape of ``other``.
    """
    height, width = other.shape[:2]
    matrix = similarity_transform(face.landmarks, others.landmarks)
    moved = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    x1, y1, x2, y2 = (float(side) for side in others.box)
    cover = np.zeros((height, width), dtype=np.float32)
    middle, axes = (round((x1 + x2) / 2), round((y1 + y2) / 2)), (round(_WIDER * (x2 - x1)), round(_HIGHER * (y2 - y1)))
    cv2.ellipse(cover, middle, (max(1, axes[0]), max(1, axes[1])), 0, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.5, _SOFT * others.size))[..., None]
    return np.asarray(np.rint(soft * moved + (1 - soft) * other), dtype=np.uint8)
