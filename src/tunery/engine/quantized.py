"""
Frozen weights that stay in 8 or 4 bits and are widened when they are used, a layer or a portion of a table at a time.

A weight is kept in the blocks of GGUF files (ggml's ggml-quants.c), so those of a file are used as they came,
memory-mapped; full weights can be rounded to such blocks. The widened numbers are those of the blocks, computed in
float32; the type of the base is applied to them last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tunery.engine.compiled import widen
from tunery.types import WeightFormat

F16_BYTES = 2
BLOCK_WEIGHTS = 32  # of the plain types
GROUPS, GROUP_WEIGHTS = 8, 32  # of a superblock of Q4_K
PORTION_WEIGHTS = 1 << 18  # widened at once: 1 MB in float32, which stays in the cache
TABLE_ROWS = 4096  # of a table multiplied at once: 33 MB in float32 with 2,048 features


class Kind(NamedTuple):
    """A type of ggml: its number and name, the weights and bytes of a block, uint8 `[B, bytes]` → `[B, weights]`."""

    id: int
    name: str
    weights: int
    bytes: int
    widen: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, type_id: int) -> Kind:
        """Return ggml's type with this number; the gguf package widens those that are not in KINDS, more slowly."""
        if type_id in KINDS:
            return KINDS[type_id]
        import gguf

        its = gguf.GGMLQuantizationType(type_id)
        weights, size = gguf.GGML_QUANT_SIZES[its]
        return cls(
            type_id, its.name, weights, size, lambda blocks: torch.from_numpy(gguf.dequantize(blocks.numpy(), its))
        )


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rows of a weight in blocks of one type: uint8 `[N, bytes of a row]`; `is_mapped` if they are in a file."""

    kind: Kind
    data: Tensor
    is_mapped: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        rows, row_bytes = self.data.shape
        return rows, row_bytes // self.kind.bytes * self.kind.weights

    def widen(self, rows: slice | Tensor) -> Tensor:
        """Return some rows in float32, `[M, K]`."""
        chosen = self.data[rows]  # (M, bytes of a row)
        if chosen.device.type == "cpu" and chosen.is_contiguous():
            numbers = torch.empty(len(chosen), self.shape[1], dtype=torch.float32)
            count = chosen.numel() // self.kind.bytes
            if widen(self.kind.id, chosen.data_ptr(), count, numbers.data_ptr()):
                return numbers
        return self.kind.widen(chosen.reshape(-1, self.kind.bytes)).view(len(chosen), -1)


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """A frozen weight `[N, K]`: parts below one another, in blocks or plain, that are widened to `dtype`."""

    parts: tuple[Blocks | Tensor, ...]
    dtype: torch.dtype

    @property
    def shape(self) -> torch.Size:
        return torch.Size((sum(part.shape[0] for part in self.parts), self.parts[0].shape[1]))

    @property
    def device(self) -> torch.device:
        first = self.parts[0]
        return first.device if isinstance(first, Tensor) else first.data.device

    @property
    def kinds(self) -> set[str]:
        """Return the names of the types of its blocks."""
        return {part.kind.name for part in self.blocks}

    @property
    def blocks(self) -> list[Blocks]:
        return [part for part in self.parts if isinstance(part, Blocks)]

    def __len__(self) -> int:
        return self.shape[0]

    def numel(self) -> int:
        return self.shape.numel()

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return the rows with these numbers `[M]`, widened: `[M, K]`."""
        (part,) = self.parts  # only tables are looked up in, and they have one
        return (part[rows] if isinstance(part, Tensor) else part.widen(rows)).to(self.dtype)

    def widened(self) -> Tensor:
        """Return the whole weight `[N, K]`."""
        whole = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        for rows, numbers in self._portions(max(1, PORTION_WEIGHTS // self.shape[1])):
            whole[rows] = numbers
        return whole

    def portions(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the weight in portions of up to TABLE_ROWS rows, with their places."""
        for rows, numbers in self._portions(TABLE_ROWS):
            yield rows, numbers.to(self.dtype)

    def _portions(self, most: int) -> Iterator[tuple[slice, Tensor]]:
        above = 0
        for part in self.parts:
            for start in range(0, part.shape[0], most):
                own = slice(start, min(start + most, part.shape[0]))
                yield (
                    slice(above + own.start, above + own.stop),
                    part[own] if isinstance(part, Tensor) else part.widen(own),
                )
            above += part.shape[0]


Weight = Tensor | QuantizedWeight


def plain(weight: Weight) -> Tensor:
    """Return a whole weight `[N, K]` as a tensor."""
    return weight if isinstance(weight, Tensor) else weight.widened()


def stacked(weights: Sequence[Weight]) -> Weight:
    """Return weights below one another; quantized if one of them is."""
    tensors = [weight for weight in weights if isinstance(weight, Tensor)]
    if len(tensors) == len(weights):
        return torch.cat(tensors)
    parts = [(weight,) if isinstance(weight, Tensor) else weight.parts for weight in weights]
    return QuantizedWeight(tuple(part for own in parts for part in own), weights[0].dtype)


def rounded(weight: Tensor, kind: Kind, dtype: torch.dtype) -> Weight:
    """Return a weight `[N, K]` rounded to blocks as llama.cpp does; plain if its rows are no whole blocks."""
    import gguf

    rows, columns = weight.shape
    if columns % kind.weights:
        return weight.to(dtype, copy=True)
    its, most = gguf.GGMLQuantizationType(kind.id), max(1, PORTION_WEIGHTS // columns)
    data = torch.empty(rows, columns // kind.weights * kind.bytes, dtype=torch.uint8)
    for start in range(0, rows, most):
        numbers = weight[start : start + most].float().contiguous().numpy()
        data[start : start + most] = torch.from_numpy(gguf.quantize(numbers, its))
    return QuantizedWeight((Blocks(kind, data),), dtype)


def product(rows: Tensor, table: Weight) -> Tensor:
    """Return `rows · tableᵀ`: `[T, K]` → `[T, N]`; a quantized table is never widened as a whole."""
    if isinstance(table, Tensor):
        return rows @ table.t()
    output = rows.new_empty(len(rows), len(table))
    for places, numbers in table.portions():
        output[:, places] = rows @ numbers.t()
    return output


def product_back(grad: Tensor, table: Weight) -> Tensor:
    """Return `grad · table`, the gradient of the rows of `product`: `[T, N]` → `[T, K]`."""
    if isinstance(table, Tensor):
        return grad @ table
    total = grad.new_zeros(len(grad), table.shape[1])
    for places, numbers in table.portions():
        total.addmm_(grad[:, places], numbers)
    return total


def _halves(blocks: Tensor, start: int, count: int = 1) -> Tensor:
    """Return float16 numbers of each block as float32, `[B, count]`."""
    return blocks[:, start : start + count * F16_BYTES].contiguous().view(torch.float16).float()


def _nibbles(packed: Tensor) -> Tensor:
    """Return `[..., n]` bytes as float32 `[..., 2, n]`: all low halves, then all high ones."""
    return torch.stack((packed & 15, packed >> 4), -2).float()


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(_halves(blocks, 0))


def _q4_0(blocks: Tensor) -> Tensor:
    return _nibbles(blocks[:, 2:]).flatten(1).sub_(8).mul_(_halves(blocks, 0))


def _q4_1(blocks: Tensor) -> Tensor:
    scale, least = torch.split(_halves(blocks, 0, 2), 1, 1)
    return _nibbles(blocks[:, 4:]).flatten(1).mul_(scale).add_(least)


def _q4_k(blocks: Tensor) -> Tensor:
    # d and dmin, then 8 scales and 8 minima of 6 bits in 12 bytes, then two groups in each 32 bytes
    scale, least = torch.split(_halves(blocks, 0, 2), 1, 1)
    first, second, third = torch.split(blocks[:, 4:16], 4, 1)  # (B, 4)
    scales = torch.cat((first & 63, (third & 15) | (first >> 6 << 4)), 1).float()  # (B, 8)
    minima = torch.cat((second & 63, (third >> 4) | (second >> 6 << 4)), 1).float()
    pairs = blocks[:, 16:].reshape(-1, GROUPS // 2, GROUP_WEIGHTS)
    groups = _nibbles(pairs).view(-1, GROUPS, GROUP_WEIGHTS)
    return groups.mul_((scale * scales)[..., None]).sub_((least * minima)[..., None]).flatten(1)


def _q6_k(blocks: Tensor) -> Tensor:
    # 256 weights: 128 bytes with the low 4 bits, 64 with the high 2, 16 scales of int8, d
    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32)
    low = torch.cat((low & 15, low >> 4), 2).view(-1, 2, 4, 32)  # (B, half, quarter, 32)
    shifts = torch.tensor([0, 2, 4, 6], dtype=torch.uint8, device=blocks.device)[:, None]
    quants = (low | ((high >> shifts & 3) << 4)).float().sub_(32).view(-1, 16, 16)
    scales = blocks[:, 192:208].contiguous().view(torch.int8).float() * _halves(blocks, 208)  # (B, 16)
    return torch.mul(quants, scales[..., None]).flatten(1)


# by ggml's number of the type
KINDS = {
    2: Kind(2, "Q4_0", BLOCK_WEIGHTS, 18, _q4_0),
    3: Kind(3, "Q4_1", BLOCK_WEIGHTS, 20, _q4_1),
    8: Kind(8, "Q8_0", BLOCK_WEIGHTS, 34, _q8_0),
    12: Kind(12, "Q4_K", GROUPS * GROUP_WEIGHTS, 144, _q4_k),
    14: Kind(14, "Q6_K", 256, 210, _q6_k),
}

# Full weights are rounded to these. Q4_1 takes 5 bits a weight and Q4_0 4.5; for normally distributed weights the
# root-mean-square error is 7.8 % and 8.6 % of theirs
ROUNDED = {WeightFormat.EIGHT_BIT: KINDS[8], WeightFormat.FOUR_BIT: KINDS[3]}
ROUNDED_TABLE = KINDS[8]
