"""Milvus as a vector store: one collection per gallery, through ``pymilvus`` (extra ``milvus``).

A row holds a key, a digest and an embedding; there is a partition for each group of vectors. One more partition holds
the store's identity and token, as digests of rows with negative keys, because Milvus Lite stores neither descriptions
nor properties. Searches ask for consistency with the last write rather than with the present, which takes 0.2 s.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import MissingDependencyError, ServiceError
from facebank.index.mirror import GalleryMirror
from facebank.index.vector_store import Answers, StoreIdentity, UnreachableError, VectorGroup
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facebank.index.milvus_address import MilvusAddress
    from facebank.types import FloatArray

TOKEN_VARIABLE = "FACEBANK_MILVUS_TOKEN"  # noqa: S105 - not the token
_METRIC = "IP"
_DESCRIPTION = "made by facebank"  # of a collection; Milvus Lite does not store it
_STATE = "state"
_FORMAT, _GALLERY, _PACK, _TOKEN = -1, -2, -3, -4  # keys of the rows of the partition `_STATE`
_VERSION = 1
_STATE_ROWS = 4
_CONNECT_TIMEOUT, _ANSWER_TIMEOUT, _WRITE_TIMEOUT, _ADMIN_TIMEOUT = 5.0, 20.0, 60.0, 600.0  # seconds
_BYTES_PER_INSERT = 8 << 20  # embeddings in a request; Milvus accepts 64 MiB
_KEYS_PER_DELETE, _KEYS_PER_QUERY = 8192, 1 << 18
_CHANNEL = {"grpc.keepalive_time_ms": 60_000, "grpc.keepalive_permit_without_calls": False}  # servers reject more
_COMPACTED = "Completed"  # state of a compaction
_PAUSE = 0.2  # seconds between two checks of a compaction


class MilvusStore:
    """A collection of a Milvus server or a Milvus Lite file; implements `facebank.index.vector_store.VectorStore`.

    Parameters
    ----------
    address
        The address. A token is read from the environment variable ``FACEBANK_MILVUS_TOKEN``.

    Raises
    ------
    MissingDependencyError
        The extra is not installed.
    UnreachableError
        The server does not answer; every method may raise it, too.
    ServiceError
        The server refuses; every method may raise it, too.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self.is_exact = address.index == "FLAT"
        self.cleans_in_place = not address.is_file
        self._address = address
        self._name = address.collection
        self._milvus = _import_client()
        with self._translate_errors():
            self._client = self._milvus.MilvusClient(
                address.uri,
                token=os.environ.get(TOKEN_VARIABLE, ""),
                db_name=address.database,
                timeout=_CONNECT_TIMEOUT,
                grpc_options=_CHANNEL,
                **({"server_pem_path": address.certificates} if address.certificates else {}),
            )

    def identity(self) -> StoreIdentity | None:
        """Return what the collection was made for; None if there is none, or its creation was interrupted."""
        with self._translate_errors():
            if not self._client.has_collection(self._name, timeout=_ANSWER_TIMEOUT):
                return None
            description = self._client.describe_collection(self._name, timeout=_ANSWER_TIMEOUT)
            dimension = self._dimension(description)
            partitions = self._client.list_partitions(self._name, timeout=_ANSWER_TIMEOUT)
            if _STATE not in partitions:
                if not self._address.is_file and description.get("description") != _DESCRIPTION:
                    raise _foreign_collection_error(self._name)
                return None
            self._restore_parts(partitions)
            self._client.load_collection(self._name, timeout=_ADMIN_TIMEOUT)
            state = self._state()
        if state and state.get(_FORMAT) != _VERSION:
            raise ServiceError(f"the collection {self._name} was made by another version of facebank: name another one")
        if not state.keys() >= {_GALLERY, _PACK}:
            return None if not state else StoreIdentity(0, 0, dimension)
        return StoreIdentity(state[_GALLERY], state[_PACK], dimension)

    def _dimension(self, description: dict[str, Any]) -> int:
        fields = {field["name"]: field for field in description["fields"]}
        if fields.keys() != {"key", "digest", "embedding"}:
            raise _foreign_collection_error(self._name)
        return int(fields["embedding"]["params"]["dim"])

    def _restore_parts(self, partitions: Sequence[str]) -> None:
        """Create the partitions and the index that another program removed, or an interrupted creation left out."""
        if not self._client.list_indexes(self._name, timeout=_ANSWER_TIMEOUT):
            self._client.create_index(self._name, self._index_params(), timeout=_ADMIN_TIMEOUT)
        for name in map(_partition, VectorGroup):
            if name not in partitions:
                self._client.create_partition(self._name, name, timeout=_ADMIN_TIMEOUT)

    def _index_params(self) -> Any:
        index = self._client.prepare_index_params()
        params = {"nlist": self._address.lists} if not self.is_exact else {}
        index.add_index("embedding", index_type=self._address.index, metric_type=_METRIC, params=params)
        return index

    def check_index(self) -> None:
        """Raise `ServiceError` if an index is not of the type in the address; graph indexes cannot delete vectors."""
        with self._translate_errors():
            for name in self._client.list_indexes(self._name, timeout=_ANSWER_TIMEOUT):
                description = self._client.describe_index(self._name, name, timeout=_ANSWER_TIMEOUT) or {}
                index_type = str(description.get("index_type", self._address.index)).upper()
                metric = str(description.get("metric_type", _METRIC)).upper()
                if (index_type, metric) != (self._address.index, _METRIC):
                    raise ServiceError(
                        f"the collection {self._name} has an index of the type {printable(index_type)} ({metric}), not "
                        f"{self._address.index} ({_METRIC}): name another collection, or that type"
                    )

    def create(self, identity: StoreIdentity) -> None:
        """Create the collection; replaces one whose creation was interrupted."""
        self.drop()
        data_type = self._milvus.DataType
        with self._translate_errors():
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False, description=_DESCRIPTION)
            schema.add_field("key", data_type.INT64, is_primary=True)
            schema.add_field("digest", data_type.INT64)
            schema.add_field("embedding", data_type.FLOAT_VECTOR, dim=identity.dimension)
            self._client.create_collection(
                self._name,
                schema=schema,
                index_params=self._index_params(),
                consistency_level="Strong",
                timeout=_ADMIN_TIMEOUT,
            )
            for name in (_STATE, *map(_partition, VectorGroup)):
                self._client.create_partition(self._name, name, timeout=_ADMIN_TIMEOUT)
            self._client.load_collection(self._name, timeout=_ADMIN_TIMEOUT)
            states = ((_FORMAT, _VERSION), (_GALLERY, identity.gallery), (_PACK, identity.pack), (_TOKEN, 0))
            rows = [_row(key, value, np.zeros(identity.dimension, np.float32)) for key, value in states]
            self._client.insert(self._name, rows, partition_name=_STATE, timeout=_WRITE_TIMEOUT)

    def drop(self) -> None:
        """Remove the collection; no-op if absent."""
        with self._translate_errors():
            if self._client.has_collection(self._name, timeout=_ANSWER_TIMEOUT):
                self._client.drop_collection(self._name, timeout=_ADMIN_TIMEOUT)

    def token(self, written: int = 0) -> int:
        """Return the token: the one that was set last, or with a timestamp, at least as recent as that write."""
        with self._translate_errors():
            return self._state(written).get(_TOKEN, 0)

    def set_token(self, token: int) -> int:
        """Set the token; returns Milvus's timestamp of this write, or 0."""
        with self._translate_errors():
            description = self._client.describe_collection(self._name, timeout=_ANSWER_TIMEOUT)
            row = _row(_TOKEN, token, np.zeros(self._dimension(description), np.float32))
            self._client.upsert(self._name, [row], partition_name=_STATE, timeout=_WRITE_TIMEOUT)
            return self._last_written()

    def count(self, written: int) -> int:
        """Return the number of vectors, including all written up to the timestamp `written`."""
        with self._translate_errors():
            (row,) = self._client.query(
                self._name, output_fields=["count(*)"], timeout=_ANSWER_TIMEOUT, **_consistency(written)
            )
        return int(row["count(*)"]) - _STATE_ROWS

    def list_keys(self, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the keys and digests of all vectors, ``int64`` of shape ``(N,)``, in the order of the keys."""
        key_blocks, digest_blocks = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        with self._translate_errors():
            for start in range(0, end + _KEYS_PER_QUERY, _KEYS_PER_QUERY):
                upper = f" and key < {start + _KEYS_PER_QUERY}" if start < end else ""
                rows = self._client.query(
                    self._name,
                    filter=f"key >= {start}{upper}",
                    output_fields=["key", "digest"],
                    consistency_level="Strong" if start == 0 else "Session",
                    timeout=_ANSWER_TIMEOUT,
                )
                key_blocks.append(np.array([row["key"] for row in rows], np.int64))
                digest_blocks.append(np.array([row["digest"] for row in rows], np.int64))
        keys, digests = np.concatenate(key_blocks), np.concatenate(digest_blocks)
        order = np.argsort(keys, kind="stable")
        return keys[order], digests[order]

    def delete(self, keys: NDArray[np.int64]) -> None:
        """Delete the vectors with the given keys."""
        with self._translate_errors():
            for group in VectorGroup:
                group_keys = keys[keys % len(VectorGroup) == group]
                for start in range(0, len(group_keys), _KEYS_PER_DELETE):
                    batch = group_keys[start : start + _KEYS_PER_DELETE].tolist()
                    partition = _partition(group)
                    self._client.delete(self._name, ids=batch, partition_name=partition, timeout=_WRITE_TIMEOUT)

    def add(self, group: VectorGroup, keys: NDArray[np.int64], digests: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add ``float32`` vectors ``(N, D)``."""
        step = max(1, _BYTES_PER_INSERT // (4 * vectors.shape[1]))
        with self._translate_errors():
            for start in range(0, len(keys), step):
                batch = slice(start, start + step)
                rows = map(_row, keys[batch].tolist(), digests[batch].tolist(), vectors[batch])
                partition = _partition(group)
                self._client.insert(self._name, list(rows), partition_name=partition, timeout=_WRITE_TIMEOUT)

    def nearest(self, groups: Sequence[VectorGroup], queries: FloatArray, limit: int, written: int) -> list[Answers]:
        """Return the answers to ``float32`` queries ``(M, D)``, best first."""
        params = {} if self.is_exact else {"nprobe": self._address.probes}
        with self._translate_errors():
            results = self._client.search(
                self._name,
                data=list(queries),
                limit=limit,
                anns_field="embedding",
                output_fields=["digest"],
                search_params={"metric_type": _METRIC, "params": params},
                partition_names=[_partition(group) for group in groups],
                timeout=_ANSWER_TIMEOUT,
                **_consistency(written),
            )
            return [
                Answers(
                    np.array([hit["key"] if "key" in hit else hit["id"] for hit in hits], np.int64),
                    np.array([hit["distance"] for hit in hits], np.float64),
                )
                for hits in results
            ]

    def clean(self) -> None:
        """Flush and compact, so that no live segment holds deleted vectors; Milvus removes the old segments later."""
        import time

        with self._translate_errors():
            self._client.flush(self._name, timeout=_ADMIN_TIMEOUT)
            job = self._client.compact(self._name, timeout=_ANSWER_TIMEOUT)
            deadline = time.monotonic() + _ADMIN_TIMEOUT
            while self._client.get_compaction_state(job, timeout=_ANSWER_TIMEOUT) != _COMPACTED:
                if time.monotonic() > deadline:
                    raise UnreachableError(f"it has not compacted within {_ADMIN_TIMEOUT:.0f} s")
                time.sleep(_PAUSE)

    def _state(self, written: int = 0) -> dict[int, int]:
        rows = self._client.query(
            self._name,
            filter=f"key >= {_TOKEN} and key < 0",
            output_fields=["key", "digest"],
            partition_names=[_STATE],
            timeout=_ANSWER_TIMEOUT,
            **_consistency(written),
        )
        return {int(row["key"]): int(row["digest"]) for row in rows}

    def _last_written(self) -> int:
        """Return Milvus's timestamp of this process's last write; 0 if unknown."""
        from pymilvus.client import ts_utils

        handler = self._client._get_connection()  # no public method returns it
        endpoint = getattr(handler, "server_address", "")
        return int(ts_utils.get_collection_ts(self._name, endpoint, self._address.database) or 0)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn errors of pymilvus into `ServiceError` with a one-sentence message."""
        try:
            yield
        except (self._milvus.MilvusException, ValueError, KeyError, TypeError, OSError) as error:
            raise _translate(error) from error
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "grpc":
                raise
            raise _translate(error) from error


def _import_client() -> Any:
    """Return pymilvus, imported without a ``.env`` file; its loggers, which only repeat its errors, are silenced.

    Raises `MissingDependencyError` if it is not installed.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    disabled = os.environ.get("PYTHON_DOTENV_DISABLED")
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    try:
        import pymilvus
    except ImportError as error:
        raise MissingDependencyError(
            "Milvus needs the extra 'milvus': python -m pip install 'facebank[milvus]'"
        ) from error
    finally:
        if disabled is None:
            del os.environ["PYTHON_DOTENV_DISABLED"]
        else:
            os.environ["PYTHON_DOTENV_DISABLED"] = disabled
    for name in ("pymilvus", "pymilvus.milvus_client", "pymilvus.bulk_writer", "milvus_lite"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [logging.NullHandler()]
        logger.propagate = False
    return pymilvus


def _translate(error: Exception) -> ServiceError:
    message = " ".join(printable(str(getattr(error, "message", "") or error)).split())
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        message = message.replace(token, "...")
    unreachable_messages = (
        "Fail connecting",
        "server unavailable",
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "timeout",
        "Retry run out",
    )
    if any(text.lower() in message.lower() for text in unreachable_messages):
        return UnreachableError(f"Milvus does not answer ({message[:200]})")
    return ServiceError(f"Milvus refuses: {message[:300]}")


def _foreign_collection_error(name: str) -> ServiceError:
    return ServiceError(f"the collection {name} was not made by facebank: name another one")


def _partition(group: VectorGroup) -> str:
    return group.name.lower()


def _row(key: int, digest: int, vector: FloatArray) -> dict[str, Any]:
    return {"key": key, "digest": digest, "embedding": vector}


def _consistency(written: int) -> dict[str, Any]:
    if not written:
        return {"consistency_level": "Strong"}
    return {"consistency_level": "Customized", "guarantee_timestamp": written}


def milvus_mirror(address: MilvusAddress, *, fallback: bool = False) -> GalleryMirror:
    """Return the mirror of a gallery at an address; it connects on first use."""
    return GalleryMirror(address.text, lambda: MilvusStore(address), fallback=fallback)
