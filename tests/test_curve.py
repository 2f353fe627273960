"""The loss curve as files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tunery.curve import JSON_FILE, SVG_FILE, CurveFacts, curve_facts, read_curve, write_curve
from tunery.types import DataFacts, EpochLoss, Hyperparameters, Phase, TuningSnapshot, TuningTask

SNAPSHOTS = tuple(
    TuningSnapshot(step, step // 4, 2 / step, datetime(2026, 1, 1, second=step, tzinfo=UTC)) for step in range(1, 13)
)
EPOCHS = (EpochLoss(1, 1.0, 1.1), EpochLoss(2, 0.4, 0.6), EpochLoss(3, 0.2, 0.7))


def test_curve_comes_back_as_it_was(tmp_path: Path) -> None:
    """Steps, losses and times are read back as written."""
    write_curve(tmp_path, SNAPSHOTS, EPOCHS)

    assert read_curve(tmp_path) == (SNAPSHOTS, EPOCHS)


def test_folder_without_curve_has_an_empty_one(tmp_path: Path) -> None:
    """No files are written for an empty curve, and none are needed to read one."""
    write_curve(tmp_path, (), ())

    assert list(tmp_path.iterdir()) == []
    assert read_curve(tmp_path) == ((), ())


def test_the_curve_is_written_as_data_and_as_a_chart(tmp_path: Path) -> None:
    """A JSON file and an SVG file are written."""
    write_curve(tmp_path, SNAPSHOTS, EPOCHS)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([JSON_FILE, SVG_FILE])


def a_task(losses: list[float], steps: int, **changes: Any) -> TuningTask:
    """Return a task of 20 examples, five epochs of five steps, after a number of steps."""
    curve = tuple(TuningSnapshot(n, n // 5, 1.0, datetime(2026, 1, 1, tzinfo=UTC)) for n in range(1, steps + 1))
    epochs = tuple(EpochLoss(n, loss) for n, loss in enumerate(losses, 1))
    facts = DataFacts(20, "", "records")
    given: dict[str, Any] = {"completed_steps": steps, "snapshots": curve, "epoch_losses": epochs, **changes}
    return TuningTask("1", "m", Phase.RUNNING, Hyperparameters().resolve(), 0, facts, 0, 25, **given)


@pytest.mark.parametrize(
    ("steps", "losses", "expected"),
    [
        (1, [], CurveFacts("Loss is 1.00 at step 1.", None, None, 1)),
        (6, [2.0], CurveFacts("Loss was 2.00 over the first epoch.", None, None, 2)),
        (15, [3.0, 2.0, 1.0], CurveFacts("Loss fell from 3.00 to 1.00 over 3 epochs.", None, None, 3)),
        (
            20,
            [3.0, 1.0, 1.0, 1.0],
            CurveFacts("Loss fell from 3.00 to 1.00 over 4 epochs; flat after epoch 2.", None, 2, 4),
        ),
    ],
)
def test_facts_of_a_curve(steps: int, losses: list[float], expected: CurveFacts) -> None:
    """A sentence, the epoch to mark, where it is flat if that is before the end, and the epoch under way."""
    assert curve_facts(a_task(losses, steps)) == expected


def test_no_facts_before_the_first_step() -> None:
    """There is no curve yet."""
    assert curve_facts(a_task([], 0)) is None
