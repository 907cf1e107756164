"""Steps of an experiment on photos put together (two people side by side, a face on another body) and on a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.errors import DatasetError, VideoError
from facebank.evaluation.dataset import Dataset, DatasetPhoto, LeftOut, pixels_digest
from facebank.evaluation.figures import rate
from facebank.evaluation.report import Table
from facebank.evaluation.searches import in_turns
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
"""Half axes of the head that is pasted, in sides of the face's box."""
_SOFT = 0.04
"""Standard deviation of the edge's blur, in longer sides of the box."""


def put_together(run: ExperimentRun) -> None:
    """Search for two people in one photo, and for faces on other bodies."""
    pairs = _pairs(run)
    _beside_another(run, pairs)
    run.summary.append(run.sections[-1].text[-1])
    _on_other_bodies(run, list(dict.fromkeys([*pairs, *((second, first) for first, second in pairs)])))
    run.summary.append(run.sections[-1].text[-1])


def film(run: ExperimentRun) -> None:
    """Decide every face of frames of a video."""
    title, video = "Video, frame by frame", run.video
    if video is None:
        run.add(title, ("Untested: no video was named.",))
        return
    try:
        table, named = _film_table(run.bench, video, run.trial)
    except DatasetError as error:
        run.add(title, (f"Untested: {error}.",))
        run.failures.append(LeftOut(video.name, str(error)))
        return
    counts = ", ".join(f"{name or 'nobody'} {count}" for name, count in named.most_common())
    text = (
        "Enrolled are the three footballers, none of whom is expected in it. Every face of "
        f"{len(table.rows)} frames is decided by itself; named were: {counts or '–'}."
    )
    run.add(title, (text,), items=(table,))


def side_by_side(left: RGBImage, right: RGBImage) -> RGBImage:
    """Return two photos beside each other, ``(greater height, sum of widths, 3)``, black below the lower one."""
    height = max(len(left), len(right))
    padded = [np.pad(part, ((0, height - len(part)), (0, 0), (0, 0))) for part in (left, right)]
    return np.concatenate(padded, axis=1)


def face_on_another(pixels: RGBImage, face: Detection, other: RGBImage, others: Detection) -> RGBImage:
    """Return the photo `other` with a face pasted over its face `others`; shirt and background stay."""
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
    """Yield frames at even distances, each with its number; raises `DatasetError` if there are none."""
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


def _film_table(bench: Bench, video: Path, trial: TrialGallery) -> tuple[Table, Counter[str]]:
    """Return a row for each frame, and how often each name was given; "" counts faces without a name."""
    rows, named = list[tuple[str, ...]](), Counter[str]()
    for number, frame in read_frames(video):
        faces, decisions = _identified(bench, trial, frame)
        named.update(decision.person or "" for decision in decisions)
        said = ", ".join(decision.person or decision.decision.value for decision in decisions)
        rows.append((f"{number}", f"{len(faces)}", said or "–"))
    if not rows:
        raise DatasetError(f"{printable(str(video))}: it holds no frames that can be read")
    return Table(f"{printable(video.name)}, frame by frame", ("frame", "faces", "decisions"), tuple(rows)), named


def _identified(bench: Bench, trial: TrialGallery, photo: DecodedPhoto) -> tuple[Sequence[Face], Sequence[Identity]]:
    (analyzed,) = bench.reader.engine.analyzer.analyze([photo])
    return analyzed.faces, trial.recognizer.identify(analyzed.faces) if analyzed.faces else []


def _beside_another(run: ExperimentRun, pairs: Sequence[tuple[int, int]]) -> None:
    """Put two people side by side, and compare the decision on each with the one on it alone."""
    title, faces = "Two people in one photo", run.faces
    if not pairs:
        run.add(title, ("Two people in one photo are untested: too few photos.",))
        return
    run.bench.progress.begin("two people in one photo", len(pairs))
    same, rows = list[bool](), list[tuple[str, ...]]()
    for first, second in pairs:
        left, right = (faces.upright(place) for place in (first, second))
        joined = replace(left, pixels=side_by_side(left.pixels, right.pixels), has_orientation=True)
        found, decisions = _identified(run.bench, run.trial, joined)
        for offset, place in zip((0, left.width), (first, second), strict=True):
            face = _face(faces, place)
            (wanted,) = run.trial.recognizer.identify([face])
            said = _decision_at(face, offset, found, decisions)
            same.append(said is not None and (said.decision, said.person) == (wanted.decision, wanted.person))
            if not same[-1]:
                beside = "no face found" if said is None else _words(said)
                rows.append((str(faces.names[place]), _words(wanted), beside))
        run.bench.progress.advance()
    run.figures["same_answer_beside_another"] = rate(
        np.array(same),
        faces.groups[np.array(pairs).ravel()],
        "Faces that are decided beside somebody else as they are alone.",
    )
    text = (
        f"Two photos side by side are one photo, its faces searched for together, {len(pairs)} times; each face gets "
        f"the answer that it gets alone: {run.figures['same_answer_beside_another']}."
    )
    table = Table("Other answers", ("photo", "alone", "beside another"), tuple(rows))
    run.add(title, (text,), ("same_answer_beside_another",), (table,) if rows else ())


