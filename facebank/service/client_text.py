"""Translation of the library's messages for clients: removes server paths, and replaces commands with API routes."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import InvalidNameError, PersonExistsError, PersonNotFoundError
from facebank.service.options import UPLOAD
from facebank.storage.paths import cache_folder, calibrations_folder, packs_folder
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from facebank.errors import FacebankError

_OPTION = re.compile(r"(?<![\w-])--(force|face|pick)\b")  # options that are request parameters too
_COMMAND = re.compile(r"`facebank ([^`]*)`|'facebank ([^']*)'")
_ROUTES = (  # by prefix of the command; the first match counts
    ("people list", "GET /api/v1/people"),
    ("people show", "GET /api/v1/people/NAME/samples"),
    ("people merge", "POST /api/v1/people/NAME/merge"),
    ("people unmerge", "POST /api/v1/people/NAME/unmerge"),
    ("people rename", "PATCH /api/v1/people/NAME"),
    ("people forget", "DELETE /api/v1/people/NAME"),
    ("people remove-sample", "DELETE /api/v1/samples/NUMBER"),
    ("enroll", "POST /api/v1/people"),
    ("identify", "POST /api/v1/identify"),
    ("confirm", "POST /api/v1/feedback"),
    ("scan", "POST /api/v1/album/scan"),
    ("cluster", "GET /api/v1/album/groups"),
    ("settings", "PATCH /api/v1/settings"),
)
_ADVICE = re.compile(r"(?:[:;.]|,(?: or)?) (?:[^:;,`]*(?<![\w-])--[a-z]|[^:;`]*[`']facebank ).*$", re.DOTALL)
_NAME_ERRORS = (InvalidNameError, PersonExistsError, PersonNotFoundError)  # their messages have no paths
_WORD_START = r"(?<![^\s'\"`(=:,])"
_SUBFOLDERS = r"(?:[^\s/\\'\"`,;:()]+[/\\])*"


class ClientText:
    """Translates messages of the library for clients of a service.

    Parameters
    ----------
    albums
        Folders whose paths are shown to clients.
    private
        Files and folders of the service; only names are shown of these, their contents and their siblings.
    """

    def __init__(self, albums: Iterable[Path], private: Sequence[Path]) -> None:
        folders = {
            *(folder for path in private for folder in (path.parent, path.resolve().parent)),
            *(cache_folder(), calibrations_folder(), packs_folder()),
            *(Path(folder) for folder in (tempfile.gettempdir(), sys.prefix, Path(__file__).parents[1])),
            *(Path.home(), Path.cwd()),
        }
        private_files = [(f"{path.parent}{os.sep}", path.name) for path in private]
        files = "|".join(
            f"{re.escape(printable(folder))}(?={re.escape(printable(name))})" for folder, name in private_files
        )
        hidden = _alternatives((f"{folder}{os.sep}" for folder in folders if len(folder.parts) > 1), _SUBFOLDERS)
        visible = _alternatives(map(str, albums), r"(?![\w-])\S*")
        self._paths = re.compile(
            rf"{files}|(?P<visible>{visible})|{hidden}|{_WORD_START}(?:/|[A-Za-z]:\\)(?!api/|'){_SUBFOLDERS}"
        )

    def strip_paths(self, text: str) -> str:
        """Return a text without server paths: files outside of the album are shown by name only."""
        return self._paths.sub(lambda match: match["visible"] or "", text.replace(UPLOAD, ""))

    def api_message(self, text: str) -> str:
        """Return a text for programs, without server paths: see `with_routes`."""
        return with_routes(self.strip_paths(text))

    def error_message(self, error: FacebankError) -> str:
        """Return an error's message without server paths; names sent by the client are unchanged."""
        return str(error) if isinstance(error, _NAME_ERRORS) else self.strip_paths(str(error))


def with_routes(text: str) -> str:
    """Return a text for programs, with options and commands replaced by the API's parameters and routes.

    Advice without an equivalent request is removed, because it is for the operator of the service.
    """
    return without_advice(_COMMAND.sub(_route, _OPTION.sub(r"`\1`", text)))


def without_advice(text: str) -> str:
    """Return a message without advice about options and commands."""
    message = _ADVICE.sub("", text)
    return message if message.strip() else "this cannot be done here"


def _route(command: re.Match[str]) -> str:
    words = command[1] or command[2]
    return next((f"`{route}`" for start, route in _ROUTES if words.startswith(start)), command[0])


def _alternatives(prefixes: Iterable[str], suffix: str) -> str:
    escaped = sorted({re.escape(printable(prefix)) for prefix in prefixes}, key=len, reverse=True)
    return f"(?:{'|'.join(escaped)}){suffix}" if escaped else "(?!)"
