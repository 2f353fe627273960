"""
Settings that fit the data: how many epochs and which loss, by number of rows and kind of output.

The defaults of the API are those of the page "Intro to model tuning" whatever the data; these are for callers who name
none. Chosen by measurement: docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunery.data.outputs import OutputKind, output_kind
from tunery.types import Hyperparameters, TuningExample

FEW_ROWS = 50  # nothing but the page's defaults was measured from here on
LEAST_STEPS = 100  # OpenAI's automatic settings make about as many
LABEL_SHARE = 0.5  # measured: docs/experiments.md, "Twenty rows"
MAX_LABELS = 20  # each label is read with each row


@dataclass(frozen=True, slots=True)
class FittingSettings:
    """Settings for some rows, and in a few words why; no words where they are the page's defaults."""

    hyperparameters: Hyperparameters
    reason: str = ""


def fitting(examples: Sequence[TuningExample], given: Mapping[str, Any]) -> FittingSettings:
    """
    Return the settings that fit these rows: more steps and a loss of their own for few rows of labels.

    What is `given`, by the names of `Hyperparameters`, stays as it is.
    """
    named, outputs = Hyperparameters(**given), [example.output for example in examples]
    rows, labels = len(outputs), len(set(outputs))
    if rows >= FEW_ROWS or not 2 <= labels <= MAX_LABELS or output_kind(outputs) is not OutputKind.LABELS:
        return FittingSettings(named)
    epochs = max(named.epoch_count, -(-LEAST_STEPS * named.batch_size // rows))
    chosen = replace(named, label_share=LABEL_SHARE, epoch_count=given.get("epoch_count", epochs))
    steps = chosen.total_steps(rows)
    return FittingSettings(chosen, f"{steps} steps with a loss of labels, since {rows} rows of {labels} labels are few")
