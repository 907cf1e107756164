"""The error for a stored value that cannot be."""

from __future__ import annotations


class InvalidValueError(ValueError):
    """A value cannot be what it should be; the message says why, the caller says where."""
