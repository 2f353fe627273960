"""
Compares the scores of the candidates and gives a verdict in one sentence.

The verdict is careful. For "helped", the whole interval of the difference to every baseline has to be above 0; for "no
better", a relevant gain has to be ruled out; otherwise there are too few rows to tell. A learning curve, the score by
number of training rows, estimates how much more rows would help: the error is modelled as `floor + scale ×
rows^-power`,
with intervals from refits to scores redrawn within their uncertainty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunery.errors import InvalidArgument
from tunery.evaluation.calibration import calibrate
from tunery.evaluation.report import (
    Candidate,
    Comparison,
    Evaluation,
    Interval,
    Relation,
    ScoredRow,
    ScoringKind,
    Verdict,
    VerdictKind,
)
from tunery.evaluation.scores import (
    METRICS,
    TITLES,
    Scoring,
    bootstrap_mean,
    bootstrap_p_value,
    confusion,
    figures,
    mcnemar,
    paired_shares,
    row_scores,
)
from tunery.types import TuningExample

LEAST_ROWS = 20  # with fewer, one row is worth more than five points
SHOWN_ROWS = 5
KEPT_ROWS = 100  # of which every answer is kept, for the table of held-out rows
TUNED, RECORDED = "tuned", "recorded"
OTHER = "other_settings"  # tuned on the same rows as the tuned model, with other settings
SIMPLE = ("majority", "similar", "states")
PROMPTED = ("base", "base_examples")
_MATTERS = 0.05  # a smaller gain is hardly worth a tuned model
_MATTERS_IF_BEHIND = 0.10  # the gain to rule out if no gain was measured


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to each row by candidate name, and what their titles need."""

    by_candidate: Mapping[str, Sequence[str]]
    examples_in_prompt: int = 0
    chances: Sequence[Mapping[str, float]] = ()  # the tuned model's probability of each label, for each row
    recorded_title: str = "recorded answers"
    other_title: str = ""
    limited: frozenset[str] = frozenset()  # the candidates that could answer with one of the labels only


def judge(
    rows: Sequence[TuningExample], answers: Answers, tuned_on: Sequence[TuningExample] = (), *, seed: int = 0
) -> Evaluation:
    """
    Return the evaluation of one or more rows; the outputs of `tuned_on` help to recognize the kind of outputs.

    Answers of a base that was only prompted are read leniently, all others exactly (`Scoring.read`).
    """
    expected = [row.output.strip() for row in rows]
    scoring = Scoring.of([*(example.output for example in tuned_on), *expected])
    read = {
        name: [scoring.read(answer, is_lenient=name in PROMPTED) for answer in given]
        for name, given in answers.by_candidate.items()
    }
    scores = {name: row_scores(scoring.kind, expected, given) for name, given in read.items()}
    candidates = tuple(
        Candidate(
            name,
            _title(name, scoring.kind, answers),
            figures(scoring.kind, expected, given, scores[name], seed),
            answers.examples_in_prompt if name == "base_examples" else None,
            name in answers.limited,
        )
        for name, given in read.items()
    )
    found = Evaluation(len(rows), scoring.kind, METRICS[scoring.kind], candidates)
    return _with_tuned(found, rows, answers, read, scores, seed) if TUNED in read else found


def compare(
    kind: ScoringKind, against: str, ours: Sequence[float], theirs: Sequence[float], seed: int = 0
) -> Comparison:
    """Return how the scores `ours` compare with those of the candidate `against` on the same rows."""
    differences = [own - other for own, other in zip(ours, theirs, strict=True)]
    mean = sum(differences) / len(differences)
    if kind in (ScoringKind.LABELS, ScoringKind.SHORT_TEXT):
        wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
        interval, p_value = paired_shares(wins, losses, len(differences)), mcnemar(wins, losses)
    else:
        interval, p_value = bootstrap_mean(differences, seed), bootstrap_p_value(differences, seed)
    return Comparison(against, mean, interval, p_value, _relation(mean, interval))


