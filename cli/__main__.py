"""Entry point of ``python -m facebank_cli``."""

from __future__ import annotations

import sys

from .app import main

sys.exit(main())
