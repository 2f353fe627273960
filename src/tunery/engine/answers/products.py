"""
The frozen products of a decoding step: a few rows times the weights of one or several linear layers side by side.

With few rows the time is that of reading the weights, so the form that is read fastest is chosen: 4 bits where the base
came so, else bfloat16 in oneDNN's own order; float32 weights whose values fit float16 are read in float16. All forms
hold the same numbers up to the rounding of the type in which the base is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tunery.engine.conversion import BLOCK_WEIGHTS, FourBitWeight

# 4 bits beat oneDNN's order up to 4 rows: 76, 78, 93, 104 µs for 1-4 rows of a 3072×576 product (one core of an EPYC
# with avx512_bf16) against 119, 130, 131, 145; from 5 rows on it is 152 against 134. Plain bfloat16 took 250.
FOUR_BIT_ROWS = 4

# float16 weights beat float32 ones up to 16 rows: 269, 336, 421, 623, 1042 µs for 1, 2, 4, 8, 16 rows of a 3072×576
# product against 618, 1033, 1420, 1529, 2238 (one core of an EPYC with AVX2)
HALF_ROWS = 16

_ROW_STEP = 16  # the 4-bit kernel wants a multiple of this many output features


class Product:
    """
    `y = x Wᵀ + b` for linear layers that read the same x: their outputs stand side by side.

    x and y are in the type of the weights. 4-bit weights are packed at once; the reordered copy is made when it is
    first needed.
    """

    def __init__(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor | None], four_bit: Sequence[FourBitWeight] | None
    ) -> None:
        self.weights = tuple(weights)
        self.dtype = weights[0].dtype
        given = [
            torch.zeros(len(weight), dtype=weight.dtype) if bias is None else bias
            for weight, bias in zip(weights, biases, strict=True)
        ]
        self.bias = None if all(bias is None for bias in biases) else torch.cat(given)
        self._four_bit = pack_four_bit(four_bit) if four_bit is not None and self._can_be_packed() else None
        self._reordered: Tensor | None = None
        self._halved: Any = None
        self._is_halved = self.dtype == torch.float32 and has_fast_half_products()

    def form(self, rows: int) -> Callable[[Tensor], Tensor]:
        """Return the fastest way to this product for so many rows: `x` `[rows, in]` to `[rows, out]`."""
        if self._four_bit is not None and rows <= FOUR_BIT_ROWS:
            quants, scales = self._four_bit
            multiply, bias = torch._weight_int4pack_mm_for_cpu, self.bias
            if bias is None:
                return lambda x: multiply(x, quants, BLOCK_WEIGHTS, scales)
            return lambda x: multiply(x, quants, BLOCK_WEIGHTS, scales).add_(bias)
        if self._is_halved and rows <= HALF_ROWS and self._half() is not None:
            packed, multiply = self._half(), torch.ops.quantized.linear_dynamic_fp16
            return lambda x: multiply(x, packed)
        if self.dtype != torch.bfloat16 or not has_reordered_products():
            return self._plain
        weight = self._reordered if self._reordered is not None else self._reorder()
        return lambda x: reordered_product(x, weight, self.bias)

    def _can_be_packed(self) -> bool:
        rows = sum(len(weight) for weight in self.weights)
        return self.dtype == torch.bfloat16 and rows % _ROW_STEP == 0 and has_fast_four_bit_products()

    def _plain(self, x: Tensor) -> Tensor:
        parts = [functional.linear(x, weight) for weight in self.weights]
        output = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return output if self.bias is None else output.add_(self.bias)

    def _half(self) -> Any:
        """Return the weights in float16, packed; None if that would change what they are."""
        if self._halved is None:
            weight = torch.cat(self.weights) if len(self.weights) > 1 else self.weights[0]
            self._is_halved = fits_half(weight)
            if self._is_halved:
                self._halved = torch.ops.quantized.linear_prepack_fp16(weight, self.bias)
        return self._halved

    def _reorder(self) -> Tensor:
        self._reordered = reordered(torch.cat(self.weights) if len(self.weights) > 1 else self.weights[0])
        return self._reordered


def pack_four_bit(weights: Sequence[FourBitWeight]) -> tuple[Tensor, Tensor]:
    """Return the operands of torch's 4-bit kernel for these weights below each other."""
    quants = torch.cat([weight.quants for weight in weights]).int()
    scales = torch.cat([weight.scales for weight in weights])
    zeros = torch.cat([weight.zeros for weight in weights])
    packed = torch._convert_weight_to_int4pack_for_cpu(quants, 1)
    return packed, torch.stack((scales.t(), zeros.t()), dim=-1).contiguous()


