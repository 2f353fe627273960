"""
Whether a base fits this machine: how much memory tuning needs and how much there is.

From the number of parameters and the tokens of a batch; what a task's own rows make of it says `engine/needs.py`. No
tensors here.
"""

from __future__ import annotations

import os
from pathlib import Path

WEIGHT_BYTES = 2  # bfloat16
ADAPTER_SHARE = 0.037  # rank 16 on all linear layers of the default base: 4.9 of 134.5 million; larger bases have less
ADAPTER_BYTES = 22  # float32: weight, gradient of each lane and the two moments of AdamW; a working copy in bfloat16
# Kept per token, layer and hidden value until the gradient, in the type of the weights: 873 kB a token between the two
# workloads W2 and W3 of benchmarks/results/speed.jsonl (272 and 896 tokens, 1,248 and 1,793 MB) with bfloat16
ACTIVATION_VALUES = 24
LAYERS = 30  # 30 of 135 million parameters, 32 of 360 million, 24 of 1.7 billion, 32 of 7 billion
RUNTIME_BYTES = 600 * 2**20  # python with torch and transformers: 368 MiB; the rest are programs compiled for products


def memory_estimate(parameters: int, *, batch_tokens: int = 2048, weight_bytes: int = WEIGHT_BYTES) -> int:
    """
    Return about how many bytes tuning takes: weights + adapter + activations + runtime.

    `parameters · (weight_bytes + 0.037 · 22) + batch_tokens · 24 · weight_bytes · layers · hidden + 600 MiB`. The
    hidden size follows from the usual shape of a decoder, `parameters = 12 · layers · hidden²`, with 30 layers.
    """
    hidden = (parameters / (12 * LAYERS)) ** 0.5
    activations = batch_tokens * ACTIVATION_VALUES * weight_bytes * LAYERS * hidden
    return int(parameters * (weight_bytes + ADAPTER_SHARE * ADAPTER_BYTES) + activations + RUNTIME_BYTES)


def available_memory() -> int | None:
    """Return the bytes that can be used without swapping, within the limit of the container; None: not known."""
    known = [value for value in (_system_memory(), _container_memory()) if value is not None]
    return min(known, default=None)


def fits(parameters: int, *, batch_tokens: int = 2048) -> bool | None:
    """Say whether tuning a base of this size fits into the memory that is free now; None: not known."""
    available = available_memory()
    return None if available is None else memory_estimate(parameters, batch_tokens=batch_tokens) <= available


def _system_memory() -> int | None:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        return int(fields["MemAvailable"].split()[0]) * 1024
    try:  # macOS tells the whole memory only
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _container_memory() -> int | None:
    folder = Path("/sys/fs/cgroup")
    limit, used, details = folder / "memory.max", folder / "memory.current", folder / "memory.stat"
    if not (limit.is_file() and used.is_file() and details.is_file()) or limit.read_text().strip() == "max":
        return None
    # files that were read count as used, but are given up when memory is wanted
    reclaimable = dict(line.split() for line in details.read_text().splitlines()).get("inactive_file", "0")
    return max(0, int(limit.read_text()) - int(used.read_text()) + int(reclaimable))
