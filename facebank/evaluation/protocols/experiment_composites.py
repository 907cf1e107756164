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
_WIDER, _HIGHER = 0.56, 0.60
"""Half axes of the ellipse that is pasted, in sides of the face's box."""
_SOFT = 0.04
"""Standard deviation of the blur of the ellipse's edge, in longer sides of the box."""


def composite_photos(run: ExperimentRun) -> None:
    """Search for two people in one photo, and for faces pasted on other bodies."""
    pairs = _pairs(run)
    _beside_another(run, pairs)
    run.summary.append(run.sections[-1].text[-1])
    _on_other_bodies(run, list(dict.fromkeys([*pairs, *((second, first) for first, second in pairs)])))
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
    """Return two photos side by side, ``(larger height, sum of widths, 3)``, padded with black below."""
    height = max(len(left), len(right))
    padded = [np.pad(part, ((0, height - len(part)), (0, 0), (0, 0))) for part in (left, right)]
    return np.concatenate(padded, axis=1)


def face_on_another(pixels: RGBImage, face: Detection, other: RGBImage, others: Detection) -> RGBImage:
    """Return the photo `other` with its face `others` replaced by `face` of `pixels`; body and background are kept."""
    height, width = other.shape[:2]
    matrix = similarity_transform(face.landmarks, others.landmarks)
    moved = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    x1, y1, x2, y2 = (float(side) for side in others.box)
    cover = np.zeros((height, width), dtype=np.float32)
    middle, axes = (round((x1 + x2) / 2), round((y1 + y2) / 2)), (round(_WIDER * (x2 - x1)), round(_HIGHER * (y2 - y1)))
    cv2.ellipse(cover, middle, (max(1, axes[0]), max(1, axes[1])), 0, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.5, _SOFT * others.size))[..., None]
    return np.asarray(np.rint(soft * moved + (1 - soft) * other), dtype=np.uint8)


def read_frames(video: Path, most: int = FRAMES) -> Iterator[tuple[int, DecodedPhoto]]:
    """Yield evenly spaced frames with their numbers; raises `DatasetError` if the video cannot be read."""
    try:
        with Video(video) as opened:
            total = opened.info.frames
            wanted = set(np.linspace(0, total - 1, min(most, total)).round().astype(int).tolist())
            for number, frame in enumerate(opened.frames()):
                if number in wanted:
                    rgb = np.ascontiguousarray(frame.pixels)
                    name = f"{video.name}, frame {number}"
                    yield number, DecodedPhoto(name, rgb, pixels_digest(rgb), has_orientation=True, taken_at=None)
    except VideoError as error:
        raise DatasetError(str(error)) from error


def _video_table(bench: Bench, video: Path, trial: TrialGallery) -> tuple[Table, Counter[str]]:
    """Return a table of frames, and the count of each name; "" counts faces without a name."""
    rows, named = list[tuple[str, ...]](), Counter[str]()
    for number, frame in read_frames(video):
        faces, decisions = _identify(bench, trial, frame)
        named.update(decision.person or "" for decision in decisions)
        answer = ", ".join(decision.person or decision.decision.value for decision in decisions)
        rows.append((f"{number}", f"{len(faces)}", answer or "–"))
    if not rows:
        raise DatasetError(f"{printable(str(video))}: the video has no readable frames")
    return Table(f"{printable(video.name)}, frame by frame", ("frame", "faces", "decisions"), tuple(rows)), named


def _identify(bench: Bench, trial: TrialGallery, photo: DecodedPhoto) -> tuple[Sequence[Face], Sequence[Identity]]:
    (analyzed,) = bench.reader.engine.analyzer.analyze([photo])
    return analyzed.faces, trial.recognizer.identify(analyzed.faces) if analyzed.faces else []


def _beside_another(run: ExperimentRun, pairs: Sequence[tuple[int, int]]) -> None:
    """Place two photos side by side, and compare the decisions with those on the single photos."""
    title, faces = "Two people in one photo", run.faces
    if not pairs:
        run.add(title, ("Not tested: too few photos.",))
        return
    run.bench.progress.begin("two people in one photo", len(pairs))
    same, rows = list[bool](), list[tuple[str, ...]]()
    for first, second in pairs:
        left, right = (faces.upright(index) for index in (first, second))
        joined = replace(left, pixels=side_by_side(left.pixels, right.pixels), has_orientation=True)
        found, decisions = _identify(run.bench, run.trial, joined)
        for offset, index in zip((0, left.width), (first, second), strict=True):
            face = _face(faces, index)
            (wanted,) = run.trial.recognizer.identify([face])
            answer = _decision_at(face, offset, found, decisions)
            same.append(answer is not None and (answer.decision, answer.person) == (wanted.decision, wanted.person))
            if not same[-1]:
                beside = "no face found" if answer is None else _answer_text(answer)
                rows.append((str(faces.names[index]), _answer_text(wanted), beside))
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


