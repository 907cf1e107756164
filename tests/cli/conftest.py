"""Fixtures that run the installed program."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest
from PIL import Image

from tests.conftest import PROJECT
from tests.demo_photos import BIDEN, COLLINS, OBAMA, SPEECH

_PROGRESS_LINE = re.compile(r"^facebank: .+: [\d,]+ of [\d,]+(, about .+ left)?\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RunResult:
    """Exit code and output of the program."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON objects on standard output, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]


Validate: TypeAlias = Callable[[str, Sequence[dict[str, Any]]], None]
"""Checks JSON objects against the schema of a command, by its name."""


class Run(Protocol):
    """Runs the program in the test's folder, with the test's own gallery and packs."""

    def __call__(
        self,
        *arguments: str | Path,
        code: int | None = 0,
        child_setup: Callable[[], None] | None = None,
        **environment: str,
    ) -> RunResult:
        """Run it and check the exit code, unless `code` is None; `child_setup` is called in the new process."""


@pytest.fixture(scope="session")
def program() -> list[str]:
    """The command that starts the installed program."""
    script = Path(sys.executable).with_name("facebank")
    if script.exists():
        return [str(script)]
    if find_spec("facebank_cli") is not None:
        return [sys.executable, "-m", "facebank_cli"]
    pytest.fail("facebank is not installed in this Python: python -m pip install -e '.[cpu,test]'")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment without the user's galleries, packs and colors, with one cache for the session."""
    home = tmp_path_factory.mktemp("home")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("FACEBANK_", "XDG_"))}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONPATH"):
        variables.pop(name, None)
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**variables, "HOME": str(home), "FACEBANK_CACHE": cache, "PYTHONUTF8": "1", "TERM": "xterm-256color"}


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Path of the test's gallery."""
    return tmp_path / "test.facebank"


@pytest.fixture
def packs_folder(tmp_path: Path) -> Path:
    """Folder of the test's packs."""
    return tmp_path / "packs"


