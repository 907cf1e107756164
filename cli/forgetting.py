"""What is said before and after somebody is forgotten: what is wiped, and what stays elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .output import counted, is_interactive, say

if TYPE_CHECKING:
    from facebank.album.copies import Copies
    from facebank.gallery import Forgotten
    from facebank.operations.reembed import ReEmbeddingReport


def ask_first(question: str, before: Copies, *, yes: bool) -> bool:
    """Return whether to go on: asks on a terminal, unless told not to; whoever cannot be asked has decided."""
    if yes or not is_interactive():
        return True
    if before.wiped:
        say(f"{counted(len(before.wiped), 'file')} made from the gallery go too")
    tell_what_stays(before)
    return typer.confirm(question, err=True)


def tell_what_stays(before: Copies) -> None:
    """Say on standard error what stays, and what to do about it."""
    from facebank.album.copies import ADVICE

    for place in before.stays:
        say(f"stays: {place.path}: {ADVICE[place.kind]}")


def tell_what_is_left(removed: Forgotten | ReEmbeddingReport) -> None:
    """Say on standard error if bytes of what was removed are still in the gallery's file, and until when."""
    if removed.busy_readers:
        say("another process is reading the gallery: the bytes are cleaned away when it is next opened alone")
    if removed.full_disk:
        say(
            "the disk is full: bytes of what was removed may still be in the gallery's file; make room, they are "
            "cleaned away when it is next opened"
        )
    for address in removed.mirrors:
        say(
            f"{address} may still hold embeddings of what was removed: the next command with --index {address} that "
            "reaches it, such as 'facebank people check', removes them"
        )