def _on_other_bodies(run: ExperimentRun, chosen: Sequence[tuple[int, int]]) -> None:
    """Paste faces on other people's bodies, and compare the decisions; each pair is a face and a body."""
    title, faces, trial = "Other shirts and backgrounds", run.faces, run.trial
    if not chosen:
        run.add(title, ("Not tested: too few photos.",))
        return
    photos = tuple(_composite(faces, index, body) for index, body in chosen)
    pasted = run.bench.read(Dataset("faces on other bodies", photos, pick=faces.dataset.pick))
    alone = trial.search(np.array([index for index, _ in chosen], dtype=np.int64))
    moved = trial.search(np.arange(len(chosen), dtype=np.int64), pasted)
    body = np.array([faces.dataset.photos[index].person for _, index in chosen])
    names = np.array([*trial.names, ""])
    kept = (alone.named == moved.named) & (alone.uncertain == moved.uncertain) & moved.acquired
    units = faces.groups[alone.indices]
    run.figures["same_answer_on_another_body"] = same = rate(
        kept, units, "Faces whose decision is the same on another body and background."
    )
    run.figures["named_as_the_body"] = misled = rate(
        (names[moved.named] == body) & (moved.own != moved.named),
        units,
        "Faces that get the name of the body's person.",
    )
    text = (
        f"{len(chosen)} composites of a face pasted over the face of another photo, including footballers on strangers "
        f"and strangers on footballers. Faces with the same decision: {same}. Faces that get the name of the body: "
        f"{misled}."
    )
    rows = tuple(
        (pasted.names[index], names[alone.named[index]] or "nobody", names[moved.named[index]] or "nobody")
        for index in np.flatnonzero(~kept)
    )
    table = Table("Other answers", ("photo", "as it is", "on another body"), rows)
    run.add(title, (text,), ("same_answer_on_another_body", "named_as_the_body"), (table,) if rows else ())


def _pairs(run: ExperimentRun) -> list[tuple[int, int]]:
    """Pair photos of different people: one half two enrolled people, the other a stranger and an enrolled person."""
    if run.last is None:
        return []
    faces, owners, number = run.faces, run.faces.dataset.owners, run.experiment.composites
    known = run.last[0].probes
    known = known[faces.found[known]]
    turns = round_robin([known[owners[known] == person] for person in np.unique(owners[known])], len(known))
    both = [(int(a), int(b)) for a in turns for b in turns if owners[a] < owners[b]]
    others = run.stranger_indices if len(turns) else known
    mixed = [(int(other), int(turns[index % len(turns)])) for index, other in enumerate(others)]
    return both[: number - number // 2] + mixed[: number // 2]


def _composite(faces: FaceSet, index: int, body: int) -> DatasetPhoto:
    pixels = face_on_another(
        faces.upright(index).pixels,
        _face(faces, index),
        faces.upright(body).pixels,
        _face(faces, body),
    )
    return DatasetPhoto(f"{faces.names[index]} on {faces.names[body]}", faces.dataset.photos[index].person, pixels)


def _face(faces: FaceSet, index: int) -> Face:
    face = faces.faces[index]
    if face is None:
        raise DatasetError("a photo without a face cannot be used in a composite")
    return face


def _decision_at(face: Face, offset: int, found: Sequence[Face], decisions: Sequence[Identity]) -> Identity | None:
    """Return the decision on the found face at the position of `face`, shifted right by `offset` pixels, or None."""
    if not found:
        return None
    middle = face.landmarks.mean(axis=0) + np.array([offset, 0])
    away = [float(np.linalg.norm(face.landmarks.mean(axis=0) - middle)) for face in found]
    nearest = int(np.argmin(away))
    return decisions[nearest] if away[nearest] < 0.25 * face.size else None


def _answer_text(decision: Identity) -> str:
    return decision.person or decision.decision.value
