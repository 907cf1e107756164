"""Writing of the benchmarks' JSON reports."""

from __future__ import annotations

import json
from pathlib import Path


def write_json_report(out: Path, report: object) -> None:
    """Write a report to ``OUT.json``, and create its folder.

    Parameters
    ----------
    out
        Path of the report, without suffix.
    report
        Value that `json.dumps` accepts.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