def decide(candidates: Sequence[Candidate], scores: Mapping[str, Sequence[float]], kind: ScoringKind) -> Verdict:
    """Return the verdict on the tuned model; at least one candidate of SIMPLE and PROMPTED is needed."""
    rivals = _Rivals({candidate.name: candidate for candidate in candidates}, scores, kind)
    rows = len(scores[TUNED])
    if rows < LEAST_ROWS:
        return _too_few(f"{rows} row{'s' * (rows != 1)}; a verdict needs at least {LEAST_ROWS}")
    if not any(scores[TUNED]):
        return Verdict(VerdictKind.NO_BETTER, rivals.nothing_right())
    best = (rivals.best(SIMPLE), rivals.best(PROMPTED))
    as_good = [name for name in best if name and rivals.relation(name) is Relation.NOT_BETTER]
    if len(as_good) == 2 and rivals.relation(as_good[0], ours=as_good[1]) is Relation.BETTER:
        del as_good[0]  # the prompt is clearly ahead of the simple baseline
    if as_good and as_good[0] in SIMPLE:
        return Verdict(VerdictKind.NO_BETTER, f"No better than a simple baseline: {rivals.facts(as_good[0])}.")
    if as_good:
        return Verdict(VerdictKind.PROMPT_ENOUGH, f"A prompt is enough: {rivals.facts(as_good[0])}.")
    closest = rivals.closest()
    if rivals.relation(closest) is Relation.BETTER:
        return Verdict(VerdictKind.HELPED, f"Tuning helped: {rivals.facts(closest)}.")
    return _too_few(rivals.facts(closest) + rivals.rows_needed(closest))


def points(difference: float) -> str:
    """Return a difference of scores in points, with its sign: +31, −2, 0."""
    rounded = round(100 * difference)
    return f"{rounded:+d}".replace("-", "−") if rounded else "0"


@dataclass(frozen=True, slots=True)
class _Rivals:
    """The candidates that the tuned model is compared with, and the tuned model."""

    candidates: Mapping[str, Candidate]
    scores: Mapping[str, Sequence[float]]
    kind: ScoringKind

    def best(self, names: Sequence[str]) -> str | None:
        present = [name for name in names if name in self.candidates]
        return max(present, key=lambda name: self.candidates[name].score, default=None)

    def comparison(self, name: str, ours: str = TUNED) -> Comparison:
        return compare(self.kind, name, self.scores[ours], self.scores[name])

    def relation(self, name: str, ours: str = TUNED) -> Relation:
        return self.comparison(name, ours).relation

    def closest(self) -> str:
        """Return the rival over which the lead is least certain."""
        present = [name for name in (*SIMPLE, *PROMPTED) if name in self.candidates]
        return min(present, key=lambda name: self.comparison(name).interval.low)

    def rows_needed(self, name: str) -> str:
        found = self.comparison(name)
        times = (found.interval.high - found.interval.low) / 2 / max(abs(found.difference), _MATTERS)
        return f"; about {max(2, round(times * times))} times as many rows would settle it" if times < 10 else ""

    def nothing_right(self) -> str:
        metric = TITLES[self.candidates[TUNED].figures[0].metric]
        return (
            f"Tuning did not help: {metric} 0% on {len(self.scores[TUNED])} rows. If the answers are facts that their "
            "inputs do not contain, no number of examples will teach them."
        )

    def facts(self, name: str) -> str:
        ours, theirs, found = self.candidates[TUNED], self.candidates[name], self.comparison(name)
        low, high = points(found.interval.low), points(found.interval.high)
        return (
            f"{TITLES[ours.figures[0].metric]} {ours.score:.0%} on {len(self.scores[TUNED])} rows, "
            f"against {theirs.score:.0%} for {theirs.title} ({points(found.difference)} points, {low} to {high})"
        )


def _with_reading(verdict: Verdict, limited: frozenset[str]) -> Verdict:
    """Return the verdict with how the models answered, where that was not freely."""
    if not limited:
        return verdict
    how = (
        "Base and tuned model chose among the labels."
        if TUNED in limited
        else "The base chose among the labels; the tuned model answered freely, as it is served."
    )
    return replace(verdict, text=f"{verdict.text} {how}")


