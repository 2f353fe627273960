"""
Answers from a closed set of labels: how probable each label is as the whole answer, and which one to give.

All labels follow the same prompt, which is read once for each portion. Prompts that wait for the same labels are read
together, and what they have in common is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from tunery.engine.answers.drawing import next_token
from tunery.engine.rows import EncodedExample
from tunery.errors import InvalidArgument
from tunery.types import SamplingSettings

MAX_LABEL_TOKENS = 4_096  # for all labels of an answer; each takes 12 ms of CPU time with the default base
PORTION_TOKENS = 64  # fewest label tokens scored together; at least as many as the prompt has, which is read with them
JOINT_TOKENS = 1_024  # most tokens of prompts and labels scored together


class Scoring(Protocol):
    """A base that can return how likely answers are after prompts."""

    def option_scores(
        self, rows: Sequence[EncodedExample], options: Sequence[Sequence[int]], slot: int | None
    ) -> Tensor: ...


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
        self._network, self._slot = network, slot
        self._row = EncodedExample(tuple(prompt), len(prompt))
        self._waiting = _portions(labels, max(PORTION_TOKENS, len(prompt)))
        self._scores: list[Tensor] = []
        self._tokens = len(prompt) + tokens

    @property
    def is_done(self) -> bool:
        return not self._waiting

    def joining(self, others: Sequence[LabelScoring]) -> list[LabelScoring]:
        """
        Return those that can be scored in the same step, because they wait for the same labels and need only one
        portion.
        """
        found: list[LabelScoring] = []
        room = JOINT_TOKENS - self._tokens
        for other in others if len(self._waiting) == 1 and not self._scores else ():
            if other._waiting == self._waiting and other._slot == self._slot and not other._scores:
                room -= other._tokens
                if room < 0:
                    break
                found.append(other)
        return found

    def step(self, others: Sequence[LabelScoring] = ()) -> None:
        """Score the next portion, with `others` that are `joining`."""
        labels = self._waiting.pop(0)
        rows = [self._row, *(other._row for other in others)]
        scores = self._network.option_scores(rows, labels, self._slot)  # (rows, labels)
        for scoring, own in zip((self, *others), scores, strict=True):
            scoring._scores.append(own)
        for other in others:
            other._waiting.pop(0)

    def probabilities(self) -> Tensor:
        """Return the probability of each label among all of them, `[L]` in float64."""
        return torch.softmax(torch.cat(self._scores), 0)


def chosen_label(probabilities: Tensor, settings: SamplingSettings, random: torch.Generator) -> int:
    """Return the index of the label to answer with, -1 if the likeliest is less probable than required."""
    form = settings.form
    if form is not None and float(probabilities.max()) < form.none_below:
        return -1
    if form is not None and form.is_own:
        return next_token(probabilities.log(), settings, random, ())
    if settings.temperature == 0:
        return int(probabilities.argmax())
    return int(torch.multinomial(torch.softmax(probabilities.log() / settings.temperature, 0), 1, generator=random))


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
