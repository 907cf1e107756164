#!/usr/bin/env bash
# Makes the virtual environment of the peers beside this file, and prints the path of its Python.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --requirement requirements.txt
echo "$PWD/.venv/bin/python"
