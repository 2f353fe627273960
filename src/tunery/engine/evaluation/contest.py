"""
Lets contenders answer the rows of an evaluation: a tuned model, and its base with and without examples in the prompt.

Whoever answers is handed in: a model in memory, or a server's answering child. Knows prompts and limits; no tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from tunery.engine.evaluation.few_shot import few_shot_prompts
from tunery.engine.evaluation.judging import RECORDED, Answers, judge
from tunery.engine.evaluation.report import Evaluation
from tunery.engine.evaluation.verdict import TUNED
from tunery.errors import InvalidArgument
from tunery.types import TuningExample

MAX_ROWS = 500  # ±4 points at 95 %; more rows change no sentence and take longer
_MOST_OUTPUT_TOKENS = 1024
_SPARE_OUTPUT_TOKENS = 16


class Answering(Protocol):
    """Who answers prompts, greedily and in one batch."""

    def fits(self, prompt: str, max_output_tokens: int) -> bool:
        """Say whether the window takes a prompt and so many tokens behind it."""

    def answers(self, prompts: Sequence[str], max_output_tokens: int) -> list[str]:
        """Return the whole answers."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Who takes part: `tuned` None evaluates a base alone; `examples` are what was tuned on, if that is known."""

    base: Answering
    tuned: Answering | None = None
    examples: Sequence[TuningExample] = ()
    recorded: Sequence[str] | None = None  # answers of another model to the same rows
    recorded_title: str = "recorded answers"
    on_answered: Callable[[int, int], None] = lambda _done, _total: None  # prompts answered so far, of all

    def evaluate(
        self, rows: Sequence[TuningExample], *, max_rows: int = MAX_ROWS, source: str = "", seed: int = 0
    ) -> Evaluation:
        """
        Return the evaluation on these rows, or on `max_rows` drawn from them.

        Rows that the window does not take with their answer are left out. Raises InvalidArgument if none is left.
        """
        limit = output_limit(rows)
        taken = drawn(len(rows), max_rows, seed)
        usable = [at for at in taken if self.base.fits(rows[at].text_input, limit)]
        if not usable:
            raise InvalidArgument("No row can be evaluated: there is none that the base takes with its answer.")
        asked = [rows[at] for at in usable]
        by_contender, shots = self._asked([row.text_input for row in asked], limit)
        if self.recorded is not None:
            by_contender[RECORDED] = [self.recorded[at] for at in usable]
        found = judge(asked, Answers(by_contender, shots, self.recorded_title), self.examples, seed=seed)
        return replace(found, source=source, rows_left_out=len(taken) - len(usable), rows_available=len(rows))

    def _asked(self, texts: list[str], limit: int) -> tuple[dict[str, Sequence[str]], int]:
        prompts, shots = few_shot_prompts(self.examples, texts, lambda prompt: self.base.fits(prompt, limit))
        entries: list[tuple[str, Answering, list[str]]] = [("base", self.base, texts)]
        if shots:
            entries.append(("base_examples", self.base, prompts))
        if self.tuned is not None:
            entries.append((TUNED, self.tuned, texts))
        by_contender: dict[str, Sequence[str]] = {}
        for number, (name, who, asked) in enumerate(entries):
            by_contender[name] = who.answers(asked, limit)
            self.on_answered((number + 1) * len(texts), len(entries) * len(texts))
        return by_contender, shots


def output_limit(rows: Sequence[TuningExample]) -> int:
    """Return how many tokens an answer may have: more than any expected one, and room to show that it is too long."""
    longest = max((len(row.output.encode()) for row in rows), default=0)
    return min(_MOST_OUTPUT_TOKENS, longest // 2 + _SPARE_OUTPUT_TOKENS)


def drawn(rows: int, most: int, seed: int) -> list[int]:
    """Return the places of up to `most` rows, in order; equal seeds draw the same."""
    return list(range(rows)) if rows <= most else sorted(Random(seed).sample(range(rows), most))
