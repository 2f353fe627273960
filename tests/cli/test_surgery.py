"""`tunery data surgery` on a file with everything that can be doubtful."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tunery.data.dataset import Dataset

LONG = "the parcel that I ordered two weeks ago with express delivery has still not arrived at my new address"
ROWS = [
    *((f"ticket {n}, please help me with it", "delivery") for n in range(8)),
    (LONG, "delivery"),
    (LONG, "delivery"),
    (LONG.upper(), "delivery"),
    (LONG + "!", "return"),
    ("my password is lost", "Delivery"),
    ("one more thing to say", "delivry"),
]


@pytest.fixture
def doubtful(tmp_path: Path) -> Path:
    """Return a file with copies, a contradiction and two misspelt labels."""
    path = tmp_path / "tickets.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text_input", "output"), *ROWS])
    return path


def test_doubtful_rows_are_named_as_in_the_file(run: Run, tiny: str, doubtful: Path) -> None:
    """Rows count from 1 with the header; each kind has a heading."""
    done = run("data", "surgery", doubtful, "--base-model", tiny)

    assert done.status == 0, done.said
    assert "Duplicates: 1\n  row 11: the same as row 10." in done.output
    assert "Near duplicates: 1\n  row 12:" in done.output
    assert "Contradictions: 1\n  row 13:" in done.output
    assert "row 14: 'Delivery' is probably another spelling of 'delivery'." in done.output
    assert "--fix tickets-fixed.csv" in done.said


def test_a_fixed_copy_can_be_written_once(run: Run, tiny: str, doubtful: Path, tmp_path: Path) -> None:
    """Copies are removed and labels unified; the original is unchanged and no file overwritten."""
    before, copy = doubtful.read_bytes(), tmp_path / "fixed.csv"

    run("data", "surgery", doubtful, "--base-model", tiny, "--fix", copy)
    again = run("data", "surgery", doubtful, "--base-model", tiny, "--fix", copy)

    with copy.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ROWS) - 2
    assert {row["output"] for row in rows} == {"delivery", "return"}
    assert doubtful.read_bytes() == before
    assert again.status == 13
    assert "already exists" in again.said


def test_json_has_every_finding(run: Run, tiny: str, doubtful: Path) -> None:
    """Each finding has row, other row, fix and similarity."""
    found = json.loads(run("data", "surgery", doubtful, "--base-model", tiny, "--json").output)

    copy = next(one for one in found["findings"] if one["kind"] == "duplicate")
    assert (copy["row"], copy["other_row"], copy["is_dropped"], copy["score"]) == (11, 10, True, 1.0)
    assert (found["rows"], found["kept_rows"], found["fixed"]) == (len(ROWS), len(ROWS) - 2, None)


def test_wrong_labels_are_looked_for_by_tuning_without_the_row(run: Run, tiny: str, data: Path) -> None:
    """Each fold is tuned once, and every row gets a loss."""
    done = run("data", "surgery", data, "--base-model", tiny, "--folds", "2")

    assert done.status == 0, done.said
    assert "Tuning 2 of 2" in done.said


def test_held_out_rows_of_a_model_are_not_given_away(run: Run, tiny: str, data: Path, tmp_path: Path) -> None:
    """A near copy of a held-out row is reported, the held-out row itself is not."""
    run("tune", data, "--base-model", tiny, "--id", "m", "--epochs", "1", "--hold-out", "4", "--no-verdict")
    whole = json.loads(run("data", "surgery", data, "--model", "m", "--json").output)
    more = tmp_path / "more.csv"
    more.write_text(data.read_text() + "".join(f'"{n}.",{n + 1}\n' for n in range(20)))
    found = json.loads(run("data", "surgery", more, "--model", "m", "--json").output)

    assert [one for one in whole["findings"] if one["kind"] == "held-out-copy"] == []
    assert sum(one["kind"] == "held-out-copy" for one in found["findings"]) == 4


def test_rows_that_a_model_has_learned_are_told_from_others(
    run: Run, tiny: str, doubtful: Path, tmp_path: Path
) -> None:
    """The sentence says correctly whether the model was tuned on the row."""
    run("tune", doubtful, "--base-model", tiny, "--id", "m", "--epochs", "1", "--yes")
    more = tmp_path / "more.csv"
    more.write_text(doubtful.read_text() + "".join(f"new {n},a label that is long\n" for n in range(3)))

    found = json.loads(run("data", "surgery", more, "--model", "m", "--json").output)["findings"]

    rows = {
        kind: {one["row"] for one in found if one["kind"] == kind} for kind in ("still-wrong", "likely-mislabelled")
    }
    learned = range(2, 2 + len(ROWS))
    assert rows["still-wrong"] <= set(learned)
    assert rows["still-wrong"]
    assert rows["likely-mislabelled"] == {learned.stop, learned.stop + 1, learned.stop + 2}


def test_a_file_without_doubts_says_so(run: Run, tiny: str, data: Path) -> None:
    """A clean file is reported as such."""
    assert "Found nothing doubtful in 20 rows." in run("data", "surgery", data, "--base-model", tiny).output


def test_a_fixed_copy_runs_nothing_in_a_spreadsheet_and_reads_back(run: Run, tiny: str, tmp_path: Path) -> None:
    """Cells that begin like formulas get a quote, and tunery reads exactly the rows that it wrote."""
    rows = [("=HYPERLINK(1)", "-5"), ("'=quoted", "+5"), ("@name\nsecond line", "=five"), ("plain", "it's 5")]
    original, copy = tmp_path / "rows.jsonl", tmp_path / "fixed.csv"
    original.write_text("".join(json.dumps({"text_input": a, "output": b}) + "\n" for a, b in rows))

    done = run("data", "surgery", original, "--base-model", tiny, "--fix", copy)

    with copy.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert done.status == 0, done.said
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r\n"]
    assert [(example.text_input, example.output) for example in Dataset.read(copy).examples] == rows


def test_quotes_before_formulas_stay_where_others_have_none(tmp_path: Path) -> None:
    """A file that tunery did not write is not changed: one bare cell shows that quotes are part of the text."""
    path = tmp_path / "rows.csv"
    path.write_text("text_input,output\n-5 degrees,cold\n'-5' is a text,text\n")

    assert [example.text_input for example in Dataset.read(path).examples] == ["-5 degrees", "'-5' is a text"]


def test_it_is_said_how_the_file_was_read(run: Run, tiny: str, tmp_path: Path) -> None:
    """A guess about columns, and labels that only look alike, are told before anything is computed."""
    path = tmp_path / "tickets.csv"
    rows = [
        (str(n), f"ticket {n}, please help me", ("delivery", "billing\u200b" if n == 3 else "billing")[n % 2])
        for n in range(12)
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "words", "kind"), *rows])

    done = run("data", "surgery", path, "--base-model", tiny)

    assert (
        "Using column 'words' as input and 'kind' as output; this is a guess (--input-column, --output-column)."
        in done.said
    )
    assert "Not used: 'id' (row numbers)." in done.said
    assert "only in an invisible character (U+200B)" in done.said
    assert "most tasks need" not in done.said
