"""MkDocs hook: files of the repository outside ``docs/`` that pages link to become part of the site.

A page links to such a file as it does in a checkout, ``../benchmarks/reports/lfw/report.md``. On the site Markdown
becomes a page, other files are copied, and a folder leads to its report, its README or a list of its files. Whatever is
linked from there follows. Links to nothing are left to MkDocs, which refuses them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FOLDER = "repository"
"""Where files from outside ``docs/`` are on the site."""

PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
"""Files of the repository that have a place of their own on the site."""

_FRONT_PAGES = ("report.md", "README.md")
_LISTED = (".md", ".json", ".png")
_CODE = re.compile(r"^(```|~~~).*?^\1[ \t]*$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\]\(|^\[[^\]\n]+\]:[ \t]+)([^)\s]+)", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the files that pages link to, directly or by way of others."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    waiting = [(_origin(file), file) for file in files.documentation_pages() if _origin(file).suffix == ".md"]
    known = {file.src_uri for file in files}
    while waiting:
        origin, file = waiting.pop()
        for target in _targets(origin, file.content_string):
            place = place_of(target)
            if place in known:
                continue
            known.add(place)
            if target.is_dir():
                made = File.generated(config, place, content=_listing(target))
            else:
                made = File.generated(config, place, abs_src_path=str(target))
            files.append(made)
            if place.endswith(".md"):
                waiting.append((target / "index.md" if target.is_dir() else target, made))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let the links of a page lead to where their files are on the site."""
    origin = _origin(page.file)
    here = posixpath.dirname(page.file.src_uri)

    def follow(match: re.Match[str]) -> str:
        target, hash_mark, anchor = match[2].partition("#")
        found = _resolve(origin, target)
        if found is None:
            return match[0]
        return match[1] + posixpath.relpath(place_of(found), here or ".") + hash_mark + anchor

    return _outside_code(markdown, lambda text: _LINK.sub(follow, text))


def place_of(path: Path) -> str:
    """Return where a file or folder of the repository is on the site, as a path from its root."""
    if path.is_dir():
        front = next((path / name for name in _FRONT_PAGES if (path / name).is_file()), None)
        return place_of(front) if front else f"{FOLDER}/{path.relative_to(ROOT).as_posix()}/index.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix().replace(".ipynb", ".md")
    name = path.relative_to(ROOT).as_posix()
    return PAGES.get(name, f"{FOLDER}/{name}")


def _origin(file: Any) -> Path:
    """Return where the text of a page comes from: links of it start there."""
    uri = str(file.src_uri)
    if uri.startswith(f"{FOLDER}/"):
        return ROOT / uri.removeprefix(f"{FOLDER}/")
    sources = {place: source for source, place in PAGES.items()}
    return ROOT / sources[uri] if uri in sources else DOCS / uri


def _targets(origin: Path, markdown: str) -> list[Path]:
    found: list[Path] = []

    def look(text: str) -> str:
        for _, link in _LINK.findall(text):
            target = _resolve(origin, link.partition("#")[0])
            if target is not None and not target.is_relative_to(DOCS):
                front = next((target / name for name in _FRONT_PAGES if (target / name).is_file()), target)
                found.append(front)
        return text

    _outside_code(markdown, look)
    return found


def _resolve(origin: Path, target: str) -> Path | None:
    """Return the file that a link names, None unless it is one of the repository."""
    if not target or target.startswith("/") or ":" in target:
        return None
    path = Path(posixpath.normpath((origin.parent / target).as_posix()))
    return path if path.is_relative_to(ROOT) and path.exists() else None


def _listing(folder: Path) -> str:
    """Write a page that lists the reports of a folder."""
    name = folder.relative_to(ROOT).as_posix()
    entries = sorted(path for path in folder.iterdir() if path.suffix in _LISTED or (path / "report.md").is_file())
    lines = [
        f"- [{path.name}]({path.name}/report.md)" if path.is_dir() else f"- [{path.name}]({path.name})"
        for path in entries
    ]
    return "\n".join([f"# {name}", "", *lines, ""])


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Apply a function to the parts of a text that are not code."""
    parts, end = [], 0
    for code in _CODE.finditer(markdown):
        parts += [change(markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(markdown[end:])])
