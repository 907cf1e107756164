"""Interpretation of the arguments of an enrollment: people and their photos."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from facebank.errors import PhotoNotFoundError, UsageError
from facebank.media import PHOTO_SUFFIXES, find_photos
from facebank.storage.bucket_urls import bucket_file_message, is_bucket_url
from facebank.storage.files import read_reason
from facebank.storage.text import printable, shell_command

_GENERIC = re.compile(
    "albums?|bild(er)?|camera( roll| uploads)?|dcim|downloads?|faces?|"
    "(my )?(fotos?|images?|imgs?|photos?|pics?|pictures?)|jpe?g|(new|untitled) folder|png|selfies?|snapshots?|uploads?|"
    "afbeeldingen|fotografi[ae]s?|fotografías|im[aá]genes|imagens|immagini|obrazy|zdj[eę]cia|"
    "изображения|фото(графии)?|图片|照片|相册|画像|写真|사진"
)
_DATE = re.compile(r"(19|20)\d\d([-_. ]?(0[1-9]|1[0-2])([-_. ]?[0-3]\d)?)?([-_. ]\D.*)?")
_CAMERA_FOLDER = re.compile(r"[1-9]\d\d[a-z0-9_]{5}")  # DCF folder names: 100APPLE, 101CANON


@dataclass(frozen=True, slots=True)
class PersonPhotos:
    """A person with the files and folders of their photos."""

    name: str
    paths: tuple[Path, ...]
    # whether the photos may be of an earlier person of the same enrollment: the name is only that of a folder beside
    # another person's
    may_be_earlier: bool = field(default=False, compare=False)
    # one sentence about the interpretation of ambiguous arguments; None otherwise
    note: str | None = field(default=None, compare=False)


def plan_enrollment(arguments: Sequence[str], *, name: str | None = None, tree: bool = False) -> list[PersonPhotos]:
    """Return the people to enroll with their photos, from arguments as typed.

    Folders are people, named like the folder. A first argument that is not an existing folder is a person's name, with
    or without a trailing slash, and the rest are that person's photos or folders of them. A folder with a generic name
    (``imgs``, ``DCIM``, a date) beside one person's folder belongs to that person. A folder with photos in several
    subfolders only could be a person or a tree of people, and is rejected.

    Parameters
    ----------
    arguments
        Names and paths as typed.
    name
        The person of whom all arguments are photos; None to interpret the arguments.
    tree
        Whether each argument is a folder with a subfolder for each person.

    Raises
    ------
    UsageError
        The arguments are ambiguous or invalid; the message shows what to type.
    PhotoNotFoundError
        A tree has no subfolders, or the only argument is a path that does not exist.
    """
    bucket = next((argument for argument in arguments if is_bucket_url(argument)), None)
    if bucket is not None:
        raise UsageError(bucket_file_message(bucket))
    stripped = [argument.rstrip(_SLASHES) or argument for argument in arguments]
    if not stripped:
        raise UsageError("nothing to enroll: name a person's folder, or a person and photos")
    if not all(stripped):
        nameless = not stripped[0] and name is None and not tree
        raise UsageError(f"{'the name' if nameless else 'a path'} is empty: type 'facebank enroll NAME PHOTO'")
    if name is not None and tree:
        raise UsageError("--name is for one person and --tree for many: use one of the two")
    if name is not None:
        return [PersonPhotos(name, tuple(map(Path, stripped)))]
    if tree:
        return [
            person
            for folder in stripped
            for person in people_in_tree(Path(folder), "omit --tree if its photos are of one person")
        ]
    if _is_folder(stripped[0]):
        return _people_of_folders(stripped)
    has_slash, is_path = stripped[0] != arguments[0], _is_path(stripped[0])
    if (is_path or len(stripped) == 1) if has_slash else (is_path and len(stripped) == 1):
        raise PhotoNotFoundError(f"there is no such file or folder: {printable(arguments[0])}")
    person = _person_of_name(stripped)
    if not has_slash:
        return [person]
    note = f"there is no folder {printable(arguments[0])}: the photos are enrolled as {printable(stripped[0])}'s"
    return [replace(person, note=note)]


def is_generic(name: str) -> bool:
    """Return whether a folder's name is a generic name or a date, not a person's.

    Examples
    --------
    >>> [name for name in ("imgs", "DCIM", "100APPLE", "2019-06-01", "Ada", "May") if is_generic(name)]
    ['imgs', 'DCIM', '100APPLE', '2019-06-01']
    """
    key = " ".join(unicodedata.normalize("NFC", name).casefold().split())
    return any(pattern.fullmatch(key) for pattern in (_GENERIC, _DATE, _CAMERA_FOLDER))


_SLASHES = "".join(filter(None, (os.sep, os.altsep)))


def _people_of_folders(typed: Sequence[str]) -> list[PersonPhotos]:
    other = next((argument for argument in typed if not _is_folder(argument)), None)
    if other is not None:
        raise UsageError(
            f"{printable(typed[0])} is a folder and {printable(other)} is not: type "
            f"`{_command(typed[0])}` for the person of that folder, or "
            f"`{_command('--name', _name_of(Path(typed[0])) or 'NAME', *typed[1:])}` for a person of that name"
        )
    people = [_person_photos(Path(folder)) for folder in typed]
    for person in people:
        _refuse_tree(*person.paths)
    named = [person for person in people if not is_generic(person.name)]
    if len(named) == len(people):
        return [replace(person, may_be_earlier=position > 0) for position, person in enumerate(people)]
    if len(named) == 1 and named[0] is people[0]:
        return [_with_generic(people[0], people[1:])]
    raise UsageError(_generic_folder_message(people, named))


def _with_generic(person: PersonPhotos, generic_people: Sequence[PersonPhotos]) -> PersonPhotos:
    folders = tuple(folder for generic in generic_people for folder in generic.paths)
    listed = " and ".join(printable(str(folder)) for folder in folders)
    noun = "a folder" if len(folders) == 1 else "folders"
    note = f"{listed}: taken for {noun} with photos of {printable(person.name)}, not for a person"
    return replace(person, paths=(*person.paths, *folders), note=note)


def _generic_folder_message(people: Sequence[PersonPhotos], named: Sequence[PersonPhotos]) -> str:
    """Return the message about a generic folder whose person is unclear."""
    (folder,) = next(person.paths for person in people if is_generic(person.name))
    name = named[0].name if len(named) == 1 else "NAME"
    return (
        f"{printable(str(folder))} has a generic name, so its person is unknown: "
        f"type `{_command('--name', name, str(folder))}`"
    )


def _refuse_tree(folder: Path) -> None:
    """Raise `UsageError` for a folder whose photos are all in several subfolders that may be people."""
    relative_parts = [photo.relative_to(folder).parts for photo in find_photos(folder)]
    if any(len(parts) < 2 for parts in relative_parts):
        return
    names = list(dict.fromkeys(parts[0] for parts in relative_parts))
    if len(names) > 1 and not all(map(is_generic, names)):
        listed = ", ".join(map(printable, names[:3])) + (", ..." if len(names) > 3 else "")
        raise UsageError(
            f"{printable(str(folder))} has only folders ({listed}): type `{_command('--tree', str(folder))}` if each "
            f"is a person, or `{_command('--name', 'NAME', str(folder))}` if all photos are of one person"
        )


def _person_of_name(typed: Sequence[str]) -> PersonPhotos:
    name, *paths = typed
    if _is_file(name):
        raise UsageError(
            f"{printable(name)} is a file, not a person's name: type `{_command('--name', 'NAME', *typed)}`"
        )
    if not paths:
        raise UsageError(
            f"there is no folder {printable(name)}: type 'facebank enroll FOLDER', or `{_command(name, 'PHOTO')}` "
            "for a person of that name"
        )
    return PersonPhotos(name, tuple(map(Path, paths)))


def _is_path(argument: str) -> bool:
    """Return whether a missing path was meant as a path, not a name: it has a slash or a photo's suffix."""
    has_slash = any(slash in argument for slash in _SLASHES)
    return not _is_file(argument) and (has_slash or Path(argument).suffix.lower() in PHOTO_SUFFIXES)


