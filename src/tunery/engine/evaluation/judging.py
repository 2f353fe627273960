"""
From the answers of all contenders to a finished evaluation: read, scored, compared, judged.

The answers come from elsewhere (`contest`), so this runs in any process and needs no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunery.data.outputs import Shape, shape_of
from tunery.engine.evaluation.metrics import METRICS, confusion, figures, row_scores
from tunery.engine.evaluation.report import Contender, Evaluation, OutputShape, ScoredRow
from tunery.engine.evaluation.verdict import PROMPTED, SIMPLE, TUNED, compare, decide
from tunery.types import TuningExample

SHOWN_ROWS = 5
RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered to each row, by the name of the contender, and facts about it."""

    by_contender: Mapping[str, Sequence[str]]
    examples_in_prompt: int = 0
    recorded_title: str = "recorded answers"


def judge(
    rows: Sequence[TuningExample], answers: Answers, tuned_on: Sequence[TuningExample] = (), *, seed: int = 0
) -> Evaluation:
    """
    Return the evaluation of at least one row; the outputs of `tuned_on` help to tell what outputs look like.

    Answers of a base that is only prompted are read generously (`shapes`), all others exactly.
    """
    expected = [row.output.strip() for row in rows]
    shape = shape_of([*(example.output for example in tuned_on), *expected])
    given = answers.by_contender
    read = {name: _read(shape, name, said) for name, said in given.items()}
    scores = {name: row_scores(shape, expected, said) for name, said in read.items()}
    contenders = tuple(_contender(name, shape, expected, read[name], scores[name], answers, seed) for name in read)
    rivals = [name for name in read if name != TUNED]
    is_compared = TUNED in read and any(name in (*SIMPLE, *PROMPTED) for name in rivals)
    best, worst = _shown(rows, given, scores)
    return Evaluation(
        rows=len(rows),
        shape=shape.kind,
        metric=METRICS[shape.kind],
        contenders=contenders,
        comparisons=tuple(compare(shape.kind, name, scores[TUNED], scores[name], seed) for name in rivals)
        if TUNED in read
        else (),
        verdict=decide(contenders, scores, shape.kind) if is_compared else None,
        confusion=confusion(shape, expected, read[TUNED]) if TUNED in read else None,
        best_rows=best,
        worst_rows=worst,
    )


def _read(shape: Shape, name: str, said: Sequence[str]) -> list[str]:
    read = shape.generous if name in PROMPTED else shape.exact
    return [read(answer) for answer in said]


def _contender(
    name: str,
    shape: Shape,
    expected: Sequence[str],
    read: Sequence[str],
    scores: Sequence[float],
    answers: Answers,
    seed: int,
) -> Contender:
    shots = answers.examples_in_prompt
    titles = {
        "majority": "the most frequent answer",
        "similar": "a word count" if shape.kind is OutputShape.LABELS else "the most similar example",
        "base": "the base with the plain prompt",
        "base_examples": f"the base with {shots} example{'s' * (shots != 1)} in the prompt",
        TUNED: "the tuned model",
        RECORDED: answers.recorded_title,
    }
    shown = shots if name == "base_examples" else None
    return Contender(name, titles[name], figures(shape, expected, read, scores, seed), shown)


def _shown(
    rows: Sequence[TuningExample], given: Mapping[str, Sequence[str]], scores: Mapping[str, Sequence[float]]
) -> tuple[tuple[ScoredRow, ...], tuple[ScoredRow, ...]]:
    """Return rows in which tuning gained most and those that it has most wrong; none without a tuned model."""
    if TUNED not in scores:
        return (), ()
    own = scores[TUNED]
    others = [max((scores[name][at] for name in scores if name != TUNED), default=0.0) for at in range(len(rows))]
    gained = sorted((at for at in range(len(rows)) if own[at] > 0), key=lambda at: (others[at] - own[at], at))
    missed = sorted((at for at in range(len(rows)) if own[at] < 1), key=lambda at: (own[at] - others[at], own[at], at))

    def scored(at: int) -> ScoredRow:
        said = {name: answers[at] for name, answers in given.items()}
        return ScoredRow(at + 1, rows[at].text_input, rows[at].output, said, own[at])

    return tuple(map(scored, gained[:SHOWN_ROWS])), tuple(map(scored, missed[:SHOWN_ROWS]))
