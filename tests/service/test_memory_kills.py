"""The kernel's count of processes that it killed for memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunery.service import process as module
from tunery.service.process import memory_kills


def test_the_count_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number behind `oom_kill` counts, not those of other lines."""
    (tmp_path / "vmstat").write_text("pgfault 7\noom_kill 3\noom_killer 9\n")
    monkeypatch.setattr(module, "_COUNTS", tmp_path / "vmstat")

    assert memory_kills() == 3


def test_a_system_that_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the file, no kill is ever seen."""
    monkeypatch.setattr(module, "_COUNTS", tmp_path / "nothing")

    assert memory_kills() == 0
