"""`tunery data curve` with a tiny base."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def numbers(path: Path, count: int) -> Path:
    path.write_text("text_input,output\n" + "".join(f"{n},{n + 1}\n" for n in range(count)))
    return path


def test_parts_of_a_file_are_tuned_and_more_rows_are_judged(run: Run, tiny: str, tmp_path: Path) -> None:
    """Three nested parts are tested on other rows; each number of further rows has a line."""
    file = numbers(tmp_path / "n.csv", 60)

    done = run("data", "curve", file, "--base-model", tiny, "--epochs", "1")

    assert done.status == 0, done.said
    assert "Tuning 3 of 3" in done.said
    assert "50 more rows: about " in done.output
    assert "classification 100+" in done.output


def test_json_has_sizes_and_promises(run: Run, tiny: str, tmp_path: Path) -> None:
    """Each part with its score, each promise with its interval."""
    file = numbers(tmp_path / "n.csv", 60)

    found = json.loads(run("data", "curve", file, "--base-model", tiny, "--epochs", "1", "--json").output)

    assert [(one["rows"], one["tested"]) for one in found["measured"]] == [(10, 18), (21, 18), (42, 18)]
    assert [one["rows"] for one in found["promises"]] == [92, 84, 168]


def test_a_small_file_is_refused(run: Run, tiny: str, data: Path) -> None:
    """Twenty rows are too few for a curve."""
    done = run("data", "curve", data, "--base-model", tiny)

    assert done.status == 13
    assert "at least 40 rows" in done.said
