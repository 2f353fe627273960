"""
Lets contenders answer the rows of an evaluation: simple baselines, a base with and without examples, a tuned model.

Whoever answers with a model is handed in: one in memory, or a server's answering child. Knows prompts and limits; no
tensors.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from tunery.data.inputs import common_preamble
from tunery.data.outputs import OutputShape, Shape, shape_of
from tunery.errors import InvalidArgument
from tunery.evaluation.report import Evaluation
from tunery.evaluation.verdict import RECORDED, TUNED, Answers, judge
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
            raise InvalidArgument(f"None of the rows can be evaluated: {why}.")
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


# Of 1, 10, 100 and 1000 within 0.003 of the best on TREC-6 and SMS with 100 and 500 rows (benchmarks/quality_methods)
_REGRESSION_C = 10.0


def majority(examples: Sequence[TuningExample], asked: Sequence[str]) -> list[str]:
    """Answer the most frequent output; among equals the one that came first."""
    likeliest = Counter(example.output.strip() for example in examples).most_common(1)[0][0]
    return [likeliest] * len(asked)


def similar(shape: Shape, examples: Sequence[TuningExample], asked: Sequence[str]) -> list[str]:
    """Answer by the words of the inputs, without the instructions that all of them begin with."""
    outputs = [example.output.strip() for example in examples]
    if len(set(outputs)) == 1:
        return [outputs[0]] * len(asked)
    preamble = common_preamble([*(example.text_input for example in examples), *asked])
    known = [example.text_input.removeprefix(preamble) for example in examples]
    new = [text.removeprefix(preamble) for text in asked]
    if not any(any(map(str.isalnum, text)) for text in known):  # nothing to learn from
        return majority(examples, asked)
    if shape.kind is OutputShape.LABELS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stopped before the last digit was settled
            return [str(answer) for answer in _regression().fit(known, outputs).predict(new)]
    return [outputs[place] for place in _nearest(known, new)]


def _regression() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    return make_pipeline(features, LogisticRegression(C=_REGRESSION_C, class_weight="balanced", max_iter=1000))


def _nearest(known: Sequence[str], asked: Sequence[str]) -> list[int]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3))
    rows = features.fit_transform(known)
    return [int(place) for place in (features.transform(asked) @ rows.T).toarray().argmax(axis=1)]


SHOTS = 5


def choose_shots(examples: Sequence[TuningExample], count: int = SHOTS) -> list[TuningExample]:
    """Return the first rows with different outputs, then further ones: a prompt that shows one label only misleads."""
    seen: Counter[str] = Counter()
    order = []
    for example in examples:
        order.append((seen[example.output], example))
        seen[example.output] += 1
    return [example for _, example in sorted(order, key=lambda pair: pair[0])[:count]]


def few_shot_prompts(
    examples: Sequence[TuningExample], asked: Sequence[str], fits: Callable[[str], bool]
) -> tuple[list[str], int]:
    """Return a prompt for each text with up to SHOTS examples, as many as fit, and the most that a prompt has."""
    shots = choose_shots(examples)
    instructions = common_preamble([*(example.text_input for example in examples), *asked])
    prompts, most = [], 0
    for text in asked:
        count = len(shots)
        while count and not fits(_prompt(instructions, shots[:count], text)):
            count -= 1
        prompts.append(_prompt(instructions, shots[:count], text) if count else text)
        most = max(most, count)
    return prompts, most


def _prompt(instructions: str, shots: Sequence[TuningExample], text: str) -> str:
    shown = [f"{shot.text_input.removeprefix(instructions)}\nAnswer: {shot.output}" for shot in shots]
    return instructions + "\n\n".join([*shown, f"{text.removeprefix(instructions)}\nAnswer:"])


Tuned = Callable[[Sequence[TuningExample], int], AbstractContextManager[Answering]]


def split(examples: Sequence[TuningExample], folds: int, seed: int = 0) -> list[list[int]]:
    """
    Return the places of the rows of each fold; equal inputs lie in one fold, and each label in its share in all.

    Raises InvalidArgument if there are fewer than 2 folds, or fewer different inputs than folds.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        groups[example.text_input.strip()].append(place)
    if not 2 <= folds <= len(groups):
        raise InvalidArgument(
            f"The number of folds must be at least 2 and at most {len(groups)}, the number of distinct inputs."
        )

    def order(text: str) -> tuple[str, bytes]:
        return examples[groups[text][0]].output, hashlib.sha256(f"{seed}\0{text}".encode()).digest()

    found: list[list[int]] = [[] for _ in range(folds)]
    for number, text in enumerate(sorted(groups, key=order)):  # neighbours have one label: deal them out
        found[number % folds] += groups[text]
    return [sorted(places) for places in found]


def cross_validated(
    examples: Sequence[TuningExample],
    folds: int,
    base: Answering,
    tuned: Tuned,
    *,
    seed: int = 0,
    on_answered: Told = lambda _done, _total: None,
) -> Evaluation:
    """Return the evaluation of all rows that fit; `tuned` gives a model tuned on some rows, and the fold it is for."""
    limit = output_limit(examples)
    usable = [row for row in examples if base.fits(row.text_input, limit)]
    rows: list[TuningExample] = []
    parts: list[Answers] = []
    for number, places in enumerate(split(usable, folds, seed)):
        inside = set(places)
        train = [row for place, row in enumerate(usable) if place not in inside]
        test = [usable[place] for place in places]
        with tuned(train, number + 1) as model:
            parts.append(Contest(base, model, train, on_answered=on_answered).collect(test, limit))
        rows += test
    names = [name for name in parts[0].by_contender if all(name in part.by_contender for part in parts)]
    joined = {name: list(_joined(parts, name)) for name in names}
    found = judge(rows, Answers(joined, max(part.examples_in_prompt for part in parts)), seed=seed)
    left_out = len(examples) - len(usable)
    source = f"{folds} folds of {len(examples)} rows"
    return replace(found, source=source, rows_left_out=left_out, rows_available=len(examples), folds=folds)


def _joined(parts: Sequence[Answers], name: str) -> Iterator[str]:
    for part in parts:
        yield from part.by_contender[name]