def _with_other_settings(verdict: Verdict, candidates: Sequence[Candidate], found: Sequence[Comparison]) -> Verdict:
    """Return the verdict with how the same rows went with other settings, if that was tried."""
    other = next((one for one in candidates if one.name == OTHER), None)
    if other is None:
        return verdict
    ours = next(one for one in found if one.against == OTHER)
    low, high = points(ours.interval.low), points(ours.interval.high)
    if ours.interval.low > 0:
        what = "The settings of the model are better than the others"
    elif ours.interval.high < 0:
        what = "The other settings are better than those of the model"
    else:
        what = "These rows do not tell which settings are better"
    figures = (
        f": {other.score:.0%} if {other.title}, so {points(ours.difference)} points for the model, {low} to {high}"
    )
    return replace(verdict, text=f"{verdict.text} {what}{figures}.")


def _too_few(why: str) -> Verdict:
    return Verdict(VerdictKind.TOO_FEW_ROWS, f"Too few rows to tell: {why}.")


def _relation(difference: float, interval: Interval) -> Relation:
    if interval.low > 0:
        return Relation.BETTER
    if interval.high < _MATTERS or (difference <= 0 and interval.high <= _MATTERS_IF_BEHIND):
        return Relation.NOT_BETTER
    return Relation.UNCLEAR


def _title(name: str, kind: ScoringKind, answers: Answers) -> str:
    shots = answers.examples_in_prompt
    titles = {
        "majority": "the most frequent answer",
        "similar": "a word-based classifier" if kind is ScoringKind.LABELS else "the most similar example",
        "states": "a state-based classifier",
        "base": "the base model",
        "base_examples": f"the base model with {shots} example{'s' * (shots != 1)}",
        TUNED: "the tuned model",
        RECORDED: answers.recorded_title,
        OTHER: answers.other_title,
    }
    return titles[name]


def _with_tuned(
    found: Evaluation,
    rows: Sequence[TuningExample],
    answers: Answers,
    read: Mapping[str, Sequence[str]],
    scores: Mapping[str, Sequence[float]],
    seed: int,
) -> Evaluation:
    """Return an evaluation with everything that depends on the tuned model."""
    rivals = [name for name in scores if name != TUNED]
    is_compared = any(name in (*SIMPLE, *PROMPTED) for name in rivals)
    expected = [row.output.strip() for row in rows]
    best, worst, answered = _shown(rows, answers.by_candidate, scores)
    comparisons = tuple(compare(found.shape, name, scores[TUNED], scores[name], seed) for name in rivals)
    verdict = None
    if is_compared:
        verdict = _with_reading(decide(found.contenders, scores, found.shape), answers.limited)
        verdict = _with_other_settings(verdict, found.contenders, comparisons)
    return replace(
        found,
        comparisons=comparisons,
        verdict=verdict,
        confusion=confusion(found.shape, expected, read[TUNED]),
        calibration=calibrate(expected, answers.chances) if answers.chances else None,
        best_rows=best,
        worst_rows=worst,
        answered_rows=answered,
    )


def _shown(
    rows: Sequence[TuningExample], given: Mapping[str, Sequence[str]], scores: Mapping[str, Sequence[float]]
) -> tuple[tuple[ScoredRow, ...], ...]:
    """Return the rows where tuning helped most, those where the model is most wrong, and the first ones."""
    own = scores[TUNED]
    others = [
        max((scores[name][at] for name in scores if name not in (TUNED, OTHER)), default=0.0) for at in range(len(rows))
    ]
    gained = sorted((at for at in range(len(rows)) if own[at] > 0), key=lambda at: (others[at] - own[at], at))
    missed = sorted((at for at in range(len(rows)) if own[at] < 1), key=lambda at: (own[at] - others[at], own[at], at))

    def scored(at: int, names: Sequence[str] = tuple(given)) -> ScoredRow:
        said = {name: given[name][at] for name in names if name in given}
        return ScoredRow(at + 1, rows[at].text_input, rows[at].output, said, own[at])

    first = (scored(at, ("base", TUNED)) for at in range(min(len(rows), KEPT_ROWS)))
    return tuple(map(scored, gained[:SHOWN_ROWS])), tuple(map(scored, missed[:SHOWN_ROWS])), tuple(first)


