"""Runs calls of CompreFace's published Python client: ``python client.py SERVER PORT KEY < request.json``.

The request is ``{"options": {...}, "steps": [...]}``: the options of the client, and the calls in order. A step is
``["part.method", argument, ...]``; an argument ``{"file": PATH}`` is replaced by the file's bytes. Prints the results
as JSON. Runs in a virtual environment with the client and without facebank.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def read_argument(argument: Any) -> Any:
    """Return an argument or the bytes of its file."""
    if isinstance(argument, dict) and "file" in argument:
        return Path(argument["file"]).read_bytes()
    return argument


def main() -> None:
    """Run the steps."""
    from compreface import CompreFace

    server, port, key = sys.argv[1:]
    request = json.load(sys.stdin)
    service = CompreFace(server, port, request["options"])
    recognition = service.init_face_recognition(key)
    parts = {
        "recognition": recognition,
        "faces": recognition.get_face_collection(),
        "subjects": recognition.get_subjects(),
        "verification": service.init_face_verification(key),
        "detection": service.init_face_detection(key),
    }
    results = []
    for name, *arguments in request["steps"]:
        part, method = name.split(".")
        results.append(getattr(parts[part], method)(*map(read_argument, arguments)))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
