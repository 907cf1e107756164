"""Mirror of a gallery's vectors on a vector store, which finds candidates for the search.

The local index holds the vectors' owners and ranks the candidates, so that results do not depend on the store. The
mirror is brought up to the gallery's revision before a search. Writers hold a lock file beside the gallery. A writer
removes the token from the gallery's record of the mirror, changes the store, and writes a new token to both. So a
reader that finds the same token in the record before and after a search has searched that token's vectors.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import GalleryError, ServiceError, StorageError, UsageError
from facebank.gallery.mirrors import REWRITE, MirrorRecord
from facebank.gallery.store.file import ReadAgainError
from facebank.index.gallery_index import open_local_index, read_with_retry
from facebank.index.mirrored_rows import MAX_DEVIATION, StoredRows, cache_rows, read_cached_rows, rows_to_mirror
from facebank.index.vector_store import (
    IN_MASKS,
    PROTOTYPES,
    SAMPLES,
    BadAnswerError,
    ChangedVectorsError,
    StoreIdentity,
    StoreSearch,
    UnreachableError,
    VectorGroup,
)
from facebank.storage.concurrency import ForkSafeLock, LockFile
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from facebank.gallery import Gallery
    from facebank.index.gallery_index import GalleryIndex
    from facebank.index.mirrored_rows import MirroredRows
    from facebank.index.people_index import PeopleIndex
    from facebank.index.search import Rows, Search
    from facebank.index.vector_store import VectorStore

_IDENTITY_SETTING = "mirror_identity"
_MAX_NORM = 1.01  # upper bound of the L2 norm of an embedding or a prototype
_COMPARE = "compare all vectors with the gallery"
_SECONDS_BETWEEN_COUNTS = 10.0  # a count takes 50 ms
_LOG_AFTER = 2.0  # seconds of waiting for another process
_MIN_LOGGED_VECTORS = 50_000  # vectors to write

_log = logging.getLogger("facebank")


class GalleryMirror:
    """A gallery's mirror on a vector store. Thread-safe.

    Parameters
    ----------
    address
        The store's address, without secrets, for messages and records.
    connect
        Returns the store; called on first use. Raises `ServiceError`.
    fallback
        Whether to search locally, with a warning, while the store cannot be reached.
    """

    def __init__(self, address: str, connect: Callable[[], VectorStore], *, fallback: bool = False) -> None:
        self.address = address
        self._connect = connect
        self._fallback = fallback
        self._store: VectorStore | None = None
        self._pid = 0
        self._sync_lock = ForkSafeLock()
        self._is_warned = False

    def open_index(self, gallery: Gallery, local: GalleryIndex) -> GalleryIndex:
        """Return a copy of an index that searches people on the store, after bringing the store up to date.

        Returns the local index in a transaction, and if the store cannot be reached and `fallback` is set.
        Raises `ServiceError` (the store cannot be reached, or holds another gallery's or pack's vectors), `UsageError`
        (the store is outdated and the gallery is read-only) or `ReadAgainError` (the gallery has changed meanwhile).
        """
        people = local.people
        try:
            with self._errors_with_address(), self._sync_lock:
                if people is None:
                    self._clean_empty(gallery)
                    return local
                synchronized = self._synchronize(gallery, local)
                if synchronized is not None:
                    self._open_store().check_index()
        except UnreachableError as error:
            self.fall_back(error)
            return local
        if synchronized is None or people is None:
            return local
        searches = _MirrorSearches(self, self._open_store(), gallery, local, synchronized)
        return replace(
            local,
            people=people.with_searches(
                lambda: searches.create(PROTOTYPES, people, lambda: people.nearest_people),
                lambda: searches.create(SAMPLES, people, lambda: people.nearest_samples),
            ),
            masked=None if local.masked is None else (searches.index_masked(local.masked[0]), local.masked[1]),
            is_outdated=lambda: searches.is_outdated,
        )

    def clean(self, gallery: Gallery) -> None:
        """Permanently delete vectors from the store that the gallery no longer has; raises as `open_index`."""

        def synchronize() -> None:
            local = open_local_index(gallery)
            if local.people is None:
                self._clean_empty(gallery)
            else:
                self._synchronize(gallery, local)

        with self._errors_with_address(), self._sync_lock:
            read_with_retry(synchronize)

    def drop(self, gallery: Gallery) -> None:
        """Delete the store with all vectors, and the gallery's record of it; raises as `open_index`."""
        with self._errors_with_address(), self._sync_lock, self._update_lock(gallery):
            store = self._open_store()
            identity = store.identity()
            if identity is not None:
                self._check_owner(gallery, identity)
            if identity is not None or gallery.mirror_record(self.address) is not None:
                store.drop()
            gallery.drop_mirror(self.address)

    def _synchronize(self, gallery: Gallery, local: GalleryIndex) -> tuple[MirrorRecord, StoredRows] | None:
        """Bring the store up to date, and return the record and the store's rows, or None to search locally.

        Raises as `open_index` does.
        """
        if gallery.in_transaction:  # a change by another process would not be detected
            return None
        store, record = self._open_store(), gallery.mirror_record(self.address)
        rows = self._rows_if_current(gallery, store, local, record)
        if rows is not None and record is not None:
            return record, rows
        if gallery.read_only:
            raise UsageError(
                f"{self.address} is outdated, and {printable(str(gallery.path))} is read-only: run the command once "
                "with write access to the gallery"
            )
        with self._update_lock(gallery):
            record = gallery.mirror_record(self.address)
            rows = self._rows_if_current(gallery, store, local, record)
            if rows is not None and record is not None:
                return record, rows
            if gallery.revision != local.revision:
                raise ReadAgainError
            return self._mirror(gallery, store, local, record)

    def _rows_if_current(
        self, gallery: Gallery, store: VectorStore, local: GalleryIndex, record: MirrorRecord | None
    ) -> StoredRows | None:
        """Return the store's rows if it is up to date by record, token and count; else None."""
        if record is None or record.token is None or record.needs_cleaning or record.revision != local.revision:
            return None
        identity = store.identity()
        if identity is None or identity != self._identity(gallery) or store.token() != record.token:
            return None
        rows = read_cached_rows(gallery, record)
        if rows is None:
            rows = _rows(gallery, local).as_stored()
        if store.count(record.written) != len(rows.keys):
            return None
        return rows

    def _mirror(
        self, gallery: Gallery, store: VectorStore, local: GalleryIndex, record: MirrorRecord | None
    ) -> tuple[MirrorRecord, StoredRows]:
        """Write an index to the store, while holding the lock."""
        rows = _rows(gallery, local)
        identity, stored = self._identity(gallery), store.identity()
        if stored is not None and stored != identity:
            self._check_owner(gallery, stored)
            if record is None:
                raise ServiceError(
                    "its vectors were made with a different pack than the gallery's: pass another collection to "
                    f"--index, or run 'facebank people unmirror {self.address}'"
                )
            store.drop()
            stored = None
        if stored is not None and record is not None and record.revision == REWRITE:
            store.drop()
            stored = None
        old_rows, token_matches = StoredRows.empty(), True
        if stored is not None:
            old_rows, token_matches = self._read_rows(gallery, store, record, int(rows.keys[-1]) + 1)
        removed, added = old_rows.compare(rows.as_stored())
        must_clean = (record is not None and record.needs_cleaning) or bool(removed.any() and not token_matches)
        if removed.any() and must_clean and not store.cleans_in_place:
            store.drop()
            stored, old_rows = None, StoredRows.empty()
            removed, added = old_rows.compare(rows.as_stored())
        gallery.keep_mirror(MirrorRecord(self.address, None, local.revision, needs_cleaning=must_clean))
        if stored is None:
            try:
                store.create(identity)
            except ServiceError as error:
                if record is None and not isinstance(error, UnreachableError):
                    gallery.drop_mirror(self.address)  # refused, such as for a missing database
                raise
        store.set_token(0)
        _log_writing(len(rows.keys), int(added.sum()), self.address)
        store.delete(old_rows.keys[removed])
        rows.add_to(store, added)
        written = store.set_token(token := secrets.randbits(62) + 1)
        if must_clean:
            store.clean()
        record = MirrorRecord(self.address, token, local.revision, written)
        gallery.keep_mirror(record)
        cache_rows(gallery, record, rows.as_stored())
        return record, rows.as_stored()

    def _clean_empty(self, gallery: Gallery) -> None:
        """Drop the store of a gallery without people."""
        record = gallery.mirror_record(self.address)
        if record is None or gallery.in_transaction or gallery.read_only:
            return
        with self._update_lock(gallery):
            store = self._open_store()
            identity = store.identity()
            if identity is None or identity.gallery == self._identity(gallery).gallery:
                store.drop()
            gallery.drop_mirror(self.address)

    def _read_rows(
        self, gallery: Gallery, store: VectorStore, record: MirrorRecord | None, end: int
    ) -> tuple[StoredRows, bool]:
        """Return the store's rows, from the cache if it is current, and whether its token is the recorded one."""
        token_matches = record is not None and record.token is not None and store.token() == record.token
        rows = read_cached_rows(gallery, record) if record is not None and token_matches else None
        if rows is not None and record is not None and store.count(record.written) == len(rows.keys):
            return rows, True
        return StoredRows(*store.list_keys(end)), token_matches

    def _identity(self, gallery: Gallery) -> StoreIdentity:
        identity = gallery.read_setting(_IDENTITY_SETTING)
        if not isinstance(identity, str):
            if gallery.read_only or gallery.in_transaction:
                return StoreIdentity(0, 0, gallery.pack.dimension)  # no store has this identity
            identity = gallery.keep_setting(_IDENTITY_SETTING, secrets.token_hex(16))
        return StoreIdentity(_hash(str(identity)), _hash(gallery.pack.digest), gallery.pack.dimension)

    def _check_owner(self, gallery: Gallery, stored: StoreIdentity) -> None:
        if stored.gallery != self._identity(gallery).gallery:
            raise ServiceError("it holds the vectors of another gallery: pass another collection to --index")

    def _open_store(self) -> VectorStore:
        if self._store is None or self._pid != os.getpid():  # a connection does not survive a fork
            self._store, self._pid = self._connect(), os.getpid()
        return self._store

    @contextmanager
    def _errors_with_address(self) -> Iterator[None]:
        """Add the address to errors, and reconnect after one."""
        try:
            yield
        except ServiceError as error:
            self._store = None
            raise type(error)(f"{self.address}: {error}") from error

    def fall_back(self, error: ServiceError) -> None:
        """Warn once that the search is local; raises `UnreachableError` if there is no fallback."""
        if not self._fallback:
            raise UnreachableError(f"{error}; use --fallback local to search on this machine meanwhile") from error
        if not self._is_warned:
            _log.warning("%s; searching on this machine instead", error)
            self._is_warned = True

    @contextmanager
    def _update_lock(self, gallery: Gallery) -> Iterator[None]:
        """Hold the lock under which a process updates mirrors of the gallery; waits for it."""
        path = gallery.path.resolve()
        lock, started, is_logged = LockFile(path.with_name(f"{path.name}-mirror-lock")), time.monotonic(), False
        while not lock.acquire():
            if not is_logged and time.monotonic() - started > _LOG_AFTER:
                _log.warning("waiting for another process that is updating the mirror of this gallery")
                is_logged = True
            time.sleep(0.05)
        try:
            yield
        finally:
            lock.release()


