"""Tests of `benchmarks.speed`: its smoke run on a tiny base, with real contenders; results are checked, not times."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import speed
from benchmarks.speed_workloads import WORKLOADS, examples
from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog


def test_contenders_agree_on_the_loss_of_each_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours and TRL + PEFT, each a process of its own, tune the same rows: losses within 2 %, a line and a row each."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    base = make_folder(tmp_path / "base", max_position_embeddings=1024)
    Catalog(tmp_path / "home").add(str(base), "tiny")
    peers = ["--peers", sys.executable, "--contenders", "tunery,TRL + PEFT float32"]
    size = ["--workloads", "W2", "--rows", "12", "--rounds", "1", "--base-model", "tiny"]

    speed.main([*size, *peers, "--out", str(tmp_path / "speed.jsonl")])

    ours, theirs = (json.loads(line) for line in (tmp_path / "speed.jsonl").read_text().splitlines())
    assert speed.largest_difference(ours["losses"], theirs["losses"]) <= 0.02
    assert len(ours["losses"]) == len(theirs["losses"]) == WORKLOADS["W2"].epoch_count
    assert ours["losses"][1] < ours["losses"][0]
    assert 0 < ours["rate_share"] < 1
    assert capsys.readouterr().out.count("| TRL + PEFT float32 |") == 1


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_each_workload_has_its_rows(name: str) -> None:
    """Every workload gives as many rows as it says, and the answers of W3 are long."""
    rows = examples(name, WORKLOADS[name].rows)

    assert len(rows) == WORKLOADS[name].rows
    assert (min(len(row.output.split()) for row in rows) > 60) == (name == "W3")
