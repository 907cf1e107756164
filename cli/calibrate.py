"""``facebank packs calibrate``: calibration of a pack with photos of known people."""

from __future__ import annotations

from collections.abc import Mapping
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
    from facebank.recognition.calibration.reliability import Reliability

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
            say(
                f"{pair.second.path} is a photo of {pair.first.person} among the strangers and was not used: move it "
                f"to the folder of {pair.first.person}"
            )
        else:
            say(
                f"{pair.first.path} and {pair.second.path} show the same face in the folders of {pair.first.person} "
                f"and {pair.second.person}; neither was used: remove the photo from the wrong folder"
            )


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
                    {
                        "people": size.people,
                        "threshold": size.threshold,
                        **_reliability_record(size.reliability),
                    }
                    for size in result.sizes_of(calibrator)
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


def _reliability_record(measured: Reliability | None) -> dict[str, float | None]:
    names = ("fpir", "brier", "log_loss", "ece")
    return {name: None if measured is None else float(getattr(measured, name)) for name in names}


def _print_summary(name: str, faces: CalibrationFaces, result: CalibrationResult) -> None:
    strangers = f" and {faces.strangers} strangers" if faces.strangers else ""
    write_line(f"{name}: {result.calibration.photos} faces of {faces.people} people{strangers}")
    left_out = [f"{count} {_LEFT_OUT_REASONS[reason.value]}" for reason, count in faces.left_out.items() if count]
    if left_out:
        write_line(f"photos and faces not used: {', '.join(left_out)}")
    columns = ("classifier", "people", "threshold", "strangers named", "Brier score", "log loss", "calibration error")
    rows = [
        (
            calibrator.classifier,
            str(size.people),
            _format_number(size.threshold),
            *_reliability_cells(size.reliability),
        )
        for calibrator in result.calibration.calibrators
        for size in result.sizes_of(calibrator)
        if size.threshold is not None
    ]
    write_table(columns, rows, {"-": "dim"})


def _report_gaps(plan: CalibrationPlan, result: CalibrationResult) -> None:
    """Report classifiers without a calibration, and limits of the calibration."""
    for classifier, reason in plan.left_out.items():
        say(f"the classifier {classifier} was not calibrated: {reason}; add photos of more people")
    if not all(result.reliability.values()):
        say(
            "the reliability was not measured, because half of the people are too few for a calibration: add photos of "
            "more people"
        )
    if not result.covers_large_galleries:
        say(
            f"only galleries of up to {result.largest_gallery} people were simulated: with many more people enrolled, "
            "the fraction of strangers who are named may be several times the setting fpir; calibrate with photos of "
            "more people"
        )


_LEFT_OUT_REASONS: Mapping[str, str] = {
    "unreadable": "unreadable",
    "no_face": "without a face",
    "too_poor": "of too poor quality",
    "same_photo": "copied from another photo",
    "two_people": "in the folders of two people",
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
