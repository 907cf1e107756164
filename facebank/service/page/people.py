"""Page of all people, and a page for each person."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Body, Path, Query

from facebank.album.copies import ADVICE, copies_of
from facebank.album.finding import year_heading
from facebank.errors import PersonNotFoundError, UsageError
from facebank.service.access import AdminCaller, ReadCaller, TeachCaller
from facebank.service.page.memory import MemoryDep
from facebank.service.page.paging import page_of
from facebank.service.page.rendering import PageRoute, page
from facebank.service.page.wording import normalize_date
from facebank.storage.text import printable
from facebank.types import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi.responses import Response

    from facebank import FaceBank
    from facebank.album.overview import SeenFace, SeenPhoto
    from facebank.album.videos import SeenVideo
    from facebank.gallery import ForgetReport, MergedPerson
    from facebank.service.page.memory import PageMemory
    from facebank.types import Person, Sample

Result = TypeVar("Result")

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_PEOPLE_PER_PAGE, _PHOTOS_PER_PAGE = 100, 60
_MAX_UNSURE, _MAX_COMPANIONS = 24, 12
_AMBIGUOUS = (Reason.CONFUSABLE, Reason.RUNNER_UP_TOO_NEAR)
_MAX_VIDEOS, _MAX_VISITS = 200, 8
PageNumber = Annotated[int, Query(alias="page", ge=1, le=10**6)]
PersonId = Annotated[int, Path(ge=0, le=2**62)]
Name = Annotated[str, Body(embed=True, max_length=1000)]


@dataclass(frozen=True, slots=True)
class _Card:
    id: int
    name: str
    photos: int
    samples: int
    sample_id: int | None  # sample shown as picture


@dataclass(frozen=True, slots=True)
class _PersonView:
    """A person's page."""

    person: Person
    sample_id: int | None  # sample shown as picture
    photos: Sequence[SeenPhoto]
    photo_count: int  # regardless of other people
    videos: Sequence[SeenVideo]
    video_count: int  # regardless of other people
    unsure: Sequence[tuple[SeenPhoto, SeenFace]]
    unsure_count: int
    is_ambiguous: bool  # whether another person is about equally likely in some of them
    companions: Sequence[tuple[int, str, int]]  # ids and names of people in the same photos and videos, with counts
    companion_id: int | None  # if given, only photos and videos that show this person too
    samples: Sequence[Sample]
    merged: Sequence[MergedPerson]
    names: Sequence[str]  # names of all other people


@router.get("/")
async def people_page(
    caller: ReadCaller, memory: MemoryDep, q: Annotated[str, Query(max_length=200)] = "", page_number: PageNumber = 1
) -> Response:
    """Show all people, most photos first."""
    cards, count, has_unnamed = await memory.service.lookups.run(_cards, memory, q)
    first = await memory.service.lookups.run(memory.first_steps)
    people, pages = page_of(cards, page_number, _PEOPLE_PER_PAGE, "/", q=q)
    return page(
        "people.html",
        caller,
        current_path="/",
        people=people,
        people_count=count,
        per_page=_PEOPLE_PER_PAGE,
        pages=pages,
        query=q,
        has_unnamed=has_unnamed,
        **first,
    )


@router.get("/looking")
async def work_progress(_: ReadCaller, memory: MemoryDep) -> dict[str, object]:
    """Return the progress of work on the photos."""
    progress = await memory.service.lookups.run(memory.progress)
    if progress is None:
        return {"is_done": True}
    return {"is_done": False, "words": progress.words, "done": progress.done, "total": progress.total}


def _cards(memory: PageMemory, query: str) -> tuple[list[_Card], int, bool]:
    people, best_samples, counts = memory.service.bank.people(), memory.best_samples(), memory.overview.counts()
    search = query.strip().casefold()
    cards = [
        _Card(
            person.id,
            person.name,
            counts.get(person.id, 0),
            person.sample_count,
            best_samples[person.id].id if person.id in best_samples else None,
        )
        for person in people
        if search in person.name.casefold()
    ]
    cards.sort(key=lambda card: (-card.photos, card.name.casefold()))
    return cards, len(people), memory.overview.has_unnamed()


@router.get("/people/{person_id}")
async def person_page(
    caller: ReadCaller,
    memory: MemoryDep,
    person_id: PersonId,
    companion_id: Annotated[int | None, Query(alias="with", ge=0, le=2**62)] = None,
    page_number: PageNumber = 1,
) -> Response:
    """Show a person: the photos and videos of the album, oldest first, and the samples."""
    view = await memory.service.lookups.run(_view_of, memory, person_id, companion_id)
    photos, pages = page_of(
        view.photos,
        page_number,
        _PHOTOS_PER_PAGE,
        f"/people/{person_id}",
        **{"with": companion_id},
    )
    return page(
        "person.html",
        caller,
        current_path="",
        view=view,
        years=[(year, list(group)) for year, group in groupby(photos, _year)],
        pages=pages,
        videos=view.videos[:_MAX_VIDEOS],
        max_visits=_MAX_VISITS,
        has_albums=bool(memory.service.options.albums),
        progress=await memory.service.lookups.run(memory.progress),
    )


@router.post("/people/{person_id}/rename")
async def rename(_: TeachCaller, memory: MemoryDep, person_id: PersonId, name: Name) -> dict[str, object]:
    """Rename a person."""
    person = await _change(memory, lambda bank: bank.rename(_name(bank, person_id), name))
    return {"message": f"The new name is {person.name}."}


