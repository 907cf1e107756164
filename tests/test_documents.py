"""Commands, links and Python examples in the README and ``docs/`` are valid."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import typer

if TYPE_CHECKING:
    from facebank import FaceBank

PROJECT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
DOCUMENTS = {
    str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8")
    for path in [
        PROJECT / "README.md",
        PROJECT / "SECURITY.md",
        PROJECT / "models" / "README.md",
        *sorted((PROJECT / "docs").glob("*.md")),
    ]
}
README = DOCUMENTS["README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

Words = tuple[str, ...]


def import_command_line() -> ModuleType:
    """Import the command line, as installed or from the checkout."""
    if importlib.util.find_spec("facebank_cli") is not None:
        return importlib.import_module("facebank_cli.app")
    return importlib.import_module("cli.app")


def list_commands(app: object, words: Words = ()) -> Iterator[tuple[Words, set[str]]]:
    """Yield all commands and groups with their options."""
    options = {name for option in app.params for name in [*option.opts, *option.secondary_opts]}  # type: ignore[attr-defined]
    yield words, {option for option in options if option.startswith("--")} | {"--help"}
    for name, command in getattr(app, "commands", {}).items():
        yield from list_commands(command, (*words, name))


COMMANDS = dict(list_commands(typer.main.get_command(import_command_line().build_app())))
GROUPS = {words[:-1] for words in COMMANDS if words}
GLOBAL = COMMANDS[()]


def find_command_lines(text: str) -> list[str]:
    """Return all ``facebank ...`` commands of a document, in code blocks and inline."""
    blocks = [block for kind, block in BLOCK.findall(text) if kind not in {"python", "text"}]
    inline = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", BLOCK.sub("", text))
    lines = [part for block in blocks for line in block.splitlines() for part in line.split("#")[0].split("&&")]
    lines += [" ".join(text.split()) for text in inline]
    # "facebank --pack NAME ..." stands for any command.
    return [line.strip() for line in lines if re.match(r"facebank\s+[a-z-]", line.strip()) and "..." not in line]


def split_command(line: str) -> tuple[Words, list[str], list[str]]:
    """Split a line into the command's words, the global options before it and the options after it."""
    parts = line.split()[1:]
    before = []
    while parts and parts[0].startswith("--"):
        before.append(parts.pop(0))
        if parts and before[-1] in {"--gallery", "--pack", "--device", "--runtime", "--index", "--fallback"}:
            parts.pop(0)
    count = 1
    while tuple(parts[:count]) in GROUPS and len(parts) > count and not parts[count].startswith("--"):
        count += 1
    return tuple(parts[:count]), before, [part.split("=")[0] for part in parts[count:] if part.startswith("--")]


@pytest.mark.parametrize(
    ("document", "line"), [(name, line) for name, text in DOCUMENTS.items() for line in find_command_lines(text)]
)
def test_mentioned_commands_exist(document: str, line: str) -> None:
    words, before, after = split_command(line)
    assert words in COMMANDS
    assert set(before) <= GLOBAL
    assert set(after) <= COMMANDS[words]


def test_the_readme_mentions_commands() -> None:
    assert len(find_command_lines(README)) >= 8


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130


@pytest.mark.parametrize("words", [words for words in COMMANDS if words], ids=" ".join)
def test_every_command_is_in_a_guide(words: Words) -> None:
    # The line of a group may name its commands: "facebank strangers list   # ...; also forget"
    lines = [line for text in DOCUMENTS.values() for line in text.splitlines()]
    lines = [line for line in lines if re.search(rf"\bfacebank (--\w+ \S+ )*{words[0]}\b", line)]
    assert any(re.search(rf"(?<![\w-]){re.escape(words[-1])}(?![\w-])", line) for line in lines)


def test_every_global_option_is_in_a_guide() -> None:
    text = "\n".join(DOCUMENTS.values())
    assert [option for option in ("--gallery", "--pack", "--device", "--runtime") if option not in text] == []


def test_every_pip_install_names_an_extra() -> None:
    extras = set(PYPROJECT["project"]["optional-dependencies"])
    installs = [
        arguments for text in DOCUMENTS.values() for arguments in re.findall(r"pip install (?!--)([^`&\n]*)", text)
    ]
    assert len(installs) > 8
    for arguments in installs:
        for names in re.findall(r"(?:\.|facebank)\[([a-z,]+)\]", arguments):
            assert set(names.split(",")) <= extras
        assert re.search(r"\[[a-z,]+\]", arguments) or not re.search(r"(^|\s)'?(\.|facebank)'?(\s|$)", arguments)


def test_every_command_has_help_with_an_example() -> None:
    for name, command in walk(typer.main.get_command(import_command_line().build_app())):
        assert command.help, name  # type: ignore[attr-defined]
        if not getattr(command, "commands", None):
            assert f"facebank {name}" in (command.epilog or ""), name  # type: ignore[attr-defined]


def walk(command: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield all commands with their names."""
    for word, subcommand in getattr(command, "commands", {}).items():
        full_name = f"{name} {word}".strip()
        yield full_name, subcommand
        yield from walk(subcommand, full_name)


def list_anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_are_valid(document: str) -> None:
    folder = (PROJECT / document).parent
    for link in re.findall(r"\]\(([^):]+)\)", BLOCK.sub("", DOCUMENTS[document])):
        path, _, anchor = " ".join(link.split()).partition("#")
        target = folder / path if path else PROJECT / document
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in list_anchors(target.read_text(encoding="utf-8")), link


def test_the_supported_pythons_are_those_of_the_package() -> None:
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert "Python 3.11 to 3.13" in README


def test_documents_link_to_the_json_schemas() -> None:
    from facebank import schemas

    (name,) = re.findall(r'`facebank\.schemas\.load\("([a-z-]+)"\)`', DOCUMENTS["docs/identify.md"])
    assert schemas.load(name)["$schema"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_are_in_us_english(document: str) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", DOCUMENTS[document], flags=re.DOTALL)
    assert not re.findall(r"colour|licence|quantis|recognis|normalis|analyse[drs]?\b|\bcentre\b|\benrol\b", text)


@pytest.mark.parametrize("document", ["README.md", "docs/index.md", "docs/enroll.md", "docs/scikit-learn.md"])
def test_python_examples_run(
    document: str, example_bank: FaceBank, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example_bank.close()
    for path in Path().glob("*.facebank*"):
        path.unlink()
    for copy in ("ada1.jpg", "ada2.jpg"):
        shutil.copy(copy.replace("ada", "barack"), copy)
    for person, photos in {"Ada": ("barack1.jpg", "barack2.jpg"), "Grace": ("joe.jpg", "joe.jpg")}.items():
        for number, photo in enumerate(photos):
            (Path("people") / person).mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, Path("people") / person / f"{number}.jpg")
    monkeypatch.setenv("FACEBANK_GALLERY", "example.facebank")
    output = None
    for kind, text in BLOCK.findall(DOCUMENTS[document]):
        if kind == "python":
            names: dict[str, Any] = {}  # a block may be copied alone
            exec(compile(text, document, "exec"), names)
            output = capsys.readouterr().out
        elif kind == "text":
            assert output == text
    assert output
