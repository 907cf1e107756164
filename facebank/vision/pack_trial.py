"""The process that tries out a pack: ``python -m facebank.vision.pack_trial``, started by `facebank.packs.trial`.

It limits itself before it reads anything of the pack, and writes the problem into a file.
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
_SAME = 0.9999


class _ProblemError(Exception):
    """States in one sentence why a pack cannot be used."""


def main() -> None:
    """Try the pack of a folder; arguments: folder, file for the result, seconds of CPU time, bytes of memory."""
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
    except Exception as error:  # noqa: BLE001 - whatever a network does, it is an answer
        problem = {"kind": "", "message": str(error) or type(error).__name__}
    result.write_text(json.dumps(problem), encoding="utf-8")


def _limit(seconds: int, memory: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limits = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_AS: memory, resource.RLIMIT_CORE: 0}
    for kind, most in limits.items():
        with contextlib.suppress(OSError, ValueError):  # a lower limit is set already, or there is none of this kind
            resource.setrlimit(kind, (most, most))


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
            f"its embedder gives {first.size // len(crops)} numbers for a face, and pack.toml says {embedder.dimension}"
        )
    if not np.isfinite(first).all() or not np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-3):
        raise _ProblemError("its embedder gives numbers that are not finite, or nothing but zeros")
    similarities = first @ first.T
    if (similarities[np.triu_indices(len(crops), 1)] > _SAME).any():
        raise _ProblemError("its embedder gives the same whatever the picture shows")
    if ((first * second).sum(axis=1) < _SAME).any():
        raise _ProblemError("its embedder gives another answer for the same picture each time")


def _portraits(detector: NetworkDetector, embedder: NetworkEmbedder, noise: RGBImage) -> list[RGBImage]:
    """Find the largest face of two portraits and return them, cut out."""
    import numpy as np

    from facebank.media import read_photo
    from facebank.vision.alignment import align

    found = []
    crops = []
    for name in _PORTRAITS:
        pixels = read_photo(Path(__file__).parent.parent / "demo" / "photos" / name).pixels
        faces = detector.detect(pixels)
        if not faces:
            raise _ProblemError("its detector finds no face in a portrait")
        face = max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))
        found.append(np.append(face.box, face.landmarks))
        if not np.isfinite(found[-1]).all():
            raise _ProblemError("its detector gives numbers that are not finite")
        crops.append(align(pixels, face.landmarks, embedder.template, embedder.size))
    on_noise = [np.append(face.box, face.landmarks) for face in detector.detect(noise)]
    if any(np.allclose(found[0], other) for other in (found[1], *on_noise)):
        raise _ProblemError("its detector finds the same whatever the picture shows")
    return crops


if __name__ == "__main__":
    main()
