"""The gallery: the enrolled people, in one file."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebank.errors import PackMismatchError, UsageError
from facebank.gallery import people, settings, tables, vector_tables
from facebank.gallery.codec import LARGEST_DIMENSION, InvalidValueError
from facebank.gallery.enrolment import check_sample, enrol_samples, require_vectors
from facebank.gallery.file import GalleryFile
from facebank.gallery.following import IndexFollower
from facebank.gallery.names import normalise_name
from facebank.gallery.records import PLAIN, EnrolledSample, Forgotten, PackIdentity, VectorTable
from facebank.text import printable

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from facebank.faces import FloatArray, Person, Sample
    from facebank.gallery.index import VectorIndex
    from facebank.gallery.records import NewSample

BUSY_TIMEOUT = 5.0
"""How long another process is waited for, in seconds."""


class Gallery:
    """The enrolled people, in one SQLite file. Use `open` to get one, and ``with`` to close it.

    Every change is one transaction: it is kept wholly and for good when the call returns, or nothing of it is. Several
    processes may use one file; readers never wait for the one that writes. A `Gallery` belongs to the thread that
    opened it.
    """

    def __init__(self, file: GalleryFile, bound: tables.Binding) -> None:
        self._file = file
        self._bound = bound
        self._follower = IndexFollower(bound.pack.dimension)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        pack: PackIdentity | None = None,
        *,
        create: bool = False,
        read_only: bool = False,
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> Self:
        """Open a gallery.

        Parameters
        ----------
        path
            The file.
        pack
            The pack whose embeddings will be enrolled or looked for; None for what needs no embeddings, such as
            listing people or renaming them.
        create
            Whether to make the gallery if there is none; needs a pack. Only its owner may read the new file.
        read_only
            Whether to refuse every change. A file on a read-only medium refuses them in any case.
        busy_timeout
            How long another process is waited for, in seconds.

        Raises
        ------
        GalleryNotFoundError
            If there is no such file, or an empty one.
        GalleryFormatError, GalleryVersionError
            If it is no gallery, another program's or damaged; if a newer facebank wrote it.
        PackMismatchError
            If its embeddings were made by another pack.
        GalleryBusyError, StorageError
            If another process keeps it; if it cannot be made, read or written.
        """
        if create and (pack is None or read_only):
            raise UsageError("A new gallery needs a pack, and cannot be opened for reading only.")
        _check_dimension(pack)
        place = Path(path)
        file = GalleryFile.open(place, new_for=pack if create else None, read_only=read_only, busy_timeout=busy_timeout)
        try:
            with file.reading() as connection:
                bound = tables.binding(connection)
            _check_pack(place, bound.pack, pack or bound.pack)
        except BaseException:
            file.close()
            raise
        return cls(file, bound)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def pack(self) -> PackIdentity:
        """The pack the embeddings are made with."""
        return self._bound.pack

    @property
    def read_only(self) -> bool:
        """Whether every change is refused, by wish or because the file cannot be written."""
        return not self._file.writable

    @property
    def revision(self) -> int:
        """A number that grows with every change of people, samples or vectors, whoever makes it."""
        with self._file.reading() as connection:
            return tables.revision(connection)

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        """See the gallery as it is at one moment in everything that is read inside; nothing can be changed inside."""
        with self._file.reading():
            yield self

    # People -----------------------------------------------------------------------------------------------------

    def people(self) -> list[Person]:
        """Return everybody, in the order of their names."""
        with self._file.reading() as connection:
            return tables.people(connection)

    def person(self, name: str) -> Person:
        """Return the person of a name, whatever its case; `PersonNotFoundError` if there is none."""
        with self._file.reading() as connection:
            return people.find(connection, name)

    def names(self) -> dict[int, str]:
        """Return everybody's name by number."""
        with self._file.reading() as connection:
            return tables.names(connection)

    def rename(self, old: str, new: str) -> Person:
        """Give a person another name; every sample is kept.

        Raises
        ------
        PersonNotFoundError
            If nobody is called `old`.
        PersonExistsError
            If another person is called `new`.
        InvalidNameError
            If nobody can be called `new`.
        """
        with self._changing() as connection:
            return people.rename(connection, old, new)

    def merge(self, sources: Sequence[str], into: str) -> Person:
        """Join people who are one person; every sample is kept.

        Parameters
        ----------
        sources
            Names of those who go; `into` itself may be among them and is passed over.
        into
            Name of the one who stays.

        Returns
        -------
        Person
            The one who stays.

        Raises
        ------
        PersonNotFoundError
            If one of them is not enrolled; then nobody is joined.
        UsageError
            If there is nobody to join.
        """
        with self._changing() as connection:
            return people.merge(connection, sources, into)

    def forget(self, name: str) -> Forgotten:
        """Remove a person for good: samples, vectors, thumbnails, paths and the name.

        The file is written anew, so that none of the bytes stay in it or in its log.

        Raises
        ------
        PersonNotFoundError
            If nobody is called so.
        StorageError
            If the disk has no room to write the file anew: the person is gone from the gallery then, and the bytes
            are cleaned away when the gallery is next opened.
        """
        with self._changing() as connection:
            person = people.find(connection, name)
            tables.delete_person(connection, person.id)
            tables.advance(connection)
            tables.note_traces(connection)
        return Forgotten(person.sample_count, busy_readers=not self._file.wipe())

    # Samples ----------------------------------------------------------------------------------------------------

    def enrol(self, person: str, samples: Sequence[NewSample]) -> list[EnrolledSample]:
        """Give a person samples; a face that somebody has already is skipped.

        Two faces are the same if they are at the same place of the same photo, or if their plain embeddings are no
        further apart than 1e-4.

        Parameters
        ----------
        person
            The name. Somebody new is written down with the first sample that is, or if none is given.
        samples
            The faces.

        Returns
        -------
        list[EnrolledSample]
            What became of each, in their order.

        Raises
        ------
        InvalidNameError
            If nobody can be called so.
        UsageError
            If a sample is not as `NewSample` says.
        PackMismatchError
            If another process has re-embedded the gallery in the meantime.
        GalleryBusyError, StorageError
            If the gallery cannot be written; nothing is changed then.
        """
        (outcomes,) = self.enrol_people([(person, samples)])
        return outcomes

    def enrol_people(self, groups: Sequence[tuple[str, Sequence[NewSample]]]) -> list[list[EnrolledSample]]:
        """Give several people samples, as `enrol` does, in one transaction.

        Parameters
        ----------
        groups
            Names with their faces.

        Returns
        -------
        list[list[EnrolledSample]]
            What became of each person's faces, in their order.
        """
        now = datetime.now(UTC)
        spelled = [(normalise_name(name), samples) for name, samples in groups]
        for _, samples in spelled:
            for sample in samples:
                check_sample(sample, self.pack.dimension)
        with self._changing() as connection:
            return [enrol_samples(connection, self._bound, name, samples, now) for name, samples in spelled]

    def samples(self, name: str) -> list[Sample]:
        """Return a person's samples, in the order of their numbers."""
        with self._file.reading() as connection:
            return tables.samples_of(connection, people.find(connection, name).id)

    def thumbnail(self, sample_id: int) -> bytes | None:
        """Return a sample's small JPEG; None if it has none or there is no such sample."""
        with self._file.reading() as connection:
            return tables.thumbnail(connection, sample_id)

    def remove_sample(self, sample_id: int) -> Forgotten:
        """Remove a sample for good, as `forget` does; its person stays.

        Raises
        ------
        UsageError
            If there is no such sample.
        """
        with self._changing() as connection:
            if not tables.has_sample(connection, sample_id):
                raise UsageError(f"There is no sample {sample_id} in {printable(str(self.path))}.")
            tables.delete_samples(connection, [sample_id])
            tables.advance(connection)
            tables.note_traces(connection)
        return Forgotten(1, busy_readers=not self._file.wipe())

    # Embeddings -------------------------------------------------------------------------------------------------

    def variants(self) -> list[str]:
        """Return the variants of embeddings that any sample has."""
        with self._reading() as connection:
            return vector_tables.variants(connection, self._bound.pack_id)

    def vectors(self, variant: str = PLAIN) -> VectorTable:
        """Return all embeddings of one variant, in the order of their samples' numbers."""
        with self._reading() as connection:
            return vector_tables.vectors(connection, self._bound, variant)

    def index(self) -> VectorIndex:
        """Return the index over all plain embeddings, in step with the gallery as it is now.

        The index is the gallery's own and is brought up to date by the next call: ask for it anew before every
        search.
        """
        with self._reading() as connection:
            return self._follower.follow(connection, self._bound)

    def rebind(
        self, pack: PackIdentity, vectors: Mapping[int, Mapping[str, FloatArray]], dropped: Sequence[int] = ()
    ) -> Forgotten:
        """Put another pack's embeddings in the place of all that there are, in one transaction.

        Parameters
        ----------
        pack
            The pack that made the new embeddings.
        vectors
            The new embeddings by sample and variant.
        dropped
            Samples that could not be embedded anew; they are removed for good. Their people stay.

        Returns
        -------
        Forgotten
            How many samples were removed.

        Raises
        ------
        UsageError
            If the samples with new embeddings and the dropped ones are not together all there are, because another
            process changed the gallery in the meantime, say; nothing is changed then.
        """
        for sample_id, variants in vectors.items():
            try:
                require_vectors(variants, pack.dimension)
            except InvalidValueError as error:
                raise UsageError(f"Sample {sample_id} cannot be re-embedded: {error}.") from error
        with self._changing() as connection:
            if {*vectors, *dropped} != tables.sample_ids(connection) or not vectors.keys().isdisjoint(dropped):
                raise UsageError("The gallery was changed while it was re-embedded: do it again.")
            pack_id = tables.add_pack(connection, pack)
            tables.bind(connection, pack_id)
            tables.delete_samples(connection, dropped)
            revision = tables.advance(connection)
            for sample_id, variants in vectors.items():
                vector_tables.add_vectors(connection, sample_id, pack_id, variants, revision)
            tables.note_traces(connection)
            bound = tables.binding(connection)
        self._bound = bound
        self._follower = IndexFollower(pack.dimension)
        return Forgotten(len(dropped), busy_readers=not self._file.wipe())

    def read_setting(self, key: str) -> Any:
        """Return the value kept under a key, as JSON gives it back; None if there is none."""
        with self._file.reading() as connection:
            return settings.read(connection, key)

    def write_setting(self, key: str, value: object) -> None:
        """Keep a small value that JSON can hold, at most 64 KiB, under a key; None removes it."""
        text = settings.encode(key, value)
        with self._file.changing() as connection:
            tables.write_setting(connection, key, text)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._file.reading() as connection:
            _check_pack(self.path, tables.binding(connection).pack, self.pack)
            yield connection

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._file.changing() as connection:
            _check_pack(self.path, tables.binding(connection).pack, self.pack)
            yield connection


def _check_dimension(pack: PackIdentity | None) -> None:
    if pack is not None and not 1 <= pack.dimension <= LARGEST_DIMENSION:
        raise UsageError(f"Embeddings of a gallery have 1 to {LARGEST_DIMENSION} numbers, not {pack.dimension}.")


def _check_pack(path: Path, bound: PackIdentity, wanted: PackIdentity) -> None:
    if (bound.digest, bound.dimension) != (wanted.digest, wanted.dimension):
        raise PackMismatchError(
            f"The gallery {printable(str(path))} was made with the pack '{printable(bound.name[:60])}' "
            f"({printable(bound.digest[:8])}), not with '{printable(wanted.name)}' ({printable(wanted.digest[:8])}): "
            f"use --pack {printable(bound.name[:60])}, or go over to '{printable(wanted.name)}' with "
            f"`facebank --pack {printable(wanted.name)} people re-embed`."
        )