@router.post("/people/{person_id}/describe")
async def describe(
    _: TeachCaller,
    memory: MemoryDep,
    person_id: PersonId,
    day: Annotated[str, Body(embed=True, max_length=10)] = "",
    born: Annotated[str, Body(embed=True, max_length=10)] = "",
    note: Annotated[str, Body(embed=True, max_length=2_000)] = "",
) -> dict[str, object]:
    """Store a person's birth date, a full `day` or a partial date `born`, and a note; empty values clear them."""
    date = normalize_date(day or born)
    await _change(memory, lambda bank: bank.gallery.describe(_name(bank, person_id), born=date, note=note))
    return {"message": "Saved."}


@router.post("/people/{person_id}/merge")
async def merge(
    _: TeachCaller,
    memory: MemoryDep,
    person_id: PersonId,
    into: Name,
    force: Annotated[bool, Body(embed=True)] = False,
) -> dict[str, object]:
    """Merge a person into another one."""

    def merge_people(bank: FaceBank) -> Person:
        name, other = _name(bank, person_id), bank.person(into)
        if other.id == person_id:
            raise UsageError(f"{printable(name)} is the same person already: choose another one")
        return bank.merge(name, other.name, force=force)

    person = await _change(memory, merge_people)
    return {
        "message": f"They are one person now: {person.name}. You can undo that on this page.",
        "to": f"/people/{person.id}",
    }


@router.post("/people/{person_id}/unmerge")
async def unmerge(_: TeachCaller, memory: MemoryDep, person_id: PersonId) -> dict[str, object]:
    """Undo the last merge into a person."""
    people = await _change(memory, lambda bank: bank.unmerge(_name(bank, person_id)))
    return {"message": f"Separate again: {', '.join(person.name for person in people)}."}


@router.get("/people/{person_id}/copies")
async def copies(_: AdminCaller, memory: MemoryDep, person_id: PersonId) -> dict[str, object]:
    """Return the copies that forgetting a person would leave: exports, sorted folders, names in files, backups."""

    def list_copies(bank: FaceBank) -> dict[str, object]:
        recorded = copies_of(bank.gallery, _name(bank, person_id))
        stays = [{"path": printable(str(copy.path)), "advice": ADVICE[copy.kind]} for copy in recorded.remaining]
        return {"stays": stays, "files_with_name": len(recorded.files_with_name)}

    return await memory.service.lookups.run(list_copies, memory.service.bank)


@router.post("/people/{person_id}/forget")
async def forget(_: AdminCaller, memory: MemoryDep, person_id: PersonId) -> dict[str, object]:
    """Remove a person permanently."""

    def forget_person(bank: FaceBank) -> str:
        name = _name(bank, person_id)
        removed = bank.forget(name)
        memory.pictures.clear()
        return f"{name} is forgotten.{_full_disk_warning(removed)}"

    return {"message": await _change(memory, forget_person), "to": "/"}


@router.post("/samples/{sample_id}/remove")
async def remove_sample(
    _: TeachCaller, memory: MemoryDep, sample_id: Annotated[int, Path(ge=0, le=2**62)]
) -> dict[str, object]:
    """Remove a sample permanently."""

    def remove(bank: FaceBank) -> str:
        removed = bank.gallery.remove_sample(sample_id)
        memory.pictures.clear()
        return f"The face is removed.{_full_disk_warning(removed)}"

    return {"message": await _change(memory, remove)}


def _full_disk_warning(removed: ForgetReport) -> str:
    """Return a warning if removed bytes could not be overwritten because the disk is full; else an empty text."""
    if not removed.full_disk:
        return ""
    return " The disk is full, so deleted data may still be in the gallery: free space and restart 'facebank serve'."


async def _change(memory: PageMemory, change: Callable[[FaceBank], Result]) -> Result:
    result = await memory.service.lookups.run(change, memory.service.bank)
    await memory.settle()
    return result


def _name(bank: FaceBank, person_id: int) -> str:
    name = bank.gallery.names().get(person_id)
    if name is None:
        raise PersonNotFoundError("this person no longer exists: go back to the page of all people")
    return name


def _view_of(memory: PageMemory, person_id: int, companion_id: int | None) -> _PersonView:
    bank, overview = memory.service.bank, memory.overview
    names = bank.gallery.names()
    name = _name(bank, person_id)
    photos, unsure = overview.photos_of(person_id), overview.uncertain_faces(person_id)
    videos = memory.videos.videos_of(person_id)
    seen_ids = [other for photo in photos for other in photo.person_ids]
    seen_ids += [other for video in videos for other in video.person_ids]
    companions = Counter(other for other in seen_ids if other != person_id and other in names)
    if companion_id not in names:
        companion_id = None
    best_samples = memory.best_samples()
    return _PersonView(
        person=bank.person(name),
        sample_id=best_samples[person_id].id if person_id in best_samples else None,
        photos=photos if companion_id is None else overview.photos_of(person_id, companion_id),
        photo_count=len(photos),
        videos=videos if companion_id is None else memory.videos.videos_of(person_id, companion_id),
        video_count=len(videos),
        unsure=unsure[:_MAX_UNSURE],
        unsure_count=len(unsure),
        is_ambiguous=any(face.reason in _AMBIGUOUS for _, face in unsure),
        companions=[(other, names[other], count) for other, count in companions.most_common(_MAX_COMPANIONS)],
        companion_id=companion_id,
        samples=bank.samples(name),
        merged=bank.gallery.merged_people(name),
        names=sorted((other for key, other in names.items() if key != person_id), key=str.casefold),
    )


def _year(photo: SeenPhoto) -> str:
    return year_heading(photo.plausible_time, camera_dated=photo.camera_dated)
