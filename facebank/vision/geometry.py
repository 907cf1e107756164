"""Resizing, letterboxing and padding of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import RGBImage


def resize(pixels: RGBImage, width: int, height: int) -> RGBImage:
    """Return a resized ``uint8`` image ``(height, width, 3)``: area-averaged below half the size, else bilinear."""
    if pixels.shape[:2] == (height, width):
        return pixels
    pixels = _shrink_by_blocks(pixels, min(pixels.shape[1] // width, pixels.shape[0] // height))
    shrinks_much = pixels.shape[1] > 2 * width or pixels.shape[0] > 2 * height
    interpolation = cv2.INTER_AREA if shrinks_much else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), dtype=np.uint8)


def _shrink_by_blocks(pixels: RGBImage, max_block: int) -> RGBImage:
    """Shrink by the largest integer up to `max_block` that divides both sides, which is fast in OpenCV."""
    height, width = pixels.shape[:2]
    block = next((size for size in range(max_block, 1, -1) if height % size == width % size == 0), 1)
    if block == 1:
        return pixels
    shrunk = cv2.resize(pixels, (width // block, height // block), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.uint8)


def letterbox(pixels: RGBImage, width: int, height: int) -> tuple[RGBImage, float]:
    """Return a ``uint8`` image ``(h, w, 3)`` fitted into the top left corner of a black frame, as InsightFace does.

    Returns
    -------
    tuple[RGBImage, float]
        The frame ``(height, width, 3)``, and the scale: frame coordinates divided by it are image coordinates.
    """
    image_height, image_width = pixels.shape[:2]
    if image_height / image_width > height / width:
        new_height, new_width = height, max(1, int(height * image_width / image_height))
    else:
        new_height, new_width = max(1, int(width * image_height / image_width)), width
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    frame[:new_height, :new_width] = cv2.resize(pixels, (new_width, new_height))
    return frame, new_height / image_height


def pad_to_multiple(images: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Return ``uint8`` images ``(n, h, w, 3)`` padded with black on the right and below, to multiples of `multiple`."""
    below, right = -images.shape[1] % multiple, -images.shape[2] % multiple
    if not (below or right):
        return images
    return np.pad(images, ((0, 0), (0, below), (0, right), (0, 0)))
