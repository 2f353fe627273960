"""
Lets contenders answer the rows of an evaluation: simple baselines, a base with and without examples, a tuned model.

Whoever answers with a model is handed in: one in memory, or a server's answering child. Knows prompts and limits; no
tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from tunery.data.outputs import shape_of
from tunery.engine.evaluation.baselines import majority, similar
from tunery.engine.evaluation.few_shot import few_shot_prompts
from tunery.engine.evaluation.judging import RECORDED, Answers, judge
from tunery.engine.evaluation.report import Evaluation
from tunery.engine.evaluation.verdict import TUNED
from tunery.errors import InvalidArgument
from tunery.types import TuningExample

MAX_ROWS = 500  # ±4 points at 95 %; more rows change no sentence and take longer
_MOST_OUTPUT_TOKENS = 1024
_SPARE_OUTPUT_TOKENS = 16
_AT_ONCE = 64  # prompts between two reports of progress

Told = Callable[[int, int], None]  # prompts answered so far, of all


class Answering(Protocol):
    """Who answers prompts, greedily and in one batch."""

    def fits(self, prompt: str, max_output_tokens: int) -> bool:
        """Say whether the window takes a prompt and so many tokens behind it."""

    def answers(self, prompts: Sequence[str], max_output_tokens: int) -> list[str]:
        """Return the whole answers."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Answers of another model to the same rows, under its name."""

    answers: Sequence[str]
    title: str = "recorded answers"


@dataclass(frozen=True, slots=True)
class Contest:
    """Who takes part: `tuned` None evaluates a base alone; `examples` are what was tuned on, if that is known."""

    base: Answering
    tuned: Answering | None = None
    examples: Sequence[TuningExample] = ()
    recorded: Recorded | None = None
    on_answered: Told = lambda _done, _total: None

    def evaluate(
        self, rows: Sequence[TuningExample], *, max_rows: int = MAX_ROWS, source: str = "", seed: int = 0
    ) -> Evaluation:
        """
        Return the evaluation on these rows, or on `max_rows` drawn from them.

        Rows with an input that was tuned on are left out, and those that the window does not take with their answer.
        Raises InvalidArgument if none is left.
        """
        new = self._unknown(rows)
        taken = [new[at] for at in drawn(len(new), max_rows, seed)]
        limit = output_limit(rows)
        usable = [at for at in taken if self.base.fits(rows[at].text_input, limit)]
        if not usable:
            why = "the model was tuned on all of them" if rows and not new else "the base takes none with its answer"
            raise InvalidArgument(f"No row can be evaluated: {why}.")
        asked = [rows[at] for at in usable]
        answers = self.collect(asked, limit, usable)
        return replace(
            judge(asked, answers, self.examples, seed=seed),
            source=source,
            rows_left_out=len(taken) - len(usable),
            rows_known=len(rows) - len(new),
            rows_available=len(new),
        )

    def collect(self, rows: Sequence[TuningExample], limit: int, places: Sequence[int] = ()) -> Answers:
        """Return all answers to rows that fit; `places` are theirs among the recorded answers."""
        texts = [row.text_input for row in rows]
        by_contender: dict[str, Sequence[str]] = {}
        if self.examples:
            shape = shape_of([example.output for example in (*self.examples, *rows)])
            by_contender["majority"] = majority(self.examples, texts)
            by_contender["similar"] = similar(shape, self.examples, texts)
        prompts, shots = few_shot_prompts(self.examples, texts, lambda prompt: self.base.fits(prompt, limit))
        entries = [("base", self.base, texts), ("base_examples", self.base, prompts), (TUNED, self.tuned, texts)]
        playing = [(name, who, asked) for name, who, asked in entries if who and (shots or name != "base_examples")]
        for number, (name, who, asked) in enumerate(playing):
            by_contender[name] = self._answered(who, asked, limit, number * len(texts), len(playing) * len(texts))
        if self.recorded is not None:
            by_contender[RECORDED] = [self.recorded.answers[at] for at in places]
        return Answers(by_contender, shots, self.recorded.title if self.recorded else "")

    def _unknown(self, rows: Sequence[TuningExample]) -> list[int]:
        known = {example.text_input.strip() for example in self.examples}
        return [at for at, row in enumerate(rows) if row.text_input.strip() not in known]

    def _answered(self, who: Answering, prompts: Sequence[str], limit: int, done: int, total: int) -> list[str]:
        answers: list[str] = []
        for start in range(0, len(prompts), _AT_ONCE):
            self.on_answered(done + len(answers), total)
            answers += who.answers(prompts[start : start + _AT_ONCE], limit)
        self.on_answered(done + len(answers), total)
        return answers


def output_limit(rows: Sequence[TuningExample]) -> int:
    """Return how many tokens an answer may have: more than any expected one, and room to show that it is too long."""
    longest = max((len(row.output.encode()) for row in rows), default=0)
    return min(_MOST_OUTPUT_TOKENS, longest // 2 + _SPARE_OUTPUT_TOKENS)


def drawn(rows: int, most: int, seed: int) -> list[int]:
    """Return the places of up to `most` rows, in order; equal seeds draw the same."""
    return list(range(rows)) if rows <= most else sorted(Random(seed).sample(range(rows), most))
