"""Which of the folders that facebank writes to may be written, and what it costs where one may not."""

from __future__ import annotations

from pathlib import Path

from facebank.doctor.installation import Finding, Severity
from facebank.storage.connections import is_writable
from facebank.storage.paths import cache_folder, calibrations_folder, can_be_written, packs_folder
from facebank.storage.text import printable

_CACHE_COSTS = (
    "every run prepares networks and fits classifiers anew, a large gallery is indexed anew, `facebank bench` embeds "
    "all photos anew, and scores are not corrected by the people of a later scan; set FACEBANK_CACHE to a folder that "
    "may be written"
)


def examine_folders(gallery: Path | None) -> tuple[Finding, ...]:
    """Look whether the cache, the folders of packs and calibrations, the gallery and its scan may be written.

    Parameters
    ----------
    gallery
        The gallery's file; None for the default one.
    """
    from facebank.gallery import default_gallery_path

    path = default_gallery_path() if gallery is None else gallery
    return (
        _folder("Cache", cache_folder(), _CACHE_COSTS),
        _folder("Packs' folder", packs_folder(), "no pack can be installed; set FACEBANK_PACKS to another folder"),
        _folder(
            "Calibrations' folder",
            calibrations_folder(),
            "no calibration can be kept; set FACEBANK_CALIBRATIONS to another folder",
        ),
        _file(
            "Gallery's file",
            path,
            "people can be listed and identified, but nobody can be enrolled, corrected or forgotten",
            "no gallery can be made there: name another place with --gallery or FACEBANK_GALLERY",
        ),
        _file(
            "Scan's file",
            path.with_suffix(".scan"),
            "what was scanned can be asked, but nothing can be scanned, grouped or sorted",
            "no photos can be scanned: name another place with --scan-file",
        ),
    )


def _folder(subject: str, folder: Path, costs: str) -> Finding:
    label = printable(str(folder))
    if can_be_written(folder):
        return Finding(subject, f"{label}: may be written")
    return Finding(subject, f"{label}: may not be written, so {costs}", Severity.WARNING)


def _file(subject: str, path: Path, may_be_read: str, not_there: str) -> Finding:
    label = printable(str(path))
    if is_writable(path) if path.exists() else can_be_written(path.parent):
        return Finding(subject, f"{label}: may be written")
    said = f"may only be read: {may_be_read}" if path.exists() else f"its folder may not be written, so {not_there}"
    return Finding(subject, f"{label}: {said}", Severity.WARNING)