class _MirrorSearches:
    """Creates searches on the store for one revision of a gallery."""

    def __init__(
        self,
        mirror: GalleryMirror,
        store: VectorStore,
        gallery: Gallery,
        local: GalleryIndex,
        synchronized: tuple[MirrorRecord, StoredRows],
    ) -> None:
        self.is_outdated = False  # whether the store has changed since
        self._mirror = mirror
        self._store = store
        self._gallery = gallery
        self._local = local
        self._record, self._rows = synchronized
        self._counted = time.monotonic()

    def create(self, groups: Sequence[VectorGroup], people: PeopleIndex, local: Callable[[], Search]) -> Search:
        """Return a search of the given groups of vectors, with `local` as its fallback."""

        def find_positions(group: VectorGroup, ids: NDArray[np.int64]) -> NDArray[np.int64]:
            if group in {VectorGroup.PROTOTYPE, VectorGroup.MASKED}:
                return people.person_ids.searchsorted(ids)
            sample_ids = _sample_ids(self._gallery, self._local)
            order = np.argsort(sample_ids, kind="stable")
            rows = order[sample_ids.searchsorted(ids, sorter=order)]
            return rows if VectorGroup.SEVERAL in groups else people.person_indices(rows)

        search = StoreSearch(
            self._store,
            groups,
            self._rows.locate(groups, find_positions),
            self._record.written,
            max_length=_MAX_NORM,
            vectors_at=people.embeddings if VectorGroup.SEVERAL in groups else people.prototypes_of,
            max_deviation=MAX_DEVIATION,
            check=self._check,
        )
        return _FallbackSearch(search, local, self._handle_failure)

    def index_masked(self, people: PeopleIndex) -> PeopleIndex:
        """Return the index of people in masks, with its prototypes searched on the store."""
        return people.with_searches(
            lambda: self.create(IN_MASKS, people, lambda: people.nearest_people), lambda: people.nearest_samples
        )

    def _check(self) -> None:
        """Raise `ReadAgainError` if the gallery's record, or the store's token or number of vectors has changed."""
        record = self._gallery.mirror_record(self._record.address)
        token = None if record is None else record.token
        if self._gallery.in_transaction:  # the record is that from the start of the transaction
            token = self._store.token()
        elif token == self._record.token:  # a copy of the gallery may have updated the store, or a backup replaced it
            token = self._store.token(self._record.written)
        if token != self._record.token or not self._has_all_vectors():
            self.is_outdated = True
            raise ReadAgainError("another process has just updated this gallery's mirror: try again")

    def _has_all_vectors(self) -> bool:
        """Return whether the store has the recorded number of vectors; counts them at most every ten seconds."""
        if time.monotonic() - self._counted < _SECONDS_BETWEEN_COUNTS:
            return True
        self._counted = time.monotonic()
        return self._store.count(self._record.written) == len(self._rows.keys)

    def _handle_failure(self, error: ServiceError) -> None:
        """Raise the error of a search, unless it can fall back to the local index."""
        self.is_outdated = True
        message = f"{self._mirror.address}: {error}"
        if isinstance(error, BadAnswerError):
            is_changed = isinstance(error, ChangedVectorsError)
            revision, repair = (REWRITE, "write all vectors again") if is_changed else (self._record.revision, _COMPARE)
            with suppress(GalleryError, StorageError):
                self._gallery.keep_mirror(replace(self._record, token=None, revision=revision))
            raise ServiceError(
                f"{message}; its vectors were changed by another program: run the command again to {repair}"
            ) from error
        if not isinstance(error, UnreachableError):
            raise ServiceError(message) from error
        self._mirror.fall_back(UnreachableError(message))


