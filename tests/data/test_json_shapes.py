"""Records in JSON values of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunery.data.dataset import Dataset
from tunery.data.json_shapes import is_record, records_in
from tunery.data.json_text import loads
from tunery.errors import DatasetInvalid

CASES = Path(__file__).parents[1] / "fixtures" / "cases"
ROWS = [{"question": "a", "answer": "b"}, {"question": "c", "answer": "d"}]
CELLS = [["a", "b"], ["c", "d"]]


def found(value: object) -> tuple[list[Any], list[str]]:
    """The records in a value as they come from a file, and what is said about them."""
    result = records_in(loads(json.dumps(value)))
    return list(result.records), [str(note) for note in result.notes]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"data": ROWS}, "The records under 'data' were read."),
        ({"version": "1", "data": ROWS}, "The records under 'data' were read; 'version' was left out."),
        (
            {"title": "My tickets", "summary": "from May", "items": ROWS},
            "The records under 'items' were read; 'title', 'summary' were left out.",
        ),
        (
            {"a": {"b": ROWS, "n": 1}, "licenses": [{"id": 1}]},
            "The records under 'a.b' were read; 'licenses', 'n' were left out.",
        ),
        ({"examples": {"examples": ROWS}}, None),
        (
            {"displayName": "x", "tuningTask": {"trainingData": {"examples": {"examples": ROWS}}}},
            "The records under 'tuningTask.trainingData.examples.examples' were read; 'displayName' was left out.",
        ),
    ],
)
def test_one_list_in_an_object_is_taken(value: object, said: str | None) -> None:
    """Its name and what stands beside it are said; the body of a create call is tunery's own form."""
    assert found(value) == (ROWS, [said] if said else [])


def test_several_lists_are_asked_for() -> None:
    """Training and test rows are not mixed, and neither is chosen."""
    with pytest.raises(DatasetInvalid, match=r"'train' \(2\), 'test' \(1\)\. Save the one you want"):
        found({"train": ROWS, "test": ROWS[:1]})


@pytest.mark.parametrize(
    "value",
    [
        ROWS,  # records
        {"columns": ["question", "answer"], "index": [0, 1], "data": CELLS},  # split
        {
            "index": [3, 7],
            "columns": ["question", "answer"],
            "data": CELLS,
            "index_names": [None],
            "column_names": [None],
        },
        {"schema": {"fields": []}, "data": [{"index": place, **row} for place, row in enumerate(ROWS)]},  # table
        {"0": ROWS[0], "1": ROWS[1]},  # index
        {"question": {"0": "a", "1": "c"}, "answer": {"0": "b", "1": "d"}},  # columns
        {"question": {"x": "a", "y": "c"}, "answer": {"x": "b", "y": "d"}},  # columns with an index of texts
        {"question": ["a", "c"], "answer": ["b", "d"]},  # to_dict(orient="list")
        {
            "features": [{"name": "question"}],
            "rows": [{"row_idx": 0, "row": row, "truncated_cells": []} for row in ROWS],
        },
    ],
)
def test_shapes_of_pandas_and_of_the_viewer(value: object) -> None:
    """Each holds the same two records; an index that only counts is no column."""
    assert found(value) == (ROWS, [])


def test_a_column_may_hold_objects() -> None:
    """Columns of texts, or of conversations, are columns whatever stands beside them."""
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]

    assert found({"meta": [{"lang": "en"}], "question": ["a"], "answer": ["b"]})[0] == [
        {"meta": {"lang": "en"}, "question": "a", "answer": "b"}
    ]
    assert found({"meta": [{"lang": "en"}], "messages": [talk]})[0] == [{"meta": {"lang": "en"}, "messages": talk}]


def test_an_index_of_texts_is_a_column() -> None:
    """The questions may be the index of a frame."""
    value = {"columns": ["answer"], "index": ["a", "c"], "data": [["b"], ["d"]]}

    assert found(value)[0] == [{"index": "a", "answer": "b"}, {"index": "c", "answer": "d"}]


