"""MkDocs hook: adds files of the repository outside ``docs/`` that pages link to.

A page links to such a file as in a checkout, such as ``../benchmarks/reports/lfw/report.md``. On the site, Markdown
becomes a page, other files are copied, and a folder becomes its report, its README or a list of its files. Links in
these pages are followed, too. Links to missing files are left to MkDocs, which reports them.
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
"""Folder on the site for files from outside ``docs/``."""

PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}
"""Files of the repository that are top-level pages of the site."""

_FRONT_PAGES = ("report.md", "README.md")
_LISTED = (".md", ".json", ".png")
_CODE = re.compile(r"^(```|~~~).*?^\1[ \t]*$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\]\(|^\[[^\]\n]+\]:[ \t]+)([^)\s]+)", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the files that pages link to, directly or indirectly."""
    for source, uri in PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    pending = [(_origin(file), file) for file in files.documentation_pages() if _origin(file).suffix == ".md"]
    uris = {file.src_uri for file in files}
    while pending:
        origin, file = pending.pop()
        for target in _targets(origin, file.content_string):
            uri = uri_of(target)
            if uri in uris:
                continue
            uris.add(uri)
            if target.is_dir():
                added = File.generated(config, uri, content=_list_reports(target))
            else:
                added = File.generated(config, uri, abs_src_path=str(target))
            files.append(added)
            if uri.endswith(".md"):
                pending.append((target / "index.md" if target.is_dir() else target, added))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite the links of a page to the files' locations on the site."""
    origin = _origin(page.file)
    folder = posixpath.dirname(page.file.src_uri)

    def rewrite(match: re.Match[str]) -> str:
        target, hash_mark, anchor = match[2].partition("#")
        path = _resolve(origin, target)
        if path is None:
            return match[0]
        return match[1] + posixpath.relpath(uri_of(path), folder or ".") + hash_mark + anchor

    return _apply_outside_code(markdown, lambda text: _LINK.sub(rewrite, text))


def uri_of(path: Path) -> str:
    """Return the path of a repository file or folder on the site, relative to the site's root."""
    if path.is_dir():
        front = next((path / name for name in _FRONT_PAGES if (path / name).is_file()), None)
        return uri_of(front) if front else f"{FOLDER}/{path.relative_to(ROOT).as_posix()}/index.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix().replace(".ipynb", ".md")
    name = path.relative_to(ROOT).as_posix()
    return PAGES.get(name, f"{FOLDER}/{name}")


def _origin(file: Any) -> Path:
    """Return the source file of a page, to which its links are relative."""
    uri = str(file.src_uri)
    if uri.startswith(f"{FOLDER}/"):
        return ROOT / uri.removeprefix(f"{FOLDER}/")
    sources = {uri: source for source, uri in PAGES.items()}
    return ROOT / sources[uri] if uri in sources else DOCS / uri


def _targets(origin: Path, markdown: str) -> list[Path]:
    targets: list[Path] = []

    def collect(text: str) -> str:
        for _, link in _LINK.findall(text):
            target = _resolve(origin, link.partition("#")[0])
            if target is not None and not target.is_relative_to(DOCS):
                front = next((target / name for name in _FRONT_PAGES if (target / name).is_file()), target)
                targets.append(front)
        return text

    _apply_outside_code(markdown, collect)
    return targets


def _resolve(origin: Path, target: str) -> Path | None:
    """Return the file that a link names; None if it is not in the repository."""
    if not target or target.startswith("/") or ":" in target:
        return None
    path = Path(posixpath.normpath((origin.parent / target).as_posix()))
    return path if path.is_relative_to(ROOT) and path.exists() else None


def _list_reports(folder: Path) -> str:
    """Return a page that lists the reports of a folder."""
    name = folder.relative_to(ROOT).as_posix()
    entries = sorted(path for path in folder.iterdir() if path.suffix in _LISTED or (path / "report.md").is_file())
    lines = [
        f"- [{path.name}]({path.name}/report.md)" if path.is_dir() else f"- [{path.name}]({path.name})"
        for path in entries
    ]
    return "\n".join([f"# {name}", "", *lines, ""])


def _apply_outside_code(markdown: str, function: Callable[[str], str]) -> str:
    """Apply a function to the parts of a text that are not code."""
    parts, end = [], 0
    for code in _CODE.finditer(markdown):
        parts += [function(markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, function(markdown[end:])])
