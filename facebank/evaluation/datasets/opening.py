"""Any dataset from its path, its kind recognized by its content; and a dataset restricted to listed people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, LeftOut, Pick
from facebank.evaluation.datasets.annotations import (
    VOTT_COLUMNS,
    is_coco,
    is_vott,
    read_coco,
    read_vott_csv,
    read_vott_json,
)
from facebank.evaluation.datasets.arrays import holds_embeddings, read_arrays, read_embeddings
from facebank.evaluation.datasets.bin_file import read_bin
from facebank.evaluation.datasets.checking import LARGEST_TEXT, broken, read_columns, read_json, read_text
from facebank.evaluation.datasets.folders import read_folders
from facebank.evaluation.datasets.lfw import add_pairs, is_lfw, read_people
from facebank.evaluation.datasets.pairs_csv import PAIR_COLUMNS, read_pairs_csv
from facebank.storage.text import printable

KINDS = (
    "a folder for each person, LFW or its pairs.txt, a .bin file of InsightFace, a CSV of pairs, "
    "a VoTT export (JSON or CSV), a COCO export, or an npz of pictures or embeddings"
)
"""The kinds of datasets, for messages."""

_START = 4096
_EXPORT_FOLDERS = ("vott-json-export", "vott-csv-export")


def open_dataset(place: Path, photos: Path | None = None) -> Dataset:
    """Open a dataset of any of `KINDS`.

    A folder with an export of VoTT or COCO in it, or in its ``vott-json-export`` or ``vott-csv-export``, is read from
    that export; any other is read as a folder for each person. A list of pairs must be named itself.

    Parameters
    ----------
    place
        A file or folder.
    photos
        For lists of photos, the folder of the photos; None for the usual place beside the list.

    Raises
    ------
    DatasetError
        Nothing is there, or it is broken or of another kind.
    """
    try:
        if place.is_dir():
            return _open_folder(place, photos)
        if place.is_file():
            return _open_file(place, photos)
    except OSError as error:
        raise broken(place, f"it cannot be opened: {error.strerror}") from error
    raise broken(place, "there is no such file or folder")


def read_names(path: Path) -> frozenset[str]:
    """Read a list of people: one of LFW's, or a name a line; raises `DatasetError`, also if it is empty."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    # people may have numbers for names: LFW's lists have a count behind each name
    if lines and lines[0].isdecimal() and any("\t" in line for line in lines):
        return frozenset(person.name for person in read_people(path))
    names = frozenset(line.split("\t")[0].strip() for line in lines if line)
    if not names:
        raise broken(path, "the list of people is empty")
    return names


def only_named(dataset: Dataset, path: Path) -> Dataset:
    """Return the photos of the people that a list names; people without photos are noted in `left_out`.

    Raises `DatasetError` if the list is broken, or none of its people is in the dataset.
    """
    names = read_names(path)
    there = names & set(dataset.people)
    if not there:
        raise broken(path, f"none of its {len(names)} people is in {printable(dataset.title)}")
    some = dataset.of(there)
    missing = sorted(names - there)
    if not missing:
        return some
    why = f"{printable(missing[0])} and {len(missing) - 1} more" if len(missing) > 1 else printable(missing[0])
    note = LeftOut(path.name, f"{len(missing)} of {len(names)} people have no photos here: {why}")
    return replace(some, left_out=(*some.left_out, note))


def _open_folder(folder: Path, photos: Path | None) -> Dataset:
    if photos is not None:
        raise broken(folder, "a folder of photos goes with a file that lists them, and this is a folder")
    exports = [path for place in (folder, *(folder / name for name in _EXPORT_FOLDERS)) for path in _exports(place)]
    if len(exports) > 1:
        names = ", ".join(printable(path.relative_to(folder).as_posix()) for path in exports[:3])
        raise broken(folder, f"it holds several exports ({names}): name one of them")
    if exports:
        return _open_file(exports[0], None)
    people = read_folders(folder)
    return replace(people, pick=Pick.CENTRAL) if is_lfw(people) else people


def _exports(folder: Path) -> list[Path]:
    """List the exports of VoTT and COCO in a folder."""
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    # VoTT writes a file for each photo that it shows, beside its exports
    tables = [path for path in files if path.suffix.lower() == ".csv" and _is_vott_table(path)]
    documents = [path for path in files if path.suffix.lower() == ".json" and not path.stem.endswith("-asset")]
    return [path for path in documents if path.stat().st_size <= LARGEST_TEXT and _is_export(path)] + tables


def _is_vott_table(path: Path) -> bool:
    return set(VOTT_COLUMNS) <= _columns(path, _first_line(_start(path)))


def _is_export(path: Path) -> bool:
    start = _start(path)
    if b'"assets"' not in start and b'"images"' not in start and len(start) < _START:
        return False
    try:
        document = read_json(path)
    except DatasetError:  # a broken export is opened, to report its error; any other file is ignored
        return b'"assets"' in start or b'"annotations"' in start
    return is_vott(document) or is_coco(document)


def _open_file(path: Path, photos: Path | None) -> Dataset:
    start = _start(path)
    if not start:
        raise broken(path, "it is empty")
    if start.startswith(b"PK\x03\x04"):
        return read_embeddings(path) if holds_embeddings(path) else read_arrays(path)
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
    raise broken(path, "it is neither a VoTT export (no 'assets') nor a COCO export (no 'images' and 'annotations')")


def _open_text(path: Path, start: bytes, photos: Path | None) -> Dataset:
    line = _first_line(start)
    if line.split() and all(part.isdecimal() for part in line.split()):
        return _open_list(path, photos)
    columns = _columns(path, line)
    if len(columns & set(VOTT_COLUMNS)) > 3:
        return read_vott_csv(path, photos)
    if columns & set(PAIR_COLUMNS):
        return read_pairs_csv(path, photos)
    raise broken(path, f"it is of no kind that is read; these are: {KINDS}")


def _open_list(path: Path, photos: Path | None) -> Dataset:
    """Open LFW by its list of pairs; its photos are beside the list, in ``lfw`` there, or beside that folder."""
    beside = path.absolute().parent
    places = [photos] if photos else [beside, beside / "lfw", beside.parent / "lfw"]
    for place in places:
        try:
            people = read_folders(place)
        except DatasetError:
            if photos:
                raise
            continue
        if photos or is_lfw(people):
            return add_pairs(people, place, path)
    raise broken(path, "it is a list of pairs: say which folder its photos are in")


def _columns(path: Path, line: str) -> set[str]:
    try:
        return set(read_columns(path, line)[0])
    except DatasetError:
        return set()


def _start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_START)


def _first_line(start: bytes) -> str:
    return start.decode("utf-8-sig", errors="replace").partition("\n")[0].rstrip("\r")
