"""
Cross-entropy over answer tokens, with the vocabulary projection done in blocks of rows.

The full matrix of logits never exists: for 1,000 answer tokens and a vocabulary of 49,152 it would take 197 MB in
float32, and its gradient the same again. The gradient of the hidden states is computed together with the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tunery.engine.quantized import Weight, product, product_back

LABEL_SMOOTHING = 0.1  # chosen by measurement: docs/experiments.md, "Twenty rows"
BLOCK_ROWS = 128  # 25 MB of logits with a vocabulary of 49,152
NEAR = 3.0  # nats: tokens at least a twentieth as likely as the likeliest, about five for a first token


@dataclass(frozen=True, slots=True)
class Head:
    """
    The frozen vocabulary projection: `weight` `[V, H]`, which may be quantized, `bias` `[V]` or None.

    Logits are divided by `divisor`, and then soft-capped if there is a `softcap`.
    """

    weight: Weight
    bias: Tensor | None = None
    softcap: float | None = None
    divisor: float = 1.0

    def logits(self, hidden: Tensor) -> Tensor:
        """Map `[N, H]` to `[N, V]` in float32 or wider."""
        logits = product(hidden, self.weight)
        if self.bias is not None:
            logits += self.bias
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return self.capped(logits)

    def drawn_logits(self, hidden: Tensor) -> Tensor:
        """Map `[N, H]` to `[N, V]` like `logits`, then `sharpen` the result for sampling."""
        return self.sharpen(self.logits(hidden), hidden)

    def sharpen(self, logits: Tensor, hidden: Tensor) -> Tensor:
        """
        Recompute the logits `[N, V]` of `[N, H]` in float32, in place, where it matters: for tokens near the likeliest.

        The result of a product in bfloat16 has 8 bits: around 32, logits have steps of 1/4, so different labels get the
        same number. Of 54 first tokens of a model after 15 steps, 4 differed from float32, and only 1 with this
        (docs/experiments.md).
        """
        if self.weight.dtype.itemsize >= torch.float32.itemsize:
            return logits
        for scores, state in zip(logits, hidden, strict=True):
            near = _near(scores)
            exact = self.weight[near].float() @ state.float()
            if self.bias is not None:
                exact += self.bias[near].float()
            scores[near] = self.capped(exact).to(scores.dtype)
        return logits

    def capped(self, logits: Tensor) -> Tensor:
        """Return logits `[N, V]` divided and capped the way the family does."""
        if self.divisor != 1:
            logits = logits / self.divisor
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap


def _near(scores: Tensor) -> Tensor:
    """Return the indices of logits within `NEAR` of the highest; on a CPU, numpy finds them in 22 µs, torch in 158."""
    if scores.device.type != "cpu":
        return (scores >= scores.max() - NEAR).nonzero()[:, 0]
    values = scores.numpy()
    return torch.from_numpy(np.flatnonzero(values >= values.max() - NEAR))


def answer_loss(
    hidden: Tensor, targets: Tensor, head: Head, weight: float | None = None
) -> tuple[Tensor, Tensor | None]:
    """
    Return the sum (not the mean) of the cross-entropy in nats, float64: hidden states `[N, H]`, targets `[N]`.

    With `weight`, also return the gradient of weight × loss with respect to the hidden states `[N, H]`.
    """
    gradient = None if weight is None else torch.empty_like(hidden)
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    for start in range(0, len(hidden), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        loss, part = _block(hidden[rows], targets[rows], head, gradient is not None)
        total += loss
        if gradient is not None and part is not None:
            gradient[rows] = part
    return total, gradient if gradient is None or weight is None else gradient.mul_(weight)


@dataclass(frozen=True, slots=True)
class Options:
    """
    The options after `rows` prompts, one of which is right: `lengths` in tokens, `shares` of the training rows with
    each of them, which add up to 1, and the places of the `right` ones.

    The loss of a label is the cross-entropy over the options with smoothed targets. The score of an option is its
    log-likelihood, the sum over its tokens, plus the logarithm of its share: what is learned is then what speaks for an
    option besides its frequency (logit adjustment, Menon et al. 2021, arXiv 2007.07314). `plain_weight` is the weight
    of the summed plain loss of the right options, `label_weight` that of the summed loss of labels.
    """

    lengths: tuple[int, ...]
    shares: tuple[float, ...]
    right: tuple[int, ...]
    plain_weight: float
    label_weight: float


def options_loss(
    hidden: Tensor, place: Tensor, targets: Tensor, head: Head, options: Options
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return both sums, plain and for labels, and the gradient of their weighted sum with respect to `hidden`.

    `hidden` is `[W, H]`; `place` `[N]` says which of these rows predicts each of the tokens `targets` `[N]`.
    """
    rows, count = len(options.right), len(options.lengths)
    owner = torch.arange(rows * count, device=place.device).repeat_interleave(
        torch.tensor(options.lengths, device=place.device).repeat(rows)
    )  # (N,)
    normalizer = torch.cat([head.logits(part).logsumexp(1) for part in torch.split(hidden, BLOCK_ROWS)])  # (W,)
    chosen = _chosen(hidden[place], targets, head)  # (N,)
    tokens = (chosen - normalizer[place]).double()
    scores = tokens.new_zeros(rows * count).index_add_(0, owner, tokens).view(rows, count)
    right = torch.zeros_like(scores)
    right[torch.arange(rows), list(options.right)] = 1
    adjusted = scores + torch.tensor(options.shares, dtype=scores.dtype, device=scores.device).log()
    smooth = (1 - LABEL_SMOOTHING) * right + LABEL_SMOOTHING / count
    plain, labels = -(scores * right).sum(), -(adjusted.log_softmax(1) * smooth).sum()
    # d/dscore; both losses are linear in the log-likelihood of a token, so each token has one coefficient
    wanted = options.plain_weight * right + options.label_weight * (smooth - adjusted.softmax(1))
    coefficient = wanted.view(-1)[owner].to(normalizer.dtype)  # (N,)
    mass = torch.zeros_like(normalizer).index_add_(0, place, coefficient)  # (W,)
    gradient = torch.empty_like(hidden)
    for start in range(0, len(hidden), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        inside = (place >= start) & (place < start + BLOCK_ROWS)
        logits = head.logits(hidden[block])  # (rows, V)
        slope = None if head.softcap is None else 1 - (logits / head.softcap) ** 2
        grad = logits.sub_(normalizer[block, None]).exp_().mul_(mass[block, None])
        grad.index_put_((place[inside] - start, targets[inside]), -coefficient[inside], accumulate=True)
        if slope is not None:
            grad *= slope
        if head.divisor != 1:
            grad /= head.divisor
        gradient[block] = product_back(grad.to(hidden.dtype), head.weight)
    return plain, labels, gradient


def option_sums(tokens: Tensor, options: Sequence[Sequence[int]]) -> Tensor:
    """Return the sums over the tokens of each option `[rows, options]` of values `[rows × tokens of all options]`."""
    parts = torch.split(tokens.view(-1, sum(map(len, options))), [len(option) for option in options], 1)
    return torch.stack([part.sum(1) for part in parts], 1)


def _chosen(hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
    """Return the logit `[N]` of one token for each hidden state `[N, H]`, in float32 or wider: bfloat16 makes ties."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    chosen = (hidden.to(wide) * head.weight[targets].to(wide)).sum(1)
    if head.bias is not None:
        chosen += head.bias[targets].to(wide)
    return head.capped(chosen)


def _block(hidden: Tensor, targets: Tensor, head: Head, needs_grad: bool) -> tuple[Tensor, Tensor | None]:
    logits = head.logits(hidden)  # (rows, V)
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
    if head.divisor != 1:
        grad /= head.divisor
    return loss, product_back(grad.to(hidden.dtype), head.weight)
