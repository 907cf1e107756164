"""The notebooks run, and print their stored output.

``UPDATE_NOTEBOOKS=1 python -m pytest tests/test_notebooks.py`` updates the stored output.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
LIBRARIES = ("nbclient", "nbformat", "ipykernel")
CELL_TIMEOUT = 120
"""Seconds that a cell may run."""

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, LIBRARIES)) and "FACEBANK_CI_DOCUMENTS" not in os.environ,
    reason="the extra docs, which runs notebooks, is not installed",
)


def list_outputs(notebook: Any) -> list[str]:
    """Return the output and result of each cell as text."""
    return [
        "".join(
            output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
            for output in cell.outputs
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["album", "few-shot", "look-alikes"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebooks_print_their_stored_output(path: Path, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    stored = nbformat.read(path, as_version=4)
    executed = nbformat.read(path, as_version=4)
    NotebookClient(
        executed,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    if os.environ.get("UPDATE_NOTEBOOKS"):
        for cell, text in zip(
            (cell for cell in executed.cells if cell.cell_type == "code"), list_outputs(executed), strict=True
        ):
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []
        executed.metadata = stored.metadata
        path.write_text(nbformat.writes(executed, indent=1) + "\n", encoding="utf-8")
    assert list_outputs(executed) == list_outputs(stored) or os.environ.get("UPDATE_NOTEBOOKS")
