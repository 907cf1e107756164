"""``facebank packs calibrate``: find out what a pack's scores are worth, from photos of known people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import say, write_json, write_line, write_table
from .progress import ProgressBar
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.operations.calibrate import AlbumPhoto, Calibrated, CalibrationPlan, KnownFaces, TwoPeople
    from facebank.recognition.calibration.calibration import Calibrator
    from facebank.recognition.calibration.reliability import Reliability

ENOUGH = 100
"""From how many people in the largest simulated galleries on nothing is said about still larger ones."""

EXAMPLES = """\b
Examples:
  facebank packs calibrate opencv album
  facebank packs calibrate opencv album --strangers crowds
  facebank packs calibrate my-pack people --classifier all --out my-pack

The album holds one folder for each person, as `facebank enroll --tree` takes it; the largest face of each photo
is the person's. The more people and photos, the better it holds, and only galleries of up to about a third as
many people as there are, strangers included, are tried out. A new calibration replaces your earlier one of the
pack; classifiers that it leaves out keep what came with the pack."""


def register(packs: typer.Typer) -> None:
    """Add the command to the group."""
    packs.command("calibrate", epilog=EXAMPLES)(calibrate)


def calibrate(
    ctx: typer.Context,
    pack: Annotated[str, typer.Argument(metavar="PACK", help="Name or folder of a pack.")],
    photos: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with one folder of photos for each person.")],
    strangers: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Photos of anybody else: each face counts as another person's."),
    ] = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="What to calibrate: prototype, knn, svm, svm-rbf, logistic or all; may be repeated. Default: "
            "prototype and knn, which take seconds to minutes; all takes several times as long.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder to keep the calibration in, such as the pack's. Default: for you only."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
) -> int:
    """Calibrate a pack with photos of people you know.

    Decisions get probabilities, and thresholds that hold for a gallery's size: both are counted in simulated galleries
    of these people. Then half of the people are calibrated with the other half, to tell how far it can be trusted.
    """
    from facebank.operations.calibrate import calibrate, find_album, plan_calibration, read_faces, wanted_classifiers
    from facebank.operations.engine import load_engine
    from facebank.recognition.calibration.files import require_folder, save_pack_calibration, user_folder

    wanted = wanted_classifiers(classifier)
    album = find_album(photos, strangers)
    settings = settings_of(ctx)
    engine = load_engine(pack, settings.device, runtime=settings.runtime)
    folder = out or user_folder(engine.identity)
    require_folder(folder)
    with ProgressBar(writes_lines=as_json) as bar:
        faces = read_faces(album, engine, bar)
    _warn(faces)
    job = plan_calibration(faces.identities, wanted)
    with ProgressBar(writes_lines=as_json) as bar:
        made_from = _in_words(photos, strangers)
        found = calibrate(faces.identities, engine.identity, job.classifiers, made_from, progress=bar)
    save_pack_calibration(found.calibration, found.background, folder)
    if as_json:
        write_json({"pack": engine.identity.name, **_record(faces, job, found), "folder": str(folder.absolute())})
    else:
        _summarise(engine.identity.name, faces, found)
        write_line(f"kept in {folder}" + ("" if out else ": remove that folder to undo it"))
        _tell_gaps(job, found)
    return 0


def _in_words(photos: Path, strangers: Path | None) -> str:
    """Name the folders, without where they are: the calibration may be given away."""
    crowd = f" with strangers of {strangers.resolve().name}" if strangers else ""
    return f"photos of {photos.resolve().name}{crowd}"


def _warn(faces: KnownFaces) -> None:
    for pair in faces.two_people:
        if pair.second.person is None:
            say(f"{pair.second.path} is a photo of {pair.first.person}, and was left out of the strangers")
        else:
            say(f"{pair.first.path} and {pair.second.path} show the same face under two names: both were left out")


def _record(faces: KnownFaces, job: CalibrationPlan, found: Calibrated) -> dict[str, object]:
    return {
        "pack_digest": found.calibration.pack_digest,
        "made_from": found.calibration.made_from,
        "people": faces.people,
        "strangers": faces.strangers,
        "photos": found.calibration.photos,
        "left_out": {reason.value: count for reason, count in faces.left_out.items()},
        "two_people": [_pair(pair) for pair in faces.two_people],
        "background": found.background is not None,
        "classifiers": [
            {
                "classifier": calibrator.classifier,
                "galleries": [
                    {"people": size, "threshold": threshold, **_counted(counted)}
                    for size, threshold, counted in _by_size(calibrator, found.reliability)
                ],
            }
            for calibrator in found.calibration.calibrators
        ],
        "not_calibrated": [{"classifier": classifier, "why": why} for classifier, why in job.left_out.items()],
    }


def _pair(pair: TwoPeople) -> dict[str, object]:
    return {"first": _photo(pair.first), "second": _photo(pair.second)}


def _photo(photo: AlbumPhoto) -> dict[str, object]:
    return {"image": str(photo.path), "person": photo.person}


def _by_size(
    calibrator: Calibrator, reliability: Mapping[str, Sequence[Reliability]]
) -> Iterator[tuple[int, float | None, Reliability | None]]:
    """Yield each size of gallery with the threshold for one sample each and what was counted, where there are any."""
    import numpy as np

    from facebank.recognition.calibration.fitting import SIZES_OF_FITTED
    from facebank.recognition.calibration.reliability import FPIR

    simulated = {table.size for table in calibrator.tables}
    counted = {one.size: one for one in reliability[calibrator.classifier]}
    for size in SIZES_OF_FITTED:  # of the others there are more, but four say enough
        threshold = calibrator.threshold(np.ones(size, np.int64), FPIR) if size in simulated else None
        yield size, threshold, counted.get(size)


def _counted(counted: Reliability | None) -> dict[str, float | None]:
    names = ("fpir", "brier", "log_loss", "ece")
    return {name: None if counted is None else float(getattr(counted, name)) for name in names}


def _summarise(name: str, faces: KnownFaces, found: Calibrated) -> None:
    strangers = f" and {faces.strangers} strangers" if faces.strangers else ""
    write_line(f"{name}: {found.calibration.photos} faces of {faces.people} people{strangers}")
    left_out = [f"{count} {_WORDS[reason.value]}" for reason, count in faces.left_out.items() if count]
    if left_out:
        write_line(f"left out: {', '.join(left_out)}")
    columns = ("classifier", "people", "threshold", "strangers named", "Brier score", "log loss", "calibration error")
    rows = [
        (calibrator.classifier, str(size), _number(threshold), *_cells(counted))
        for calibrator in found.calibration.calibrators
        for size, threshold, counted in _by_size(calibrator, found.reliability)
        if threshold is not None
    ]
    write_table(columns, rows, {"-": "dim"})


def _tell_gaps(job: CalibrationPlan, found: Calibrated) -> None:
    for classifier, why in job.left_out.items():
        say(f"{classifier} was left out: {why}")
    if not all(found.reliability.values()):
        say("how far it can be trusted was not counted: half of the people are too few to calibrate with")
    largest = min(calibrator.tables[-1].size for calibrator in found.calibration.calibrators)
    if largest < ENOUGH:
        say(
            f"only galleries of up to {largest} people were tried out: with many more enrolled, several times as many "
            "strangers may be named as you ask for"
        )


_WORDS: Mapping[str, str] = {
    "unreadable": "unreadable",
    "no_face": "without a face",
    "too_poor": "too poor",
    "same_photo": "the same photo again",
    "two_people": "under two people",
}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cells(counted: Reliability | None) -> tuple[str, ...]:
    if counted is None:
        return ("-",) * 4
    return f"{counted.fpir:.2%}", _number(counted.brier), _number(counted.log_loss), _number(counted.ece)
