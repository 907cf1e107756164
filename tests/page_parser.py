"""A parser of HTML pages for tests."""

from __future__ import annotations

from html.parser import HTMLParser


class PageParser(HTMLParser):
    """Parser that collects a page's tags with their attributes, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def attributes(self, tag: str, name: str) -> list[str]:
        return [str(attributes[name]) for found_tag, attributes in self.tags if found_tag == tag and name in attributes]
