"""The loss curve drawn with characters."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tunery.cli import output
from tunery.types import EpochLoss, TuningSnapshot

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CURVE = [TuningSnapshot(step, step // 4, 4.0 / step, NOW) for step in range(1, 21)]
EPOCHS = [EpochLoss(epoch, 4.0 / epoch, 3.0 if epoch < 3 else None) for epoch in range(1, 6)]


@pytest.mark.parametrize("signs", [output.BRAILLE, output.ASCII])
@pytest.mark.parametrize("columns", [40, 79, 100])
def test_a_chart_fits_its_columns(signs: output.Signs, columns: int) -> None:
    """No line is longer than the given columns."""
    assert max(map(len, output.draw_chart(CURVE, EPOCHS, columns, signs=signs))) <= columns


def test_axes_have_names_and_numbers() -> None:
    """The highest loss and zero are at the left, the epochs below, a legend at the end."""
    lines = output.draw_chart(CURVE, EPOCHS, 79)

    assert lines[0].startswith("  4.00 ┤")
    assert lines[output.CHART_HEIGHT - 1].startswith("  0.00 ┤")
    assert lines[-2].split() == ["epoch", "1", "2", "3", "4", "5"]
    assert lines[-1].strip() == "⣀ loss per step   ● epoch mean   ○ held-out rows"


def test_marks_are_drawn() -> None:
    """Each epoch has a mark, and another if its held-out loss was measured."""
    drawing = "\n".join(output.draw_chart(CURVE, EPOCHS, 79)[:-1])

    assert drawing.count("●") == 5
    assert drawing.count("○") == 2


def test_ascii_is_ascii() -> None:
    """The ASCII chart uses only ASCII."""
    assert "\n".join(output.draw_chart(CURVE, EPOCHS, 79, signs=output.ASCII)).isascii()


def test_a_curve_without_an_epoch_counts_steps() -> None:
    """A job cancelled in its first epoch has an axis of steps."""
    lines = output.draw_chart(CURVE[:3], [], 79)

    assert lines[-2].split() == ["step", "3"]


def test_short_curves_can_be_drawn() -> None:
    """No snapshot gives no chart; one snapshot with a loss of zero does."""
    assert output.draw_chart([], [], 79) == []
    assert output.draw_chart([TuningSnapshot(1, 1, 0.0, NOW)], [EpochLoss(1, 0.0)], 79)


def test_many_epochs_are_numbered_as_far_as_they_fit() -> None:
    """Epoch numbers never overlap."""
    curve = [TuningSnapshot(step, step, 1.0, NOW) for step in range(1, 101)]
    epochs = [EpochLoss(epoch, 1.0) for epoch in range(1, 101)]

    numbers = output.draw_chart(curve, epochs, 60)[-2].split()[1:]

    assert [int(number) for number in numbers] == sorted({int(number) for number in numbers})
    assert all(1 <= int(number) <= 100 for number in numbers)
