"""
How far a long piece of work is: a value and the function that receives it.

Used by everything that fetches or converts a base. It knows neither terminals nor events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of fetching a base: `done` of `total` bytes of one stage."""

    stage: str  # "download", "unpack", "convert" or "check"
    done: int
    total: int | None = None  # None: not known


OnProgress = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """Take progress and do nothing with it."""
