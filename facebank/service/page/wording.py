"""Decisions and errors in plain words for the page."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from facebank.service.client_text import without_advice
from facebank.storage.text import pluralize
from facebank.types import Decision, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.types import Candidate, Face

_LIKELIHOODS = ((0.99, "almost certain"), (0.95, "very likely"), (0.8, "likely"), (0.5, "perhaps"), (0.0, "unlikely"))
_REASONS = {
    Reason.MATCH: "The face is more like {first} than like anybody else, and more so than nearly all strangers.",
    Reason.BELOW_THRESHOLD: "The face is not like anybody who has a name here.",
    Reason.RUNNER_UP_TOO_NEAR: "{first} and {second} are about equally likely.",
    Reason.FACE_TOO_POOR: "The face is too small, too blurred or too much turned away to compare.",
    Reason.CONFUSABLE: "{first} and {second} look too much alike to tell them apart in this photo.",
    Reason.IMPROBABLE: "The face is somewhat like {first}, but could just as well be a stranger.",
    Reason.SAME_PERSON_TWICE: "Another face in this photo is more likely to be {first}.",
    Reason.REMEMBERED_STRANGER: "The face is like one that you marked as nobody you know.",
    Reason.BEFORE_BIRTH: "{first} was not born yet when this photo was taken.",
    Reason.GALLERY_EMPTY: "Nobody has a name yet.",
}

_NOBODY_ELSE = "The face is not like anybody else who has a name here."
NOBODY = "Nobody you know"
NOBODY_EXPLANATION = "You said that this face is nobody you know."
_GROUP = re.compile(r"^group \d+ (?=is )")
_NUMBERS = re.compile(r" \((?:similarity -?[\d.]+|samples? [\d, and]+|-?[01]\.\d\d)\)")
_REPLACEMENTS = tuple(  # terms of commands, outside of file names, and their plain words
    (re.compile(rf"(?<![\w./'-]){word}(?![\w/'-]|\.\w)"), plain)
    for word, plain in (
        ("samples", "learned faces"),
        (r"sample(?: \d+)?", "learned face"),
        ("(was|were|not) enrolled", r"\1 learned"),
        ("enrolled", "known"),
        ("scan (?:it )?again", "look through the album again"),
        ("YYYY, YYYY-MM or YYYY-MM-DD", "2014, 2014-03 or 2014-03-21"),
    )
)
_FILE = re.compile(r"(?:[^\s.:]+ ){0,5}\S*\.[A-Za-z0-9]{2,5}(?:,| (?:is|has|was|cannot|could|holds|does|changed)\b|:)")
_DATE = re.compile(r"(\d{4})(?:[-./ ](\d{1,2}))?(?:[-./ ](\d{1,2}))?", re.ASCII)
MIN_OFFERED = 0.01  # minimum probability of an offered candidate


def scan_words(done: int, total: int | None, seconds_left: float | None) -> str:
    """Return the progress of a scan in words, with the remaining time if known."""
    if total is None:
        return "Looking for new photos…"
    text = f"Looking through your photos: {done:,} of {total:,}"
    if seconds_left is None:
        return text
    if seconds_left < 90:
        return f"{text}, about {pluralize(max(1, round(seconds_left)), 'second')} left"
    return f"{text}, about {math.ceil(seconds_left / 60)} minutes left"


def round_up_time(seconds: float) -> str:
    """Return a time in a video for a URL, in seconds, rounded up so that the player shows its frame."""
    return f"{math.ceil(seconds * 100) / 100:.2f}"


def sentence(text: str) -> str:
    """Return a message of the library in the words of the page.

    Removes advice about options and commands, which are buttons on the page, and numbers for programs.
    """
    text = _NUMBERS.sub("", _GROUP.sub("this group ", without_advice(text))).rstrip(".")
    for term, plain in _REPLACEMENTS:
        text = term.sub(plain, text)
    begins_with_file = _FILE.match(text) is not None  # keep the case of the file name
    return f"{text}." if begins_with_file else f"{text[:1].upper()}{text[1:]}."


def normalize_date(text: str) -> str:
    """Return a typed, possibly partial date in normal form, such as ``2014-03`` for ``2014/3``."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return text.strip()  # rejected by the gallery with a reason
    return "-".join(part.zfill(2) for part in match.groups() if part is not None)


def is_offered(candidate: Candidate) -> bool:
    """Return whether the page offers a candidate; buttons for unlikely ones would be clicked by mistake."""
    return candidate.probability is None or candidate.probability >= MIN_OFFERED


def percent(probability: float | None) -> str:
    """Return a probability as a percentage, never as certain; empty for None."""
    if probability is None:
        return ""
    if probability >= 0.995:
        return "over 99 %"
    return f"{math.floor(probability * 100)} %" if probability >= 0.01 else "under 1 %"


def likelihood(probability: float | None) -> str:
    """Return a probability in words and as a percentage, such as ``very likely (97 %)``; empty for None."""
    if probability is None:
        return ""
    word = next(word for minimum, word in _LIKELIHOODS if probability >= minimum)
    return f"{word} ({percent(probability)})"


def answer_words(kind: str, person: str | None) -> str:
    """Return a user's answer about faces in words: ``Ada``, ``Not Ada`` or ``Nobody you know``.

    `kind` is ``name``, ``not`` (also ``no``) or ``nobody``; `person` is the person named or denied.
    """
    if kind == "nobody":
        return NOBODY
    return str(person) if kind == "name" else f"Not {person}"


def headline(face: Face) -> str:
    """Return the identity of a face in a few words; hedged for a face similar to a stranger's."""
    likeliest = face.candidates[0].person if face.candidates else None
    if face.decision is Decision.KNOWN and face.person is not None:
        return face.person
    if face.reason is Reason.REMEMBERED_STRANGER:
        return "Perhaps nobody you know"
    if face.decision is Decision.UNCERTAIN and likeliest is not None and face.reason is not Reason.FACE_TOO_POOR:
        return f"{likeliest}?"
    return "Too poor to tell" if face.reason is Reason.FACE_TOO_POOR else "No name yet"


def explanation(face: Face, denied: Sequence[str] = ()) -> str:
    """Return the reason of a decision in one sentence, after the people denied for the face."""
    names = [candidate.person for candidate in face.candidates]
    reason = face.reason or Reason.BELOW_THRESHOLD
    first, second = [*names, "somebody", "somebody else"][:2]
    if denied:
        template = _NOBODY_ELSE if reason in {Reason.BELOW_THRESHOLD, Reason.GALLERY_EMPTY} else _REASONS[reason]
        return f"You said: not {_join_with_or(denied)}. {template.format(first=first, second=second)}"
    return _REASONS[reason].format(first=first, second=second)


def _join_with_or(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
