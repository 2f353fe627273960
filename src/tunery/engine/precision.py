"""
Which number type a machine multiplies fastest.

bfloat16 pays where the processor multiplies it (avx512_bf16, AMX, Arm BF16), and costs where it is emulated; a probe of
some ten milliseconds tells. The answer depends on the machine kind, not on the load: both types are timed in turn and
the best time of each counts. Knows nothing of models.
"""

from __future__ import annotations

import time
from functools import cache

import torch

# below this the rounding of bfloat16 is not worth what it saves; a processor with the instructions shows 2-4
MINIMUM_GAIN = 1.3
_ROUNDS = 8  # about 1 ms each; the first pays for loading the kernels
_HOPELESS_ROUNDS, _HOPELESS_GAIN = 2, 0.5  # emulated bfloat16 takes 80 ms a round, which nobody should wait for


@cache
def fast_dtype() -> torch.dtype:
    """Return bfloat16 if this processor multiplies it at least MINIMUM_GAIN times as fast as float32, else float32."""
    return torch.bfloat16 if bfloat16_gain() >= MINIMUM_GAIN else torch.float32


def bfloat16_gain() -> float:
    """Return how many times faster than float32 a product `[192, 512] × [512, 512]` is in bfloat16."""
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    operands = {dtype: (torch.ones(192, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)) for dtype in best}
    for number in range(_ROUNDS):
        if number >= _HOPELESS_ROUNDS and best[torch.float32] < _HOPELESS_GAIN * best[torch.bfloat16]:
            break
        for dtype, (left, right) in operands.items():
            start = time.perf_counter()
            torch.mm(left, right)
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]