def fits_half(weight: Tensor) -> bool:
    """
    Say whether a float32 weight is itself in float16 up to float32's own rounding.

    Numbers of bfloat16, in which bases are stored, are exact in float16 from 2^-17 up, and off by 2^-25 at most below;
    what that changes must be less than 2^-24 of the weight (norms), which is what float32 rounds off anyway.
    """
    error = weight.half().float().sub_(weight)
    return bool(error.norm() <= 2**-24 * weight.norm())


def reordered(weight: Tensor) -> Tensor:
    """Return a copy of a bfloat16 weight `[N, K]` in the order that oneDNN multiplies without rearranging it first."""
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)  # type: ignore[no-any-return]


def reordered_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `x Wᵀ + b` for a weight that `reordered` gave; `x` bfloat16 `[M, K]`."""
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]


@cache
def has_reordered_products() -> bool:
    """Say whether this build of torch has oneDNN's products on reordered bfloat16 weights, and they are right."""
    x, weight = torch.linspace(-1, 1, 64).view(2, 32).bfloat16(), torch.linspace(-1, 1, 512).view(16, 32).bfloat16()
    try:
        ours = reordered_product(x, reordered(weight))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return torch.allclose(ours.float(), x.float() @ weight.float().t(), rtol=0.02, atol=0.02)


@cache
def has_fast_four_bit_products() -> bool:
    """
    Say whether 4 bits are faster here than bfloat16 for one row; where torch has no vector code for it, it is far
    slower (2,848 µs instead of 76 for the type without such code on the machine named above).
    """
    weight = FourBitWeight(
        torch.full((512, 512), 9, dtype=torch.uint8),
        torch.full((512, 16), 0.01, dtype=torch.bfloat16),
        torch.zeros(512, 16, dtype=torch.bfloat16),
    )
    row, dense = torch.ones(1, 512, dtype=torch.bfloat16), weight.dense().bfloat16()
    try:
        quants, scales = pack_four_bit([weight])
        four_bit = _best_seconds(lambda: torch._weight_int4pack_mm_for_cpu(row, quants, BLOCK_WEIGHTS, scales))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return four_bit < _best_seconds(lambda: functional.linear(row, dense))


@cache
def has_fast_half_products() -> bool:
    """
    Say whether float32 rows times float16 weights are computed in float32 here, and faster than from float32 weights.

    Only builds of torch with FBGEMM have it (x86-64 with AVX2): half the bytes are read.
    """
    x, weight = torch.linspace(-1, 1, 1024).view(2, 512), torch.linspace(-2, 2, 512 * 512).bfloat16().float()
    weight = weight.view(512, 512)
    try:
        packed = torch.ops.quantized.linear_prepack_fp16(weight, None)
        ours = torch.ops.quantized.linear_dynamic_fp16(x, packed)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    plain = functional.linear(x, weight)
    if not torch.allclose(ours, plain, rtol=1e-5, atol=1e-4):
        return False
    halved = _best_seconds(lambda: torch.ops.quantized.linear_dynamic_fp16(x, packed))
    return halved < _best_seconds(lambda: functional.linear(x, weight))


def _best_seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(8):  # the first rounds pay for loading the kernels
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