LEAST_SIZES = 3
LEAST_CURVE_ROWS = 40  # with this many rows, the smallest part has 7 rows and the test 12
REFITS = 300
_POWERS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)  # the range in the literature: 0.1 to 1
_FLOORS = tuple(share / 20 for share in range(20))  # as a share of the smallest error that was measured


@dataclass(frozen=True, slots=True)
class Measured:
    """The score, 0 to 1, of a model tuned on `rows` rows and tested on `tested` others."""

    rows: int
    score: float
    tested: int


@dataclass(frozen=True, slots=True)
class Promise:
    """The expected score with more rows, and the gain over the largest measured size."""

    rows: int
    score: float
    gain: float
    interval: Interval  # of the gain
    text: str


@dataclass(frozen=True, slots=True)
class Growth:
    """The measured sizes, and the promises for 50 more rows, and for twice and four times as many."""

    measured: tuple[Measured, ...]
    metric: str
    promises: tuple[Promise, ...]
    advice: str


def grow(measured: Sequence[Measured], metric: str, *, seed: int = 0) -> Growth:
    """Return the fitted curve; raises InvalidArgument for fewer than LEAST_SIZES different sizes."""
    if len({one.rows for one in measured}) < LEAST_SIZES:
        raise InvalidArgument(f"A data curve needs at least {LEAST_SIZES} different sizes.")
    ordered = sorted(measured, key=lambda one: one.rows)
    rows = ordered[-1].rows
    targets = (rows + 50, 2 * rows, 4 * rows)
    sizes = [rows, *targets]
    curve = _predicted(ordered, [1 - one.score for one in ordered], sizes)
    drawn = [_predicted(ordered, errors, sizes) for errors in _redrawn(ordered, seed)]
    promises = tuple(_promise(at, rows, sizes, curve, drawn) for at in range(1, len(sizes)))
    return Growth(tuple(ordered), metric, promises, _advice(promises[0], promises[1]))


def _promise(at: int, rows: int, sizes: Sequence[int], curve: Any, drawn: Sequence[Any]) -> Promise:
    import numpy as np

    gain = float(curve[0] - curve[at])
    low, high = np.quantile([errors[0] - errors[at] for errors in drawn], [0.025, 0.975])
    more = sizes[at] - rows
    text = f"{more} more rows: about {points(gain)} points ({points(low)} to {points(high)})"
    return Promise(sizes[at], float(1 - curve[at]), gain, Interval(float(low), float(high)), text)


def _advice(soon: Promise, doubled: Promise) -> str:
    if doubled.interval.high < 0.03:
        return "More rows of this kind will hardly help. Better rows or a different task description may."
    if soon.interval.low > 0.01:
        return "More rows will help."
    return "More rows may help; the ranges are too wide to tell."


def _predicted(measured: Sequence[Measured], errors: Sequence[float], sizes: Sequence[int]) -> Any:
    """Return the error at each size on the best-fitting curve: least squares, weighted by tested rows."""
    import numpy as np

    rows = np.array([one.rows for one in measured], dtype=float)
    error, weight = np.array(errors), np.array([one.tested for one in measured], dtype=float)
    best, found = np.inf, np.full(len(sizes), error.mean())
    for floor in {share * max(error.min(), 0.0) for share in _FLOORS}:
        for power in _POWERS:
            falling = rows**-power
            scale = max(0.0, float((weight * falling * (error - floor)).sum() / (weight * falling**2).sum()))
            distance = float((weight * (error - floor - scale * falling) ** 2).sum())
            if distance < best:
                best, found = distance, floor + scale * np.array(sizes, dtype=float) ** -power
    return found.clip(0, 1)


def _redrawn(measured: Sequence[Measured], seed: int) -> list[list[float]]:
    """Return REFITS sets of errors that would be consistent with the tested rows."""
    import numpy as np

    random = np.random.default_rng(seed)
    # add half a success and half a failure, so that a score of 0 or 1 is not taken as certain
    shares = [(one.score * one.tested + 0.5, (1 - one.score) * one.tested + 0.5) for one in measured]
    return [[1 - float(random.beta(right, wrong)) for right, wrong in shares] for _ in range(REFITS)]
