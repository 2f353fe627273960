"""Tests of the checkpoints of `engine.tuner`: one whole file, or the one before."""

from __future__ import annotations

import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from tunery.engine import tuner
from tunery.engine.tuner import FILE, Checkpoint, read_checkpoint, write_checkpoint
from tunery.errors import FailedPrecondition, OtherCheckpoint
from tunery.types import EpochLoss, TuningSnapshot


def checkpoint(step: int = 3, size: int = 7) -> Checkpoint:
    values = torch.arange(size, dtype=torch.float32)
    time = datetime(2026, 1, 1, 12, 30, 5, 123456, tzinfo=UTC)
    snapshots = tuple(TuningSnapshot(index, 0, 0.1 * index, time) for index in range(1, step + 1))
    return Checkpoint("mark", step, 2, snapshots, (EpochLoss(1, 0.2, None),), values, values + 1, values + 2)


def test_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    """Numbers to the last bit, the curve with its times."""
    write_checkpoint(tmp_path, checkpoint())

    again = read_checkpoint(tmp_path, "mark")

    assert again is not None
    wanted = checkpoint()
    assert (again.step, again.micro_batch_size, again.snapshots, again.epoch_losses) == (
        wanted.step,
        wanted.micro_batch_size,
        wanted.snapshots,
        wanted.epoch_losses,
    )
    for name in ("flat", "first_moment", "second_moment"):
        assert torch.equal(getattr(again, name), getattr(wanted, name))


def test_folder_without_checkpoint_has_none(tmp_path: Path) -> None:
    """A first start needs nothing."""
    assert read_checkpoint(tmp_path / "new", "mark") is None


def test_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    """The folder is named, and the file stays."""
    write_checkpoint(tmp_path, checkpoint())

    with pytest.raises(FailedPrecondition, match=str(tmp_path)):
        read_checkpoint(tmp_path, "other")

    assert (tmp_path / FILE).exists()


def test_checkpoint_of_another_engine_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers are rounded differently: the bytes would be those of neither engine."""
    write_checkpoint(tmp_path, checkpoint())
    monkeypatch.setattr(tuner, "ENGINE", tuner.ENGINE + 1)

    with pytest.raises(OtherCheckpoint, match="an earlier engine, which rounds differently") as refused:
        read_checkpoint(tmp_path, "mark")

    assert str(tmp_path) not in refused.value.said


def test_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    """A write that finds no space raises OSError, leaves no part of a file, and the old checkpoint is whole."""
    write_checkpoint(tmp_path, checkpoint(step=3))
    code = (
        "import signal, sys; from pathlib import Path; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from tests.engine.test_checkpoint import checkpoint;"
        "from tunery.engine.tuner import write_checkpoint\n"
        "try: write_checkpoint(Path(sys.argv[1]), checkpoint(step=4, size=100_000))\n"
        "except OSError: sys.exit(7)"
    )

    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert child.returncode == 7
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    kept = read_checkpoint(tmp_path, "mark")
    assert kept is not None
    assert kept.step == 3
