"""
Data surgery with a base: examines a dataset, with the tokens and the losses that only a base can tell.

Losses come from tunings without the row (cross-validation), or from a model that is there already, which has learned
its own rows by heart and doubts others only. What the findings are is decided in `data/surgery`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from tunery.data.cleaning import Finding, examine
from tunery.data.dataset import Dataset
from tunery.engine.cross_validation import DOUBTING, Repeated, cross_validated_losses
from tunery.engine.model import Model
from tunery.types import TuningExample

ROWS_AT_ONCE = 32  # between two reports of how far it is


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

    With `folds` the base is tuned so many times to find rows that are likely mislabelled; with `model` its own losses
    are taken instead; `learned` are rows that it was tuned on, `model.examples` if they are not given. `held_out` rows
    shall not be given away by the dataset. `on_rows` hears of how many rows the model has read, and of how many.
    """
    examples = (dataset if isinstance(dataset, Dataset) else Dataset.from_records(dataset)).examples
    losses: list[float] = []
    own: Collection[TuningExample] = ()
    if folds is not None:
        losses = cross_validated_losses(examples, folds, repeated=repeated or Repeated(hyperparameters=DOUBTING))
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
