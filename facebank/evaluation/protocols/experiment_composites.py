"""Steps of an experiment on composite photos (two people side by side, a face on another body) and on a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.errors import DatasetError, VideoError
from facebank.evaluation.dataset import Dataset, DatasetPhoto, SkippedEntry, pixels_digest
from facebank.evaluation.figures import rate
from facebank.evaluation.report import Table
from facebank.evaluation.searches import round_robin
from facebank.media.video import Video
from facebank.storage.text import printable
from facebank.types import DecodedPhoto
from facebank.vision.alignment import similarity_transform

if TYPE_CHECKING:
    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.protocols.experiment_steps import ExperimentRun
    from facebank.evaluation.searches import TrialGallery
    from facebank.types import Detection, Face, Identity, RGBImage

FRAMES = 20
_HALF_WIDTH, _HALF_HEIGHT = 0.56, 0.60
"""Half axes of the ellipse that is pasted, in sides of the face's box."""
_EDGE_BLUR = 0.04
"""Standard deviation of the blur of the ellipse's edge, in longer sides of the box."""


def composite_photos(run: ExperimentRun) -> None:
    """Search for two people in one photo, and for faces pasted on other bodies."""
    pairs = _pairs(run)
    _compare_side_by_side(run, pairs)
    run.summary.append(run.sections[-1].text[-1])
    _compare_on_other_bodies(run, list(dict.fromkeys([*pairs, *((second, first) for first, second in pairs)])))
    run.summary.append(run.sections[-1].text[-1])


def video_frames(run: ExperimentRun) -> None:
    """Identify every face of sampled frames of a video."""
    title, video = "Video, frame by frame", run.video
    if video is None:
        run.add(title, ("Not tested: no video was given.",))
        return
    try:
        table, named = _video_table(run.bench, video, run.trial)
    except DatasetError as error:
        run.add(title, (f"Not tested: {error}.",))
        run.failures.append(SkippedEntry(video.name, str(error)))
        return
    counts = ", ".join(f"{name or 'nobody'} {count}" for name, count in named.most_common())
    text = (
        f"Every face of {len(table.rows)} frames is identified independently, with the three footballers enrolled, "
        f"none of whom is expected in the video. Names given: {counts or '–'}."
    )
    run.add(title, (text,), items=(table,))


def side_by_side(left: RGBImage, right: RGBImage) -> RGBImage:
    """Return two photos side by side, RGB ``uint8`` ``(larger height, sum of widths, 3)``, padded with black below."""
    height = max(len(left), len(right))
    padded = [np.pad(pixels, ((0, height - len(pixels)), (0, 0), (0, 0))) for pixels in (left, right)]
    return np.concatenate(padded, axis=1)


def paste_face(pixels: RGBImage, face: Detection, target: RGBImage, target_face: Detection) -> RGBImage:
    """Return the pixels of `target` with `target_face` replaced by `face` of `pixels`; body and background are kept.

    Photos are RGB ``uint8`` of shape ``(height, width, 3)``.
    """
    height, width = target.shape[:2]
    matrix = similarity_transform(face.landmarks, target_face.landmarks)
    moved = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    x1, y1, x2, y2 = (float(side) for side in target_face.box)
    mask = np.zeros((height, width), dtype=np.float32)
    middle, axes = (
        (round((x1 + x2) / 2), round((y1 + y2) / 2)),
        (round(_HALF_WIDTH * (x2 - x1)), round(_HALF_HEIGHT * (y2 - y1))),
    )
    cv2.ellipse(mask, middle, (max(1, axes[0]), max(1, axes[1])), 0, 0, 360, 1.0, -1)
    alpha = cv2.GaussianBlur(mask, (0, 0), max(0.5, _EDGE_BLUR * target_face.size))[..., None]
    return np.asarray(np.rint(alpha * moved + (1 - alpha) * target), dtype=np.uint8)


def read_frames(video: Path, max_frames: int = FRAMES) -> Iterator[tuple[int, DecodedPhoto]]:
    """Yield evenly spaced frames with their numbers; raises `DatasetError` if the video cannot be read."""
    try:
        with Video(video) as opened:
            total = opened.info.frames
            numbers = set(np.linspace(0, total - 1, min(max_frames, total)).round().astype(int).tolist())
            for number, frame in enumerate(opened.frames()):
                if number in numbers:
                    rgb = np.ascontiguousarray(frame.pixels)
                    name = f"{video.name}, frame {number}"
                    yield number, DecodedPhoto(name, rgb, pixels_digest(rgb), has_orientation=True, taken_at=None)
    except VideoError as error:
        raise DatasetError(str(error)) from error


def _video_table(bench: Bench, video: Path, trial: TrialGallery) -> tuple[Table, Counter[str]]:
    """Return a table of frames, and the count of each name; "" counts faces without a name."""
    rows, named = list[tuple[str, ...]](), Counter[str]()
    for number, frame in read_frames(video):
        faces, identities = _identify(bench, trial, frame)
        named.update(identity.person or "" for identity in identities)
        answer = ", ".join(identity.person or identity.decision.value for identity in identities)
        rows.append((f"{number}", f"{len(faces)}", answer or "–"))
    if not rows:
        raise DatasetError(f"{printable(str(video))}: the video has no readable frames; pass another with --video")
    return Table(f"{printable(video.name)}, frame by frame", ("frame", "faces", "decisions"), tuple(rows)), named


def _identify(bench: Bench, trial: TrialGallery, photo: DecodedPhoto) -> tuple[Sequence[Face], Sequence[Identity]]:
    (analyzed,) = bench.reader.engine.analyzer.analyze([photo])
    return analyzed.faces, trial.recognizer.identify(analyzed.faces) if analyzed.faces else []


