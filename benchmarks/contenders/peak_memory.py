"""How much memory this program has had at most; unlike with `ru_maxrss`, that of its parent does not count."""

from __future__ import annotations

from pathlib import Path


def peak_bytes() -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
