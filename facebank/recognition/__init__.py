"""Classifiers, calibration and open-set decisions; independent of photo files and pixels."""

from __future__ import annotations

from facebank.recognition.recognizer import Recognizer, Rule

__all__ = ["Recognizer", "Rule"]
