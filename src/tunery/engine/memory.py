"""
Whether a base fits this machine: the memory that tuning and answering take, and the memory that there is.

The figures are estimates from the number of parameters alone, so they can be given before a base is here.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

WEIGHT_BYTES = 2  # bfloat16
ADAPTER_SHARE = 0.037  # rank 16 on the default base: 4.9 of 134.5 million; larger bases need less
ADAPTER_BYTES = 22  # float32: weight, gradient of each lane and the two moments of AdamW; a working copy in bfloat16
# Saved per token, layer and hidden value for the backward pass, in the type of the weights. From the difference between
# the workloads W2 and W3 of benchmarks/results/speed.jsonl (272 and 896 tokens, 1,248 and 1,793 MB): 873 kB per token
# with bfloat16
ACTIVATION_VALUES = 24
LAYERS = 30  # 30 of 135 million parameters, 32 of 360 million, 24 of 1.7 billion, 32 of 7 billion
RUNTIME_BYTES = (
    600 * 2**20
)  # Python with torch and transformers takes 368 MiB; the rest is for compiled matrix products


def memory_estimate(parameters: int, *, batch_tokens: int = 2048, weight_bytes: int = WEIGHT_BYTES) -> int:
    """
    Estimate the bytes that tuning needs: weights + adapter + activations + runtime.

    `parameters · (weight_bytes + 0.037 · 22) + batch_tokens · 24 · weight_bytes · layers · hidden + 600 MiB`. The
    hidden size is estimated from the usual proportions of a decoder, `parameters = 12 · layers · hidden²`, with 30
    layers.
    """
    activations = batch_tokens * ACTIVATION_VALUES * weight_bytes * LAYERS * _hidden(parameters)
    return int(parameters * (weight_bytes + ADAPTER_SHARE * ADAPTER_BYTES) + activations + RUNTIME_BYTES)


def answering_estimate(parameters: int, *, tokens: int = 2048, weight_bytes: int = WEIGHT_BYTES) -> int:
    """
    Estimate the bytes that answering needs: weights + keys and values of `tokens` tokens + runtime.

    `parameters · weight_bytes + 2 · tokens · layers · hidden · weight_bytes + 600 MiB`, which counts every attention
    head; most bases share keys and values between heads and need less.
    """
    kept = 2 * tokens * LAYERS * _hidden(parameters) * weight_bytes
    return int(parameters * weight_bytes + kept + RUNTIME_BYTES)


def _hidden(parameters: int) -> float:
    return math.sqrt(parameters / (12 * LAYERS))


class Fit(StrEnum):
    """Whether something fits into the memory of this machine."""

    YES = "yes"  # into what is free now
    TIGHT = "tight"  # into the machine, but not beside what runs now
    NO = "no"


@dataclass(frozen=True, slots=True)
class Need:
    """The bytes of memory that something takes, and whether they fit; None if this machine does not tell."""

    bytes: int
    fit: Fit | None


def needs(parameters: int) -> tuple[Need, Need]:
    """Return what tuning a base of this size takes, and what answering with it takes."""
    free, total = available_memory(), total_memory()
    tuning, answering = memory_estimate(parameters), answering_estimate(parameters)
    return Need(tuning, _fit(tuning, free, total)), Need(answering, _fit(answering, free, total))


def _fit(needed: int, free: int | None, total: int | None) -> Fit | None:
    if free is None:
        return None
    if needed <= free:
        return Fit.YES
    return Fit.TIGHT if total is not None and needed <= total else Fit.NO


def total_memory() -> int | None:
    """Return the bytes of this machine, or of the container's limit; None if unknown."""
    known = [value for value in (_physical_memory(), _container_limit()) if value is not None]
    return min(known, default=None)


def available_memory() -> int | None:
    """Return the bytes available without swapping and within the container's limit; None if unknown."""
    known = [value for value in (_system_memory(), _container_memory()) if value is not None]
    return min(known, default=None)


def fits(parameters: int, *, batch_tokens: int = 2048) -> bool | None:
    """Return whether tuning a base of this size fits into the memory free now; None if unknown."""
    available = available_memory()
    return None if available is None else memory_estimate(parameters, batch_tokens=batch_tokens) <= available


def _system_memory() -> int | None:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        return int(fields["MemAvailable"].split()[0]) * 1024
    return _physical_memory()  # macOS only reports total memory


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


_CONTAINER = Path("/sys/fs/cgroup")


def _container_limit() -> int | None:
    limit = _CONTAINER / "memory.max"
    text = limit.read_text().strip() if limit.is_file() else "max"
    return None if text == "max" else int(text)


def _container_memory() -> int | None:
    used, details = _CONTAINER / "memory.current", _CONTAINER / "memory.stat"
    limit = _container_limit()
    if limit is None or not (used.is_file() and details.is_file()):
        return None
    # the page cache counts as used but is reclaimable
    reclaimable = dict(line.split() for line in details.read_text().splitlines()).get("inactive_file", "0")
    return max(0, limit - int(used.read_text()) + int(reclaimable))
