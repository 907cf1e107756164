"""The gallery: the enrolled people, in one file."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import local
from typing import TYPE_CHECKING

from facebank.errors import GalleryError, StorageError, UsageError
from facebank.gallery import people, settings
from facebank.gallery.derived import DERIVED_FOLDERS_SETTING, DERIVED_PLACES_SETTING, wipe_derived
from facebank.gallery.enrollment import check_sample, enroll_samples, require_vectors
from facebank.gallery.names import name_key, normalise_name
from facebank.gallery.records import PLAIN, EnrolledSample, Forgotten, MergedPerson, PackIdentity, VectorTable
from facebank.gallery.store import feedback_tables, merge_tables, tables, vector_tables
from facebank.gallery.taught import TaughtGallery
from facebank.gallery.written_places import WRITTEN_PLACES_SETTING, folders_with_leftovers, without_name
from facebank.storage.leftovers import remove_leftovers, wipe_file
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from types import EllipsisType

    from facebank.gallery.names import NameTable
    from facebank.gallery.records import NewSample, PersonFacts
    from facebank.gallery.store.file import GalleryFile
    from facebank.index.following import IndexFollower
    from facebank.index.index_file import IndexKey
    from facebank.index.vector_index import VectorIndex
    from facebank.types import FloatArray, Person, Sample

_MANY = 20  # people are looked up faster by reading all names at once


class Gallery(TaughtGallery):
    """The enrolled people, in one SQLite file. Use `open` to get one, and ``with`` to close it.

    Every change is one transaction: it is kept wholly and for good when the call returns, or nothing of it is. Several
    processes may use one file; readers never wait for the one that writes.

    Several threads may use one `Gallery`, as several processes use one file: each thread has a connection of its own
    and, where it asks for `index`, an index of its own. `close` closes it for all of them; what another thread is doing
    with it then ends with `ClosedError`. A snapshot belongs to the thread that began it. After `os.fork` both processes
    may go on with it, unless a thread was using it just then: the forked process is refused it then (`UsageError`).
    """

    def __init__(self, file: GalleryFile, bound: tables.Binding) -> None:
        super().__init__(file, bound)
        self._make_index: Callable[[int], VectorIndex] | None = None
        self._followers = local()

    # People -----------------------------------------------------------------------------------------------------

    def people(self) -> list[Person]:
        """Return everybody, in the order of their names."""
        with self._file.reading() as connection:
            return tables.people(connection)

    def photo_counts(self) -> dict[int, int]:
        """Return from how many photos each person's samples are, by the person's number.

        Copies of a photo are one, also those with other metadata.
        """
        with self._file.reading() as connection:
            return tables.photo_counts(connection)

    def person(self, name: str) -> Person:
        """Return the person of a name, whatever its case; `PersonNotFoundError` if there is none."""
        with self._file.reading() as connection:
            return people.find(connection, name)

    def names(self) -> dict[int, str]:
        """Return everybody's name by number."""
        with self._file.reading() as connection:
            return tables.names(connection)

    def name_table(self) -> NameTable:
        """Return what `names` does, in a tenth of the memory."""
        with self._file.reading() as connection:
            return tables.name_table(connection)

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

    def describe(
        self, name: str, *, born: str | EllipsisType | None = ..., note: str | EllipsisType | None = ...
    ) -> Person:
        """Set what is known about a person, or clear it.

        Parameters
        ----------
        name
            The person's.
        born
            Birth date as ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``; None or an empty text clears it, ``...`` leaves it.
        note
            Free text of at most 2,000 characters; None or an empty text clears it, ``...`` leaves it.

        Returns
        -------
        Person
            As the person is now.

        Raises
        ------
        PersonNotFoundError
            If nobody is called so.
        UsageError
            If the birth date is no date, before 1850 or in the future, or the note is too long.
        """
        with self._changing() as connection:
            return people.describe(connection, name, born=born, note=note)

    def birth_dates(self) -> dict[int, str]:
        """Return the birth dates that are known, by the people's numbers: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
        with self._file.reading() as connection:
            return tables.birth_dates(connection)

    def merge(self, sources: Sequence[str], into: str) -> Person:
        """Join people who are one person; every sample is kept, and every denial but those that it contradicts.

        The birth date is that of the one who stays, else of the first who has one; notes are joined where they are
        not too long together. `unmerge` undoes it.

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
            return people.merge(connection, self._bound, sources, into)

    def merged(self, name: str) -> list[MergedPerson]:
        """Return who was joined with a person and can be separated again, in the order of the merges."""
        with self._file.reading() as connection:
            merges = merge_tables.merges_of(connection, people.find(connection, name).id)
        return [MergedPerson(merge.name, merge.sample_count, merge.merged_at) for merge in merges]

    def merged_into(self) -> set[str]:
        """Return the names of the people with whom somebody was joined who can be separated again."""
        with self._file.reading() as connection:
            names = tables.names(connection)
            return {names[number] for number in merge_tables.people_with_merges(connection)}

    def unmerge(self, name: str) -> list[Person]:
        """Undo the last merge into a person: whoever was joined then is a person again, with the samples of before.

        Names, birth dates, notes and denials come back, too, but not the denials that samples of the other
        contradicted. What was changed since about the person who stayed is kept. Samples that were removed or split
        off are gone.

        Parameters
        ----------
        name
            Name of the one who stayed.

        Returns
        -------
        list[Person]
            Who is apart again.

        Raises
        ------
        PersonNotFoundError
            If nobody is called so.
        PersonExistsError
            If somebody else has one of the names by now; nothing is changed then.
        UsageError
            If nobody was joined with this person.
        """
        with self._changing() as connection:
            return people.unmerge(connection, name)

    def split(self, name: str, into: str, samples: Sequence[int]) -> Person:
        """Give some of a person's samples to somebody new, who has neither birth date nor note.

        Parameters
        ----------
        name, into
            Whose samples they are, and what the new person is called.
        samples
            Their numbers: some, but not all.

        Returns
        -------
        Person
            The new one.

        Raises
        ------
        PersonNotFoundError
            If nobody is called so.
        PersonExistsError
            If there is a person of the new name.
        InvalidNameError
            If nobody can be called so.
        UsageError
            If a sample is not this person's, or none would be left or moved.
        """
        with self._changing() as connection:
            return people.split(connection, name, into, samples)

    def forget(self, name: str) -> Forgotten:
        """Remove a person for good: samples, vectors, thumbnails, paths, denials, the name and those of who was joined.

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
            known = settings.read(connection, WRITTEN_PLACES_SETTING)
            if known is not None:
                left = settings.encode(WRITTEN_PLACES_SETTING, without_name(known, person.name))
                tables.write_setting(connection, WRITTEN_PLACES_SETTING, left)
        return self._wiped(person.sample_count)

    # Samples ----------------------------------------------------------------------------------------------------

    def enroll(self, person: str, samples: Sequence[NewSample]) -> list[EnrolledSample]:
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
        (outcomes,) = self.enroll_people([(person, samples)])
        return outcomes

    def enroll_people(
        self, groups: Sequence[tuple[str, Sequence[NewSample]]], facts: Mapping[str, PersonFacts] | None = None
    ) -> list[list[EnrolledSample]]:
        """Give several people samples, as `enroll` does, in one transaction.

        Parameters
        ----------
        groups
            Names with their faces.
        facts
            What is known about some of them, by name: it fills in what the gallery does not know yet.

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
            people_ids = tables.person_ids(connection) if len(spelled) > _MANY else None
            outcomes = [
                enroll_samples(connection, self._bound, name, samples, now, people_ids=people_ids)
                for name, samples in spelled
            ]
            for name, known in (facts or {}).items():
                if tables.find_person(connection, name_key(normalise_name(name))) is not None:
                    people.complete(connection, name, known)
            return outcomes

    def samples(self, name: str) -> list[Sample]:
        """Return a person's samples, in the order of their numbers."""
        with self._file.reading() as connection:
            return tables.samples_of(connection, people.find(connection, name).id)

    def samples_of_everybody(self) -> dict[int, list[Sample]]:
        """Return everybody's samples by the people's numbers, each person's in the order of their own."""
        with self._file.reading() as connection:
            return tables.samples_of_everybody(connection)

    def thumbnail(self, sample_id: int) -> bytes | None:
        """Return a sample's small JPEG; None if it has none or there is no such sample."""
        with self._file.reading() as connection:
            return tables.thumbnail(connection, sample_id)

    def sample(self, sample_id: int) -> Sample:
        """Return the sample of a number; `UsageError` if there is none."""
        with self._file.reading() as connection:
            self._require_sample(connection, sample_id)
            (found,) = tables.samples_by_number(connection, [sample_id])
        return found

    def require_sample(self, sample_id: int) -> None:
        """Raise `UsageError` if there is no such sample."""
        with self._file.reading() as connection:
            self._require_sample(connection, sample_id)

    def _require_sample(self, connection: sqlite3.Connection, sample_id: int) -> None:
        if not tables.has_sample(connection, sample_id):
            raise UsageError(f"There is no sample {sample_id} in {printable(str(self.path))}.")

    def remove_sample(self, sample_id: int) -> Forgotten:
        """Remove a sample for good, as `forget` does; its person stays.

        Raises
        ------
        UsageError
            If there is no such sample.
        """
        with self._changing() as connection:
            self._require_sample(connection, sample_id)
            tables.delete_samples(connection, [sample_id])
            merge_tables.drop_empty(connection)
            tables.advance(connection)
            tables.note_traces(connection)
        return self._wiped(1)

    # Embeddings -------------------------------------------------------------------------------------------------

    def variants(self) -> list[str]:
        """Return the variants of embeddings that any sample has."""
        with self._reading() as connection:
            return vector_tables.variants(connection, self._bound.pack_id)

    def vectors(self, variant: str = PLAIN, *, masked: bool | None = False) -> VectorTable:
        """Return embeddings of one variant, in the order of their samples' numbers.

        Parameters
        ----------
        variant
            Which embeddings.
        masked
            False for the samples that show a bare face, True for those that wear a mask, None for all.
        """
        with self._reading() as connection:
            return vector_tables.vectors(connection, self._bound, variant, masked=masked)

    def rated_vectors(self, *, masked: bool | None = False) -> tuple[VectorTable, FloatArray]:
        """Return what `vectors` does, and the samples' qualities in its order, 0..1: ``float32`` of shape ``(N,)``."""
        with self._reading() as connection:
            return vector_tables.rated_vectors(connection, self._bound, PLAIN, masked=masked)

    def index(self) -> VectorIndex:
        """Return the index over the plain embeddings of all bare faces, in step with the gallery as it is now.

        The index is this thread's own and is brought up to date by the next call: ask for it anew before every
        search. That of a very large gallery reads vectors from a file in the cache, which is written when there is
        none; a search raises `GalleryBusyError` where another process has just overwritten it to forget somebody.
        """
        may_write = self._file.writable and not self._file.in_transaction
        follower = self._follower()
        with self._reading() as connection:
            index = follower.follow(connection, self._bound, may_write=may_write)
        if follower.written is None or self._keep_index_file(follower, follower.written):
            return index
        follower.without_file()
        with self._reading() as connection:
            return follower.follow(connection, self._bound)

    def search_with(self, make_index: Callable[[int], VectorIndex]) -> None:
        """Make another index from now on, such as one that scans codes earlier; it gets an embedding's length."""
        self._make_index = make_index
        self._let_go_of_index()

    def _follower(self) -> IndexFollower:
        """Return what keeps the index of this thread in step."""
        made: tuple[object, object, IndexFollower] | None = getattr(self._followers, "made", None)
        if made is None or made[0] is not self._bound or made[1] is not self._make_index:
            from facebank.index.following import IndexFollower

            self._let_go_of_index()
            made = self._bound, self._make_index, IndexFollower(self.pack.dimension, self._make_index, self.path)
            self._followers.made = made
        return made[2]

    def _let_go_of_index(self) -> None:
        """Let go of the file that the index of this thread reads: where it is mapped, not every system removes it."""
        made: tuple[object, object, IndexFollower] | None = getattr(self._followers, "made", None)
        if made is not None:
            made[2].let_go()

    def _keep_index_file(self, follower: IndexFollower, key: IndexKey) -> bool:
        """Keep the token of the file that the index was written to, if nobody can have been forgotten meanwhile."""
        from facebank.gallery.derived import INDEX_FILE_SETTING

        try:
            self.note_place()
            with self._changing() as connection:
                kept = tables.revision(connection) == key.revision
                if kept and follower.is_written(key):
                    tables.write_setting(connection, INDEX_FILE_SETTING, settings.encode(INDEX_FILE_SETTING, key.token))
        except (GalleryError, StorageError):
            return False
        if kept:
            follower.written = None
        return kept

    def rebind(
        self,
        pack: PackIdentity,
        vectors: Mapping[int, Mapping[str, FloatArray]],
        dropped: Sequence[int] = (),
        strangers: Mapping[int, FloatArray | None] | None = None,
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
        strangers
            The new embedding of each remembered stranger; None for one who is forgotten. May be left out where there
            are none.

        Returns
        -------
        Forgotten
            How many samples were removed.

        Raises
        ------
        UsageError
            If the samples with new embeddings and the dropped ones are not together all there are, or the strangers
            not all, because another process changed the gallery in the meantime, say; nothing is changed then.
        """
        faces = strangers or {}
        embedded = {number: vector for number, vector in faces.items() if vector is not None}
        _check_new("Sample", vectors, pack.dimension)
        _check_new("Stranger", {number: {PLAIN: vector} for number, vector in embedded.items()}, pack.dimension)
        with self._changing() as connection:
            samples_agree = {*vectors, *dropped} == tables.sample_ids(connection) and vectors.keys().isdisjoint(dropped)
            if not samples_agree or faces.keys() != {one.id for one in feedback_tables.strangers(connection)}:
                raise UsageError("The gallery was changed while it was re-embedded: do it again.")
            pack_id = tables.add_pack(connection, pack)
            tables.bind(connection, pack_id)
            tables.delete_samples(connection, dropped)
            merge_tables.drop_empty(connection)
            feedback_tables.delete_strangers(connection, faces.keys() - embedded.keys())
            feedback_tables.replace_stranger_vectors(connection, embedded)
            revision = tables.advance(connection)
            for sample_id, variants in vectors.items():
                vector_tables.add_vectors(connection, sample_id, pack_id, variants, revision)
            tables.note_traces(connection)
            bound = tables.binding(connection)
        self._bound = bound
        self._let_go_of_index()
        return self._wiped(len(dropped))

    def _wiped(self, samples: int) -> Forgotten:
        done = self._file.wipe()
        self._let_go_of_index()
        places, folders = self.read_setting(DERIVED_PLACES_SETTING), self.read_setting(DERIVED_FOLDERS_SETTING)
        wiped = wipe_derived(self.path, places, folders)
        leftovers, _ = remove_leftovers(folders_with_leftovers(self.path, self))
        backups = self.automatic_backups()
        for backup in backups:
            wipe_file(backup)
        return Forgotten(samples, busy_readers=not done, wiped=(*wiped, *leftovers, *backups))


def _check_new(what: str, vectors: Mapping[int, Mapping[str, FloatArray]], dimension: int) -> None:
    for number, variants in vectors.items():
        try:
            require_vectors(variants, dimension)
        except InvalidValueError as error:
            raise UsageError(f"{what} {number} cannot be re-embedded: {error}.") from error
