"""The global options, which come before the command, and the gallery or bank that they select."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from .output import say

if TYPE_CHECKING:
    import typer

    from facebank import FaceBank
    from facebank.gallery import Gallery, Upgrade
    from facebank.index.mirror import GalleryMirror


Device: TypeAlias = Literal["auto", "cpu", "cuda"]
Runtime: TypeAlias = Literal["auto", "onnxruntime", "openvino"]
Fallback: TypeAlias = Literal["local"]


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The global options.

    Attributes
    ----------
    gallery
        Gallery file; None for the default.
    pack
        Name or folder of a pack; None for the gallery's pack.
    device
        Device that runs the networks.
    runtime
        Runtime that computes embeddings.
    index
        Address of the vector index; None for a local one.
    fallback
        What to do if the index cannot be reached: ``local`` searches locally, None fails.
    """

    gallery: Path | None
    pack: str | None
    device: Device
    runtime: Runtime = "auto"
    index: str | None = None
    fallback: Fallback | None = None

    def open_bank(self, threads: int | None = None, *, long_running: bool = False) -> FaceBank:
        """Return the selected bank, which opens files and loads networks when they are first used.

        Parameters
        ----------
        threads
            Threads per network; None for the default.
        long_running
            Whether the command runs long enough to pay for the slower start of other runtimes than ONNX Runtime.
        """
        from facebank.bank import FaceBank

        runtime = "onnxruntime" if self.runtime == "auto" and not long_running else self.runtime
        return FaceBank.open(
            self.gallery,
            pack=self.pack,
            device=self.device,
            threads=threads,
            on_upgrade=_report_upgrade,
            runtime=runtime,
            index=self.index,
            fallback=self.fallback,
        )

    def first_use_terms(self) -> str | None:
        """Return the terms of the pack if there is no gallery yet and they limit the use; otherwise None."""
        from facebank.gallery import default_gallery_path

        if (self.gallery or default_gallery_path()).exists() or (self.pack or "").startswith("insightface:"):
            return None
        from facebank.packs import load_pack, terms_notice

        return terms_notice(load_pack(self.pack).manifest)

    def open_gallery(self, *, read_only: bool = False) -> Gallery:
        """Open the gallery for a command that computes no embeddings, such as listing people."""
        from facebank.gallery import Gallery, default_gallery_path

        path = self.gallery or default_gallery_path()
        gallery = Gallery.open(path, read_only=read_only, on_upgrade=_report_upgrade)
        gallery.mirror = self.mirror()
        return gallery

    def mirror(self) -> GalleryMirror | None:
        """Return the mirror at the address of --index; None without one."""
        if self.index is None:
            return None
        from facebank.index.milvus import milvus_mirror
        from facebank.index.milvus_address import MilvusAddress

        return milvus_mirror(MilvusAddress.parse(self.index), fallback=self.fallback is not None)


def _report_upgrade(upgrade: Upgrade) -> None:
    decisions = "no decision changes"
    if upgrade.may_change_decisions:
        decisions = "decisions may differ from before, because the rules have changed since it was written"
    say(f"the gallery {upgrade.path} was brought up to date: {', '.join(upgrade.changes)}; {decisions}")
    say(f"the previous version is kept in {upgrade.backup}: 'facebank people forget' removes that file, too")


def global_options(ctx: typer.Context) -> GlobalOptions:
    """Return the global options given before the command."""
    options = ctx.obj
    if not isinstance(options, GlobalOptions):
        raise TypeError("the application's callback sets the global options")
    return options
