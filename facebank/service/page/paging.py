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
    previous_url: str | None
    next_url: str | None


def page_of(
    items: Sequence[Item], number: int, size: int, path: str, **parameters: str | int | None
) -> tuple[Sequence[Item], Pages]:
    """Return the items of a page, and links to other pages.

    Parameters
    ----------
    items, number, size
        All items, the page number from 1, clamped to existing pages, and the page size.
    path, parameters
        The URL path of the pages, and the query without the page number.
    """
    count = max(1, -(-len(items) // size))
    number = min(max(1, number), count)

    def url_of(page_number: int) -> str:
        query = {name: value for name, value in parameters.items() if value not in (None, "")}
        return f"{path}?{urlencode({**query, 'page': page_number})}"

    previous_url = url_of(number - 1) if number > 1 else None
    next_url = url_of(number + 1) if number < count else None
    return items[(number - 1) * size : number * size], Pages(number, count, previous_url, next_url)
