"""
The next token of a model whose inner state we do not know: the whole row is read again for each token.

Exact for every causal model, and slow; packed families never come here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tunery.engine.layers.lora import RowGroup
from tunery.engine.layers.network import Network


def next_logits(network: Network, token_ids: Sequence[int], slot: int | None) -> Tensor:
    """Return the logits `[V]` that follow a row, in float32 or wider."""
    row = torch.tensor([list(token_ids)], device=network.device)
    with network.rows([RowGroup(0, None, slot)]):
        logits = network.model(input_ids=row, use_cache=False).logits[0, -1]
    return logits.to(torch.promote_types(logits.dtype, torch.float32))  # type: ignore[no-any-return]
