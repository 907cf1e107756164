"""Checks of the harness itself, for the sanity protocol."""

from facebank.evaluation.checks.leaks import Check, Subjects, check_chance, check_planted, choose_subjects
from facebank.evaluation.checks.shapes import check_drawings

__all__ = ["Check", "Subjects", "check_chance", "check_drawings", "check_planted", "choose_subjects"]
