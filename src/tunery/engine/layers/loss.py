"""
Cross-entropy over answer tokens, with the vocabulary projection done in blocks of rows.

The full matrix of logits never exists: 1,000 answer tokens of a vocabulary of 49,152 would be 197 MB in float32 and as
much again for its gradient. The gradient towards the hidden states is made together with the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK_ROWS = 128  # 25 MB of logits with a vocabulary of 49,152
NEAR = 3.0  # nats: tokens at least a twentieth as likely as the likeliest, some five of them at a first token


@dataclass(frozen=True, slots=True)
class Head:
    """The frozen vocabulary projection: `weight` `[V, H]`, `bias` `[V]` or None, `softcap` of the logits or None."""

    weight: Tensor
    bias: Tensor | None = None
    softcap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """Map `[N, H]` to `[N, V]` in float32 or wider."""
        product = hidden @ self.weight.t()
        if self.bias is not None:
            product += self.bias
        logits = product.to(torch.promote_types(product.dtype, torch.float32))
        return self._capped(logits)

    def drawn_logits(self, hidden: Tensor) -> Tensor:
        """Map `[N, H]` to `[N, V]` in float32 or wider, as `logits` does, then `sharpen` them to draw tokens from."""
        return self.sharpen(self.logits(hidden), hidden)

    def sharpen(self, logits: Tensor, hidden: Tensor) -> Tensor:
        """
        Compute logits `[N, V]` of `[N, H]` again in float32 where it counts, in place: for tokens near the likeliest.

        A product in bfloat16 ends in 8 bits: a logit of 32 in steps of 1/4, so that labels fall on one number. Of 54
        first tokens of a model after 15 steps, 4 were not float32's, 1 with this (docs/experiments.md).
        """
        if self.weight.dtype.itemsize >= torch.float32.itemsize:
            return logits
        for scores, state in zip(logits, hidden, strict=True):
            near = _near(scores)
            exact = self.weight[near].float() @ state.float()
            if self.bias is not None:
                exact += self.bias[near].float()
            scores[near] = self._capped(exact).to(scores.dtype)
        return logits

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap


def _near(scores: Tensor) -> Tensor:
    """Return the places within `NEAR` of the highest; on a processor numpy finds them in 22 µs, torch in 158."""
    if scores.device.type != "cpu":
        return (scores >= scores.max() - NEAR).nonzero()[:, 0]
    values = scores.numpy()
    return torch.from_numpy(np.flatnonzero(values >= values.max() - NEAR))


def answer_loss(hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
    """Return the sum (not the mean) of the cross-entropy in nats: hidden states `[N, H]`, targets `[N]` → scalar."""
    return _AnswerLoss.apply(hidden, targets, head)  # type: ignore[no-any-return, no-untyped-call]


class _AnswerLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        for start in range(0, len(hidden), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            loss, grad = _block(hidden[rows], targets[rows], head, grad_hidden is not None)
            total += loss
            if grad_hidden is not None and grad is not None:
                grad_hidden[rows] = grad
        ctx.grad_hidden = grad_hidden
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        return ctx.grad_hidden.mul_(float(grad_outputs[0])), None, None


def _block(hidden: Tensor, targets: Tensor, head: Head, needs_grad: bool) -> tuple[Tensor, Tensor | None]:
    logits = head.logits(hidden)
    chosen = logits.gather(1, targets[:, None])
    normalizer = logits.logsumexp(1, keepdim=True)
    loss = (normalizer - chosen).sum(dtype=torch.float64)
    if not needs_grad:
        return loss, None
    slope = None if head.softcap is None else 1 - (logits / head.softcap) ** 2
    grad = logits.sub_(normalizer).exp_()
    grad.scatter_add_(1, targets[:, None], torch.full_like(chosen, -1.0))
    if slope is not None:
        grad *= slope
    return loss, grad.to(hidden.dtype) @ head.weight