class _FallbackSearch:
    """A search on a store that switches to the local one after a failure, if `handle_failure` returns."""

    def __init__(
        self, search: StoreSearch, local: Callable[[], Search], handle_failure: Callable[[ServiceError], None]
    ) -> None:
        self._search: Search = search
        self._local = local
        self._handle_failure = handle_failure

    @property
    def count(self) -> int:
        """Number of vectors."""
        return self._search.count

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Rows]:
        """Return rows: see `facebank.index.search.Search.near`."""
        return self._search_or_fall_back(lambda search: search.near(queries, limit, slack))

    def within(self, queries: NDArray[np.float64], min_product: float) -> list[Rows]:
        """Return rows: see `facebank.index.search.Search.within`."""
        return self._search_or_fall_back(lambda search: search.within(queries, min_product))

    def _search_or_fall_back(self, query: Callable[[Search], list[Rows]]) -> list[Rows]:
        try:
            return query(self._search)
        except ServiceError as error:
            self._handle_failure(error)
            self._search = self._local()
        return query(self._search)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def _rows(gallery: Gallery, local: GalleryIndex) -> MirroredRows:
    return rows_to_mirror(_sample_ids(gallery, local), local)


def _sample_ids(gallery: Gallery, local: GalleryIndex) -> NDArray[np.int64]:
    """Return the sample ids of an index, in its order; raises `ReadAgainError` if the gallery has changed."""
    ids = local.sample_ids()
    if ids is None:  # the file is from an earlier version
        with gallery.snapshot():
            if gallery.revision != local.revision:
                raise ReadAgainError
            owners = gallery.owners()
        ids = owners.sample_ids[np.lexsort((owners.sample_ids, owners.person_ids))]
    return ids


def _log_writing(count: int, new: int, address: str) -> None:
    if new >= _MIN_LOGGED_VECTORS:
        _log.warning("writing %s of %s vectors to %s", f"{new:,}", f"{count:,}", address)
