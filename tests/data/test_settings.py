"""Settings that fit the data: few rows of labels get more steps and a loss of labels, everything else the defaults."""

from __future__ import annotations

import pytest

from tunery.data.settings import FEW_ROWS, fitting
from tunery.errors import InvalidArgument
from tunery.types import Hyperparameters, TuningExample


def rows(count: int, output: str = "label {}", kinds: int = 4) -> list[TuningExample]:
    return [TuningExample(f"row {n}", output.format(n % kinds)) for n in range(count)]


@pytest.mark.parametrize(("count", "epochs"), [(20, 20), (30, 14), (49, 9)])
def test_few_rows_of_labels_get_a_hundred_steps(count: int, epochs: int) -> None:
    """As many epochs as that takes, and a loss of labels; the reason names rows, labels and steps."""
    found = fitting(rows(count), {})

    assert found.hyperparameters == Hyperparameters(epoch_count=epochs, label_share=0.5)
    assert found.hyperparameters.total_steps(count) >= 100
    assert f"{count} rows of 4 labels" in found.reason


def test_what_is_named_stays() -> None:
    """Epochs, batch size and rate of the caller; the epochs follow from a batch size that is named."""
    named = fitting(rows(20), {"epoch_count": 2, "learning_rate": 0.01}).hyperparameters
    small = fitting(rows(20), {"batch_size": 1}).hyperparameters

    assert named == Hyperparameters(2, 4, 0.01, label_share=0.5)
    assert small == Hyperparameters(5, 1, label_share=0.5)
    with pytest.raises(InvalidArgument):
        fitting(rows(20), {"epoch_count": 0})


@pytest.mark.parametrize(
    "examples",
    [
        rows(FEW_ROWS),
        rows(20, "a text of its own {}", kinds=20),
        rows(40, kinds=1),
        rows(49, kinds=24),
        rows(4),
    ],
)
def test_other_rows_get_the_defaults_of_the_api(examples: list[TuningExample]) -> None:
    """Many rows, free text, a single label, many labels, too few rows to tell: nothing is chosen, nothing explained."""
    found = fitting(examples, {})

    assert (found.hyperparameters, found.reason) == (Hyperparameters(), "")
