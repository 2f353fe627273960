"""
Tuning several times on parts of a dataset, so that every row is evaluated, or its loss measured, by a model that has
not seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random

from tunery import config
from tunery.data.cleaning import Finding, examine
from tunery.data.dataset import Dataset, as_dataset, hold_out
from tunery.data.outputs import OutputContract
from tunery.data.settings import differences, other_settings
from tunery.engine.resident import ResidentAnswering, kept_as, resident_base
from tunery.errors import InvalidArgument
from tunery.evaluation.contest import (
    MAX_ROWS,
    OnAnswered,
    TuneFold,
    cross_validated,
    output_limit,
    read_answers,
    sampled,
    split,
)
from tunery.evaluation.report import Evaluation
from tunery.evaluation.scores import METRICS, Scoring, row_scores
from tunery.evaluation.verdict import LEAST_CURVE_ROWS, Growth, Measured, grow
from tunery.model import Model, fitting, tune
from tunery.types import DEFAULT_BASE_MODEL, Hyperparameters, TuningExample, TuningSnapshot

MAX_FOLD_EPOCHS = 3  # a model that has memorized its rows is overconfident, even about rows it has not seen

OnStep = Callable[[int, TuningSnapshot], None]  # the number of the tuning run, from 1, and one of its steps


@dataclass(frozen=True, slots=True)
class Repeated:
    """How each of several tunings is done, and whether its model answers with a label where the outputs are labels."""

    base_model: str = DEFAULT_BASE_MODEL
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    seed: int = 0
    on_step: OnStep = lambda _number, _snapshot: None
    constrains_outputs: bool = True

    def capped(self, max_epochs: int) -> Repeated:
        """Return the same with at most `max_epochs` epochs."""
        settings = self.hyperparameters
        return replace(self, hyperparameters=replace(settings, epoch_count=min(settings.epoch_count, max_epochs)))

    def tune(self, examples: Sequence[TuningExample], number: int = 1) -> Model:
        """Tune on some of the rows; `number` is the number of the tuning run for `on_step`."""
        return tune(
            examples,
            base_model=self.base_model,
            hyperparameters=self.hyperparameters,
            seed=self.seed,
            on_step=lambda snapshot, _total: self.on_step(number, snapshot),
        )


def cross_validate(
    dataset: Dataset | Iterable[TuningExample],
    folds: int = 5,
    *,
    repeated: Repeated | None = None,
    compare_settings: str | None = None,
    on_answered: OnAnswered = lambda _done, _total: None,
) -> Evaluation:
    """
    Evaluate all rows of a dataset by tuning `folds` times, each time without the rows that are answered afterwards.

    With `compare_settings`, "auto" or "page", each fold is tuned a second time with these settings, right after the
    first. Raises InvalidArgument for fewer than 2 folds or more than there are
    different inputs, for settings that are those of `repeated`, and what `tune` raises.
    """
    how = repeated or Repeated()
    examples = fitting(dataset, how.base_model).examples
    other = None
    if compare_settings is not None:
        settings = other_settings(compare_settings, examples, how.hyperparameters)
        words = f"tuned with {differences(settings, how.hyperparameters)} ({compare_settings})"
        other = words, _each_fold(replace(how, hyperparameters=settings), lambda fold: 2 * fold)
    kept = resident_base(how.base_model, config.data_folder(), *kept_as(how.hyperparameters.weights))
    return cross_validated(
        examples,
        folds,
        ResidentAnswering(kept),
        _each_fold(how, (lambda fold: 2 * fold - 1) if other else (lambda fold: fold)),
        seed=how.seed,
        on_answered=on_answered,
        constrains_tuned=how.constrains_outputs,
        other=other,
    )


def _each_fold(how: Repeated, number_of: Callable[[int], int]) -> TuneFold:
    """Return what tunes on the rows of a fold; `number_of` a fold is the number of its tuning run."""

    @contextmanager
    def tuned(examples: Sequence[TuningExample], number: int) -> Iterator[ResidentAnswering]:
        model = how.tune(examples, number_of(number))
        yield model.answering()

    return tuned


def cross_validated_losses(
    dataset: Dataset | Iterable[TuningExample], folds: int = 5, *, repeated: Repeated | None = None
) -> list[float]:
    """
    Return for each example the loss of its whole output, in nats, under a model that was tuned without it.

    Each tuning runs for at most MAX_FOLD_EPOCHS epochs.
    """
    how = (repeated or Repeated()).capped(MAX_FOLD_EPOCHS)
    examples = fitting(dataset, how.base_model).examples
    losses = [0.0] * len(examples)
    for number, places in enumerate(split(examples, folds, how.seed)):
        inside = set(places)
        model = how.tune([row for place, row in enumerate(examples) if place not in inside], number + 1)
        for place, loss in zip(
            places, model.losses([examples[place] for place in places], are_whole=True), strict=True
        ):
            losses[place] = loss
    return losses


SHARES = (0.25, 0.5, 1.0)  # of the rows that are not held out
TESTED_SHARE = 0.3
REPEATS = 1


def data_curve(
    dataset: Dataset | Iterable[TuningExample],
    *,
    shares: Sequence[float] = SHARES,
    repeats: int = REPEATS,
    repeated: Repeated | None = None,
) -> Growth:
    """
    Return how the score grows with the number of rows, from `len(shares)` × `repeats` tuning runs.

    A larger part contains the rows of the smaller ones; each repeat draws different rows for tuning and testing.
    Raises InvalidArgument for fewer than LEAST_CURVE_ROWS rows, fewer than three shares, and what `tune` raises.
    """
    how = repeated or Repeated()
    rows = as_dataset(dataset)
    examples = rows.examples
    if len(examples) < LEAST_CURVE_ROWS:
        raise InvalidArgument(f"A data curve needs at least {LEAST_CURVE_ROWS} rows, not {len(examples)}.")
    fitting(rows, how.base_model)
    outputs = [example.output for example in examples]
    scoring, form = Scoring.of(outputs), OutputContract.learn(outputs).own_form()
    measured: list[Measured] = []
    for repeat in range(repeats):
        pool, test = hold_out(examples, TESTED_SHARE, how.seed + repeat)
        order = list(pool)
        Random(how.seed + repeat).shuffle(order)
        asked = [test[at] for at in sampled(len(test), MAX_ROWS, how.seed)]
        limit = output_limit(examples)
        for share in sorted(shares):
            part = order[: max(2, round(share * len(order)))]
            answering = how.tune(part, len(measured) + 1).answering()
            usable = [row for row in asked if answering.fits(row.text_input, limit)]
            if not usable:
                raise InvalidArgument(
                    "None of the rows can be tested: none fits the base's context window together with its answer."
                )
            said = read_answers(answering, [row.text_input for row in usable], limit, form)[0]
            scores = row_scores(scoring.kind, [row.output for row in usable], [scoring.read(answer) for answer in said])
            measured.append(Measured(len(part), sum(scores) / len(scores), len(scores)))
    return grow(measured, METRICS[scoring.kind], seed=how.seed)


ROWS_AT_ONCE = 32  # between two calls of `on_rows`


def surgery(
    dataset: Dataset | Iterable[TuningExample],
    *,
    folds: int | None = None,
    model: Model | None = None,
    held_out: Sequence[TuningExample] = (),
    repeated: Repeated | None = None,
    token_counts: Sequence[int] = (),
    window_tokens: int | None = None,
    learned: Collection[TuningExample] | None = None,
    on_rows: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Finding]:
    """
    Return the doubtful rows of a dataset, by their place from 0.

    With `folds` the base is tuned that many times, for at most MAX_FOLD_EPOCHS epochs, to find rows that are likely
    mislabelled; with `model` its own losses are used instead, and `learned` are rows that it was tuned on
    (`model.examples` by default). Rows that repeat one of `held_out` are reported. `on_rows` gets the number of rows
    the model has read, and the total.
    """
    rows = as_dataset(dataset)
    examples = rows.examples
    losses: list[float] = []
    own: Collection[TuningExample] = ()
    if folds is not None:
        losses = cross_validated_losses(rows, folds, repeated=repeated)
    elif model is not None:
        own = model.examples if learned is None else learned
        losses = _losses(model, examples, on_rows)
    return examine(
        examples,
        held_out=held_out,
        token_counts=token_counts,
        window_tokens=window_tokens,
        losses=losses,
        learned=own,
    )


def _losses(model: Model, examples: Sequence[TuningExample], on_rows: Callable[[int, int], None]) -> list[float]:
    losses: list[float] = []
    while len(losses) < len(examples):
        losses += model.losses(examples[len(losses) :][:ROWS_AT_ONCE], are_whole=True)
        on_rows(len(losses), len(examples))
    return losses
