"""
How often the kernel has killed a process because memory ran out.

A `kill -9` by hand and one by the kernel look the same to the parent; only the kernel's own count tells them apart.
Knows /proc; nothing of children.
"""

from __future__ import annotations

from pathlib import Path

_COUNTS = Path("/proc/vmstat")


def memory_kills() -> int:
    """Return the count since the machine started; always 0 where the system does not count."""
    try:
        lines = _COUNTS.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
