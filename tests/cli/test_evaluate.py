"""`tunery evaluate` on a library with a tiny base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tunery.cli.client import snake_case
from tunery.evaluation.report import Calibration, Evaluation, ReliabilityBin, ScoringKind, Threshold, read_report
from tunery.server.wire.reports import evaluation_out
from tunery.service.library import Library

ROWS = 24


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Return a file of rows that no model was tuned on."""
    path = tmp_path / "new.csv"
    path.write_text("text_input,output\n" + "".join(f"{n},{n + 1}\n" for n in range(100, 100 + ROWS)))
    return path


def test_a_file_is_answered_by_all_candidates(run: Run, tuned: str, rows: Path, home: Path) -> None:
    """Each candidate has a line, the verdict comes last, and the library keeps the report."""
    done = run("evaluate", tuned, rows)

    assert done.status == 0, done.said
    for title in ("the most frequent answer", "the base model", "the tuned model"):
        assert title in done.output
    with Library.open(home) as library:
        report = library.report(library.get(tuned), "EVALUATION")
    assert report is not None
    assert done.output.strip().endswith(report["verdict"]["text"])
    assert report["source"] == "new.csv"


def test_json_is_the_report(run: Run, tuned: str, rows: Path) -> None:
    """One document with our field names."""
    found = json.loads(run("evaluate", tuned, rows, "--json", "--rows", 21).output)

    assert (found["rows"], found["rows_available"], found["shape"]) == (21, ROWS, "SHORT_TEXT")
    assert found["verdict"]["kind"] in ("NO_BETTER", "TOO_FEW_ROWS", "HELPED", "PROMPT_ENOUGH")


def test_held_out_rows_are_taken_without_a_file(run: Run, tiny: str, data: Path) -> None:
    """Held-out rows are evaluated, however few; without any the message says what to do."""
    run("tune", data, "--base-model", tiny, "--id", "held", "--epochs", "1", "--hold-out", "5", "--no-verdict")

    done = run("evaluate", "held")

    assert "5 (held-out rows)" in done.output
    assert "Too few rows to tell: 5 rows" in done.output


def test_without_held_out_rows_the_way_out_is_said(run: Run, tuned: str) -> None:
    """The message suggests a file or folds."""
    done = run("evaluate", tuned)

    assert done.status == 13
    assert "--folds 5" in done.said


def test_folds_tune_again_and_answer_every_row(run: Run, tuned: str) -> None:
    """Each row of the model is answered by a tuning without it."""
    done = run("evaluate", tuned, "--folds", "2")

    assert done.status == 0, done.said
    assert "20 (2 folds of 20 rows)" in done.output
    assert "Tuning 2 of 2" in done.said


def test_folds_compare_settings(run: Run, tiny: str, tmp_path: Path, home: Path) -> None:
    """
    Each fold is tuned with the settings of the model and with those named; both stand in the table, the verdict and
    the stored report. Settings that the model has, or without folds, are refused.
    """
    file = tmp_path / "odd.csv"
    file.write_text("text_input,output\n" + "".join(f"{n},{'yes' if n % 2 else 'no'}\n" for n in range(20)))
    tune = ("tune", file, "--base-model", tiny, "--batch-size", "20", "--no-verdict", "--yes", "--hold-out", "0")
    assert run(*tune, "--id", "short", "--epochs", "1").status == 0
    evaluate = ("evaluate", "short", "--folds", "2", "--compare-settings")

    done = run(*evaluate, "page")

    assert done.status == 0, done.said
    assert "Tuning 4 of 4" in done.said
    assert "\ntuned with 5 epochs and batch size 4 (page)  " in done.output
    with Library.open(home) as library:
        report = library.report(library.get("short"), "EVALUATION")
    assert report is not None
    assert {one["against"] for one in report["comparisons"]} >= {"base", "other_settings"}
    assert "if tuned with 5 epochs and batch size 4 (page), so " in report["verdict"]["text"]
    assert "needs --folds" in run("evaluate", "short", "--compare-settings", "auto").said
    assert run(*tune, "--id", "page", "--epochs", "5", "--batch-size", "4").status == 0
    assert "the page settings are those that the model has" in run("evaluate", "page", *evaluate[2:], "page").said


def test_rows_that_were_tuned_on_are_left_out(run: Run, tuned: str, data: Path, rows: Path) -> None:
    """They are left out of a file with other rows; a file without other rows is refused."""
    rows.write_text(rows.read_text() + "3,4\n")

    assert "1 left out because they were tuned on" in run("evaluate", tuned, rows).output
    assert "tuned on all of them" in run("evaluate", tuned, data).said


