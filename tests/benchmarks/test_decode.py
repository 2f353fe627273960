"""Tests of `benchmarks.decode`: its smoke run on a tiny base, with real contenders; answers are checked, not times."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import decode
from tests.fakes import write_learnable_base
from tunery.engine.catalog import Catalog


def test_contenders_give_equal_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours and transformers + PEFT, each a process of its own, draw the same tokens on eight adapters at once."""
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    Catalog(tmp_path / "home").add(str(write_learnable_base(tmp_path / "base", max_position_embeddings=1024)), "tiny")
    peers = ["--peers", sys.executable, "--contenders", "tunery,transformers + peft"]
    size = ["--workloads", "8 requests on 8 models, short", "--rounds", "1", "--new-tokens", "12", "--threads", "1"]
    base = ["--base-model", "tiny", "--dtype", "float32"]

    decode.main([*size, *base, *peers, "--out", str(tmp_path / "decode.jsonl")])

    results = [json.loads(line) for line in (tmp_path / "decode.jsonl").read_text().splitlines()]
    assert [result["contender"] for result in results] == ["tunery", "transformers + peft"]
    assert [result["tokens_as_ours"] for result in results] == [1.0, 1.0]
    assert "tokens" not in results[0]
    assert "| transformers + peft |" in capsys.readouterr().out


def test_agreement_counts_up_to_the_first_difference() -> None:
    """Two of four tokens before the rows part, and a row that is equal: six of eight."""
    assert decode.agreement([[1, 2, 9, 4], [5, 6, 7, 8]], [[1, 2, 3, 4], [5, 6, 7, 8]]) == 0.75
