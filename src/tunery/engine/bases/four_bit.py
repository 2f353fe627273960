"""
Weights that came in 4 bits (GGUF's Q4_1): the numbers behind them, in the one form that tuning and decoding share.

A Q4_1 block holds 32 weights as `w = d·q + m`, q in 0..15, d and m in float16. The 4-bit kernel of torch computes
`(q − 8)·scale + zero` with scale and zero in bfloat16. So `scale = bf16(d)` and `zero = bf16(m + 8d)` are rounded once,
and the dense weights that tuning sees are made from these rounded values. For the default base they lie 0.2 % (norm of
the difference) from the unrounded ones, at most 5 % of a quantization step; rounding to bfloat16 alone, as any dense
copy must, costs 0.13 %. It knows blocks of bytes, no model and no GGUF metadata.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

import torch

from tunery.files import read_json

INDEX_FILE = "four_bit.json"
ORIGINAL_FILE = "original.gguf"

Q4_1 = 3  # number of the type in ggml
BLOCK_WEIGHTS = 32
BLOCK_BYTES = 20  # d, m as float16, then 16 bytes with weight j in the low and weight j + 16 in the high half of byte j


@dataclass(frozen=True, slots=True)
class FourBitWeight:
    """
    One weight matrix `[N, K]` in 4 bits.

    `quants` uint8 `[N, K]`, 0..15; `scales` and `zeros` bfloat16 `[N, K/32]`.
    """

    quants: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor

    def dense(self) -> torch.Tensor:
        """Return the weights `(q − 8)·scale + zero`, computed in float32: `[N, K]`."""
        blocks = self.quants.view(*self.scales.shape, BLOCK_WEIGHTS).float() - 8
        return blocks.mul_(self.scales[..., None].float()).add_(self.zeros[..., None].float()).flatten(1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the blocks of one weight matrix `[N, K]` are in the GGUF file, and how its rows are ordered."""

    offset: int  # bytes from the beginning of the file
    rows: int  # N
    columns: int  # K
    rotary_heads: int | None = None  # heads whose rows llama.cpp has reordered, see `original_rows`


def decode(blocks: torch.Tensor, rotary_heads: int | None = None) -> FourBitWeight:
    """
    Return the weight matrix in Q4_1 blocks: uint8 `[N, K/32·20]`.

    With `rotary_heads` the rows are put back into the order of the original weights.
    """
    rows = blocks.shape[0]
    blocks = original_rows(blocks, rotary_heads).reshape(rows, -1, BLOCK_BYTES)
    d, m = blocks[..., :4].contiguous().view(torch.float16).float().unbind(-1)
    packed = blocks[..., 4:]
    quants = torch.cat([packed & 15, packed >> 4], dim=-1).flatten(1)
    return FourBitWeight(quants, d.bfloat16(), (m + 8 * d).bfloat16())


def original_rows(weight: torch.Tensor, rotary_heads: int | None) -> torch.Tensor:
    """
    Undo the row order that llama.cpp gives to query and key weights of Llama models: `[N, ...]`.

    There, rows of a head alternate between its two rotated halves (`LlamaModel.permute` in llama.cpp's converter).
    """
    if rotary_heads is None:
        return weight
    rows, *rest = weight.shape
    halves = weight.reshape(rotary_heads, rows // rotary_heads // 2, 2, *rest)
    return halves.transpose(1, 2).reshape(rows, *rest)


def has_four_bit_weights(folder: Path) -> bool:
    """Say whether the base in this folder came with weights in 4 bits."""
    return (folder / INDEX_FILE).is_file()


def read(folder: Path) -> dict[str, FourBitWeight]:
    """Return the 4-bit weights of a base by parameter name (`model.layers.0.mlp.up_proj.weight`); no others."""
    places = {name: Place(**values) for name, values in read_json(folder / INDEX_FILE).items()}
    with (folder / ORIGINAL_FILE).open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # torch wants memory that could be written
    return {name: decode(_blocks(content, place), place.rotary_heads) for name, place in places.items()}


def _blocks(content: mmap.mmap, place: Place) -> torch.Tensor:
    row_bytes = place.columns // BLOCK_WEIGHTS * BLOCK_BYTES
    count = place.rows * row_bytes
    return torch.frombuffer(content, dtype=torch.uint8, count=count, offset=place.offset).view(place.rows, row_bytes)
