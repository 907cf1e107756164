"""The gallery: the enrolled people, in one file."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebank.errors import GalleryError, PackMismatchError, StorageError, UsageError
from facebank.gallery import feedback, people, samples, vectors
from facebank.gallery.enrollment import check_embeddings, check_sample, enroll_samples, replace_embeddings
from facebank.gallery.names import name_key, normalize_name
from facebank.gallery.places import GalleryPlaces, PlaceKind, forget_places_of
from facebank.gallery.records import PLAIN, EnrolledSample, FaceKey, Forgotten, MergedPerson, PackIdentity, VectorTable
from facebank.gallery.store import state
from facebank.gallery.store.codec import LARGEST_DIMENSION
from facebank.gallery.store.file import GalleryFile
from facebank.gallery.store.rows import delete
from facebank.storage.paths import named_path
from facebank.storage.text import printable, shell_command, shell_word

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import EllipsisType, TracebackType
    from typing import Self

    from facebank.gallery.names import NameTable
    from facebank.gallery.places import WrittenPlace
    from facebank.gallery.records import NewSample, PersonFacts, Stranger, StrangerTable, Upgrade
    from facebank.types import FloatArray, Person, Sample

BUSY_TIMEOUT = 30.0
"""How long to wait for another process, in seconds."""

_MANY = 20  # people are looked up faster by reading all names at once


class Gallery:
    """The enrolled people, in one SQLite file. Use `open` to get one, and ``with`` to close it.

    Every change is one transaction: it is kept for good when the call returns, or nothing of it is. Several processes
    may use one file; readers never wait for a writer.

    Several threads may use one `Gallery`: each has its own connection.
    `close` closes it for all of them; calls of other threads that use it then end with `ClosedError`. A snapshot
    belongs to the thread that began it. After `os.fork` both processes may go on with it, unless a thread was using it
    at that moment: then the forked process may not (`UsageError`).
    """

    def __init__(self, file: GalleryFile, bound: state.Binding) -> None:
        self._file = file
        self._bound = bound
        self._places = GalleryPlaces(file)
        self._all_pictured = False  # whether everything kept of faces is known to have the hash of its picture

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        pack: PackIdentity | None = None,
        *,
        create: bool = False,
        read_only: bool = False,
        busy_timeout: float = BUSY_TIMEOUT,
        on_upgrade: Callable[[Upgrade], None] | None = None,
    ) -> Self:
        """Open a gallery.

        Raises `GalleryNotFoundError` (the file is missing or empty), `GalleryFormatError` (it is no gallery, or
        damaged), `GalleryVersionError` (it is of a newer facebank), `PackMismatchError` (it is of another pack),
        `GalleryBusyError` (another process holds it) or `StorageError` (it cannot be made, read or written).

        Parameters
        ----------
        path
            The file.
        pack
            The pack whose embeddings will be enrolled or searched; None for what needs no embeddings, such as
            listing people.
        create
            Whether to make the gallery if missing; needs a pack. Only its owner may read the new file.
        read_only
            Whether to refuse every change. A file on a read-only medium refuses them in any case.
        busy_timeout
            How long to wait for another process, in seconds.
        on_upgrade
            Called after the file was upgraded from an older version, which happens once per version.
        """
        if create and (pack is None or read_only):
            raise UsageError("A new gallery needs a pack, and cannot be opened for reading only.")
        if pack is not None and not 1 <= pack.dimension <= LARGEST_DIMENSION:
            raise UsageError(f"Embeddings of a gallery have 1 to {LARGEST_DIMENSION} numbers, not {pack.dimension}.")
        place = named_path(path, "the path of the gallery")
        file = GalleryFile.open(place, new_for=pack if create else None, read_only=read_only, busy_timeout=busy_timeout)
        try:
            with file.reading() as connection:
                bound = state.binding(connection)
            _check_pack(place, bound.pack, pack or bound.pack)
        except BaseException:
            file.close()
            raise
        if file.upgrade is not None and on_upgrade is not None:
            on_upgrade(file.upgrade)
        return cls(file, bound)

    def close(self) -> None:
        """Close the file for all threads; no-op if closed."""
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
        """The pack that makes the embeddings."""
        return self._bound.pack

    @property
    def read_only(self) -> bool:
        """Whether changes are refused, on request or because the file cannot be written."""
        return not self._file.writable

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside a `snapshot`, and so cannot change the gallery."""
        return self._file.in_transaction

    @property
    def revision(self) -> int:
        """A number that grows with every change of people, samples, embeddings or strangers by any process."""
        with self._file.reading() as connection:
            return state.revision(connection)

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        """Read the gallery as of one moment in this thread; it cannot be changed inside."""
        with self._file.reading():
            yield self

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Read what depends on the pack, which another process may have changed."""
        with self._file.reading() as connection:
            _check_pack(self.path, state.binding(connection).pack, self.pack)
            yield connection

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._file.changing() as connection:
            _check_pack(self.path, state.binding(connection).pack, self.pack)
            yield connection

    # People -----------------------------------------------------------------------------------------------------

    def people(self) -> list[Person]:
        """Return everybody, in the order of their names."""
        with self._file.reading() as connection:
            return people.everybody(connection)

    def photo_counts(self) -> dict[int, int]:
        """Return how many photos each person's samples come from, by the person's number; copies count once."""
        with self._file.reading() as connection:
            return people.photo_counts(connection)

    def person(self, name: str) -> Person:
        """Return the person of a name, whatever its case; `PersonNotFoundError` if there is none."""
        with self._file.reading() as connection:
            return people.find(connection, name)

    def names(self) -> dict[int, str]:
        """Return everybody's name by number."""
        with self._file.reading() as connection:
            return people.names(connection)

    def name_table(self) -> NameTable:
        """Return what `names` does, in a tenth of the memory."""
        with self._file.reading() as connection:
            return people.name_table(connection)

    def birth_dates(self) -> dict[int, str]:
        """Return the known birth dates by the people's numbers: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
        with self._file.reading() as connection:
            return people.birth_dates(connection)

    def rename(self, old: str, new: str) -> Person:
        """Give a person another name; every sample is kept.

        Raises `PersonNotFoundError`, `PersonExistsError` or `InvalidNameError`.
        """
        with self._changing() as connection:
            return people.rename(connection, old, new)

    def describe(
        self, name: str, *, born: str | EllipsisType | None = ..., note: str | EllipsisType | None = ...
    ) -> Person:
        """Set or clear what is known about a person, who is returned.

        Raises `PersonNotFoundError` (nobody is called so) or `UsageError` (the birth date is no date, before 1850 or in
        the future, or the note is too long).

        Parameters
        ----------
        name
            The person's name.
        born
            Birth date as ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``; None or an empty text clears it, ``...`` leaves it.
        note
            Text of at most 2,000 characters; None or an empty text clears it, ``...`` leaves it.
        """
        with self._changing() as connection:
            return people.describe(connection, name, born=born, note=note)

    def merge(self, sources: Sequence[str], into: str) -> Person:
        """Merge people who are one person; `unmerge` undoes it.

        Every sample is kept, and every denial that the samples do not contradict. The birth date is that of the
        remaining person, else of the first who has one; notes are joined if they are not too long together. Raises
        `PersonNotFoundError` (one of them is not enrolled, and nobody is merged) or `UsageError` (there is nobody to
        merge).

        Parameters
        ----------
        sources
            Names of the people to merge; `into` itself is skipped.
        into
            Name of the remaining person, who is returned.
        """
        with self._changing() as connection:
            return people.merge(connection, self._bound, sources, into)

    def merged(self, name: str) -> list[MergedPerson]:
        """Return who was merged into a person and can be separated again, in the order of the merges."""
        with self._file.reading() as connection:
            merges = people.merges_of(connection, people.find(connection, name).id)
        return [MergedPerson(merge.name, merge.sample_count, merge.merged_at) for merge in merges]

    def merged_into(self) -> set[str]:
        """Return the names of the people into whom somebody was merged who can be separated again."""
        with self._file.reading() as connection:
            names = people.names(connection)
            return {names[number] for number in people.people_with_merges(connection)}

    def unmerge(self, name: str) -> list[Person]:
        """Undo the last merge into a person; returns the people who are separate again.

        They get back their samples, names, birth dates, notes and denials, except denials that samples of the other
        person contradicted. Later changes of the remaining person are kept. Samples that were removed or split off
        since do not come back. Raises `PersonNotFoundError` (nobody is called so), `UsageError` (nobody was merged into
        the person) or `PersonExistsError` (somebody else has one of the names by now).
        """
        with self._changing() as connection:
            return people.unmerge(connection, name)

    def split(self, name: str, into: str, samples: Sequence[int]) -> Person:
        """Give some of a person's samples to a new person, who is returned, without birth date and note.

        Raises `PersonNotFoundError` (nobody is called `name`), `PersonExistsError` or `InvalidNameError` (somebody is,
        or nobody can be, called `into`) or `UsageError` (a sample is not this person's, or none would be left or
        moved).

        Parameters
        ----------
        name, into
            Whose samples they are, and the new person's name.
        samples
            Their numbers: some, but not all.
        """
        with self._changing() as connection:
            return people.split(connection, name, into, samples)

    def forget(self, name: str) -> Forgotten:
        """Remove a person and everything about that person for good, also of those who were merged into the person.

        The file is written anew, so that no byte of it stays in the file or its log. Raises `PersonNotFoundError`
        (nobody is called so) or `StorageError` (the disk has no room to write the file anew: then the person is gone
        from the gallery, and the bytes are cleaned away when it is next opened).
        """
        with self._changing() as connection:
            person = people.find(connection, name)
            delete(connection, "people", "id", [person.id])
            state.advance(connection)
            state.note_traces(connection)
            forget_places_of(connection, person.name)
        return self._wiped(person.sample_count)

    # Samples ----------------------------------------------------------------------------------------------------

    def enroll(self, person: str, samples: Sequence[NewSample]) -> list[EnrolledSample]:
        """Give a person samples; a face that somebody already has is skipped.

        Two faces are the same if they are at the same place of the same photo, or if their plain embeddings are at most
        1e-4 apart. Nothing is changed on an error: `InvalidNameError` (nobody can be called so), `UsageError` (a sample
        is not as `NewSample` says), `PackMismatchError` (another process has re-embedded the gallery meanwhile),
        `GalleryBusyError` or `StorageError` (the gallery cannot be written).

        Parameters
        ----------
        person
            The name. A new person is added with the first new sample, or if no samples are given.
        samples
            The faces.

        Returns
        -------
        list[EnrolledSample]
            What became of each, in their order.
        """
        (outcomes,) = self.enroll_people([(person, samples)])
        return outcomes

    def enroll_people(
        self, groups: Sequence[tuple[str, Sequence[NewSample]]], facts: Mapping[str, PersonFacts] | None = None
    ) -> list[list[EnrolledSample]]:
        """Give several people samples in one transaction; the rest is as for `enroll`.

        Parameters
        ----------
        groups
            Names with their faces.
        facts
            Facts by name, which complete those that the gallery has.
        """
        now = datetime.now(UTC)
        named = [(normalize_name(name), new) for name, new in groups]
        for _, new in named:
            for sample in new:
                check_sample(sample, self.pack.dimension)
        with self._changing() as connection:
            ids = people.person_ids(connection) if len(named) > _MANY else None
            outcomes = [enroll_samples(connection, self._bound, name, new, now, people_ids=ids) for name, new in named]
            for name, known in (facts or {}).items():
                if people.find_key(connection, name_key(normalize_name(name))) is not None:
                    people.complete(connection, name, known)
            return outcomes

    def samples(self, name: str) -> list[Sample]:
        """Return a person's samples, in the order of their numbers."""
        with self._file.reading() as connection:
            return samples.samples_of(connection, people.find(connection, name).id)

    def samples_of_everybody(self) -> dict[int, list[Sample]]:
        """Return all samples by the people's numbers, each person's in the order of their own numbers."""
        with self._file.reading() as connection:
            return samples.samples_of_everybody(connection)

    def sample(self, sample_id: int) -> Sample:
        """Return a sample; `UsageError` if there is none of this number."""
        with self._file.reading() as connection:
            self._require_sample(connection, sample_id)
            (found,) = samples.samples_by_number(connection, [sample_id])
        return found

    def thumbnail(self, sample_id: int) -> bytes | None:
        """Return a sample's small JPEG; None if there is none."""
        with self._file.reading() as connection:
            return samples.thumbnail(connection, sample_id)

    def remove_sample(self, sample_id: int) -> Forgotten:
        """Remove a sample for good, as `forget` does; its person stays. `UsageError` if there is none."""
        with self._changing() as connection:
            self._require_sample(connection, sample_id)
            delete(connection, "samples", "id", [sample_id])
            people.drop_empty_merges(connection)
            state.advance(connection)
            state.note_traces(connection)
        return self._wiped(1)

    def _require_sample(self, connection: sqlite3.Connection, sample_id: int) -> None:
        if not samples.has_sample(connection, sample_id):
            raise UsageError(f"There is no sample {sample_id} in {printable(str(self.path))}.")

    # Embeddings -------------------------------------------------------------------------------------------------

    def variants(self) -> list[str]:
        """Return the variants of embeddings that any sample has."""
        with self._reading() as connection:
            return vectors.variants(connection, self._bound.pack_id)

    def vectors(self, variant: str = PLAIN, *, masked: bool | None = False) -> VectorTable:
        """Return the embeddings of one variant, in the order of their samples' numbers.

        Parameters
        ----------
        variant
            Which embeddings.
        masked
            False for samples of bare faces, True for masked ones, None for all.
        """
        with self._reading() as connection:
            return vectors.rated_vectors(connection, self._bound, variant, masked=masked)[0]

    def vectors_of(self, samples: Sequence[int]) -> FloatArray:
        """Return the plain embeddings of some samples by their numbers: ``float32`` of shape ``(N, dimension)``."""
        with self._reading() as connection:
            return vectors.plain_vectors_of(connection, self._bound, samples)

    def rated_vectors(self, *, masked: bool | None = False) -> tuple[VectorTable, FloatArray]:
        """Return what `vectors` does, and the samples' qualities, 0..1: ``float32`` of shape ``(N,)``."""
        with self._reading() as connection:
            return vectors.rated_vectors(connection, self._bound, PLAIN, masked=masked)

    def rebind(
        self,
        pack: PackIdentity,
        vectors: Mapping[int, Mapping[str, FloatArray]],
        dropped: Sequence[int] = (),
        strangers: Mapping[int, FloatArray | None] | None = None,
    ) -> Forgotten:
        """Replace all embeddings by another pack's, in one transaction.

        Raises `UsageError`: the samples or the strangers are not exactly those of the gallery, which another process
        may have changed meanwhile; nothing is changed then.

        Parameters
        ----------
        pack
            The pack that made the new embeddings.
        vectors
            The new embeddings by sample and variant.
        dropped
            Samples without new embeddings, which are removed for good. Their people stay.
        strangers
            The new embedding of each remembered stranger, or None to forget the stranger. May be left out if there
            are none.

        Returns
        -------
        Forgotten
            How many samples were removed.
        """
        check_embeddings(vectors, strangers or {}, pack.dimension)
        with self._changing() as connection:
            bound = replace_embeddings(connection, pack, vectors, dropped, strangers or {})
        self._bound = bound
        return self._wiped(len(dropped))

    # Denials and strangers --------------------------------------------------------------------------------------

    def deny(self, person: str, face: FaceKey, vector: FloatArray | None = None) -> bool:
        """Note that a face is not a person's, so that the person is never suggested for it.

        Denials follow a person who is renamed or merged, and are forgotten with the person. They leave the revision as
        it is, and are not exported. Raises `PersonNotFoundError` (nobody is called so) or `UsageError` (the person has
        a sample that is this very face, or this is no face).

        Parameters
        ----------
        person
            The name.
        face
            Which face of which photo.
        vector
            The face's plain embedding, ``(dimension,)``, by which a copy of an enrolled photo is recognized; None to
            go by the photo alone.

        Returns
        -------
        bool
            Whether it was not known yet.
        """
        feedback.check_face(face, vector, self.pack.dimension)
        with self._changing() as connection:
            denied = people.find(connection, person)
            feedback.set_picture(connection, face.content_hash, face.picture_hash)
            return feedback.deny(connection, self._bound, denied, face, vector=vector, now=datetime.now(UTC))

    def withdraw_denial(self, person: str, face: FaceKey) -> bool:
        """Take back that a face is not a person's; returns whether that had been said."""
        feedback.check_face(face, None, self.pack.dimension)
        with self._changing() as connection:
            return feedback.withdraw(connection, people.find(connection, person).id, face)

    def denials_of(self, face: FaceKey) -> set[int]:
        """Return the numbers of the people whose face it is not."""
        with self._file.reading() as connection:
            return feedback.denied_people(connection, face)

    def learn_picture(self, content_hash: str, picture_hash: str | None) -> None:
        """Note the hash of a photo's picture wherever the photo's faces are kept without it; no-op for None."""
        if picture_hash is None or self._all_pictured:
            return
        with self._file.reading() as connection:
            self._all_pictured = not feedback.lacks_picture(connection)
            if self._all_pictured or not feedback.lacks_picture(connection, content_hash):
                return
        with self._changing() as connection:
            feedback.set_picture(connection, content_hash, picture_hash)

    def remember_stranger(self, sample: NewSample) -> tuple[int, bool]:
        """Remember a face as nobody's, with embedding, box and photo; returns its number and whether it is new.

        Raises `UsageError`: somebody has a sample that is this very face, or the sample is not as `NewSample` says.
        """
        check_sample(sample, self.pack.dimension)
        with self._changing() as connection:
            feedback.set_picture(connection, sample.content_hash, sample.picture_hash)
            number, is_new = feedback.remember_stranger(connection, self._bound, sample, datetime.now(UTC))
            if is_new:
                state.advance(connection)
        return number, is_new

    def strangers(self) -> StrangerTable:
        """Return the embeddings of all remembered strangers, in the order of their numbers."""
        with self._reading() as connection:
            return feedback.stranger_vectors(connection, self._bound)

    def stranger_faces(self) -> list[Stranger]:
        """Return where all remembered strangers were seen, in the order of their numbers."""
        with self._file.reading() as connection:
            return feedback.strangers(connection)

    def forget_stranger(self, stranger_id: int) -> Forgotten:
        """Remove a remembered stranger for good, as `forget` does a person; `UsageError` if there is none."""
        with self._changing() as connection:
            if not delete(connection, "strangers", "id", [stranger_id]):
                raise UsageError(
                    f"There is no stranger {stranger_id} in {printable(str(self.path))}: "
                    "`facebank strangers list` shows who is remembered."
                )
            state.advance(connection)
            state.note_traces(connection)
        return Forgotten(0, busy_readers=not self._file.wipe())

    # Settings and files -----------------------------------------------------------------------------------------

    def read_setting(self, key: str) -> Any:
        """Return a setting's value, as JSON gives it; None if it is not set."""
        return self._file.read_setting(key)

    def write_setting(self, key: str, value: object) -> None:
        """Set a setting to a value that JSON can hold, at most 64 KiB; None removes it."""
        self._file.write_setting(key, value)

    def write_setting_at(self, revision: int, key: str, value: object) -> bool:
        """Set a setting if the gallery is at this revision still; return whether it was."""
        with self._file.changing() as connection:
            if state.revision(connection) != revision:
                return False
            state.write_setting(connection, key, value)
        return True

    def keep_setting(self, key: str, value: object) -> Any:
        """Return a setting's value, after setting it to this one if it is not set."""
        known = self.read_setting(key)
        if known is not None:
            return known
        with self._file.changing() as connection:
            known = state.read_setting(connection, key)  # another process may have been faster
            if known is None:
                state.write_setting(connection, key, value)
            return value if known is None else known

    def note_place(self) -> None:
        """Note that files in the cache are made from this gallery under its present name: `forget` wipes them."""
        self._places.note_derived()

    def note_written(self, kind: PlaceKind, path: str | os.PathLike[str]) -> None:
        """Note the file or folder that something of this gallery was written to; no-op if it cannot be noted."""
        if not self._file.writable or self._file.in_transaction:
            return
        with suppress(GalleryError, StorageError):
            self._places.note_written(kind, Path(os.path.abspath(path)))  # noqa: PTH100 - resolve() follows links

    def written_places(self) -> list[WrittenPlace]:
        """Return the noted places that still exist, the latest first."""
        return self._places.written()

    def back_up(self, target: str | os.PathLike[str]) -> Path:
        """Copy the gallery, as of one moment, into a new file that only its owner can read; it may be in use.

        Raises `UsageError` (the file exists, or its folder does not) or `StorageError` (it cannot be written).
        """
        place = self._file.back_up(target)
        self.note_written(PlaceKind.BACKUP, place)
        return place

    def automatic_backups(self) -> list[Path]:
        """Return the copies that facebank made beside the gallery before changing all of it: `forget` wipes them."""
        return self._places.backups()

    def derived_files(self) -> list[Path]:
        """Return the files in the cache that were made from this gallery: `forget` wipes them."""
        return self._places.derived()

    def leftovers(self) -> list[Path]:
        """Return what killed runs left half-written where facebank writes: `forget` wipes it."""
        return self._places.leftovers()

    def _wiped(self, samples: int) -> Forgotten:
        done = self._file.wipe()
        return Forgotten(samples, busy_readers=not done, wiped=tuple(self._places.wipe()))

    # Index ------------------------------------------------------------------------------------------------------


def _check_pack(path: Path, bound: PackIdentity, wanted: PackIdentity) -> None:
    if (bound.digest, bound.dimension) != (wanted.digest, wanted.dimension):
        raise PackMismatchError(
            f"The gallery {printable(str(path))} was made with the pack '{printable(bound.name[:64])}' "
            f"({printable(bound.digest[:8])}), not with '{printable(wanted.name)}' ({printable(wanted.digest[:8])}): "
            f"use --pack {shell_word(bound.name[:64])}, or go over to '{printable(wanted.name)}' with "
            f"`{shell_command('--pack', wanted.name, 'people', 're-embed')}`."
        )
