"""Alignment: upright crops of faces at a fixed size, by a similarity transform of their five landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage

# Landmarks of a face in a 112 x 112 crop, from the reference code of J. Deng et al., "ArcFace", CVPR 2019.
_ARCFACE_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
# FaceNet was trained on MTCNN boxes with a margin (D. Sandberg's facenet, 160 x 160, margin 32): the same landmarks at
# a smaller scale, so that the crop includes hair and chin.
_FACENET_160 = (_ARCFACE_112 - 56) * np.float32(160 / 112 * 0.82) + np.float32(80)

_TEMPLATES = {"arcface": (_ARCFACE_112, 112), "facenet": (_FACENET_160, 160)}


def template_landmarks(template: str, size: int) -> FloatArray:
    """Return the five landmarks of an aligned face in a crop of `size` pixels: ``float32`` of shape ``(5, 2)``.

    `template` is ``arcface`` or ``facenet``.
    """
    landmarks, template_size = _TEMPLATES[template]
    return landmarks * np.float32(size / template_size)


def similarity_transform(source: FloatArray, target: FloatArray) -> NDArray[np.float64]:
    """Return the rotation, scale and shift from `source` to `target` with the least squared error, as a matrix.

    Both are ``(n, 2)`` with n >= 2; the matrix is ``float64`` of shape ``(2, 3)``. Source: S. Umeyama, "Least-squares
    estimation of transformation parameters between two point patterns", PAMI 1991; without reflection, it has a closed
    form in complex numbers.
    """
    center_source, center_target = source.mean(axis=0), target.mean(axis=0)
    a, b = _as_complex(source - center_source), _as_complex(target - center_target)
    spread = float(np.sum(np.abs(a) ** 2))
    factor = np.sum(np.conj(a) * b) / spread if spread > 0 else 1.0 + 0j
    matrix = np.empty((2, 3))
    matrix[:, :2] = (factor.real, -factor.imag), (factor.imag, factor.real)
    matrix[:, 2] = center_target - matrix[:, :2] @ center_source
    return matrix


def _as_complex(points: FloatArray) -> NDArray[np.complex128]:
    return points.astype(np.float64, order="C").view(np.complex128)[:, 0]


def align(pixels: RGBImage, landmarks: FloatArray, template: str, size: int) -> RGBImage:
    """Return an upright crop of a face, RGB ``uint8`` of shape ``(size, size, 3)``; black beyond the photo's edges.

    Parameters
    ----------
    pixels
        RGB ``uint8`` of shape ``(height, width, 3)``.
    landmarks
        ``float32`` of shape ``(5, 2)``, in pixels of the photo.
    template
        ``arcface`` or ``facenet``.
    size
        Side of the crop in pixels.
    """
    matrix = similarity_transform(landmarks, template_landmarks(template, size))
    return np.asarray(cv2.warpAffine(pixels, matrix, (size, size)), dtype=np.uint8)
