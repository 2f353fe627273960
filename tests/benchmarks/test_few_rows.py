"""The benchmark of few rows: draws, calibration error, what a cell holds, the table."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.few_rows import main, read, table
from benchmarks.quality_data import Task
from tunery.types import TuningExample

POOL = tuple(TuningExample(str(n), "rare" if n % 10 == 0 else "often") for n in range(200))


def test_a_stratified_draw_has_each_label_in_its_share() -> None:
    """Nine to one stays nine to one, a label with less than a row's share has one; other draws choose other rows."""
    task = Task("t", "", "accuracy", ("often", "rare"), POOL, ())

    draws = [task.sample(20, seed, is_stratified=True)[0] for seed in (0, 0, 1)]
    (few, _) = task.sample(4, 0, is_stratified=True)

    assert draws[0] == draws[1] != draws[2]
    assert all(Counter(row.output for row in draw) == {"often": 18, "rare": 2} for draw in draws)
    assert Counter(row.output for row in few) == {"often": 3, "rare": 1}


def test_the_table_has_mean_and_deviation_over_the_draws(tmp_path: Path) -> None:
    """A row for each task, size and settings."""
    cell = {"task": "trec6", "rows": 20, "is_stratified": False, "settings": {"label_share": 0.5}}
    facts = {"changed": 3, "test_rows": 300, "calibration_error": 0.3}
    lines = [
        {"cell": {**cell, "draw": draw}, "free": 0.5, "label": label, **facts} for draw, label in enumerate((0.6, 0.7))
    ]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    shown = table(read(tmp_path / "results.jsonl"))

    assert "| trec6 | 20 | label_share 0.5 | 2 | 0.500 ± 0.000 | 0.650 ± 0.050 | 6 of 600 | 0.300 |" in shown


def test_the_table_alone_measures_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--table` of an empty file is a heading."""
    main(["--table", "--out", str(tmp_path / "none.jsonl")])

    assert capsys.readouterr().out.startswith("| task | rows |")
