"""Commands, links and Python examples in the README and ``docs/`` are valid."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.guides import BLOCK, COMMANDS, OPTIONS, PROJECT, Words, split_command

if TYPE_CHECKING:
    from facebank import FaceBank

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


def find_command_lines(text: str) -> list[str]:
    """Return all ``facebank ...`` commands of a document, in code blocks and inline."""
    blocks = [block for language, block in BLOCK.findall(text) if language not in {"python", "text"}]
    inline = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", BLOCK.sub("", text))
    lines = [part for block in blocks for line in block.splitlines() for part in line.split("#")[0].split("&&")]
    lines += [" ".join(text.split()) for text in inline]
    # "facebank --pack NAME ..." stands for any command.
    return [line.strip() for line in lines if re.match(r"facebank\s+[a-z-]", line.strip()) and "..." not in line]


@pytest.mark.parametrize(
    ("document", "line"), [(name, line) for name, text in DOCUMENTS.items() for line in find_command_lines(text)]
)
def test_mentioned_commands_exist(document: str, line: str) -> None:
    words, before, after = split_command(line)
    assert words in COMMANDS
    assert set(before) <= OPTIONS[()]
    assert set(after) <= OPTIONS[words]


def test_the_readme_mentions_commands() -> None:
    assert len(find_command_lines(README)) >= 8


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130


@pytest.mark.parametrize("words", [words for words in COMMANDS if words], ids=" ".join)
def test_every_command_is_in_a_guide(words: Words) -> None:
    # The line of a group may list its other commands: "facebank strangers list   # ...; also forget"
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
    for words, command in COMMANDS.items():
        name = " ".join(words)
        assert command.help, name
        if not getattr(command, "commands", None):
            assert f"facebank {name}" in (command.epilog or ""), name


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
    for name in ("ada1.jpg", "ada2.jpg"):
        shutil.copy(name.replace("ada", "barack"), name)
    for person, names in {"Ada": ("barack1.jpg", "barack2.jpg"), "Grace": ("joe.jpg", "joe.jpg")}.items():
        for number, name in enumerate(names):
            (Path("people") / person).mkdir(parents=True, exist_ok=True)
            shutil.copy(name, Path("people") / person / f"{number}.jpg")
    monkeypatch.setenv("FACEBANK_GALLERY", "example.facebank")
    output = None
    for language, text in BLOCK.findall(DOCUMENTS[document]):
        if language == "python":
            namespace: dict[str, Any] = {}  # a block may be copied alone
            exec(compile(text, document, "exec"), namespace)
            output = capsys.readouterr().out
        elif language == "text":
            assert output == text
    assert output