def _on_other_bodies(run: ExperimentRun, chosen: Sequence[tuple[int, int]]) -> None:
    """Paste faces on other people's bodies, and see whether the decision changes; each pair is a face and a body."""
    title, faces, trial = "Other shirts and backgrounds", run.faces, run.trial
    if not chosen:
        run.add(title, (f"{title} are untested: too few photos.",))
        return
    photos = tuple(_pasted(faces, place, body) for place, body in chosen)
    pasted = run.bench.read(Dataset("faces on other bodies", photos, pick=faces.dataset.pick))
    alone = trial.search(np.array([place for place, _ in chosen], dtype=np.int64))
    moved = trial.search(np.arange(len(chosen), dtype=np.int64), pasted)
    body = np.array([faces.dataset.photos[place].person for _, place in chosen])
    names = np.array([*trial.names, ""])
    kept = (alone.named == moved.named) & (alone.uncertain == moved.uncertain) & moved.acquired
    units = faces.groups[alone.places]
    run.figures["same_answer_on_another_body"] = same = rate(
        kept, units, "Faces that are decided the same with another's shirt and background."
    )
    run.figures["named_as_the_body"] = misled = rate(
        (names[moved.named] == body) & (moved.own != moved.named), units, "Faces that are given the name of the body."
    )
    text = (
        f"The face of one photo is pasted over the face of another, which gives shirt and background, {len(chosen)} "
        "times, footballers on strangers and strangers on footballers too; the decision stays as it was: "
        f"{same}; the name of the body is given: {misled}."
    )
    rows = tuple(
        (pasted.names[place], names[alone.named[place]] or "nobody", names[moved.named[place]] or "nobody")
        for place in np.flatnonzero(~kept)
    )
    table = Table("Other answers", ("photo", "as it is", "on another body"), rows)
    run.add(title, (text,), ("same_answer_on_another_body", "named_as_the_body"), (table,) if rows else ())


def _pairs(run: ExperimentRun) -> list[tuple[int, int]]:
    """Pair photos of different people: one half enrolled people, the other a stranger and an enrolled person."""
    if run.last is None:
        return []
    faces, owners, number = run.faces, run.faces.dataset.owners, run.experiment.composites
    known = run.last[0].probes
    known = known[faces.found[known]]
    turns = in_turns([known[owners[known] == person] for person in np.unique(owners[known])], len(known))
    both = [(int(a), int(b)) for a in turns for b in turns if owners[a] < owners[b]]
    others = run.stranger_places if len(turns) else known
    mixed = [(int(other), int(turns[place % len(turns)])) for place, other in enumerate(others)]
    return both[: number - number // 2] + mixed[: number // 2]


def _pasted(faces: FaceSet, place: int, body: int) -> DatasetPhoto:
    pixels = face_on_another(
        faces.upright(place).pixels,
        _face(faces, place),
        faces.upright(body).pixels,
        _face(faces, body),
    )
    return DatasetPhoto(f"{faces.names[place]} on {faces.names[body]}", faces.dataset.photos[place].person, pixels)


def _face(faces: FaceSet, place: int) -> Face:
    face = faces.faces[place]
    if face is None:
        raise DatasetError("a photo without a face cannot be put together")
    return face


def _decision_at(face: Face, offset: int, found: Sequence[Face], decisions: Sequence[Identity]) -> Identity | None:
    """Return the decision on the face that lies where a face, moved right by `offset` pixels, is; None without one."""
    if not found:
        return None
    middle = face.landmarks.mean(axis=0) + np.array([offset, 0])
    away = [float(np.linalg.norm(one.landmarks.mean(axis=0) - middle)) for one in found]
    nearest = int(np.argmin(away))
    return decisions[nearest] if away[nearest] < 0.25 * face.size else None


def _words(decision: Identity) -> str:
    return decision.person or decision.decision.value
