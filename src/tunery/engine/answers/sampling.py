"""
From logits to the next token.

Knows one row of numbers and the settings; nothing of models or texts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tunery.types import SamplingSettings


def next_token(logits: Tensor, settings: SamplingSettings, generator: torch.Generator) -> int:
    """
    Draw the next token from logits `[V]`.

    Temperature 0 takes the likeliest. Otherwise temperature first, then the `top_k` likeliest, then the fewest tokens
    whose probabilities reach `top_p`: the order of transformers.
    """
    if settings.temperature == 0:
        return int(logits.argmax())
    scores, tokens = (logits.to("cpu", torch.float32) / settings.temperature).sort(descending=True, stable=True)
    if settings.top_k is not None:
        scores = scores[: settings.top_k]
    probabilities = torch.softmax(scores, -1)
    if settings.top_p < 1:
        before = probabilities.cumsum(0) - probabilities
        probabilities = probabilities[before < settings.top_p]
    return int(tokens[torch.multinomial(probabilities, 1, generator=generator)])
