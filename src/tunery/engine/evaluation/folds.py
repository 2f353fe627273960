"""
Cross-validation: every row is answered by a model that was tuned without it, so that few rows tell as much as they can.

Knows examples and who tunes on them; no tensors.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from tunery.engine.evaluation.contest import Answering, Contest, Told, output_limit
from tunery.engine.evaluation.judging import Answers, judge
from tunery.engine.evaluation.report import Evaluation
from tunery.errors import InvalidArgument
from tunery.types import TuningExample

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
        raise InvalidArgument(f"The folds must be at least 2 and at most {len(groups)}, the different inputs.")

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
