"""Any dataset from its place: what it is, is told from what is in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, Pick
from facebank.evaluation.datasets import coco, pairs_csv, vott
from facebank.evaluation.datasets.arrays import read_arrays
from facebank.evaluation.datasets.bin_file import read_bin
from facebank.evaluation.datasets.checking import LARGEST_TEXT, broken, read_json
from facebank.evaluation.datasets.embedding_arrays import holds_embeddings, read_embeddings
from facebank.evaluation.datasets.folders import read_folders
from facebank.evaluation.datasets.lfw import add_pairs, is_lfw
from facebank.evaluation.datasets.tables import read_columns
from facebank.storage.text import printable

KINDS = (
    "a folder for each person, LFW or its pairs.txt, a .bin file of InsightFace, a CSV of pairs, "
    "a VoTT export (JSON or CSV), a COCO export, or an npz of pictures or embeddings"
)
"""What is read, for people."""

_START = 4096
_EXPORT_FOLDERS = ("vott-json-export", "vott-csv-export")


def open_dataset(place: Path, photos: Path | None = None) -> Dataset:
    """Open a dataset of whatever kind.

    A file's kind is told from its content. A folder with an export of VoTT or COCO in it, or in ``vott-json-export``
    or ``vott-csv-export`` in it, is read from that; any other as a folder for each person. A list of pairs is read
    only where it is named.

    Parameters
    ----------
    place
        A file or folder.
    photos
        For lists of photos, the folder that the photos are in; None for where such a list usually has them.

    Raises
    ------
    DatasetError
        There is nothing, it is of no kind that is read, or it is broken.
    """
    try:
        if place.is_dir():
            return _open_folder(place, photos)
        if place.is_file():
            return _open_file(place, photos)
    except OSError as error:
        raise broken(place, f"it cannot be opened: {error.strerror}") from error
    raise broken(place, "there is no such file or folder")


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
    return set(vott.COLUMNS) <= _columns(path, _first_line(_start(path)))


def _is_export(path: Path) -> bool:
    start = _start(path)
    if b'"assets"' not in start and b'"images"' not in start and len(start) < _START:
        return False
    try:
        document = read_json(path)
    except DatasetError:  # an export that is broken is opened, so that the error is told; any other is nobody's concern
        return b'"assets"' in start or b'"annotations"' in start
    return vott.is_vott(document) or coco.is_coco(document)


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
    if vott.is_vott(document):
        return vott.vott_dataset(path, document, photos)
    if isinstance(document, dict) and "images" in document and "annotations" in document:
        return coco.coco_dataset(path, document, photos)
    raise broken(path, "it is neither a VoTT export (no 'assets') nor a COCO export (no 'images' and 'annotations')")


def _open_text(path: Path, start: bytes, photos: Path | None) -> Dataset:
    line = _first_line(start)
    if line.split() and all(part.isdecimal() for part in line.split()):
        return _open_list(path, photos)
    columns = _columns(path, line)
    if len(columns & set(vott.COLUMNS)) > 3:
        return vott.read_vott_csv(path, photos)
    if columns & set(pairs_csv.COLUMNS):
        return pairs_csv.read_pairs_csv(path, photos)
    raise broken(path, f"it is of no kind that is read; these are: {KINDS}")


def _open_list(path: Path, photos: Path | None) -> Dataset:
    """Open LFW by its list of pairs: its photos are beside the list, or in ``lfw`` there or beside that folder."""
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
