"""``facebank people check`` and ``facebank people backup``: whether a gallery is whole, and a copy of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .failures import SOME_FAILED
from .options import AsJson
from .output import counted, say, write_json, write_line
from .progress import ProgressBar
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.gallery import Damage, GalleryCheck

    from .settings import Settings


def check(
    ctx: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what can be repaired, and list what is lost; a copy is kept.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Check the gallery for damage, and repair it.

    Pages, rows, embeddings and references are checked. Exit code 1 if anything is damaged.

    With --repair a damaged gallery is made whole again: indexes and sums are made anew, a flipped bit is put back where
    the row's digest proves which it was, and what is lost is named, with the photo to enroll again. Nothing else may
    be using the gallery meanwhile. The damaged file is kept beside it.
    """
    from facebank.gallery import check_gallery, default_gallery_path, repair_gallery

    settings = settings_of(ctx)
    path = settings.gallery or default_gallery_path()
    with ProgressBar(writes_lines=as_json) as bar:
        checked = check_gallery(path, bar)
    mirrors = [] if checked.damage else _followed_mirrors(settings)
    record = _record(checked, mirrors)
    if not (repair and checked.damage):
        if as_json:
            write_json(record)
        else:
            _write(checked)
        _tell_mirrors(mirrors)
        return SOME_FAILED if checked.damage else 0
    with ProgressBar(writes_lines=as_json) as bar:
        repaired = repair_gallery(path, bar)
    after = check_gallery(path)
    if as_json:
        lost = [_damage_record(damage) for damage in repaired.lost]
        write_json(
            {
                **record,
                "repaired": not after.damage,
                "backup": str(repaired.backup),
                "mended": list(repaired.mended),
                "lost": lost,
            }
        )
    else:
        for sentence in repaired.mended:
            write_line(f"mended: {sentence}")
        for damage in repaired.lost:
            write_line(f"lost: {damage.message}{_photo(damage)}")
        write_line(f"{path} is whole again, with {counted(repaired.rows, 'row')}")
    say(f"the damaged file is kept in {repaired.backup}: 'facebank people forget' removes it too")
    return SOME_FAILED if repaired.lost or after.damage else 0


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="The new file.")],
    as_json: AsJson = False,
) -> int:
    """Copy the gallery into a new file, even while in use.

    The copy is the gallery as it was at one moment.

    Only you can read the copy. It is a gallery like any other, and keeps whoever is forgotten later.
    """
    with settings_of(ctx).open_gallery() as gallery:
        place = gallery.back_up(file)
        people = len(gallery.names())
    if as_json:
        write_json({"file": str(place), "people": people})
    else:
        write_line(f"{counted(people, 'person', 'people')} copied to {place}")
    return 0


def _followed_mirrors(settings: Settings) -> list[dict[str, object]]:
    """Return where people are searched elsewhere; what is to be removed at --index is removed before."""
    with settings.open_gallery(read_only=settings.index is None) as gallery:
        if gallery.mirror is not None and gallery.mirror_note(gallery.mirror.address) is not None:
            gallery.mirror.clean(gallery)
        revision = gallery.revision
        return [
            {"address": note.address, "behind": note.token is None or note.revision != revision, "owes": note.owes}
            for note in gallery.mirrors()
        ]


def _tell_mirrors(mirrors: list[dict[str, object]]) -> None:
    for mirror in mirrors:
        if mirror["owes"]:
            say(
                f"{mirror['address']} may still hold embeddings of what was removed: 'facebank --index "
                f"{mirror['address']} people check' removes them, 'facebank people unmirror' removes all"
            )


def _write(checked: GalleryCheck) -> None:
    for damage in checked.damage:
        write_line(f"{damage.message}{_photo(damage)}")
    if checked.damage:
        say("'facebank people check --repair' mends what it can and names what is lost")
    else:
        unsealed = "" if checked.is_sealed else ", but has no digests: an older facebank wrote it"
        write_line(f"{checked.path} is whole ({counted(checked.rows, 'row')}){unsealed}")


def _photo(damage: Damage) -> str:
    return "" if damage.path is None else f" ({damage.path})"


def _record(checked: GalleryCheck, mirrors: list[dict[str, object]]) -> dict[str, object]:
    return {
        "gallery": str(checked.path),
        "healthy": not checked.damage,
        "schema_version": checked.schema_version,
        "digests": checked.is_sealed,
        "rows": checked.rows,
        "damage": [_damage_record(damage) for damage in checked.damage],
        "repaired": False,
        "backup": None,
        "mended": [],
        "lost": [],
        "mirrors": mirrors,
    }


def _damage_record(damage: Damage) -> dict[str, object]:
    return {
        "kind": damage.kind,
        "message": damage.message,
        "table": damage.table,
        "person": damage.person,
        "sample_id": damage.sample_id,
        "image": damage.path,
    }