def test_the_viewer_tells_what_it_left_out() -> None:
    """Cells that were cut are no text, and a part of the rows is said to be one."""
    row = {"row_idx": 0, "row": {"question": "a", "answer": "b"}, "truncated_cells": ["answer"]}

    records, said = found({"features": [], "rows": [row], "num_rows_total": 5000})

    assert records[0]["answer"].message == "cut by the dataset viewer. Download the dataset's own file instead."
    assert said == ["The file holds 1 of the dataset's 5,000 rows."]


def test_an_object_of_pairs() -> None:
    """Texts under many names, or under names that are sentences."""
    pairs = {f"My parcel {number} is late": "delivery" for number in range(24)}
    words = {f"w{number}": "x" for number in range(20)}

    assert found(pairs) == (
        [list(pair) for pair in pairs.items()],
        ["Read as 24 pairs: each name is an input, and its text the output."],
    )
    assert len(found(words)[0]) == 20


@pytest.mark.parametrize(
    "value",
    [
        {"name": "n", "version": "1", "author": "me", "license": "MIT", "homepage": "x"},
        {"My parcel is late": "delivery", "I was charged twice": "billing"},
        {"a": {"x": 1}, "b": {"y": 2}},
        {"error": {"code": 404, "message": "Not found"}},
    ],
)
def test_other_objects_are_refused(value: dict[str, object]) -> None:
    """Their fields are named, not guessed to be inputs and outputs."""
    with pytest.raises(DatasetInvalid, match=f"one object with the fields {next(iter(value))!r}"):
        found(value)


def test_records_under_names() -> None:
    """A database writes each record under its key."""
    assert found({"t1": ROWS[0], "t2": ROWS[1]}) == (ROWS, ["Each record has a name, which is not used: 't1', 't2'."])


def test_what_a_record_is() -> None:
    """Usual names for both sides, or messages."""
    assert is_record({"Question": "a", "answer": "b"})
    assert is_record({"messages": []})
    assert not is_record({"question": "a", "note": "b"})
    assert not is_record({"question": "a", "answer": ["b"]})


EXPECTED = {
    "08-json-wrapper/data.json": 24,
    "08-json-wrapper/only-data.json": 24,
    "08-json-wrapper/hf-rows.json": 24,
    "08-json-wrapper/pandas-split.json": 2,
    "08-json-wrapper/pandas-table.json": 24,
    "10-sharegpt/sharegpt.json": 24,
    "10-sharegpt/sharegpt-system.json": 24,
    "10-sharegpt/sharegpt-assistant.jsonl": 24,
    "10-sharegpt/columns-orient.json": 24,
    "10-sharegpt/chat-rounds.jsonl": 24,
    "22-pretty-jsonl/pretty.jsonl": 6,
    "22-pretty-jsonl/commas.jsonl": 6,
    "22-pretty-jsonl/array-of-lines.jsonl": 6,
    "22-pretty-jsonl/one-line.jsonl": 6,
    "22-pretty-jsonl/with-mark.jsonl": 6,
    "22-pretty-jsonl/powershell.jsonl": 6,
    "01-line-separators/train.jsonl": 24,
    "02-kto-label/extra-fields.jsonl": 24,
    "02-kto-label/kto.json": 12,
    "02-kto-label/weight.jsonl": 12,
    "37-na-labels/na.jsonl": 13,
}


@pytest.mark.parametrize(("name", "rows"), EXPECTED.items())
def test_public_cases(name: str, rows: int) -> None:
    """Files that people brought to tools of this kind become the examples they mean."""
    examples = Dataset.read(CASES / name).examples

    assert len(examples) == rows
    assert {example.output for example in examples}.isdisjoint({"WRONG", "not my problem", "tickets", "[]"})
    question = examples[0].text_input.removeprefix("Answer with one word.\n\n")
    assert question.startswith(("My parcel has not arrived", "Country code of Namibia"))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("08-json-wrapper/train-test.json", "several lists of records: 'train' (16), 'test' (8)."),
        ("22-pretty-jsonl/python-repr.jsonl", "This is how Python prints dictionaries, not JSON."),
    ],
)
def test_public_cases_that_are_asked_back(name: str, sentence: str) -> None:
    """One sentence says what the file is."""
    with pytest.raises(DatasetInvalid) as raised:
        Dataset.read(CASES / name)

    assert len(raised.value.problems) == 1
    assert sentence in str(raised.value)
