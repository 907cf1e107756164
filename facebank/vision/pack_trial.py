"""Program that tries a pack: ``python -m facebank.vision.pack_trial``, started by `facebank.packs.trial`.

It limits its CPU time and memory before it reads the pack, and writes the problem, if any, to a file.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facebank.packs import Pack
    from facebank.types import RGBImage
    from facebank.vision.detector import NetworkDetector
    from facebank.vision.embedding import NetworkEmbedder

_PORTRAITS = ("barack_obama_portrait_2012.jpg", "eileen_collins.jpg")
_NOISE_SIDE = 320
_MIN_SIMILARITY = 0.9999


class _ProblemError(Exception):
    """A reason why a pack cannot be used, in one sentence."""


def main() -> None:
    """Try the pack in a folder; arguments: folder, file for the result, seconds of CPU time, bytes of memory."""
    folder, result, seconds, memory = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    _limit(seconds, memory)
    from facebank.errors import FacebankError

    problem = {}
    try:
        from facebank.packs import load_pack

        _try(load_pack(folder))
    except FacebankError as error:
        problem = {"kind": type(error).__name__, "message": str(error).replace(f"{folder}/", "")}
    except MemoryError:
        problem = {"kind": "", "message": f"it needs more than {memory >> 20} MiB of memory"}
    except Exception as error:  # noqa: BLE001 - any failure of a network is a result
        problem = {"kind": "", "message": str(error) or type(error).__name__}
    result.write_text(json.dumps(problem), encoding="utf-8")


def _limit(seconds: int, memory: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limits = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_AS: memory, resource.RLIMIT_CORE: 0}
    for name, limit in limits.items():
        with contextlib.suppress(OSError, ValueError):  # a lower limit is set, or the system does not support this one
            resource.setrlimit(name, (limit, limit))


def _try(pack: Pack) -> None:
    import numpy as np

    from facebank.vision.analyzer import build_detector, build_embedder

    detector, embedder = build_detector(pack, "cpu", 1), build_embedder(pack, "cpu", 1)
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (_NOISE_SIDE, embedder.size)]
    crops = np.stack([*_portraits(detector, embedder, noise[0]), noise[1]])
    first, second = embedder.embed(crops), embedder.embed(crops)
    if first.shape != (len(crops), embedder.dimension):
        raise _ProblemError(
            f"its embedder returns {first.size // len(crops)} numbers for a face, but pack.toml states "
            f"{embedder.dimension}"
        )
    if not np.isfinite(first).all() or not np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-3):
        raise _ProblemError("its embedder returns numbers that are not finite, or only zeros")
    similarities = first @ first.T
    if (similarities[np.triu_indices(len(crops), 1)] > _MIN_SIMILARITY).any():
        raise _ProblemError("its embedder returns the same embedding for different images")
    if ((first * second).sum(axis=1) < _MIN_SIMILARITY).any():
        raise _ProblemError("its embedder returns different embeddings for the same image")


def _portraits(detector: NetworkDetector, embedder: NetworkEmbedder, noise: RGBImage) -> list[RGBImage]:
    """Return aligned crops of the largest faces of two portraits; raises `_ProblemError` if the detector fails."""
    import numpy as np

    from facebank.media import read_photo
    from facebank.vision.alignment import align

    portrait_faces = []
    crops = []
    for name in _PORTRAITS:
        pixels = read_photo(Path(__file__).parent.parent / "demo" / "photos" / name).pixels
        faces = detector.detect(pixels)
        if not faces:
            raise _ProblemError("its detector finds no face in a portrait")
        face = max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))
        portrait_faces.append(np.append(face.box, face.landmarks))
        if not np.isfinite(portrait_faces[-1]).all():
            raise _ProblemError("its detector returns numbers that are not finite")
        crops.append(align(pixels, face.landmarks, embedder.template, embedder.size))
    noise_faces = [np.append(face.box, face.landmarks) for face in detector.detect(noise)]
    if any(np.allclose(portrait_faces[0], other) for other in (portrait_faces[1], *noise_faces)):
        raise _ProblemError("its detector returns the same face for different images")
    return crops


if __name__ == "__main__":
    main()
