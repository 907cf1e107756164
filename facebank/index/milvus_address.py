"""Addresses of Milvus: ``milvus://HOST:PORT/NAME``, ``milvus+tls://HOST:PORT/NAME``, ``milvus-lite:FILE.db``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from facebank.errors import UsageError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import NoReturn, Self

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_PORT = 19530
_LITE, _LITE_NAME = "milvus-lite:", "facebank"
_KINDS = {"flat": "FLAT", "ivf_flat": "IVF_FLAT"}
_KEYS = {"index", "nlist", "nprobe", "database", "ca"}
_MOST_LISTS = 65_536


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Where a gallery's vectors are in Milvus."""

    text: str  # the address, without how it is searched
    uri: str  # what pymilvus takes
    collection: str
    database: str = ""
    certificates: str = ""  # a file of certificates to trust beside the system's, PEM
    index: str = "FLAT"  # or ``IVF_FLAT``
    lists: int = 1024  # of IVF_FLAT, and how many are searched
    probes: int = 64
    is_file: bool = False  # whether it is a file of Milvus Lite

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address that a text is; `UsageError` if it is none.

        Examples
        --------
        >>> MilvusAddress.parse("milvus://10.0.0.5/family").uri
        'http://10.0.0.5:19530'
        """
        if text.startswith(_LITE):
            return cls._lite(text.removeprefix(_LITE))
        try:
            parts = urlsplit(text)
            port, options = parts.port or _PORT, parse_qs(parts.query, strict_parsing=bool(parts.query))
        except ValueError:
            _refuse(text)
        if parts.scheme == "milvus" and not parts.netloc and parts.path.endswith(".db"):
            return cls._lite(unquote(parts.path))
        host = parts.netloc.rpartition("@")[2].removesuffix(f":{parts.port}")
        name = parts.path.removeprefix("/")
        if parts.scheme not in {"milvus", "milvus+tls"} or not _HOST.fullmatch(host) or not _NAME.fullmatch(name):
            _refuse(text)
        if "@" in parts.netloc or parts.fragment:
            raise UsageError(
                "an address of Milvus holds no user, password or token: put TOKEN or USER:PASSWORD into the "
                "environment's FACEBANK_MILVUS_TOKEN"
            )
        one = _options(options, is_secure=parts.scheme == "milvus+tls")
        database, kind = one.get("database", ""), one.get("index", "flat").lower()
        lists = _number(one.get("nlist", "1024"), "nlist")
        return cls(
            f"{parts.scheme}://{host}:{port}/{name}{f'?database={database}' if database else ''}",
            f"{'https' if parts.scheme == 'milvus+tls' else 'http'}://{host}:{port}",
            name,
            database,
            one.get("ca", ""),
            _KINDS[kind],
            lists,
            min(_number(one.get("nprobe", "64"), "nprobe"), lists),
        )

    @classmethod
    def _lite(cls, file: str) -> Self:
        path = Path(file)
        if path.suffix != ".db" or not path.absolute().parent.is_dir():
            raise UsageError(f"a file of Milvus Lite ends in .db, in a folder that is there: {printable(file)}")
        absolute = str(path.absolute())
        return cls(f"{_LITE}{absolute}", absolute, _LITE_NAME, is_file=True)


def _options(given: dict[str, list[str]], *, is_secure: bool) -> dict[str, str]:
    """Return the options of an address, checked."""
    if not given.keys() <= _KEYS or any(len(values) > 1 for values in given.values()):
        raise UsageError(f"an address of Milvus has at most {', '.join(sorted(_KEYS))}, each once, after the '?'")
    one = {key: values[0] for key, values in given.items()}
    database, kind = one.get("database", ""), one.get("index", "flat").lower()
    if kind not in _KINDS:
        raise UsageError(
            f"an index of Milvus is flat or ivf_flat, not '{printable(kind)}': nobody can be removed from a graph"
        )
    if database and not _NAME.fullmatch(database):
        raise UsageError(f"no database of Milvus is called '{printable(database)}'")
    if "ca" in one and not (is_secure and Path(one["ca"]).is_file()):
        raise UsageError(f"ca names a file of certificates, and needs milvus+tls: {printable(one['ca'])}")
    if _KINDS[kind] == "FLAT" and one.keys() & {"nlist", "nprobe"}:
        raise UsageError("nlist and nprobe need index=ivf_flat")
    return one


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= _MOST_LISTS):
        raise UsageError(f"{what} is a number from 1 to {_MOST_LISTS:,}, not '{printable(text)}'")
    return int(text)


def _refuse(text: str) -> NoReturn:
    shown = printable(text.rpartition("@")[2])
    raise UsageError(
        f"'{shown}' is no address of an index: milvus://HOST:PORT/NAME, milvus+tls://HOST:PORT/NAME or "
        "milvus-lite:FILE.db"
    )
