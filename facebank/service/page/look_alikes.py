"""Page of look-alikes: people who are easily confused and doubtful samples, with advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter

from facebank.recognition.audit import SAME_PERSON_ERROR, FindingKind
from facebank.service.access import ReadCaller
from facebank.service.page.memory import MemoryDep
from facebank.service.page.rendering import PageRoute, page

if TYPE_CHECKING:
    from fastapi.responses import Response

    from facebank.recognition.audit import Finding
    from facebank.service.page.memory import PageMemory

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_PAIR_KINDS = (FindingKind.CONFUSABLE, FindingKind.SHARED_PHOTO, FindingKind.MISLABELED)
_MAX_HINTS = 50
_MAX_SAMPLES = 12  # per hint
_SAMPLE_KINDS = (FindingKind.REPEATED, FindingKind.DISAGREEING, FindingKind.TWO_PEOPLE, FindingKind.DATED_BEFORE_BIRTH)
_HINTS = {
    FindingKind.TWO_PEOPLE: "The learned faces of {name} look like two people: remove those of the other one.",
    FindingKind.DISAGREEING: "A learned face of {name} is unlike the others: is it {name}?",
    FindingKind.REPEATED: "These learned faces of {name} are copies of other ones: they can be removed.",
    FindingKind.TOO_SIMILAR: "All learned faces of {name} are from one moment: photos from other days help.",
    FindingKind.DATED_BEFORE_BIRTH: "A learned face of {name} is dated before the birth: one of the dates is wrong.",
    FindingKind.OUTDATED_SAMPLES: "The learned faces of {name} are old by now: a newer photo helps.",
    FindingKind.ONLY_MASKED: "All learned faces of {name} wear a mask: a photo without one helps.",
    FindingKind.NO_SAMPLES: "{name} has no learned face, and is never recognized: add a photo.",
    FindingKind.FEW_SAMPLES: "{name} has only one learned face: another photo helps.",
}


@dataclass(frozen=True, slots=True)
class _Side:
    id: int | None  # id of the person; None if it was forgotten meanwhile
    name: str
    sample_id: int | None  # sample shown as picture; None without one


@dataclass(frozen=True, slots=True)
class _Pair:
    sides: tuple[_Side, _Side]
    text: str
    advice: str
    may_be_one: bool  # whether the two may be one person
    samples: tuple[int, ...]  # doubtful samples


@dataclass(frozen=True, slots=True)
class _Hint:
    id: int | None
    text: str
    samples: tuple[int, ...]  # samples concerned, if not all of the person's


@router.get("/look-alikes")
async def look_alikes(caller: ReadCaller, memory: MemoryDep) -> Response:
    """Show people who are easily confused, and doubtful samples."""
    listed = await memory.service.lookups.run(_list_findings, memory)
    pairs, hints, more = listed or ([], [], 0)
    is_waiting = listed is None
    return page(
        "look_alikes.html",
        caller,
        current_path="/look-alikes",
        pairs=pairs,
        hints=hints,
        more=more,
        is_waiting=is_waiting,
    )


def _list_findings(memory: PageMemory) -> tuple[list[_Pair], list[_Hint], int] | None:
    findings = memory.findings()
    if findings is None:
        return None
    ids_by_name = {name: person_id for person_id, name in memory.service.bank.gallery.names().items()}
    findings = tuple(finding for finding in findings if ids_by_name.keys() >= set(finding.names))  # nobody forgotten
    best = memory.best_samples()

    def side(name: str) -> _Side:
        person_id = ids_by_name.get(name)
        return _Side(person_id, name, best[person_id].id if person_id in best else None)

    pairs = [
        _pair(finding, (side(finding.names[0]), side(finding.names[1])))
        for finding in findings
        if finding.kind in _PAIR_KINDS
    ]
    hints = [
        _Hint(
            ids_by_name.get(finding.names[0]),
            _HINTS[finding.kind].format(name=finding.names[0]),
            finding.sample_ids[:_MAX_SAMPLES] if finding.kind in _SAMPLE_KINDS else (),
        )
        for finding in findings
        if finding.kind in _HINTS
    ]
    return pairs, hints[:_MAX_HINTS], max(0, len(hints) - _MAX_HINTS)


def _pair(finding: Finding, sides: tuple[_Side, _Side]) -> _Pair:
    first, second = finding.names[:2]
    if finding.kind is FindingKind.SHARED_PHOTO:
        text = f"{first} and {second} have the same learned face."
        return _Pair(sides, text, "Remove it from the wrong person, or join the two.", True, finding.sample_ids)
    if finding.kind is FindingKind.MISLABELED:
        text = f"A learned face of {first} looks like {second}."
        return _Pair(sides, text, f"If it is {second}, remove it from {first}.", False, finding.sample_ids)
    error = finding.value or 0.0
    text = f"About {_frequency(error)} photos of one of them could be taken for the other."
    advice = "Add photos of both: another day, another light, another angle."
    return _Pair(sides, text, advice, error >= SAME_PERSON_ERROR, finding.sample_ids)


def _frequency(error: float) -> str:
    return f"{round(100 * error)} of 100" if error >= 0.01 else f"{max(1, round(1000 * error))} of 1,000"