def test_recorded_answers_are_a_candidate(run: Run, tuned: str, rows: Path, tmp_path: Path) -> None:
    """Answers recorded by `tunery rescue` are compared too; missing rows are counted."""
    recorded = tmp_path / "answers.jsonl"
    lines = [
        {"row": n + 1, "text_input": str(100 + n), "output": "", "answer": str(101 + n), "model": "gemini-old"}
        for n in range(ROWS)
    ]
    recorded.write_text("".join(json.dumps(line) + "\n" for line in lines))

    found = json.loads(run("evaluate", tuned, rows, "--against", recorded, "--json").output)
    recorded.write_text(json.dumps(lines[0]) + "\n")
    refused = run("evaluate", tuned, rows, "--against", recorded)

    old = next(one for one in found["contenders"] if one["name"] == "recorded")
    assert (old["title"], old["figures"][0]["value"]) == ("gemini-old", 1.0)
    assert f"no answer to {ROWS - 1} of {ROWS} rows" in refused.said


def test_a_base_alone_has_no_verdict(run: Run, tiny: str, rows: Path) -> None:
    """A base has a score and no verdict."""
    done = run("evaluate", tiny, rows)

    assert done.status == 0, done.said
    assert "the base model" in done.output
    assert "Too few" not in done.output


def test_tuning_with_held_out_rows_ends_with_the_verdict(run: Run, tiny: str, data: Path, home: Path) -> None:
    """The verdict is at the end and in the JSON, and the report is kept; --no-verdict leaves it out."""
    options = ("--base-model", tiny, "--epochs", "1", "--hold-out", "4", "--json")

    with_verdict = run("tune", data, "--id", "one", *options)
    without = run("tune", data, "--id", "two", "--no-verdict", *options)

    assert json.loads(with_verdict.output)["verdict"]["kind"] == "TOO_FEW_ROWS"
    assert "Too few rows to tell" in with_verdict.said
    assert "verdict" not in json.loads(without.output)
    with Library.open(home) as library:
        assert library.report(library.get("one"), "EVALUATION") is not None
        assert library.report(library.get("two"), "EVALUATION") is None


def test_rows_have_the_numbers_of_their_file(run: Run, tuned: str, tmp_path: Path) -> None:
    """A header, a cell of two lines and an empty line count, as in a spreadsheet."""
    path = tmp_path / "rows.csv"
    path.write_text('text_input,output\n"two\nlines",b\n\n' + "".join(f"row {n},{n}\n" for n in range(3)))

    found = json.loads(run("evaluate", tuned, path, "--json").output)

    rows = {row["text_input"]: row["row"] for row in [*found["best_rows"], *found["worst_rows"]]}
    assert rows == {"two\nlines": 2, "row 0": 4, "row 1": 5, "row 2": 6}


def test_held_out_rows_have_the_numbers_of_their_file(run: Run, tiny: str, tmp_path: Path) -> None:
    """Below a title and an empty line, for rows that My Library has held out, and by folds; the report has them too."""
    path = tmp_path / "sheet.csv"
    texts = {f"text {number} of the sheet": number + 4 for number in range(24)}
    lines = "".join(f"{text},{'even' if number % 2 else 'odd'}\n" for text, number in texts.items())
    path.write_text(f"Messages of June,\n,\nmessage,kind\n{lines}")
    done = run("tune", path, "--base-model", tiny, "--id", "sheet", "--epochs", "1", "--hold-out", "6", "--no-verdict")
    assert done.status == 0, done.said

    for how in ((), ("--folds", "2")):
        found = json.loads(run("evaluate", "sheet", *how, "--json").output)
        shown = [*found["best_rows"], *found["worst_rows"]]
        assert shown
        assert all(row["row"] == texts[row["text_input"]] for row in shown), shown


def test_a_report_comes_through_a_server_as_it_was_found() -> None:
    """Replies leave out what has no value, such as the share of right answers where nothing was answered."""
    thresholds, bins = (Threshold(0.5, 1.0, 0.8), Threshold(0.95, 0.0, None)), (ReliabilityBin(20, 0.7, 0.8),)
    calibration = Calibration(20, 1.5, 0.1, 0.2, 0.3, thresholds, bins)
    found = Evaluation(20, ScoringKind.LABELS, "accuracy", (), calibration=calibration)
    document = {"create_time": "2026-11-30T12:00:00+00:00", **found.document()}
    reply = evaluation_out("tunedModels/numbers", None, document, with_rows=True)

    assert read_report(snake_case(reply.json_object()["report"])) == found
