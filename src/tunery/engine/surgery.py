"""
Data surgery with a base: examines a dataset, with the tokens and the losses that only a base can tell.

Losses come from tunings without the row (cross-validation), or from a model that is there already, which has learned
its own rows by heart and doubts others only. What the findings are is decided in `data/surgery`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunery.engine.cross_validation import DOUBTING, Repeated, cross_validated_losses
from tunery.engine.data.datasets import Dataset
from tunery.engine.data.surgery.examination import examine
from tunery.engine.data.surgery.findings import Finding
from tunery.engine.model import Model
from tunery.types import TuningExample


def surgery(
    dataset: Dataset | Iterable[TuningExample],
    *,
    folds: int | None = None,
    model: Model | None = None,
    held_out: Sequence[TuningExample] = (),
    repeated: Repeated | None = None,
    token_counts: Sequence[int] = (),
    window_tokens: int | None = None,
) -> list[Finding]:
    """
    Return the doubtful rows of a dataset, by their place from 0.

    With `folds` the base is tuned so many times to find rows that are likely mislabelled; with `model` its own losses
    are taken instead. `held_out` rows shall not be given away by the dataset.
    """
    examples = (dataset if isinstance(dataset, Dataset) else Dataset.from_records(dataset)).examples
    losses: list[float] = []
    if folds is not None:
        losses = cross_validated_losses(examples, folds, repeated=repeated or Repeated(hyperparameters=DOUBTING))
    elif model is not None:
        losses = model.losses(examples, are_whole=True)
    return examine(examples, held_out=held_out, token_counts=token_counts, window_tokens=window_tokens, losses=losses)
