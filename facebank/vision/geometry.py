"""Boxes and pictures: resizing into a frame, padding, overlap, non-maximum suppression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage


def resize(pixels: RGBImage, width: int, height: int) -> RGBImage:
    """Resize a picture; bilinear when enlarging or nearly the same, averaging areas when much smaller.

    Parameters
    ----------
    pixels
        ``uint8`` of shape ``(h, w, 3)``.
    width, height
        The new size in pixels, at least 1.

    Returns
    -------
    RGBImage
        ``uint8`` of shape ``(height, width, 3)``.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    pixels = _whole_blocks_averaged(pixels, min(pixels.shape[1] // width, pixels.shape[0] // height))
    shrinks_much = pixels.shape[1] > 2 * width or pixels.shape[0] > 2 * height
    interpolation = cv2.INTER_AREA if shrinks_much else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), dtype=np.uint8)


def _whole_blocks_averaged(pixels: RGBImage, most: int) -> RGBImage:
    """Shrink by the largest whole number that divides both sides: OpenCV averages parts of pixels ten times slower."""
    height, width = pixels.shape[:2]
    block = next((size for size in range(most, 1, -1) if height % size == width % size == 0), 1)
    if block == 1:
        return pixels
    shrunk = cv2.resize(pixels, (width // block, height // block), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.uint8)


def letterbox(pixels: RGBImage, width: int, height: int) -> tuple[RGBImage, float]:
    """Fit a picture into the top left corner of a black frame, as InsightFace does before it detects.

    Parameters
    ----------
    pixels
        ``uint8`` of shape ``(h, w, 3)``.
    width, height
        Size of the frame in pixels.

    Returns
    -------
    tuple[RGBImage, float]
        The frame and the scale: coordinates in the frame divided by it are coordinates in the picture.
    """
    picture_height, picture_width = pixels.shape[:2]
    if picture_height / picture_width > height / width:
        new_height, new_width = height, max(1, int(height * picture_width / picture_height))
    else:
        new_height, new_width = max(1, int(width * picture_height / picture_width)), width
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    frame[:new_height, :new_width] = cv2.resize(pixels, (new_width, new_height))
    return frame, new_height / picture_height


def pad_to_multiple(pictures: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Pad right and below with black until both sides are multiples.

    Parameters
    ----------
    pictures
        ``uint8`` of shape ``(n, h, w, 3)``.
    multiple
        In pixels.

    Returns
    -------
    NDArray[np.uint8]
        The same array where nothing was missing.
    """
    below, right = -pictures.shape[1] % multiple, -pictures.shape[2] % multiple
    if not (below or right):
        return pictures
    return np.pad(pictures, ((0, 0), (0, below), (0, right), (0, 0)))


def overlaps(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """Intersection over union of one box with others.

    Parameters
    ----------
    box
        ``(4,)``: x1, y1, x2, y2.
    boxes
        ``(n, 4)``.

    Returns
    -------
    FloatArray
        ``(n,)``, 0..1.
    """
    intersection = _intersections(box, boxes)
    union = _areas(boxes) + _areas(box[None])[0] - intersection
    return np.asarray(intersection / np.maximum(union, 1e-9), dtype=np.float32)


def inside(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """Say how much of a box lies in others.

    Parameters
    ----------
    box
        ``(4,)``: x1, y1, x2, y2.
    boxes
        ``(n, 4)``.

    Returns
    -------
    FloatArray
        ``(n,)``: the share of the smaller of the two that is in both, 0..1.
    """
    smaller = np.minimum(_areas(boxes), _areas(box[None])[0])
    return np.asarray(_intersections(box, boxes) / np.maximum(smaller, 1e-9), dtype=np.float32)


def _intersections(box: FloatArray, boxes: FloatArray) -> FloatArray:
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return np.asarray(np.prod(np.clip(sides, 0, None), axis=1), dtype=np.float32)


def _areas(boxes: FloatArray) -> FloatArray:
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), dtype=np.float32)
