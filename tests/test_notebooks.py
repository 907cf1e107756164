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
NEEDED = ("nbclient", "nbformat", "ipykernel")
SECONDS = 120
"""Timeout of a cell in seconds."""

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)) and "FACEBANK_CI_DOCUMENTS" not in os.environ,
    reason="the extra docs, which runs notebooks, is not installed",
)


def printed(notebook: Any) -> list[str]:
    """Return the output and result of each cell as text."""
    return [
        "".join(one["text"] if one["output_type"] == "stream" else one["data"]["text/plain"] for one in cell.outputs)
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
    run = nbformat.read(path, as_version=4)
    NotebookClient(
        run,
        timeout=SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    if os.environ.get("UPDATE_NOTEBOOKS"):
        for cell, text in zip((one for one in run.cells if one.cell_type == "code"), printed(run), strict=True):
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []
        run.metadata = stored.metadata
        path.write_text(nbformat.writes(run, indent=1) + "\n", encoding="utf-8")
    assert printed(run) == printed(stored) or os.environ.get("UPDATE_NOTEBOOKS")
