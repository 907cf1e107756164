"""Opening of datasets, with the format detected from the content, and restriction to listed people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, Pick, SkippedEntry
from facebank.evaluation.datasets.annotations import (
    VOTT_COLUMNS,
    is_coco,
    is_vott,
    read_coco,
    read_vott_csv,
    read_vott_json,
)
from facebank.evaluation.datasets.arrays import has_embeddings, read_arrays, read_embeddings
from facebank.evaluation.datasets.bin_file import read_bin
from facebank.evaluation.datasets.checking import MAX_TEXT, file_error, read_columns, read_json, read_text
from facebank.evaluation.datasets.folders import read_folders
from facebank.evaluation.datasets.lfw import add_pairs, is_lfw, read_people
from facebank.evaluation.datasets.pairs_csv import PAIR_COLUMNS, read_pairs_csv
from facebank.storage.files import read_reason
from facebank.storage.text import printable

FORMATS = (
    "a folder per person, LFW or its pairs.txt, a .bin file of InsightFace, a CSV of pairs, "
    "a VoTT export (JSON or CSV), a COCO export, or an npz of images or embeddings"
)
"""The supported formats, as listed in messages."""

_START_BYTES = 4096
_EXPORT_FOLDERS = ("vott-json-export", "vott-csv-export")


def open_dataset(path: Path, photos: Path | None = None) -> Dataset:
    """Return a dataset in any of the formats `FORMATS`.

    A folder is read from its VoTT or COCO export if it has one (also in ``vott-json-export`` or ``vott-csv-export``),
    else as one folder per person. For a list of pairs, pass the path of the list.

    Parameters
    ----------
    path
        A file or folder.
    photos
        For lists of photos, the folder of the photos; None for the default location relative to the list.

    Raises
    ------
    DatasetError
        The path does not exist, or its content is damaged or of an unsupported format.
    """
    try:
        if path.is_dir():
            return _open_folder(path, photos)
        if path.is_file():
            return _open_file(path, photos)
    except OSError as error:
        raise file_error(path, f"cannot be opened: {read_reason(error)}") from error
    raise file_error(path, "no such file or folder")


def read_names(path: Path) -> frozenset[str]:
    """Return the people of a list, in LFW's format or with one name per line; raises `DatasetError`, also if empty."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    # Names may be numbers, so LFW's format is recognized by the count after each name.
    if lines and lines[0].isdecimal() and any("\t" in line for line in lines):
        return frozenset(person.name for person in read_people(path))
    names = frozenset(line.split("\t")[0].strip() for line in lines if line)
    if not names:
        raise file_error(path, "the list of people is empty")
    return names


def select_listed(dataset: Dataset, path: Path) -> Dataset:
    """Return the dataset restricted to the people of a list; listed people without photos are noted in `skipped`.

    Raises `DatasetError` if the list cannot be read, or none of its people is in the dataset.
    """
    names = read_names(path)
    present = names & set(dataset.people)
    if not present:
        raise file_error(path, f"none of the {len(names)} listed people is in {printable(dataset.title)}")
    restricted = dataset.select_people(present)
    missing = sorted(names - present)
    if not missing:
        return restricted
    listed = f"{printable(missing[0])} and {len(missing) - 1} more" if len(missing) > 1 else printable(missing[0])
    note = SkippedEntry(
        path.name, f"{len(missing)} of {len(names)} listed people have no photos in the dataset: {listed}"
    )
    return replace(restricted, skipped=(*restricted.skipped, note))


def _open_folder(folder: Path, photos: Path | None) -> Dataset:
    if photos is not None:
        raise file_error(folder, "a separate folder of photos can only be given with a file that lists photos")
    exports = [path for parent in (folder, *(folder / name for name in _EXPORT_FOLDERS)) for path in _exports(parent)]
    if len(exports) > 1:
        names = ", ".join(printable(path.relative_to(folder).as_posix()) for path in exports[:3])
        raise file_error(folder, f"the folder has several exports ({names}); pass the path of one")
    if exports:
        return _open_file(exports[0], None)
    dataset = read_folders(folder)
    return replace(dataset, pick=Pick.CENTRAL) if is_lfw(dataset) else dataset


def _exports(folder: Path) -> list[Path]:
    """Return the paths of the VoTT and COCO exports in a folder."""
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    # VoTT also writes a file per photo (*-asset.json), which is not an export.
    tables = [path for path in paths if path.suffix.lower() == ".csv" and _is_vott_table(path)]
    documents = [path for path in paths if path.suffix.lower() == ".json" and not path.stem.endswith("-asset")]
    return [path for path in documents if path.stat().st_size <= MAX_TEXT and _is_export(path)] + tables


def _is_vott_table(path: Path) -> bool:
    return set(VOTT_COLUMNS) <= _columns(path, _first_line(_read_start(path)))


def _is_export(path: Path) -> bool:
    start = _read_start(path)
    if b'"assets"' not in start and b'"images"' not in start and len(start) < _START_BYTES:
        return False
    try:
        document = read_json(path)
    except DatasetError:  # open a broken export to report its error; ignore other files
        return b'"assets"' in start or b'"annotations"' in start
    return is_vott(document) or is_coco(document)


def _open_file(path: Path, photos: Path | None) -> Dataset:
    start = _read_start(path)
    if not start:
        raise file_error(path, "the file is empty")
    if start.startswith(b"PK\x03\x04"):
        return read_embeddings(path) if has_embeddings(path) else read_arrays(path)
    if start.startswith(b"\x80") or path.suffix.lower() == ".bin":
        return read_bin(path)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return _open_json(path, photos)
    return _open_text(path, start, photos)


def _open_json(path: Path, photos: Path | None) -> Dataset:
    document = read_json(path)
    if is_vott(document):
        return read_vott_json(path, photos, document)
    if isinstance(document, dict) and "images" in document and "annotations" in document:
        return read_coco(path, photos, document)
    raise file_error(path, "neither a VoTT export (no 'assets') nor a COCO export (no 'images' and 'annotations')")


def _open_text(path: Path, start: bytes, photos: Path | None) -> Dataset:
    line = _first_line(start)
    if line.split() and all(part.isdecimal() for part in line.split()):
        return _open_list(path, photos)
    columns = _columns(path, line)
    if len(columns & set(VOTT_COLUMNS)) > 3:
        return read_vott_csv(path, photos)
    if columns & set(PAIR_COLUMNS):
        return read_pairs_csv(path, photos)
    raise file_error(path, f"unsupported format; supported are: {FORMATS}")


def _open_list(path: Path, photos: Path | None) -> Dataset:
    """Return LFW from its list of pairs; photos are looked for next to the list, in ``lfw``, and in ``../lfw``."""
    parent = path.absolute().parent
    folders = [photos] if photos else [parent, parent / "lfw", parent.parent / "lfw"]
    for folder in folders:
        try:
            dataset = read_folders(folder)
        except DatasetError:
            if photos:
                raise
            continue
        if photos or is_lfw(dataset):
            return add_pairs(dataset, folder, path)
    raise file_error(
        path, "the photos of this list of pairs were not found; pass their folder as DATA and the list with --pairs"
    )


def _columns(path: Path, line: str) -> set[str]:
    try:
        return set(read_columns(path, line)[0])
    except DatasetError:
        return set()


def _read_start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_START_BYTES)


def _first_line(start: bytes) -> str:
    return start.decode("utf-8-sig", errors="replace").partition("\n")[0].rstrip("\r")
