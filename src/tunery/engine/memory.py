"""
Whether a base fits this machine: the memory that tuning and answering take, and the memory that there is.

The figures are estimates from the number of parameters alone, so they can be given before a base is here. Torch is not
imported.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from tunery.types import WeightFormat

WEIGHT_BYTES = 2  # bfloat16
BITS = {WeightFormat.EIGHT_BIT: 8.5, WeightFormat.FOUR_BIT: 5.0}  # of a weight in blocks of Q8_0 and Q4_1
ADAPTER_NUMBERS, ADAPTER_BASE = 4_884_480, 134_515_008  # rank 16 on the default base
ADAPTER_BYTES = 22  # float32: weight, gradient of each lane and the two moments of AdamW; a working copy in bfloat16
# Saved per token, layer and hidden value for the backward pass, in the type of the weights. From the difference between
# the workloads W2 and W3 of benchmarks/results/speed.jsonl (272 and 896 tokens, 1,248 and 1,793 MB): 873 kB per token
# with bfloat16
ACTIVATION_VALUES = 24
# If layers are computed again, only their inputs are saved, besides what one layer saves and works with
RECOMPUTED_VALUES = 24 + 16
WIDENED_VALUES = 8  # times hidden²: the largest weight of a layer widened, in both lanes
LAYERS = 30  # 30 of 135 million parameters, 32 of 360 million, 24 of 1.7 billion, 32 of 7 billion
RUNTIME_BYTES = (
    600 * 2**20
)  # Python with torch and transformers takes 368 MiB; the rest is for compiled matrix products


def memory_estimate(
    parameters: int,
    *,
    batch_tokens: int = 2048,
    weight_bytes: int = WEIGHT_BYTES,
    weights: WeightFormat = WeightFormat.FULL,
    recomputes: bool = False,
) -> int:
    """
    Estimate the bytes that tuning needs: weights + adapter + activations + runtime.

    A full weight and a number of the activations take `weight_bytes`; quantized weights take their bits, and the
    largest one widened. An adapter grows with the hidden size, which is estimated from the usual proportions of a
    decoder, `parameters = 12 · layers · hidden²`, with 30 layers. `recomputes` as in `Network.fit`.
    """
    hidden = _hidden(parameters)
    base = parameters * weight_bytes
    if weights in BITS:
        base = int(parameters * BITS[weights] / 8 + WIDENED_VALUES * hidden**2 * weight_bytes)
    adapter = ADAPTER_NUMBERS * math.sqrt(parameters / ADAPTER_BASE) * ADAPTER_BYTES
    values = LAYERS + RECOMPUTED_VALUES if recomputes else LAYERS * ACTIVATION_VALUES
    return int(base + adapter + batch_tokens * values * hidden * weight_bytes + RUNTIME_BYTES)


@dataclass(frozen=True, slots=True)
class KeptWeights:
    """
    How the weights of a base can be kept here: the bytes of a full one (2 in bfloat16, 4 in float32), and the format
    they came in, None if they came full.

    Only our own decoder, on the processor, is flexible: it keeps weights in fewer bits, and computes layers again.
    """

    full_bytes: int = WEIGHT_BYTES
    stored: WeightFormat | None = None
    is_flexible: bool = True

    def as_it_came(self, asked: WeightFormat) -> bool:
        """Return whether the weights came in as few bits as asked for."""
        return self.stored is not None and BITS[self.stored] <= BITS[asked]

    def format_for(self, asked: WeightFormat, parameters: int | None, free: int | None) -> WeightFormat:
        """Return the format to keep: the one asked for; by default full weights if they fit, else as they came."""
        if asked is WeightFormat.FULL or not self.is_flexible:
            return WeightFormat.FULL
        if asked is not WeightFormat.AUTO:
            return self.stored if self.stored and self.as_it_came(asked) else asked
        if self.stored is None or free is None or not parameters:
            return WeightFormat.FULL
        return WeightFormat.FULL if memory_estimate(parameters, weight_bytes=self.full_bytes) <= free else self.stored


@dataclass(frozen=True, slots=True)
class TaskMemory:
    """The bytes that a task takes, with its base in this format, and whether layers are computed again for them."""

    bytes: int
    weights: WeightFormat
    recomputes: bool = False


def task_memory(
    parameters: int, asked: WeightFormat, kept: KeptWeights, *, batch: int, longest: int, free: int | None
) -> TaskMemory:
    """
    Estimate what a task takes with `free` bytes of memory: if little is free, layers are computed again, then fewer
    rows are taken at a time, as in `Network.fit`.

    `batch` are the tokens of its largest batch, `longest` those of its longest row.
    """
    weights = kept.format_for(asked, parameters, free)

    def needed(tokens: int, *, recomputes: bool) -> TaskMemory:
        size = memory_estimate(
            parameters, batch_tokens=tokens, weight_bytes=kept.full_bytes, weights=weights, recomputes=recomputes
        )
        return TaskMemory(size, weights, recomputes)

    ways = [needed(batch, recomputes=False)]
    if kept.is_flexible:
        ways += [needed(batch, recomputes=True), needed(longest, recomputes=True)]
    return next((way for way in ways if free is None or way.bytes <= free), ways[-1])


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
    """
    The bytes of memory that something takes, and whether they fit; None if this machine does not tell.

    `weights` is the format in which the weights have to be kept for that.
    """

    bytes: int
    fit: Fit | None
    weights: WeightFormat = WeightFormat.FULL


def needs(parameters: int, *, is_flexible: bool = False) -> tuple[Need, Need]:
    """
    Return what tuning a base of this size takes, and what answering with it takes.

    If tuning as usual does not fit, and the base is flexible (see KeptWeights): the least that does, with layers
    computed again, then with weights in 8 and in 4 bits.
    """
    free, total = available_memory(), total_memory()
    answering = answering_estimate(parameters)
    found = [Need(memory_estimate(parameters), None)]
    for weights in (WeightFormat.FULL, WeightFormat.EIGHT_BIT, WeightFormat.FOUR_BIT) if is_flexible else ():
        found.append(Need(memory_estimate(parameters, weights=weights, recomputes=True), None, weights))
    tuning = [replace(need, fit=_fit(need.bytes, free, total)) for need in found]
    chosen = min(tuning, key=lambda need: _FITS.index(need.fit))  # the first of the best
    return chosen if chosen.fit is not Fit.NO else tuning[-1], Need(answering, _fit(answering, free, total))


_FITS = (Fit.YES, Fit.TIGHT, Fit.NO, None)


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


def _system_memory() -> int | None:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        fields = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines() if ":" in line)
        return int(fields["MemAvailable"].split()[0]) * 1024
    return _physical_memory()  # macOS only reports total memory


def _physical_memory() -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
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
