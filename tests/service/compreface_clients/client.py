"""Calls CompreFace's published Python client: ``python client.py SERVER PORT KEY < steps.json > results.json``.

The input is ``{"options": {...}, "steps": [...]}``. A step is ``["service.method", argument, ...]``; an argument
``{"file": PATH}`` is replaced by the file's bytes. A result is the client's return value. Runs in a virtual environment
with the client and without facebank.
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
    client = CompreFace(server, port, request["options"])
    recognition = client.init_face_recognition(key)
    services = {
        "recognition": recognition,
        "faces": recognition.get_face_collection(),
        "subjects": recognition.get_subjects(),
        "verification": client.init_face_verification(key),
        "detection": client.init_face_detection(key),
    }
    results = []
    for name, *arguments in request["steps"]:
        service, method = name.split(".")
        results.append(getattr(services[service], method)(*map(read_argument, arguments)))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
