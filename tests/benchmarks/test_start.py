"""Tests of `benchmarks.start`: the command line on a tiny base; no time is checked against a limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import start
from tests.fakes import write_learnable_base
from tunery.engine.catalog import Catalog


def test_waits_for_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first step lies between the start and the end of the command; the data folder stays as it was."""
    home = tmp_path / "home"
    monkeypatch.setenv("TUNERY_HOME", str(home))
    Catalog(home).add(str(write_learnable_base(tmp_path / "base", max_position_embeddings=1024)), "tiny")

    start.main(["--rounds", "1", "--base-model", "tiny", "--out", str(tmp_path / "start.jsonl")])

    result = json.loads((tmp_path / "start.jsonl").read_text())
    assert 0 < result["first_step_seconds"] < result["seconds"]
    assert "20 rows, one epoch" in capsys.readouterr().out
    assert [path.name for path in home.iterdir()] == ["bases"]
