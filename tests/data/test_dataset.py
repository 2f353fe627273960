"""Reading a file or records into a Dataset, its facts, and holding rows out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.data.dataset import Dataset, digest, hold_out
from tunery.errors import DatasetInvalid, InvalidArgument, Level, NotFound
from tunery.types import MAX_DATASET_BYTES, TuningExample

ROWS = tuple(TuningExample(f"question {number}", f"answer {number}") for number in range(40))


def test_reads_a_csv_file(tmp_path: Path) -> None:
    """A CSV file with a header gives its rows as examples, in their order."""
    path = tmp_path / "numbers.csv"
    path.write_text("text_input,output\n1,2\n3,4\n")

    dataset = Dataset.read(path)

    assert dataset.examples == (TuningExample("1", "2"), TuningExample("3", "4"))
    assert dataset.rows == (2, 3)
    assert dataset.source == "numbers.csv"


def test_reports_all_problems_at_once(tmp_path: Path) -> None:
    """Every bad row is in the error, with row, column, limit and actual value, not only the first."""
    path = tmp_path / "bad.csv"
    path.write_text(f"text,label\n,spam\nhello,\n{'x' * 40_001},ham\nhi,{'y' * 5_001}\n")

    with pytest.raises(DatasetInvalid) as caught:
        Dataset.read(path)

    errors = [problem for problem in caught.value.problems if problem.level is Level.ERROR]
    assert [(p.row, p.column, p.kind) for p in errors] == [
        (2, "text", "empty-input"),
        (3, "label", "empty-output"),
        (4, "text", "long-input"),
        (5, "label", "long-output"),
    ]
    assert (errors[3].limit, errors[3].actual) == (5_000, 5_001)
    assert "Row 5, label: 5,001 characters, limit 5,000." in str(caught.value)
    assert str(caught.value).startswith("bad.csv: ")


def test_a_long_list_of_problems_is_cut_in_the_message_only(tmp_path: Path) -> None:
    """The message shows five problems and counts the others; all of them are in `problems`."""
    path = tmp_path / "bad.csv"
    path.write_text("text,label\n" + "".join(f"hello,{'y' * (5_001 + row)}\n" for row in range(30)) + "a,b\n")

    with pytest.raises(DatasetInvalid, match=r"And 25 more\.$") as caught:
        Dataset.read(path)

    assert sum(problem.level is Level.ERROR for problem in caught.value.problems) == 30


@pytest.mark.parametrize(("size", "is_read"), [(MAX_DATASET_BYTES, True), (MAX_DATASET_BYTES + 1, False)])
def test_four_mebibytes_are_the_limit(tmp_path: Path, size: int, is_read: bool) -> None:
    """A file of exactly 4 MiB is read, one byte more is refused with both numbers."""
    path = tmp_path / "large.csv"
    begin = b"text_input,output,notes\n1,2,"
    path.write_bytes(begin + b"x" * (size - len(begin)))

    if is_read:
        assert len(Dataset.read(path)) == 1
    else:
        with pytest.raises(DatasetInvalid, match="4,194,305 bytes; the limit is 4,194,304"):
            Dataset.read(path)


def test_characters_are_counted_and_not_bytes() -> None:
    """40,000 and 5,000 characters pass, whatever their size in bytes."""
    dataset = Dataset.from_records([("ü" * 40_000, "🙂" * 5_000)])

    assert len(dataset) == 1


def test_few_examples_are_a_warning() -> None:
    """15 examples, as in Google's quickstart, are enough to start, with a word of advice."""
    dataset = Dataset.from_records(ROWS[:15])

    (problem,) = dataset.problems
    assert problem.level is Level.WARNING
    assert str(problem) == "15 examples; most tasks need at least 20."


def test_takes_records_of_every_form() -> None:
    """Dicts in both spellings, pairs and examples may be mixed."""
    dataset = Dataset.from_records(
        [{"text_input": "1", "output": "2"}, {"textInput": "3", "output": 4}, ("5", "6"), TuningExample("7", "8")]
    )

    assert dataset.examples == tuple(TuningExample(str(n), str(n + 1)) for n in (1, 3, 5, 7))
    assert dataset.source == "records"


def test_reports_bad_records_by_their_number() -> None:
    """A record that is no pair, misses a field or holds a list is named by its place."""
    with pytest.raises(DatasetInvalid) as caught:
        Dataset.from_records([("a", "b"), ("a",), {"text_input": "x"}, {"text_input": "x", "output": ["y"]}, 7])

    errors = [problem for problem in caught.value.problems if problem.level is Level.ERROR]
    assert [problem.row for problem in errors] == [2, 3, 4, 5]


def test_no_records_are_an_error() -> None:
    """An empty list cannot be tuned on."""
    with pytest.raises(DatasetInvalid, match="no rows"):
        Dataset.from_records([])


def test_records_have_the_limit_of_files() -> None:
    """More than 4 MiB of text is refused from records too."""
    with pytest.raises(DatasetInvalid, match="limit is 4,194,304"):
        Dataset.from_records([(f"{number}" + "x" * 39_000, "y") for number in range(110)])


