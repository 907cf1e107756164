"""Hooks and configuration of the documentation site."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import facebank
from facebank import sklearn
from tests.guides import COMMANDS, PROJECT

DOCS = PROJECT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LIST_AFTER_TEXT = re.compile(r"^(?![-*\d|>#\s]|$).*\n(?:[-*] |1\. )", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)

needs_mkdocs = pytest.mark.skipif(
    find_spec("mkdocs") is None and "FACEBANK_CI_DOCUMENTS" not in os.environ,
    reason="the extra docs, which builds the site, is not installed",
)


def load_hook(name: str) -> ModuleType:
    """Import a hook as MkDocs does: from its file."""
    spec = spec_from_file_location(f"hook_{name}", DOCS / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_page(uri: str) -> Any:
    return SimpleNamespace(file=SimpleNamespace(src_uri=uri))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_lists_follow_a_blank_line(path: Path) -> None:
    """Python-Markdown, unlike GitHub, treats a list directly after a line of text as text."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    assert LIST_AFTER_TEXT.findall(text) == []


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = re.findall(r"^ +- .*: (\S+\.md)$", (PROJECT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    generated = {"changelog.md", "contributing.md", "security.md"}
    generated |= {f"notebooks/{path.stem}.md" for path in (DOCS / "notebooks").glob("*.ipynb")}
    assert sorted(navigation) == sorted({path.relative_to(DOCS).as_posix() for path in PAGES} | generated)


def test_every_public_name_is_in_the_reference_once() -> None:
    listed = [
        name
        for path in (DOCS / "api").glob("*.md")
        for name in re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    expected = [f"facebank.{name}" for name in facebank.__all__ if name != "__version__"]
    expected += [f"facebank.sklearn.{name}" for name in vars(sklearn) if name.startswith("Face")]
    assert sorted(listed) == sorted(expected)


@needs_mkdocs
def test_links_to_files_outside_docs_are_rewritten() -> None:
    repository = load_hook("repository")
    text = "[a](../CHANGELOG.md#x) ![b](demo.jpg) [c](../models/README.md) [d](https://example.org)"
    unchanged = "`[e](../CHANGELOG.md)` [f](../none.md)"
    assert repository.on_page_markdown(f"{text} {unchanged}", make_page("index.md")) == (
        "[a](changelog.md#x) ![b](demo.jpg) [c](repository/models/README.md) [d](https://example.org) " + unchanged
    )
    page = make_page("repository/benchmarks/peers/README.md")
    assert repository.on_page_markdown("[h](../../docs/index.md)", page) == "[h](../../../index.md)"
    assert repository.on_page_markdown("[i](notebooks/album.ipynb)", make_page("index.md")) == "[i](notebooks/album.md)"


@needs_mkdocs
def test_the_reference_has_every_command_option_and_example() -> None:
    text = load_hook("commands").reference()
    for words, command in COMMANDS.items():
        if not words:
            continue
        heading = f"# facebank {' '.join(words)}\n"
        assert heading in text
        examples = [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  facebank ")]
        assert all(example in text for example in examples)
        start = text.index(heading)
        section = text[start : text.index("\n```", text.index("```text", start))]
        for parameter in command.params:
            assert all(option in section for option in parameter.opts if option.startswith("--")), parameter.name


@needs_mkdocs
def test_notebooks_are_converted_to_markdown() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": ["print(1)"], "outputs": [{"output_type": "stream", "text": ["1\n"]}]},
        {
            "cell_type": "code",
            "source": ["2"],
            "outputs": [{"output_type": "execute_result", "data": {"text/plain": ["2"]}}],
        },
        {"cell_type": "code", "source": ["x = 3"], "outputs": []},
    ]
    text = load_hook("notebooks").render_markdown(json.dumps({"cells": cells}))
    assert text.startswith("# Title\ntext\n\n```python\nprint(1)\n```\n")
    assert text.count("```text") == 2
    assert text.endswith("```python\nx = 3\n```\n")


@needs_mkdocs
def test_the_site_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    process = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    external = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//", re.IGNORECASE)
    assert [path.name for path in pages if external.search(path.read_text(encoding="utf-8"))] == []
    stylesheets = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.css"))
    assert re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", stylesheets) is None
