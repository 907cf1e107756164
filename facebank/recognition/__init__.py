"""Whose face it is: classifiers, calibration, open-set decisions. Knows nothing of files or pixels."""

from __future__ import annotations

from facebank.recognition.recognizer import Recognizer, Rule

__all__ = ["Recognizer", "Rule"]
