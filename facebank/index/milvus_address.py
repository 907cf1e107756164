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
_INDEX_TYPES = {"flat": "FLAT", "ivf_flat": "IVF_FLAT"}
_KEYS = {"index", "nlist", "nprobe", "database", "ca"}
_MAX_LISTS = 65_536


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Address of a gallery's vectors in Milvus, with the options of the search."""

    text: str  # the address without search options
    uri: str  # as pymilvus expects it
    collection: str
    database: str = ""
    certificates: str = ""  # path of a PEM file of certificates to trust besides the system's
    index: str = "FLAT"  # or ``IVF_FLAT``
    lists: int = 1024  # number of clusters of IVF_FLAT
    probes: int = 64  # clusters that a query searches
    is_file: bool = False  # whether it is a Milvus Lite file

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the parsed address.

        Raises
        ------
        UsageError
            The address or one of its options is invalid.

        Examples
        --------
        >>> MilvusAddress.parse("milvus://10.0.0.5/family").uri
        'http://10.0.0.5:19530'
        """
        if text.startswith(_LITE):
            return cls._lite(text.removeprefix(_LITE))
        try:
            parts = urlsplit(text)
            port, query = (
                _PORT if parts.port is None else parts.port,
                parse_qs(parts.query, strict_parsing=bool(parts.query)),
            )
        except ValueError:
            _refuse(text)
        if parts.scheme == "milvus" and not parts.netloc and parts.path.endswith(".db"):
            return cls._lite(unquote(parts.path))
        host = parts.netloc.rpartition("@")[2].removesuffix(f":{parts.port}")
        name = parts.path.removeprefix("/")
        is_valid = port > 0 and _HOST.fullmatch(host) and _NAME.fullmatch(name)
        if parts.scheme not in {"milvus", "milvus+tls"} or not is_valid:
            _refuse(text)
        if "@" in parts.netloc or parts.fragment:
            raise UsageError(
                "a Milvus address may not contain a user, password or token: put TOKEN or USER:PASSWORD into the "
                "environment variable FACEBANK_MILVUS_TOKEN"
            )
        options = _options(query, is_secure=parts.scheme == "milvus+tls")
        database, index_name = options.get("database", ""), options.get("index", "flat").lower()
        lists = _number(options.get("nlist", "1024"), "nlist")
        return cls(
            f"{parts.scheme}://{host}:{port}/{name}{f'?database={database}' if database else ''}",
            f"{'https' if parts.scheme == 'milvus+tls' else 'http'}://{host}:{port}",
            name,
            database,
            options.get("ca", ""),
            _INDEX_TYPES[index_name],
            lists,
            min(_number(options.get("nprobe", "64"), "nprobe"), lists),
        )

    @classmethod
    def _lite(cls, file: str) -> Self:
        path = Path(file)
        if path.suffix != ".db" or not path.absolute().parent.is_dir():
            raise UsageError(f"a Milvus Lite file must end in .db and be in an existing folder: {printable(file)}")
        absolute = str(path.absolute())
        return cls(f"{_LITE}{absolute}", absolute, _LITE_NAME, is_file=True)


def _options(query: dict[str, list[str]], *, is_secure: bool) -> dict[str, str]:
    """Return the validated options of an address; raises `UsageError`."""
    if not query.keys() <= _KEYS or any(len(texts) > 1 for texts in query.values()):
        raise UsageError(f"the options of a Milvus address are {', '.join(sorted(_KEYS))}, each at most once")
    options = {key: texts[0] for key, texts in query.items()}
    database, index_name = options.get("database", ""), options.get("index", "flat").lower()
    if index_name not in _INDEX_TYPES:
        raise UsageError(
            f"the index must be flat or ivf_flat, not '{printable(index_name)}': a graph index cannot remove a person"
        )
    if database and not _NAME.fullmatch(database):
        raise UsageError(f"'{printable(database)}' is not a valid name of a Milvus database")
    if "ca" in options and not (is_secure and Path(options["ca"]).is_file()):
        raise UsageError(f"ca must name a file of certificates, and needs milvus+tls: {printable(options['ca'])}")
    if _INDEX_TYPES[index_name] == "FLAT" and options.keys() & {"nlist", "nprobe"}:
        raise UsageError("nlist and nprobe need index=ivf_flat")
    return options


def _number(text: str, option: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= _MAX_LISTS):
        raise UsageError(f"{option} must be a number from 1 to {_MAX_LISTS:,}, not '{printable(text)}'")
    return int(text)


def _refuse(text: str) -> NoReturn:
    address = printable(text.rpartition("@")[2])
    raise UsageError(
        f"'{address}' is not an address of an index: use milvus://HOST:PORT/NAME, milvus+tls://HOST:PORT/NAME or "
        "milvus-lite:FILE.db"
    )
