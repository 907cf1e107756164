"""Page of look-alikes: people who are easily confused and doubtful samples, with advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter

from facebank.recognition.audit import SAME_PERSON_ERROR, FindingKind
from facebank.service.access import Reader
from facebank.service.page.memory import MemoryDep
from facebank.service.page.rendering import PageRoute, page

if TYPE_CHECKING:
    from fastapi.responses import Response

    from facebank.recognition.audit import Finding
    from facebank.service.page.memory import PageMemory

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_PAIRS = (FindingKind.CONFUSABLE, FindingKind.SHARED_PHOTO, FindingKind.MISLABELLED)
_MOST_HINTS = 50
_MOST_SAMPLES = 12  # per hint
_OF_SAMPLES = (FindingKind.REPEATED, FindingKind.DISAGREEING, FindingKind.TWO_PEOPLE, FindingKind.DATED_BEFORE_BIRTH)
_HINTS = {
    FindingKind.TWO_PEOPLE: "The learned faces of {name} look like two people: remove those of the other one.",
    FindingKind.DISAGREEING: "A learned face of {name} is unlike the others: is it {name}?",
    FindingKind.REPEATED: "These learned faces of {name} are copies of other ones: they can be removed.",
    FindingKind.TOO_SIMILAR: "All learned faces of {name} are from one moment: photos from other days help.",
    FindingKind.DATED_BEFORE_BIRTH: "A learned face of {name} is from before the birth: one of the dates is wrong.",
    FindingKind.OUTDATED_SAMPLES: "The learned faces of {name} are old by now: a newer photo helps.",
    FindingKind.ONLY_MASKED: "All learned faces of {name} wear a mask: a photo without one helps.",
    FindingKind.NO_SAMPLES: "{name} has no learned face, and is never recognized: add a photo.",
    FindingKind.FEW_SAMPLES: "{name} has one learned face only: another photo helps.",
}


@dataclass(frozen=True, slots=True)
class _Side:
    id: int | None
    name: str
    sample_id: int | None  # sample shown as picture


@dataclass(frozen=True, slots=True)
class _Pair:
    sides: tuple[_Side, _Side]
    what: str
    advice: str
    may_be_one: bool  # whether the two may be one person
    samples: tuple[int, ...]  # doubtful samples


@dataclass(frozen=True, slots=True)
class _Hint:
    id: int | None
    what: str
    samples: tuple[int, ...]  # samples concerned, if not all of the person's


@router.get("/look-alikes")
async def look_alikes(caller: Reader, memory: MemoryDep) -> Response:
    """Show people who are easily confused, and doubtful samples."""
    found = await memory.service.look_ups.run(_found, memory)
    pairs, hints, more = found or ([], [], 0)
    is_waiting = found is None
    return page(
        "look_alikes.html", caller, here="/look-alikes", pairs=pairs, hints=hints, more=more, is_waiting=is_waiting
    )


def _found(memory: PageMemory) -> tuple[list[_Pair], list[_Hint], int] | None:
    audited = memory.findings()
    if audited is None:
        return None
    numbers = {name: number for number, name in memory.service.bank.gallery.names().items()}
    findings = [found for found in audited if numbers.keys() >= set(found.people)]  # without people forgotten since
    best = memory.best_samples()

    def side(name: str) -> _Side:
        number = numbers.get(name)
        return _Side(number, name, best[number].id if number in best else None)

    pairs = [_pair(found, (side(found.people[0]), side(found.people[1]))) for found in findings if found.kind in _PAIRS]
    hints = [
        _Hint(
            numbers.get(found.people[0]),
            _HINTS[found.kind].format(name=found.people[0]),
            found.samples[:_MOST_SAMPLES] if found.kind in _OF_SAMPLES else (),
        )
        for found in findings
        if found.kind in _HINTS
    ]
    return pairs, hints[:_MOST_HINTS], max(0, len(hints) - _MOST_HINTS)


def _pair(found: Finding, sides: tuple[_Side, _Side]) -> _Pair:
    first, second = found.people[:2]
    if found.kind is FindingKind.SHARED_PHOTO:
        what = f"{first} and {second} have the same learned face."
        return _Pair(sides, what, "Remove it from the wrong person, or join the two.", True, found.samples)
    if found.kind is FindingKind.MISLABELLED:
        what = f"A learned face of {first} looks like {second}."
        return _Pair(sides, what, f"If it is {second}, remove it from {first}.", False, found.samples)
    error = found.value or 0.0
    what = f"About {_share(error)} photos of one of them could be taken for the other."
    advice = "Add photos of both: another day, another light, another angle."
    return _Pair(sides, what, advice, error >= SAME_PERSON_ERROR, found.samples)


def _share(error: float) -> str:
    return f"{round(100 * error)} of 100" if error >= 0.01 else f"{max(1, round(1000 * error))} of 1,000"