def test_rows_can_be_skipped(tmp_path: Path) -> None:
    """Skipped rows take their problems with them; the others keep their numbers."""
    path = tmp_path / "tickets.jsonl"
    path.write_text('{"text_input": "a", "output": "b"}\n{broken\n{"text_input": "c", "output": ""}\n["d", "e"]\n')

    dataset = Dataset.read(path, skip_rows=[2, 3])

    assert dataset.rows == (1, 4)


def test_several_input_columns_are_joined(tmp_path: Path) -> None:
    """Each named input column becomes a line "name: text"; an empty one is left out."""
    path = tmp_path / "tickets.csv"
    path.write_text("subject,body,label\nHelp,It broke,bug\n,Thanks,praise\n")

    dataset = Dataset.read(path, input_column=["subject", "body"])

    assert [example.text_input for example in dataset.examples] == ["subject: Help\nbody: It broke", "body: Thanks"]


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    """A path without a file gives NotFound, a folder InvalidArgument."""
    with pytest.raises(NotFound, match="no file"):
        Dataset.read(tmp_path / "nothing.csv")
    with pytest.raises(InvalidArgument, match="not a file"):
        Dataset.read(tmp_path)


def test_the_name_of_the_user_is_kept(tmp_path: Path) -> None:
    """A file that lies under another name is called what the user called it, also for its format."""
    path = tmp_path / "upload"
    path.write_text("only one line, and no JSON")

    with pytest.raises(DatasetInvalid, match=r"^tickets\.jsonl: Row 1: not valid JSON"):
        Dataset.read(path, name="tickets.jsonl")


def test_facts_recognise_the_data() -> None:
    """Number of rows, digest and source stand in the facts."""
    dataset = Dataset.from_records([("1", "2")], source="next-number")

    assert (dataset.facts.rows, dataset.facts.source) == (1, "next-number")
    assert dataset.facts.sha256 == digest([TuningExample("1", "2")])


def test_digest_is_the_same_for_ever() -> None:
    """The digest is written to databases, so its value is fixed."""
    assert digest([TuningExample("1", "2")]) == "c502b17784e13034ef2d55d022a2a08e66226f4375deadb525329677f6997033"


def test_digest_tells_where_fields_end() -> None:
    """Text moved from one field to the next makes another digest."""
    assert digest([TuningExample("ab", "c")]) != digest([TuningExample("a", "bc")])


@pytest.mark.parametrize(("amount", "rows"), [(0, 0), ("0%", 0), (4, 4), ("4", 4), (0.1, 4), ("10%", 4), (0.001, 1)])
def test_holds_out_what_was_asked(amount: int | float | str, rows: int) -> None:
    """Rows, shares and percentages mean what they say; a share above nothing is at least one row."""
    tuning, held_out = hold_out(ROWS, amount, seed=0)

    assert len(held_out) == rows
    assert len(tuning) == len(ROWS) - rows


@pytest.mark.parametrize(
    "amount", [-1, 1.0, 2.5, "1.5", "-10%", "100%", "ten", "", "%", True, float("nan"), 40, 41, "nan"]
)
def test_refuses_to_hold_out_nonsense(amount: int | float | str) -> None:
    """What is no number of rows, or leaves nothing to tune on, is refused."""
    with pytest.raises(InvalidArgument):
        hold_out(ROWS, amount, seed=0)


def test_equal_inputs_stay_together() -> None:
    """Rows with the same input are all tuned on or all held out, also when blanks differ."""
    examples = [TuningExample(f"{'  ' * (n % 2)}question {n % 10}", f"answer {n}") for n in range(40)]

    tuning, held_out = hold_out(examples, 12, seed=3)

    assert len(held_out) == 12
    assert not {e.text_input.strip() for e in tuning} & {e.text_input.strip() for e in held_out}


def test_one_repeated_input_cannot_be_split() -> None:
    """When all rows have the same input, none can be held out, and that is said."""
    with pytest.raises(InvalidArgument, match="same input"):
        hold_out([TuningExample("a", str(n)) for n in range(10)], 2)


@settings(deadline=None)
@given(st.integers(), st.permutations(range(40)))
def test_the_split_follows_the_seed_and_not_the_order(seed: int, order: list[int]) -> None:
    """Equal examples and seed hold out the same rows, however the file is sorted."""
    _, held_out = hold_out(ROWS, 8, seed)
    _, from_shuffled = hold_out([ROWS[index] for index in order], 8, seed)

    assert set(held_out) == set(from_shuffled)


def test_another_seed_holds_out_other_rows() -> None:
    """The seed matters."""
    assert hold_out(ROWS, 8, seed=0)[1] != hold_out(ROWS, 8, seed=1)[1]


def test_import_loads_no_heavy_library() -> None:
    """Neither tensors nor the workbook reader are loaded before they are needed."""
    code = "import sys, tunery.data.dataset; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"torch", "transformers", "numpy", "python_calamine"} & set(loaded)
