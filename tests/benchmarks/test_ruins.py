"""Tests of `benchmarks.ruins`: its runs, and what it makes of them, on a tiny base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import ruins
from tests.fakes import write_learnable_base
from tunery.engine.catalog import Catalog


def test_there_are_ten_of_each() -> None:
    """Rates up to 1e12 and shuffled outputs on one side; on the other also one output and one row many times."""
    assert [run.is_ruined for run in ruins.RUNS] == [True] * 10 + [False] * 10
    assert max(run.rate for run in ruins.RUNS) == 1e12
    assert sum(run.is_shuffled for run in ruins.RUNS if run.is_ruined) == 2
    assert [(bool(run.one_output), run.copies) for run in ruins.RUNS[-2:]] == [(True, 0), (False, 24)]


def test_a_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A rate of 1e12 ends with an error by its name, and the table says what is right."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(ruins, "RUNS", [ruins.Run("next-number", True, 1e12)])
    Catalog(tmp_path / "home").add(str(write_learnable_base(tmp_path / "base", max_position_embeddings=512)), "tiny")

    ruins.main(["--most-rows", "12", "--base-model", "tiny", "--out", str(tmp_path / "ruins.jsonl")])

    result = json.loads((tmp_path / "ruins.jsonl").read_text())
    assert (result["told"], result["by"]) == (True, "AnswersRuined")
    assert "1 of 1 are told rightly." in capsys.readouterr().out
