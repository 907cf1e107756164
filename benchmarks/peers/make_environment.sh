#!/usr/bin/env bash
# Creates the peers' virtual environment in this folder, and prints the path of its Python.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --requirement requirements.txt
echo "$PWD/.venv/bin/python"
