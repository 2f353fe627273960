"""
Python's garbage collector in processes of our own: commands, and children of the server.

Loading torch and transformers makes some 650,000 objects that stay; with the usual thresholds they are looked through
again and again on the way, a tenth of the time. Knows no models; programs that use tunery as a library are left alone.
"""

from __future__ import annotations

import gc

_THRESHOLDS = 50_000, 10, 10  # new objects before a look at the youngest; of younger looks before one at the next


def relax() -> None:
    """Let the collector of this process look more seldom."""
    gc.set_threshold(*_THRESHOLDS)
