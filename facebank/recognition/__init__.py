"""Whose face it is: candidates from the index, decisions from thresholds. Knows nothing of files or pixels."""

from facebank.recognition.recognizer import Recognizer

__all__ = ["Recognizer"]
