"""
Keeps the keys and values of the beginnings of prompts for the next prompt of the same tuned model.

Prompts of a tuned model begin with the same template and usually with the same instructions, and the keys and values of
a beginning do not depend on what follows. The newest beginning of each slot is kept, within a budget of bytes; the
least recently used one is dropped first. Beginnings are never shared between slots, because keys and values belong to
one adapter.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tunery.engine.packing import ROUND_TOKENS

STORE_BYTES = 64 << 20  # 2,900 tokens of the default base in bfloat16
LONGEST_TOKENS = 1024  # of one beginning; 24 MB for the default base, copied in 4 ms

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class KnownPrefix:
    """The first `tokens` tokens, shared by all prompts to be read; `layers` has their keys and values `[K, P, D]`."""

    tokens: int
    layers: Sequence[Pair]

    def before(self, layer: int, key: Tensor, value: Tensor) -> Pair:
        """Return these keys and values followed by those of the next tokens, `[K, T, D]`, in the type of the latter."""
        keys, values = (part[:, : self.tokens].to(key.dtype) for part in self.layers[layer])
        return torch.cat((keys, key), 1), torch.cat((values, value), 1)


@dataclass(frozen=True, slots=True)
class _Beginning:
    token_ids: tuple[int, ...]
    layers: Sequence[Pair]

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for pair in self.layers for part in pair)


class PrefixStore:
    """One beginning for each slot of a resident base; call `forget` when a slot is emptied or refilled."""

    def __init__(self, budget_bytes: int = STORE_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._beginnings: OrderedDict[int | None, _Beginning] = OrderedDict()  # least recently used first

    @property
    def bytes(self) -> int:
        return sum(beginning.bytes for beginning in self._beginnings.values())

    def find(self, slot: int | None, prompts: Sequence[Sequence[int]]) -> KnownPrefix | None:
        """
        Return the beginning that all these prompts have in common with the one kept for the slot.

        It is a multiple of ROUND_TOKENS, so that the rest of a packed row has a common length, and never a whole
        prompt.
        """
        kept = self._beginnings.get(slot)
        if kept is None:
            return None
        self._beginnings.move_to_end(slot)
        common = min(_common(kept.token_ids, prompt[:-1]) for prompt in prompts)
        tokens = common // ROUND_TOKENS * ROUND_TOKENS
        return KnownPrefix(tokens, kept.layers) if tokens else None

    def keep(self, slot: int | None, token_ids: Sequence[int], layers: Sequence[Pair], dtype: torch.dtype) -> None:
        """
        Keep a beginning, replacing the slot's previous one; `layers` are keys and values `[K, S, D]` with room for
        more.

        They are copied in `dtype`, the type of the base, in which they were computed.
        """
        count = min(len(token_ids), LONGEST_TOKENS) // ROUND_TOKENS * ROUND_TOKENS
        kept = self._beginnings.get(slot)
        if count == 0 or (kept is not None and kept.token_ids == tuple(token_ids[:count])):
            return
        copies = [tuple(part[:, :count].to(dtype, copy=True) for part in pair) for pair in layers]
        self._beginnings[slot] = _Beginning(tuple(token_ids[:count]), copies)  # type: ignore[arg-type]
        self._beginnings.move_to_end(slot)
        while self._beginnings and self.bytes > self._budget_bytes:
            self._beginnings.popitem(last=False)

    def forget(self, slot: int | None) -> None:
        """Drop the beginning of a slot."""
        self._beginnings.pop(slot, None)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the number of leading tokens that both have in common."""
    return next(
        (index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
