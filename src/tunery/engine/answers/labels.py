"""
Answers from a closed set of labels: how probable each label is as the whole answer, and which one to give.

All labels follow the same prompt, which is read once for each portion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from tunery.engine.rows import EncodedExample
from tunery.errors import InvalidArgument
from tunery.types import SamplingSettings

MAX_LABEL_TOKENS = 4_096  # for all labels of an answer; each takes 12 ms of CPU time with the default base
PORTION_TOKENS = (
    64  # the fewest tokens of labels scored together; with a longer prompt, which is read with them, as many as it has
)


class Scoring(Protocol):
    """A base that can return how likely the answer tokens of rows are."""

    def logits_of(self, rows: Sequence[EncodedExample], slot: int | None) -> Tensor: ...


class LabelScoring:
    """
    Scores labels after a prompt, one portion with each `step` until `is_done`, so that other requests do not have to
    wait for all of them.

    `labels` are their token ids including the token that ends an answer, so that "no" does not count as "no idea".
    Raises InvalidArgument for more than MAX_LABEL_TOKENS of them.
    """

    def __init__(
        self, network: Scoring, prompt: Sequence[int], labels: Sequence[Sequence[int]], slot: int | None
    ) -> None:
        tokens = sum(map(len, labels))
        if tokens > MAX_LABEL_TOKENS:
            raise InvalidArgument(f"The labels have {tokens:,} tokens, limit {MAX_LABEL_TOKENS:,}. Shorten them.")
        self._network, self._prompt, self._slot = network, prompt, slot
        self._waiting = _portions(labels, max(PORTION_TOKENS, len(prompt)))
        self._scores: list[Tensor] = []

    @property
    def is_done(self) -> bool:
        return not self._waiting

    def step(self) -> None:
        labels = self._waiting.pop(0)
        rows = [EncodedExample((*self._prompt, *label), len(self._prompt)) for label in labels]
        self._scores.append(_scores(self._network, rows, self._slot))

    def probabilities(self) -> Tensor:
        """Return the probability of each label among all of them, `[L]` in float64."""
        return torch.softmax(torch.cat(self._scores), 0)


def chosen_label(probabilities: Tensor, settings: SamplingSettings, random: torch.Generator) -> int:
    """Return the index of the label to answer with, -1 if the likeliest is less probable than required."""
    form = settings.form
    if form is not None and float(probabilities.max()) < form.none_below:
        return -1
    if settings.temperature == 0:
        return int(probabilities.argmax())
    return int(torch.multinomial(torch.softmax(probabilities.log() / settings.temperature, 0), 1, generator=random))


def _scores(network: Scoring, rows: Sequence[EncodedExample], slot: int | None) -> Tensor:
    """Return the log-likelihood of each answer `[N]`, in float64 on the CPU."""
    logits = network.logits_of(rows, slot)
    targets = torch.tensor([token for row in rows for token in row.token_ids[row.answer_offset :]])
    picked = torch.log_softmax(logits.to("cpu", torch.float64), 1).gather(1, targets[:, None])[:, 0]
    parts = torch.split(picked, [row.answer_tokens for row in rows])
    return torch.stack([part.sum() for part in parts])


def _portions(labels: Sequence[Sequence[int]], tokens: int) -> list[list[Sequence[int]]]:
    portions: list[list[Sequence[int]]] = []
    room = 0
    for label in labels:
        if not portions or room < len(label):
            portions.append([])
            room = tokens
        portions[-1].append(label)
        room -= len(label)
    return portions