@pytest.fixture
def run(program: list[str], environment: dict[str, str], gallery: Path, packs_folder: Path, tmp_path: Path) -> Run:
    """A function that runs the program; the result has no lines of progress, which only a slow machine shows."""

    def run_program(
        *arguments: str | Path, code: int | None = 0, child_setup: Callable[[], None] | None = None, **variables: str
    ) -> RunResult:
        paths = {"FACEBANK_GALLERY": str(gallery), "FACEBANK_PACKS": str(packs_folder)}
        completed = subprocess.run(
            [*program, *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, **paths, **variables},
            preexec_fn=child_setup,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        assert code is None or completed.returncode == code, (
            f"exit code {completed.returncode}\n{completed.stdout}\n{completed.stderr}"
        )
        assert "Traceback" not in completed.stderr, completed.stderr
        return RunResult(completed.returncode, completed.stdout, _PROGRESS_LINE.sub("", completed.stderr))

    return run_program


def enroll_two(command: Sequence[str], environment: dict[str, str], gallery: Path) -> None:
    """Enroll two people from the photographs of the package, in a new gallery."""
    for name, path in (("Barack Obama", OBAMA), ("Eileen Collins", COLLINS)):
        arguments = ["enroll", "--name", name, str(path)]
        subprocess.run([*command, *arguments], env={**environment, "FACEBANK_GALLERY": str(gallery)}, check=True)


@pytest.fixture(scope="session")
def enrolled_gallery(program: list[str], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of Barack Obama and Eileen Collins; not to be changed."""
    path = tmp_path_factory.mktemp("enrolled") / "two.facebank"
    enroll_two(program, environment, path)
    return path


@pytest.fixture
def two_people(enrolled_gallery: Path, gallery: Path) -> Path:
    """The test's own copy of a gallery of Barack Obama and Eileen Collins."""
    for part in enrolled_gallery.parent.glob(f"{enrolled_gallery.name}*"):
        shutil.copy(part, gallery.with_name(part.name.replace(enrolled_gallery.name, gallery.name)))
    return gallery


@pytest.fixture
def portrait() -> Path:
    """A photograph of Barack Obama that is enrolled in `two_people`."""
    return OBAMA


@pytest.fixture
def speech() -> Path:
    """Another photograph of Barack Obama."""
    return SPEECH


@pytest.fixture
def stranger() -> Path:
    """A photograph of somebody who is not enrolled in `two_people`."""
    return BIDEN


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A photograph of Barack Obama, whose face is much larger, and Eileen Collins."""
    parts = [(SPEECH, 600), (COLLINS, 300)]
    return paste_side_by_side(tmp_path / "pair.png", parts)


def paste_side_by_side(target: Path, parts: Sequence[tuple[Path, int]]) -> Path:
    """Write a picture of photos side by side, each scaled to a height in pixels; return its path."""
    images = []
    for path, height in parts:
        with Image.open(path) as photo:
            images.append(photo.convert("RGB").resize((photo.width * height // photo.height, height)))
    together = Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)))
    left = 0
    for image in images:
        together.paste(image, (left, 0))
        left += image.width
    together.save(target, quality=95)
    return target


def fill_album(folder: Path) -> Path:
    """Fill a folder with photos of the people of `two_people`, alone and together, and of a stranger; return it."""
    (folder / "space").mkdir(parents=True)
    shutil.copy(SPEECH, folder / "speech.jpg")
    shutil.copy(COLLINS, folder / "space" / "collins.jpg")
    shutil.copy(BIDEN, folder / "biden.jpg")
    paste_side_by_side(folder / "together.png", [(OBAMA, 600), (COLLINS, 600)])
    return folder


def copy_with_date(path: Path, target: Path, moment: str) -> None:
    """Copy a photo with a camera's date, ``YYYY:MM:DD HH:MM:SS``, in its EXIF data."""
    with Image.open(path) as image:
        exif = image.getexif()
        exif.get_ifd(0x8769)[0x9003] = moment
        image.save(target, exif=exif, quality=95)


def copy_embedded_pack(folder: Path) -> None:
    """Copy the files of the embedded pack to a new folder."""
    folder.mkdir()
    for path in (PROJECT / "facebank" / "packs" / "embedded").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sample_counts(run: Run) -> dict[str, int]:
    """Return the number of samples by person."""
    return {record["person"]: record["samples"] for record in run("people", "list", "--json").records}


def sentence(result: RunResult) -> str:
    """Return the one sentence on standard error, without the program's name; standard output must be empty."""
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("facebank: ")
    return line.removeprefix("facebank: ")


def limit_file_size(size: int) -> None:
    """Limit the size in bytes of files that this process may write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def run_on_terminal(
    command: Sequence[str | Path], folder: Path, environment: dict[str, str], code: int = 0, answer: bytes = b""
) -> str:
    """Run a command on a pseudo-terminal on which an answer is typed; return its output."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [str(part) for part in command], cwd=folder, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        os.write(controller, answer)
        output = b""
        try:
            while chunk := os.read(controller, 65536):
                output += chunk
        except OSError:  # raised on Linux when the other side is closed
            pass
        os.close(controller)
        assert process.wait() == code, output
    return output.decode()


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """A program for ``BROWSER`` that appends the URLs to a file ``opened`` beside it."""
    script = tmp_path / "browser"
    script.write_text(f"#!/bin/sh\necho \"$1\" >> '{tmp_path}/opened'\n")
    script.chmod(0o700)
    return script


def check_schema(name: str, records: Sequence[dict[str, Any]]) -> None:
    """Check records against the schema of a command."""
    from jsonschema import Draft202012Validator

    from facebank import schemas

    schema = schemas.load(name)
    Draft202012Validator.check_schema(schema)
    for record in records:
        Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(record)


@pytest.fixture
def validate() -> Validate:
    """A function that checks JSON objects against the schema of a command."""
    return check_schema
