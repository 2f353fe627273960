"""
Tuning several times on parts of a dataset: every row is evaluated, or its loss measured, by a model without it.

Works in this process with the base that `tune` keeps in memory. What is done with answers and losses is decided in
`evaluation/` and by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tunery import config
from tunery.data.dataset import Dataset
from tunery.engine.evaluation.contest import Told
from tunery.engine.evaluation.folds import cross_validated, split
from tunery.engine.evaluation.report import Evaluation
from tunery.engine.evaluation.residents import ResidentAnswering
from tunery.engine.model import Model, tune
from tunery.engine.resident import resident_base
from tunery.types import DEFAULT_BASE_MODEL, Hyperparameters, TuningExample, TuningSnapshot

# Three passes: a model that has learned its rows by heart is too sure of everything, also of what it has not seen
DOUBTING = Hyperparameters(epoch_count=3)

OnStep = Callable[[int, TuningSnapshot], None]  # the number of the tuning, from 1, and a step of it


@dataclass(frozen=True, slots=True)
class Repeated:
    """How each of several tunings is done."""

    base_model: str = DEFAULT_BASE_MODEL
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    seed: int = 0
    on_step: OnStep = lambda _number, _snapshot: None

    def tune(self, examples: Sequence[TuningExample], number: int = 1) -> Model:
        """Tune on some rows; `number` counts the tunings for `on_step`."""
        settings = self.hyperparameters
        return tune(
            examples,
            base_model=self.base_model,
            epoch_count=settings.epoch_count,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            learning_rate_multiplier=settings.learning_rate_multiplier,
            seed=self.seed,
            on_snapshot=lambda snapshot: self.on_step(number, snapshot),
        )


def cross_validate(
    dataset: Dataset | Iterable[TuningExample],
    folds: int = 5,
    *,
    repeated: Repeated | None = None,
    on_answered: Told = lambda _done, _total: None,
) -> Evaluation:
    """
    Evaluate all rows of a dataset by tuning `folds` times, each time without the rows that are then answered.

    Raises InvalidArgument for fewer than 2 folds or more than there are different inputs, and what `tune` raises.
    """
    how = repeated or Repeated()
    base = ResidentAnswering(resident_base(how.base_model, config.data_folder()))

    @contextmanager
    def tuned(examples: Sequence[TuningExample], number: int) -> Iterator[ResidentAnswering]:
        model = how.tune(examples, number)
        yield model.answering()

    return cross_validated(_examples(dataset), folds, base, tuned, seed=how.seed, on_answered=on_answered)


def cross_validated_losses(
    dataset: Dataset | Iterable[TuningExample], folds: int = 5, *, repeated: Repeated | None = None
) -> list[float]:
    """Return for each example the loss of its whole output, in nats, under a model that was tuned without it."""
    how, examples = repeated or Repeated(), _examples(dataset)
    losses = [0.0] * len(examples)
    for number, places in enumerate(split(examples, folds, how.seed)):
        inside = set(places)
        model = how.tune([row for place, row in enumerate(examples) if place not in inside], number + 1)
        for place, loss in zip(
            places, model.losses([examples[place] for place in places], are_whole=True), strict=True
        ):
            losses[place] = loss
    return losses


def _examples(dataset: Dataset | Iterable[TuningExample]) -> tuple[TuningExample, ...]:
    return dataset.examples if isinstance(dataset, Dataset) else Dataset.from_records(dataset).examples
