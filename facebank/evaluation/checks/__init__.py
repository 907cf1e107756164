"""Checks of the harness itself, for the sanity protocol: what they share, and one module each."""

from __future__ import annotations

from facebank.evaluation.checks.common import Check, Subjects, choose_subjects

__all__ = ["Check", "Subjects", "choose_subjects"]
