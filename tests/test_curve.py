"""The loss curve as files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tunery.curve import JSON_FILE, SVG_FILE, read_curve, write_curve
from tunery.types import EpochLoss, TuningSnapshot

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