def _is_folder(argument: str) -> bool:
    try:
        return Path(argument).is_dir()
    except OSError:  # too long for a path: treat it as a name
        return False


def _is_file(argument: str) -> bool:
    try:
        return Path(argument).is_file()
    except OSError:
        return False


def people_in_tree(tree: Path, advice: str) -> list[PersonPhotos]:
    """Return the people of a folder with one subfolder for each.

    Raises `UsageError` (not a folder) or `PhotoNotFoundError` (no subfolders, with `advice`, or unreadable).
    """
    if not tree.is_dir():
        raise UsageError(f"{printable(str(tree))} is not a folder: --tree needs one with a folder for each person")
    try:
        folders = sorted(entry for entry in tree.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise PhotoNotFoundError(f"{printable(str(tree))} cannot be read: {read_reason(error)}") from error
    if not folders:
        raise PhotoNotFoundError(f"{printable(str(tree))} has no subfolders: {advice}")
    return [_person_photos(folder) for folder in folders]


def _person_photos(folder: Path) -> PersonPhotos:
    name = _name_of(folder)
    if not name:
        raise UsageError(f"{printable(str(folder))} has no name to use for a person: type '--name NAME'")
    return PersonPhotos(name, (folder,))


def _name_of(folder: Path) -> str:
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def _command(*arguments: str) -> str:
    return shell_command("enroll", *arguments)
