"""``facebank people check``, ``re-embed`` and ``unmirror``: upkeep of a gallery and of its mirrors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from facebank.storage.text import pluralize

from .exit_codes import NOTHING_DONE, SOME_FAILED
from .forgetting import report_leftovers
from .global_options import global_options
from .options import AsJson
from .output import say, write_json, write_line
from .progress import ProgressBar

if TYPE_CHECKING:
    from facebank.gallery import Damage, GalleryCheck

    from .global_options import GlobalOptions


def check(
    ctx: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair damage where possible and list what is lost; a copy is kept.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Check the gallery for damage, and repair it.

    Pages, rows, embeddings and references are checked. Exit code 1 if anything is damaged.

    With --repair, indexes and checksums are rebuilt, and a flipped bit is restored if the digest of its row identifies
    it. Losses are listed with the photo to enroll again. No other process may use the gallery meanwhile. The
    damaged file is kept beside the repaired one.
    """
    from facebank.gallery import check_gallery, default_gallery_path, repair_gallery

    options = global_options(ctx)
    path = options.gallery or default_gallery_path()
    with ProgressBar(writes_lines=as_json) as bar:
        result = check_gallery(path, bar)
    mirrors = [] if result.damage else _mirror_records(options)
    record = _check_record(result, mirrors)
    if not (repair and result.damage):
        if as_json:
            write_json(record)
        else:
            _print_check(result)
        _report_mirrors(mirrors)
        return SOME_FAILED if result.damage else 0
    with ProgressBar(writes_lines=as_json) as bar:
        report = repair_gallery(path, bar)
    second_result = check_gallery(path)
    if as_json:
        lost = [_damage_record(damage) for damage in report.lost]
        write_json(
            {
                **record,
                "repaired": not second_result.damage,
                "backup": str(report.backup),
                "mended": list(report.mended),
                "lost": lost,
            }
        )
    else:
        for sentence in report.mended:
            write_line(f"repaired: {sentence}")
        for damage in report.lost:
            write_line(f"lost: {damage.message}{_photo_suffix(damage)}")
        write_line(f"{path} is repaired, with {pluralize(report.rows, 'row')}")
    say(f"the damaged file is kept in {report.backup}: 'facebank people forget' removes it, too")
    return SOME_FAILED if report.lost or second_result.damage else 0


def _mirror_records(options: GlobalOptions) -> list[dict[str, object]]:
    """Return a record of each mirror of the gallery; first applies removals that are due at --index."""
    with options.open_gallery(read_only=options.index is None) as gallery:
        if gallery.mirror is not None and gallery.mirror_record(gallery.mirror.address) is not None:
            gallery.mirror.clean(gallery)
        revision = gallery.revision
        return [
            {
                "address": record.address,
                "behind": record.is_behind(revision),
                "owes": record.needs_cleaning,
            }
            for record in gallery.mirrors()
        ]


def _report_mirrors(mirrors: list[dict[str, object]]) -> None:
    for mirror in mirrors:
        if mirror["owes"]:
            say(
                f"{mirror['address']} may still hold embeddings of what was removed: 'facebank --index "
                f"{mirror['address']} people check' removes them, 'facebank people unmirror' removes all"
            )


def _print_check(result: GalleryCheck) -> None:
    for damage in result.damage:
        write_line(f"{damage.message}{_photo_suffix(damage)}")
    if result.damage:
        say("'facebank people check --repair' repairs what it can and lists what is lost")
    else:
        unsealed = "" if result.is_sealed else ", but has no digests: an older facebank wrote it"
        write_line(f"{result.path} is intact ({pluralize(result.rows, 'row')}){unsealed}")


def _photo_suffix(damage: Damage) -> str:
    return "" if damage.path is None else f" ({damage.path})"


def _check_record(result: GalleryCheck, mirrors: list[dict[str, object]]) -> dict[str, object]:
    return {
        "gallery": str(result.path),
        "healthy": not result.damage,
        "schema_version": result.schema_version,
        "digests": result.is_sealed,
        "rows": result.rows,
        "damage": [_damage_record(damage) for damage in result.damage],
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


def re_embed(
    ctx: typer.Context,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Remove samples whose photo or face is not found again.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Compute all embeddings again, with another pack.

    The pack is named before the command, as in 'facebank --pack buffalo_l people re-embed'. The photos must still
    exist: if one is missing, nothing is changed and the exit code is 2, unless --drop-missing is given. Strangers from
    'facebank deny --nobody' whose photo is missing are forgotten.
    """
    with global_options(ctx).open_bank(long_running=True) as bank, ProgressBar(writes_lines=as_json) as bar:
        report = bank.re_embed(drop_missing=drop_missing, progress=bar)
    report_leftovers(report)
    for lost in report.lost:
        say(f"sample {lost.sample_id} of {lost.person} is lost: {lost.reason}")
    if report.changed:
        for path in report.lost_strangers:
            say(f"a stranger whose face was not found again is forgotten: {path}")
    if as_json:
        lost_records = [
            {"sample_id": lost.sample_id, "person": lost.person, "image": lost.path, "reason": lost.reason}
            for lost in report.lost
        ]
        write_json(
            {
                "changed": report.changed,
                "pack": report.pack,
                "embedded": report.embedded,
                "lost": lost_records,
                "busy_readers": report.busy_readers,
                "full_disk": report.full_disk,
                "mirrors": list(report.mirrors),
            }
        )
    elif report.changed:
        write_line(f"{pluralize(report.embedded, 'sample')} embedded with {report.pack}")
    if not report.changed:
        say("nothing was changed: restore the photos, or remove their samples with --drop-missing")
        return NOTHING_DONE
    return SOME_FAILED if report.lost or report.lost_strangers else 0


def unmirror(
    ctx: typer.Context,
    address: Annotated[
        str,
        typer.Argument(metavar="ADDRESS", show_default=False, help="The value of --index, such as milvus://HOST/NAME."),
    ],
    gone: Annotated[bool, typer.Option("--gone", help="The server no longer exists: only forget its address.")] = False,
    as_json: AsJson = False,
) -> int:
    """Remove a gallery's embeddings from a Milvus server.

    The address is forgotten, too. 'facebank people check' lists the addresses.
    """
    from facebank.errors import ServiceError
    from facebank.index.milvus import milvus_mirror
    from facebank.index.milvus_address import MilvusAddress

    mirror = milvus_mirror(MilvusAddress.parse(address))
    with global_options(ctx).open_gallery() as gallery:
        is_known = gallery.mirror_record(mirror.address) is not None
        if gone:
            gallery.drop_mirror(mirror.address)
        else:
            try:
                mirror.drop(gallery)
            except ServiceError as error:
                raise type(error)(
                    f"{error}; --gone only forgets the address, if there is no longer anything"
                ) from error
    if as_json:
        write_json({"address": mirror.address, "known": is_known})
    else:
        write_line(f"{mirror.address} is forgotten" if gone else f"this gallery was removed from {mirror.address}")
    if not is_known:
        say("this gallery has no such address: 'facebank people check' lists them")
    return 0
