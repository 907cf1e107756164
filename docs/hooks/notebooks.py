"""MkDocs hook: shows notebooks as pages, with the outputs that are stored in them."""

from __future__ import annotations

import json
import posixpath
from typing import Any

from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add a Markdown page beside each notebook; the notebook itself remains available for download."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            name = posixpath.basename(file.src_uri)
            text = f'{render_markdown(file.content_string)}\n<a href="{name}" download>Download this notebook</a>\n'
            files.append(File.generated(config, file.src_uri.replace(".ipynb", ".md"), content=text))
    return files


def render_markdown(notebook: str) -> str:
    """Return a notebook's text, code and text outputs as Markdown.

    Parameters
    ----------
    notebook
        The JSON of the file, in version 4 of the format.
    """
    parts = []
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif source:
            parts.append(f"```python\n{source}\n```")
            output_text = "".join(map(_output_text, cell["outputs"])).rstrip()
            if output_text:
                parts.append(f'<div class="notebook-output" markdown>\n\n```text\n{output_text}\n```\n\n</div>')
    return "\n\n".join(parts) + "\n"


def _output_text(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return "".join(output["text"])
    return "".join(output["data"]["text/plain"]) + "\n"
