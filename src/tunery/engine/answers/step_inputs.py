"""
What all layers of a decoding step share, computed once: rotation of the new positions, masks, places in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tunery.engine.answers.cache import KeyValueCache, LayerMemory


@dataclass(frozen=True, slots=True)
class StepInputs:
    """
    `rotation` `[M, D, D]`: a head `[1, D]` times it is the rotated head. `places` `[M · K]`: where the new keys and
    values go in the flat memories. `distances` `[M, S]`: how many tokens each cached one lies back, negative if unused.
    """

    rotation: Tensor
    places: Tensor
    distances: Tensor
    memories: Sequence[LayerMemory]
    kinds: int
    groups: int  # query heads of a key-value head where all rows are one answer, else 0
    dtype: torch.dtype
    _masks: dict[int | None, Tensor] = field(default_factory=dict)

    @classmethod
    def make(
        cls, rotary: Any, cache: KeyValueCache, ahead: int, groups: int, stored: torch.dtype, dtype: torch.dtype
    ) -> StepInputs:
        """
        Make room for one token per slot, or, with `groups`, for `ahead` tokens of the only one.

        Cosines and sines are rounded to `stored`, the type of the base.
        """
        memories = cache.memories(max(cache.lengths) + ahead)
        lengths = torch.arange(cache.lengths[0], cache.lengths[0] + ahead) if groups else torch.tensor(cache.lengths)
        kinds, capacity, tokens = memories[0].kinds, memories[0].capacity, memories[0].seen_values.shape[1]
        cosine, sine = rotary(torch.empty(1, dtype=stored), lengths[None])
        rows = torch.arange(kinds).repeat(ahead) if groups else torch.arange(len(lengths) * kinds)
        places = rows * capacity + lengths.repeat_interleave(kinds)
        distances = lengths[:, None] - torch.arange(tokens)
        rotation = rotation_matrices(cosine[0].to(dtype), sine[0].to(dtype))
        return cls(rotation, places, distances, memories, kinds, groups, dtype)

    def mask(self, window: int | None) -> Tensor:
        """Return what is added to the scores: `[M · K, 1, S]` (one answer: `[1, M · G, S]`), 0 or -inf."""
        if window not in self._masks:
            hidden = self.distances < 0
            if window is not None:
                hidden |= self.distances >= window
            mask = torch.zeros(hidden.shape, dtype=self.dtype).masked_fill_(hidden, float("-inf"))
            by_answer = mask.repeat_interleave(self.groups or self.kinds, 0)
            self._masks[window] = by_answer[None] if self.groups else by_answer[:, None]
        return self._masks[window]


def rotation_matrices(cosine: Tensor, sine: Tensor) -> Tensor:
    """
    Return for each row the matrix that rotates a head: `[M, D]` twice → `[M, D, D]`.

    x·R = x·cos + (−second half of x, first half of x)·sin; one product instead of five small operations.
    """
    half = cosine.shape[1] // 2
    matrices = torch.diag_embed(cosine)
    matrices.diagonal(-half, 1, 2).copy_(-sine[:, :half])
    matrices.diagonal(half, 1, 2).copy_(sine[:, half:])
    return matrices
