"""Classifiers, calibration and open-set decisions; uses neither files of photos nor pixels."""

from __future__ import annotations

from facebank.recognition.recognizer import Recognizer, Rule

__all__ = ["Recognizer", "Rule"]
