"""``facebank packs calibrate``: calibration of a pack with photos of known people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .global_options import global_options
from .options import AsOneJson
from .output import say, short_path, write_json, write_line, write_table
from .progress import ProgressBar

if TYPE_CHECKING:
    from facebank.operations.calibrate import (
        AlbumPhoto,
        CalibrationFaces,
        CalibrationPlan,
        CalibrationResult,
        ConflictingPhotos,
    )
    from facebank.recognition.calibration.calibration import Calibrator
    from facebank.recognition.calibration.reliability import Reliability

LARGE_GALLERY = 100
"""Minimum number of people in the largest simulated gallery for which no warning about larger ones is printed."""

EXAMPLES = """\b
Examples:
  facebank packs calibrate opencv album
  facebank packs calibrate opencv album --strangers crowds
  facebank packs calibrate my-pack people --classifier all --out my-pack

The album holds one folder for each person, as for 'facebank enroll --tree'; the largest face of each photo is taken
as the person's. More people and photos make the calibration more reliable. The simulated galleries have up to about
a third of all people, strangers included. A new calibration of a pack replaces your earlier one; classifiers that it
leaves out keep the calibration that came with the pack."""


def register(packs: typer.Typer) -> None:
    """Add the command to the group."""
    packs.command("calibrate", epilog=EXAMPLES)(calibrate)


def calibrate(
    ctx: typer.Context,
    pack: Annotated[str, typer.Argument(metavar="PACK", help="Name or folder of a pack.")],
    album_folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with one folder of photos for each person.")
    ],
    strangers: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Photos of other people: each face counts as a different person's."),
    ] = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Classifier: prototype, knn, svm, svm-rbf, logistic or all; may be repeated. Default: "
            "prototype and knn, which take seconds to minutes; all takes several times as long.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for the calibration, such as the pack's. Default: your calibrations folder."
        ),
    ] = None,
    as_json: AsOneJson = False,
) -> int:
    """Calibrate a pack with photos of people you know.

    Calibrated decisions have probabilities, and thresholds that fit the size of the gallery; both are estimated in
    simulated galleries of these people. The reliability is measured by calibrating with one half of the people and
    testing with the other.
    """
    from facebank.errors import UsageError
    from facebank.operations.calibrate import calibrate, find_album, plan_calibration, read_faces, select_classifiers
    from facebank.operations.engine import load_engine
    from facebank.recognition.calibration.files import check_folder, save_pack_calibration, user_folder

    classifiers = select_classifiers(classifier)
    album = find_album(album_folder, strangers)
    options = global_options(ctx)
    engine = load_engine(pack, options.device, runtime=options.runtime)
    target = out or user_folder(engine.identity)
    check_folder(target)
    with ProgressBar(writes_lines=as_json) as bar:
        faces = read_faces(album, engine, bar)
    _report_mislabeled(faces)
    try:
        plan = plan_calibration(faces.identities, classifiers)
    except UsageError as error:
        raise UsageError(f"{short_path(str(album_folder))}: {error}") from error
    with ProgressBar(writes_lines=as_json) as bar:
        made_from = _provenance(album_folder, strangers)
        result = calibrate(faces.identities, engine.identity, plan.classifiers, made_from, progress=bar)
    save_pack_calibration(result.calibration, result.background, target)
    if as_json:
        write_json({"pack": engine.identity.name, **_record(faces, plan, result), "folder": str(target.absolute())})
    else:
        _print_summary(engine.identity.name, faces, result)
        write_line(f"saved in {target}" + ("" if out else ": remove that folder to undo the calibration"))
        _report_gaps(plan, result)
    return 0


def _provenance(album_folder: Path, strangers: Path | None) -> str:
    """Return the names of the folders, without their paths, because calibrations may be published."""
    suffix = f" with strangers of {strangers.resolve().name}" if strangers else ""
    return f"photos of {album_folder.resolve().name}{suffix}"


def _report_mislabeled(faces: CalibrationFaces) -> None:
    for pair in faces.two_people:
        if pair.second.person is None:
            say(f"{pair.second.path} is a photo of {pair.first.person}, and was left out of the strangers")
        else:
            say(f"{pair.first.path} and {pair.second.path} show the same face under two names: both were left out")


def _record(faces: CalibrationFaces, plan: CalibrationPlan, result: CalibrationResult) -> dict[str, object]:
    return {
        "pack_digest": result.calibration.pack_digest,
        "made_from": result.calibration.made_from,
        "people": faces.people,
        "strangers": faces.strangers,
        "photos": result.calibration.photos,
        "left_out": {reason.value: count for reason, count in faces.left_out.items()},
        "two_people": [_pair_record(pair) for pair in faces.two_people],
        "background": result.background is not None,
        "classifiers": [
            {
                "classifier": calibrator.classifier,
                "galleries": [
                    {"people": size, "threshold": threshold, **_reliability_record(measured)}
                    for size, threshold, measured in _sizes_of(calibrator, result.reliability)
                ],
            }
            for calibrator in result.calibration.calibrators
        ],
        "not_calibrated": [{"classifier": classifier, "why": reason} for classifier, reason in plan.left_out.items()],
    }


def _pair_record(pair: ConflictingPhotos) -> dict[str, object]:
    return {"first": _photo_record(pair.first), "second": _photo_record(pair.second)}


def _photo_record(photo: AlbumPhoto) -> dict[str, object]:
    return {"image": str(photo.path), "person": photo.person}


def _sizes_of(
    calibrator: Calibrator, reliability: Mapping[str, Sequence[Reliability]]
) -> Iterator[tuple[int, float | None, Reliability | None]]:
    """Yield sizes of galleries, each with its threshold at one sample per person and its reliability, or None."""
    import numpy as np

    from facebank.recognition.calibration.fitting import SIZES_OF_FITTED
    from facebank.recognition.calibration.reliability import FPIR

    simulated = {table.size for table in calibrator.tables}
    by_size = {measured.size: measured for measured in reliability[calibrator.classifier]}
    for size in SIZES_OF_FITTED:  # a selection of the simulated sizes, which are too many for a table
        threshold = calibrator.threshold(np.ones(size, np.int64), FPIR) if size in simulated else None
        yield size, threshold, by_size.get(size)


def _reliability_record(measured: Reliability | None) -> dict[str, float | None]:
    names = ("fpir", "brier", "log_loss", "ece")
    return {name: None if measured is None else float(getattr(measured, name)) for name in names}


def _print_summary(name: str, faces: CalibrationFaces, result: CalibrationResult) -> None:
    strangers = f" and {faces.strangers} strangers" if faces.strangers else ""
    write_line(f"{name}: {result.calibration.photos} faces of {faces.people} people{strangers}")
    left_out = [f"{count} {_LEFT_OUT_REASONS[reason.value]}" for reason, count in faces.left_out.items() if count]
    if left_out:
        write_line(f"left out: {', '.join(left_out)}")
    columns = ("classifier", "people", "threshold", "strangers named", "Brier score", "log loss", "calibration error")
    rows = [
        (calibrator.classifier, str(size), _format_number(threshold), *_reliability_cells(measured))
        for calibrator in result.calibration.calibrators
        for size, threshold, measured in _sizes_of(calibrator, result.reliability)
        if threshold is not None
    ]
    write_table(columns, rows, {"-": "dim"})


def _report_gaps(plan: CalibrationPlan, result: CalibrationResult) -> None:
    """Report classifiers without a calibration, and limits of the calibration."""
    for classifier, reason in plan.left_out.items():
        say(f"{classifier} was left out: {reason}")
    if not all(result.reliability.values()):
        say("the reliability was not measured: half of the people are too few to calibrate with; add people")
    largest = min(calibrator.tables[-1].size for calibrator in result.calibration.calibrators)
    if largest < LARGE_GALLERY:
        say(
            f"only galleries of up to {largest} people were simulated: with many more people enrolled, the fraction of "
            "strangers who are named may be several times the setting fpir"
        )


_LEFT_OUT_REASONS: Mapping[str, str] = {
    "unreadable": "unreadable",
    "no_face": "without a face",
    "too_poor": "too poor",
    "same_photo": "the same photo again",
    "two_people": "under two people",
}


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _reliability_cells(measured: Reliability | None) -> tuple[str, ...]:
    if measured is None:
        return ("-",) * 4
    return (
        f"{measured.fpir:.2%}",
        _format_number(measured.brier),
        _format_number(measured.log_loss),
        _format_number(measured.ece),
    )
