"""``facebank people unmirror``."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import AsJson
from .output import say, write_json, write_line
from .settings import settings_of


def unmirror(
    ctx: typer.Context,
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", show_default=False, help="What --index was, such as milvus://HOST/NAME.")
    ],
    gone: Annotated[bool, typer.Option("--gone", help="The server no longer exists: only forget its address.")] = False,
    as_json: AsJson = False,
) -> int:
    """Remove a gallery's embeddings from a Milvus server.

    The address is forgotten, too. 'facebank people check' lists the addresses.
    """
    from facebank.index.milvus import milvus_mirror
    from facebank.index.milvus_address import MilvusAddress

    mirror = milvus_mirror(MilvusAddress.parse(address))
    with settings_of(ctx).open_gallery() as gallery:
        is_known = gallery.mirror_note(mirror.address) is not None
        if gone:
            gallery.drop_mirror(mirror.address)
        else:
            mirror.drop(gallery)
    if as_json:
        write_json({"address": mirror.address, "known": is_known})
    else:
        write_line(f"{mirror.address} is forgotten" if gone else f"{mirror.address} holds nothing of this gallery now")
    if not is_known:
        say("this gallery has no such address: 'facebank people check' lists them")
    return 0
