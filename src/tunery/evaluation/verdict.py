"""
From scores on the same rows to comparisons and one sentence.

The sentence is careful: "helped" needs the whole interval of the difference to every other contender above 0; "no
better" needs that a gain which would matter can be ruled out; else the rows are too few to tell. Knows scores and
titles; nothing of texts or models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunery.data.outputs import OutputShape, Shape, shape_of
from tunery.evaluation.report import (
    Comparison,
    Contender,
    Evaluation,
    Interval,
    Relation,
    ScoredRow,
    Verdict,
    VerdictKind,
)
from tunery.evaluation.scores import (
    METRICS,
    TITLES,
    bootstrap_mean,
    bootstrap_p_value,
    confusion,
    figures,
    mcnemar,
    paired_shares,
    row_scores,
)
from tunery.types import TuningExample

LEAST_ROWS = 20  # below, one row is more than five points: no sentence about production can rest on that
_MATTERS = 0.05  # a gain below five points is hardly worth a model of one's own
_MATTERS_IF_BEHIND = 0.10  # and if no gain at all was seen, one of ten points must be ruled out

TUNED = "tuned"
SIMPLE = ("majority", "similar")
PROMPTED = ("base", "base_examples")


def compare(
    shape: OutputShape, against: str, ours: Sequence[float], theirs: Sequence[float], seed: int = 0
) -> Comparison:
    """Return how the tuned model stands to a contender whose rows have the scores `theirs`."""
    differences = [own - other for own, other in zip(ours, theirs, strict=True)]
    mean = sum(differences) / len(differences)
    if shape in (OutputShape.LABELS, OutputShape.SHORT_TEXT):
        wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
        interval, p_value = paired_shares(wins, losses, len(differences)), mcnemar(wins, losses)
    else:
        interval, p_value = bootstrap_mean(differences, seed), bootstrap_p_value(differences, seed)
    return Comparison(against, mean, interval, p_value, _relation(mean, interval))


def decide(contenders: Sequence[Contender], scores: Mapping[str, Sequence[float]], shape: OutputShape) -> Verdict:
    """Return the verdict on the contender `tuned`; at least one of SIMPLE and PROMPTED must be there."""
    field = _Field({contender.name: contender for contender in contenders}, scores, shape)
    rows = len(scores[TUNED])
    if rows < LEAST_ROWS:
        return field.too_few(f"{rows} row{'s' * (rows != 1)}; at least {LEAST_ROWS} are needed for a statement")
    prompt, simple = field.best(PROMPTED), field.best(SIMPLE)
    if prompt and field.is_not_better(prompt) and (not simple or field.is_ahead(prompt, simple)):
        return field.prompt_enough(prompt)
    if simple and field.is_not_better(simple):
        return field.no_better(simple)
    if prompt and field.is_not_better(prompt):
        return field.prompt_enough(prompt)
    nearest = field.nearest()
    if field.comparison(nearest).relation is Relation.BETTER:
        return field.helped(nearest)
    return field.unclear(nearest)


@dataclass(frozen=True, slots=True)
class _Field:
    """The contenders of one decision."""

    contenders: Mapping[str, Contender]
    scores: Mapping[str, Sequence[float]]
    shape: OutputShape

    def best(self, names: Sequence[str]) -> str | None:
        there = [name for name in names if name in self.contenders]
        return max(there, key=lambda name: self.contenders[name].score, default=None)

    def comparison(self, name: str, ours: str = TUNED) -> Comparison:
        return compare(self.shape, name, self.scores[ours], self.scores[name])

    def is_not_better(self, name: str) -> bool:
        return self.comparison(name).relation is Relation.NOT_BETTER

    def is_ahead(self, name: str, other: str) -> bool:
        return self.comparison(other, ours=name).relation is Relation.BETTER

    def nearest(self) -> str:
        """Return the rival over which the lead is least sure."""
        rivals = [name for name in (*SIMPLE, *PROMPTED) if name in self.contenders]
        return min(rivals, key=lambda name: self.comparison(name).interval.low)

    def helped(self, name: str) -> Verdict:
        return Verdict(VerdictKind.HELPED, f"Tuning helped: {self._facts(name)}.")

    def prompt_enough(self, name: str) -> Verdict:
        return Verdict(VerdictKind.PROMPT_ENOUGH, f"A prompt is enough: {self._facts(name)}.")

    def no_better(self, name: str) -> Verdict:
        return Verdict(VerdictKind.NO_BETTER, f"No better than the simplest baseline: {self._facts(name)}.")

    def unclear(self, name: str) -> Verdict:
        found = self.comparison(name)
        times = (found.interval.high - found.interval.low) / 2 / max(abs(found.difference), _MATTERS)
        more = f"; about {max(2, round(times * times))} times as many rows would tell" if times < 10 else ""
        return self.too_few(f"{self._facts(name)}{more}")

    def too_few(self, why: str) -> Verdict:
        return Verdict(VerdictKind.TOO_FEW_ROWS, f"Too few rows to tell: {why}.")

    def _facts(self, name: str) -> str:
        ours, theirs, found = self.contenders[TUNED], self.contenders[name], self.comparison(name)
        low, high = points(found.interval.low), points(found.interval.high)
        return (
            f"{TITLES[ours.figures[0].metric]} {ours.score:.0%} on {len(self.scores[TUNED])} rows, "
            f"{theirs.title} {theirs.score:.0%} ({points(found.difference)} points, {low} to {high})"
        )


def points(difference: float) -> str:
    """Return a difference of scores in points, with its sign: +31, −2, 0."""
    rounded = round(100 * difference)
    return f"{rounded:+d}".replace("-", "−") if rounded else "0"


def _relation(difference: float, interval: Interval) -> Relation:
    if interval.low > 0:
        return Relation.BETTER
    if interval.high < _MATTERS or (difference <= 0 and interval.high <= _MATTERS_IF_BEHIND):
        return Relation.NOT_BETTER
    return Relation.UNCLEAR


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
