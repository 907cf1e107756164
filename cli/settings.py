"""The global options, as every command gets them."""

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
class Settings:
    """The global options.

    Attributes
    ----------
    gallery
        File of the gallery; None for the default.
    pack
        Name or folder of a pack; None for the gallery's own.
    device
        Where the networks run.
    runtime
        What computes them.
    index
        Address of where people are searched; None for this machine.
    fallback
        Who searches while that cannot be reached: ``local``, or None for nobody.
    """

    gallery: Path | None
    pack: str | None
    device: Device
    runtime: Runtime = "auto"
    index: str | None = None
    fallback: Fallback | None = None

    def open_bank(self, threads: int | None = None, *, works_long: bool = False) -> FaceBank:
        """Return the bank that the options ask for, with so many threads a network; nothing is opened or loaded yet.

        What does not work long takes ONNX Runtime unless told otherwise, which loads faster than any other.
        """
        from facebank.bank import FaceBank

        runtime = "onnxruntime" if self.runtime == "auto" and not works_long else self.runtime
        return FaceBank.open(
            self.gallery,
            pack=self.pack,
            device=self.device,
            threads=threads,
            on_upgrade=_tell_upgraded,
            runtime=runtime,
            index=self.index,
            fallback=self.fallback,
        )

    def first_use(self) -> str | None:
        """Say what the terms of the pack are, where there is no gallery yet; None where there is, or use is free."""
        from facebank.gallery import default_gallery_path

        if (self.gallery or default_gallery_path()).exists() or (self.pack or "").startswith("insightface:"):
            return None
        from facebank.packs import load_pack, terms_notice

        return terms_notice(load_pack(self.pack).manifest)

    def open_gallery(self, *, read_only: bool = False) -> Gallery:
        """Open the gallery for what needs no embeddings, such as listing people."""
        from facebank.gallery import Gallery, default_gallery_path

        path = self.gallery or default_gallery_path()
        gallery = Gallery.open(path, read_only=read_only, on_upgrade=_tell_upgraded)
        gallery.mirror = self.mirror()
        return gallery

    def mirror(self) -> GalleryMirror | None:
        """Return where people are searched; None for this machine."""
        if self.index is None:
            return None
        from facebank.index.milvus import milvus_mirror
        from facebank.index.milvus_address import MilvusAddress

        return milvus_mirror(MilvusAddress.parse(self.index), fallback=self.fallback is not None)


def _tell_upgraded(upgrade: Upgrade) -> None:
    decisions = "no decision is changed by that"
    if upgrade.may_decide_otherwise:
        decisions = "decisions may differ from before, because their rules have changed since it was written"
    say(f"the gallery {upgrade.path} was brought up to date: {', '.join(upgrade.changes)}; {decisions}")
    say(f"as it was before, it is kept in {upgrade.backup}: 'facebank people forget' removes that file too")


def settings_of(ctx: typer.Context) -> Settings:
    """Return the global options given before the command."""
    settings = ctx.obj
    if not isinstance(settings, Settings):
        raise TypeError("the application's callback sets the global options")
    return settings
