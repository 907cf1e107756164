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


Device: TypeAlias = Literal["auto", "cpu", "cuda"]


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
    """

    gallery: Path | None
    pack: str | None
    device: Device

    def open_bank(self, threads: int | None = None) -> FaceBank:
        """Return the bank that the options ask for, with so many threads a network; nothing is opened or loaded yet."""
        from facebank.bank import FaceBank

        return FaceBank.open(
            self.gallery, pack=self.pack, device=self.device, threads=threads, on_upgrade=_tell_upgraded
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
        return Gallery.open(path, read_only=read_only, on_upgrade=_tell_upgraded)


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
