"""
Answers from a closed set of labels: how probable each label is as the whole answer, and which one to give.

All labels follow the same prompt, which is read once for each portion. Prompts that wait for the same labels, or for
single tokens, are read together, and what they have in common is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from tunery.engine.answers.drawing import TextStream, next_token
from tunery.engine.encoding import Encoder
from tunery.engine.rows import EncodedExample, shared_prefix_tokens
from tunery.errors import InvalidArgument
from tunery.types import SamplingSettings

MAX_LABEL_TOKENS = 4_096  # for all labels of an answer; each takes 12 ms of CPU time with the default base
PORTION_TOKENS = 64  # fewest label tokens scored together; at least as many as the prompt has, which is read with them
JOINT_TOKENS = 1_024  # most tokens of prompts and labels scored together, or half as many besides a longer prompt


class Scoring(Protocol):
    """A base that can return how likely answers are after prompts."""

    def option_scores(
        self, rows: Sequence[EncodedExample], options: Sequence[Sequence[int]], slot: int | None
    ) -> Tensor: ...


class LabelScoring:
    """
    Scores labels after a prompt, one portion with each `step` until `is_done`, so that other requests do not have to
    wait for all of them.

    `labels` are their token ids, usually with the token that ends an answer, so that "no" does not count as "no idea".
    Raises InvalidArgument for more than MAX_LABEL_TOKENS of them.
    """

    def __init__(
        self, network: Scoring, prompt: Sequence[int], labels: Sequence[tuple[int, ...]], slot: int | None
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
        Return those that can be scored in the same step: each needs only one portion, of the same labels or of labels
        with a single token, and there is little to read besides what the prompts have in common.
        """
        found: list[LabelScoring] = []
        shared, limit = len(self._row.token_ids), max(JOINT_TOKENS, self._tokens + JOINT_TOKENS // 2)
        for other in others if len(self._waiting) == 1 and not self._scores else ():
            if other._slot != self._slot or other._scores or not self._has_columns_of(other):
                continue
            prefix = min(shared, shared_prefix_tokens([self._row, other._row]))
            if sum(each._tokens - prefix for each in (self, *found, other)) + prefix <= limit:
                found.append(other)
                shared = prefix
        return found

    def _has_columns_of(self, other: LabelScoring) -> bool:
        """Return whether the labels of both can be scored after both prompts without reading more tokens."""
        if other._waiting == self._waiting:
            return True
        # the last token of a label is predicted and never read, so other labels of one token cost nothing
        return all(
            len(each._waiting) == 1 and all(len(label) == 1 for label in each._waiting[0]) for each in (self, other)
        )

    def step(self, others: Sequence[LabelScoring] = ()) -> None:
        """Score the next portion, with `others` that are `joining`."""
        members = (self, *others)
        portions = [each._waiting.pop(0) for each in members]
        columns = {label: place for place, label in enumerate(dict.fromkeys(chain.from_iterable(portions)))}
        scores = self._network.option_scores([each._row for each in members], list(columns), self._slot)
        for scoring, own, labels in zip(members, scores, portions, strict=True):  # own: (labels of all members)
            scoring._scores.append(own[[columns[label] for label in labels]])

    def probabilities(self) -> Tensor:
        """Return the probability of each label among all of them, `[L]` in float64."""
        return torch.softmax(torch.cat(self._scores), 0)


def calibrated(probabilities: Tensor, temperature: float) -> Tensor:
    """Return probabilities `[L]` whose logarithms were divided by a temperature."""
    return probabilities if temperature == 1 else torch.softmax(probabilities.log() / temperature, 0)


def chosen_label(probabilities: Tensor, settings: SamplingSettings, random: torch.Generator) -> int:
    """Return the index of the label to answer with, -1 if the likeliest is less probable than required."""
    form = settings.form
    if form is not None and float(calibrated(probabilities, form.label_temperature).max()) < form.none_below:
        return -1
    if form is not None and form.is_own:
        return next_token(probabilities.log(), settings, random, ())
    if settings.temperature == 0:
        return int(probabilities.argmax())
    return int(torch.multinomial(torch.softmax(probabilities.log() / settings.temperature, 0), 1, generator=random))


@dataclass(frozen=True, slots=True)
class LabelAnswer:
    """An answer that is one of some labels; `ranked` are their probabilities, the likeliest first."""

    text: str
    finish_reason: str
    tokens: int
    ranked: tuple[tuple[str, float], ...]


def label_answer(scores: Sequence[float], settings: SamplingSettings, encoder: Encoder) -> LabelAnswer:
    """Return the answer to a prompt after which the labels of a form have these log-likelihoods."""
    form = settings.form
    assert form is not None
    probabilities = torch.softmax(torch.tensor(scores, dtype=torch.float64), 0)
    place = chosen_label(probabilities, settings, torch.Generator().manual_seed(settings.seed))
    told = calibrated(probabilities, form.label_temperature).tolist()
    ranked = tuple(sorted(zip(form.labels, told, strict=True), key=lambda pair: -pair[1]))
    tokens = encoder.answers([form.labels[max(place, 0)]])[0]
    if form.is_own and place >= 0:
        return LabelAnswer(*_spelled(tokens, settings, encoder), ranked)
    text = form.labels[place] if place >= 0 else form.none_label
    return LabelAnswer(text, "STOP", len(tokens) - 1, ranked)


def _spelled(tokens: Sequence[int], settings: SamplingSettings, encoder: Encoder) -> tuple[str, str, int]:
    """Return the text that these tokens give if they are drawn one by one, why it ends, and the number of tokens."""
    stops = settings.stop_sequences
    stream = TextStream(encoder.text, encoder.whole_text, stops, is_additive=encoder.is_additive)
    text = ""
    for count, token in enumerate(tokens):
        if token in encoder.stop_token_ids:
            return text + stream.flush(), "STOP", count
        text += stream.push(token)
        if stream.is_stopped:
            return text, "STOP", count + 1
        if count + 1 >= settings.max_output_tokens:
            return text + stream.flush(), "MAX_TOKENS", count + 1
    return text + stream.flush(), "STOP", len(tokens)


def _portions(labels: Sequence[tuple[int, ...]], tokens: int) -> list[list[tuple[int, ...]]]:
    portions: list[list[tuple[int, ...]]] = []
    room = 0
    for label in labels:
        if not portions or room < len(label):
            portions.append([])
            room = tokens
        portions[-1].append(label)
        room -= len(label)
    return portions
