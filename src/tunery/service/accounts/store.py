"""
What every part of the accounts works with: the database, a clock that can be set in tests, and new ids.

Knows no tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tunery.service.database.connection import Database
from tunery.service.names import random_id

_BETWEEN_USES_SECONDS = 60  # a use is written down once a minute, not with every call


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Store:
    """`clock` says what time it is; `stopwatch` gives seconds that never go back, whoever sets the clock."""

    database: Database
    clock: Callable[[], datetime] = _utc_now
    stopwatch: Callable[[], float] = time.monotonic

    def is_worth_noting(self, last_use_time: datetime | None) -> bool:
        """Say whether the last use that was written down is so long ago that this one should be."""
        return last_use_time is None or self.clock() - last_use_time >= timedelta(seconds=_BETWEEN_USES_SECONDS)


def new_id() -> str:
    """Return a new id that is no secret."""
    return random_id()
