"""Which names are sure enough to change files for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facebank.faces import Decision

LEAST_PROBABILITY = 0.5
"""What is asked of a name before files are sorted or tagged by it: that it is rather right than wrong.

Who is known is decided by how often strangers are named at all; a single name near that threshold can still be more
likely wrong, which is for people to see and not for files to say.
"""


def is_sure(decision: Decision, least: float = LEAST_PROBABILITY) -> bool:
    """Tell whether somebody is known with a probability; without one, where nothing is calibrated, whoever is known."""
    return decision.person is not None and (decision.probability is None or decision.probability >= least)
