"""Paging of long lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Pages:
    """The number of the page, the number of pages, and the URLs of its neighbors."""

    number: int  # from 1
    count: int
    before: str | None
    after: str | None


def page_of(
    items: Sequence[Item], number: int, size: int, address: str, **parameters: str | int | None
) -> tuple[Sequence[Item], Pages]:
    """Return the items of a page, and links to other pages.

    Parameters
    ----------
    items, number, size
        All items, the page number from 1, clamped to existing pages, and the page size.
    address, parameters
        The URL of the pages, and its query without the page number.
    """
    count = max(1, -(-len(items) // size))
    number = min(max(1, number), count)

    def at(other: int) -> str:
        wanted = {name: value for name, value in parameters.items() if value not in (None, "")}
        return f"{address}?{urlencode({**wanted, 'page': other})}"

    pages = Pages(number, count, at(number - 1) if number > 1 else None, at(number + 1) if number < count else None)
    return items[(number - 1) * size : number * size], pages
