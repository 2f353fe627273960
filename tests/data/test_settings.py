"""Settings that fit the data: few rows of labels get more steps and a loss of labels, everything else the defaults."""

from __future__ import annotations

import pytest

from tunery.data.settings import FEW_ROWS, fitting, settings_for
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
    assert found.reason == (
        f"Auto chose {epochs} epochs and a loss of labels of 0.5, {found.hyperparameters.total_steps(count)} steps in"
        f" all, since {count} rows of 4 labels are few."
    )
    assert (found.page, found.differs) == (Hyperparameters(), True)
    assert found.times_the_steps(count) == pytest.approx(epochs / 5, rel=0.02)


def test_what_is_named_stays() -> None:
    """
    Epochs, batch size, rate and loss of the caller; the epochs follow from a batch size that is named, and the reason
    speaks only of what was chosen.
    """
    named = fitting(rows(20), {"epoch_count": 2, "learning_rate": 0.01})
    small = fitting(rows(20), {"batch_size": 1}).hyperparameters
    plain = fitting(rows(20), {"label_share": 0.0})
    whole = fitting(rows(20), {"epoch_count": 2, "label_share": 0.3})

    assert named.hyperparameters == Hyperparameters(2, 4, 0.01, label_share=0.5)
    assert named.reason.startswith("Auto chose a loss of labels of 0.5, 10 steps in all, since ")
    assert small == Hyperparameters(5, 1, label_share=0.5)
    assert plain.hyperparameters == Hyperparameters(20)
    assert (whole.hyperparameters, whole.differs) == (Hyperparameters(2, label_share=0.3), False)
    assert whole.reason == "Auto chose nothing, since all that it chooses was named."
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
    """Many rows, free text, a single label, many labels, too few rows to tell: nothing is chosen, which is said."""
    found = fitting(examples, {})

    assert (found.hyperparameters, found.differs) == (Hyperparameters(), False)
    assert found.reason.startswith("Auto chose nothing of its own, since these are not 2 to 20 labels")


def test_the_kind_of_settings() -> None:
    """The page's settings need no reason, `auto` gives one, and other words are refused."""
    assert settings_for("page", rows(20), {"epoch_count": 3}) == (Hyperparameters(3), "")
    assert settings_for("auto", rows(20), {})[1].startswith("Auto chose 20 epochs")
    with pytest.raises(InvalidArgument, match="settings must be auto or page, not 'best'"):
        settings_for("best", rows(20), {})
