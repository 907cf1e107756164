"""Paths of the demo photos in the package."""

from __future__ import annotations

from pathlib import Path

DEMO_PHOTOS = Path(__file__).resolve().parents[1] / "facebank" / "demo" / "photos"

OBAMA = DEMO_PHOTOS / "barack_obama_portrait_2012.jpg"
SPEECH = DEMO_PHOTOS / "barack_obama_speech.jpg"
BLUE_ROOM = DEMO_PHOTOS / "barack_obama_blue_room.jpg"
BIDEN = DEMO_PHOTOS / "joe_biden_blue_room.jpg"
COLLINS = DEMO_PHOTOS / "eileen_collins.jpg"
