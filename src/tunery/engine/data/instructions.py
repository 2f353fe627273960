"""
The instructions with which all inputs of a dataset begin, so that what differs can be looked at alone.

Knows texts only.
"""

from __future__ import annotations

from collections.abc import Sequence

_LEAST_SHARED_CHARACTERS = 20  # shorter beginnings are chance: many questions begin with "What is the"


def shared_start(texts: Sequence[str]) -> str:
    """Return the instructions with which all texts begin, up to a blank; empty if they share little."""
    first, last = min(texts), max(texts)  # what these two share, all others share
    shared = next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first))
    last_blank = max(first.rfind(" ", 0, shared), first.rfind("\n", 0, shared)) + 1
    return first[:last_blank] if last_blank >= _LEAST_SHARED_CHARACTERS else ""
