"""Names in files that a gallery wrote itself, and which of them are to go: those that were denied or forgotten.

Each name that is written carries a mark that only this gallery can make, so that a name nobody has any more is told
from one that another gallery knows. The gallery keeps the key of its marks and no name: what was forgotten is gone.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import GalleryError, StorageError
from facebank.gallery import name_key

if TYPE_CHECKING:
    from typing import Self

    from facebank.album.tags.regions import Region
    from facebank.gallery import Gallery

_KEY_SETTING = "tag_key"
_KEY_BYTES = 32
_MARK_DIGITS = 32


@dataclass(frozen=True, slots=True)
class TagMarks:
    """Makes and knows the marks of a gallery.

    Attributes
    ----------
    key
        The gallery's; None for one that has none and cannot be given one, because it may not be written.
    people
        The keys of everybody's name.
    """

    key: bytes | None
    people: frozenset[str]

    @classmethod
    def of(cls, gallery: Gallery) -> Self:
        """Return the marks of a gallery, which is given a key where it has none and can be written."""
        key = _kept(gallery)
        if key is None and not gallery.read_only:
            try:
                gallery.write_setting(_KEY_SETTING, secrets.token_hex(_KEY_BYTES))
            except (GalleryError, StorageError):
                key = None
            else:
                key = _kept(gallery)
        return cls(key, frozenset(map(name_key, gallery.names().values())))

    def mark(self, name: str) -> str | None:
        """Return the mark of a name, 32 hexadecimal digits; None where the gallery has no key."""
        if self.key is None or not name:
            return None
        return hmac.new(self.key, name_key(name).encode("utf-8", "surrogatepass"), "sha256").hexdigest()[:_MARK_DIGITS]

    def is_to_go(self, region: Region, denied: AbstractSet[str]) -> bool:
        """Tell whether a region has a name that facebank wrote, nobody changed, and the gallery does not stand by.

        Parameters
        ----------
        region
            The region.
        denied
            The keys of names that the face there was denied to have.
        """
        if not region.is_ours or not region.name:
            return False
        key = name_key(region.name)
        if key in denied:
            return True
        mark = self.mark(region.name)
        return key not in self.people and mark is not None and region.mark == mark


def _kept(gallery: Gallery) -> bytes | None:
    kept = gallery.read_setting(_KEY_SETTING)
    try:
        key = bytes.fromhex(kept) if isinstance(kept, str) else b""
    except ValueError:
        return None
    return key if len(key) == _KEY_BYTES else None
