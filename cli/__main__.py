"""Lets ``python -m facebank_cli`` be ``facebank``."""

from __future__ import annotations

import sys

from .app import main

sys.exit(main())