def _compare_side_by_side(run: ExperimentRun, pairs: Sequence[tuple[int, int]]) -> None:
    """Place two photos side by side, and compare the decisions with those on the single photos."""
    title, faces = "Two people in one photo", run.faces
    if not pairs:
        run.add(title, ("Not tested: too few photos.",))
        return
    run.bench.progress.begin("two people in one photo", len(pairs))
    same, rows = list[bool](), list[tuple[str, ...]]()
    for first, second in pairs:
        left, right = (faces.upright(index) for index in (first, second))
        composite = replace(left, pixels=side_by_side(left.pixels, right.pixels), has_orientation=True)
        detected, identities = _identify(run.bench, run.trial, composite)
        for offset, index in zip((0, left.width), (first, second), strict=True):
            face = _face(faces, index)
            (expected,) = run.trial.recognizer.identify([face])
            answer = _decision_at(face, offset, detected, identities)
            same.append(answer is not None and (answer.decision, answer.person) == (expected.decision, expected.person))
            if not same[-1]:
                answer_text = "no face found" if answer is None else _answer_text(answer)
                rows.append((str(faces.names[index]), _answer_text(expected), answer_text))
        run.bench.progress.advance()
    run.figures["same_answer_beside_another"] = rate(
        np.array(same),
        faces.groups[np.array(pairs).ravel()],
        "Faces whose decision is the same next to another person.",
    )
    text = (
        f"{len(pairs)} composites of two photos side by side. Faces with the same decision as in the single photo: "
        f"{run.figures['same_answer_beside_another']}."
    )
    table = Table("Other answers", ("photo", "alone", "beside another"), tuple(rows))
    run.add(title, (text,), ("same_answer_beside_another",), (table,) if rows else ())


def _compare_on_other_bodies(run: ExperimentRun, pairs: Sequence[tuple[int, int]]) -> None:
    """Paste faces on other people's bodies, and compare the decisions; each pair is a face and a body."""
    title, faces, trial = "Other shirts and backgrounds", run.faces, run.trial
    if not pairs:
        run.add(title, ("Not tested: too few photos.",))
        return
    photos = tuple(_composite(faces, index, body) for index, body in pairs)
    pasted = run.bench.read(Dataset("faces on other bodies", photos, pick=faces.dataset.pick))
    alone = trial.search(np.array([index for index, _ in pairs], dtype=np.int64))
    moved = trial.search(np.arange(len(pairs), dtype=np.int64), pasted)
    bodies = np.array([faces.dataset.photos[index].person for _, index in pairs])
    names = np.array([*trial.names, ""])
    is_same = (alone.named == moved.named) & (alone.uncertain == moved.uncertain) & moved.acquired
    units = faces.groups[alone.indices]
    run.figures["same_answer_on_another_body"] = same = rate(
        is_same, units, "Faces whose decision is the same on another body and background."
    )
    run.figures["named_as_the_body"] = misled = rate(
        (names[moved.named] == bodies) & (moved.shown != moved.named),
        units,
        "Faces that get the name of the body's person.",
    )
    text = (
        f"{len(pairs)} composites of a face pasted over the face of another photo, including footballers on strangers "
        f"and strangers on footballers. Faces with the same decision: {same}. Faces that get the name of the body: "
        f"{misled}."
    )
    rows = tuple(
        (pasted.names[index], names[alone.named[index]] or "nobody", names[moved.named[index]] or "nobody")
        for index in np.flatnonzero(~is_same)
    )
    table = Table("Other answers", ("photo", "as it is", "on another body"), rows)
    run.add(title, (text,), ("same_answer_on_another_body", "named_as_the_body"), (table,) if rows else ())


def _pairs(run: ExperimentRun) -> list[tuple[int, int]]:
    """Return pairs of photos: one half of two enrolled people, the other of a stranger and an enrolled person."""
    if run.last is None:
        return []
    faces, person_indices, max_pairs = run.faces, run.faces.dataset.person_indices, run.experiment.composites
    probes = run.last[0].probes
    probes = probes[faces.has_face[probes]]
    ordered = round_robin(
        [probes[person_indices[probes] == person] for person in np.unique(person_indices[probes])], len(probes)
    )
    enrolled = [
        (int(first), int(second))
        for first in ordered
        for second in ordered
        if person_indices[first] < person_indices[second]
    ]
    strangers = run.stranger_indices if len(ordered) else probes
    mixed = [(int(stranger), int(ordered[index % len(ordered)])) for index, stranger in enumerate(strangers)]
    return enrolled[: max_pairs - max_pairs // 2] + mixed[: max_pairs // 2]


def _composite(faces: FaceSet, index: int, body: int) -> DatasetPhoto:
    pixels = paste_face(
        faces.upright(index).pixels,
        _face(faces, index),
        faces.upright(body).pixels,
        _face(faces, body),
    )
    return DatasetPhoto(f"{faces.names[index]} on {faces.names[body]}", faces.dataset.photos[index].person, pixels)


def _face(faces: FaceSet, index: int) -> Face:
    face = faces.faces[index]
    if face is None:
        raise DatasetError(f"{printable(str(faces.names[index]))} cannot be used in a composite: no face was found")
    return face


def _decision_at(face: Face, offset: int, detected: Sequence[Face], identities: Sequence[Identity]) -> Identity | None:
    """Return the decision on the detected face at the position of `face`, shifted right by `offset` pixels, or None."""
    if not detected:
        return None
    middle = face.landmarks.mean(axis=0) + np.array([offset, 0])
    distances = [float(np.linalg.norm(other.landmarks.mean(axis=0) - middle)) for other in detected]
    nearest = int(np.argmin(distances))
    return identities[nearest] if distances[nearest] < 0.25 * face.size else None


def _answer_text(identity: Identity) -> str:
    return identity.person or identity.decision.value
