"""Help, version and start-up of the program."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

from facebank import __version__

from .conftest import Run


def test_help_lists_commands_and_exit_codes(run: Run) -> None:
    text = run("--help").out
    sections = import_module("facebank_cli.commands").SECTIONS
    assert all(f"  {name}  " in text for commands in sections.values() for name in commands)
    assert "Exit codes" in text
    assert run(code=2).out == text
    assert run("--version").out == f"facebank {__version__}\n"
    assert "No such command" in run("enrol", code=2).err


def test_help_loads_nothing_heavy() -> None:
    heavy = ("numpy", "cv2", "onnxruntime", "faiss", "sklearn", "matplotlib", "PIL", "sqlite3", "rich")
    code = f"""if True:
        import sys
        from facebank_cli.app import main
        sys.argv = ["facebank", "--help"]
        assert main() == 0
        print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
    """
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stderr.strip() == "[]"


def test_tracebacks_are_shown_only_with_debug(
    run: Run, program: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    absent = str(tmp_path / "none.facebank")
    assert len(run("--gallery", absent, "people", "list", code=2).err.splitlines()) == 1
    command = [*program, "--debug", "--gallery", absent, "people", "list"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "GalleryNotFoundError" in result.stderr
    assert "Traceback" in result.stderr


def test_the_module_is_the_program(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "facebank_cli", "--version"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == f"facebank {__version__}\n"


def test_a_command_does_not_import_the_others() -> None:
    code = """
import sys
from facebank_cli.app import main
sys.argv = ["facebank", "identify", "--help"]
main()
print(*(name for name in sys.modules if name.startswith("facebank_cli.")))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(result.stdout.splitlines()[-1].split())
    assert "facebank_cli.identify" in imported
    assert not imported & {f"facebank_cli.{name}" for name in ("enroll", "people", "packs", "bench", "doctor")}
