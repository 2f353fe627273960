"""
From scores on the same rows to comparisons and one sentence.

The sentence is careful: "helped" needs the whole interval of the difference to every other contender above 0; "no
better" needs that a gain which would matter can be ruled out; else the rows are too few to tell. Knows scores and
titles; nothing of texts or models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunery.engine.evaluation.intervals import bootstrap_mean, bootstrap_p_value, mcnemar, paired_shares
from tunery.engine.evaluation.metrics import TITLES
from tunery.engine.evaluation.report import (
    Comparison,
    Contender,
    Interval,
    OutputShape,
    Relation,
    Verdict,
    VerdictKind,
)

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
