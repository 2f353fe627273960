"""Structured prompts of AI Studio as files of examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunery.data.dataset import Dataset, preview
from tunery.data.prompts import structured_prompt
from tunery.data.tables import BadCell
from tunery.errors import DatasetInvalid
from tunery.types import TuningExample


def prompt(*rows: dict[str, Any], preamble: str = "", **columns: tuple[str, bool]) -> dict[str, Any]:
    """A file of AI Studio; columns are id=(prefix, is_input)."""
    columns = columns or {"a": ("input:", True), "b": ("output:", False)}
    return {
        "dataPrompt": {
            "preamble": preamble,
            "columns": [
                {"columnId": id, "displayName": prefix, **({"isInput": True} if is_input else {})}
                for id, (prefix, is_input) in columns.items()
            ],
            "rows": [{"rowId": f"r{number}", "columnBindings": row} for number, row in enumerate(rows)],
            "rowsUsed": ["r0"],
        },
        "runSettings": {"model": "models/gemini-1.5-flash", "temperature": 0.2},
        "testExamples": [],
    }


def write(folder: Path, value: object, name: str = "Number maker") -> Path:
    path = folder / name
    path.write_text(json.dumps(value, indent=2), "utf-8")
    return path


def test_rows_become_examples_with_preamble_and_prefixes(tmp_path: Path) -> None:
    """The input is the preamble and a line for each input column; the output is its text alone; all rows count."""
    columns = {"q": ("question:", True), "c": ("context:", True), "a": ("answer:", False)}
    value = prompt({"q": "Who?", "c": "Ada.", "a": "Ada"}, {"q": "What?", "a": "it"}, preamble="Answer.", **columns)

    dataset = Dataset.read(write(tmp_path, value))

    assert dataset.examples == (
        TuningExample("Answer.\nquestion: Who?\ncontext: Ada.", "Ada"),
        TuningExample("Answer.\nquestion: What?", "it"),
    )
    assert dataset.rows == (1, 2)


def test_the_preview_names_the_format(tmp_path: Path) -> None:
    """A file without an ending is recognised by what it holds."""
    shown = preview(write(tmp_path, prompt({"a": "1", "b": "2"})))

    assert (shown.format, shown.columns, shown.input_columns) == ("aistudio", ("text_input", "output"), ("text_input",))
    assert shown.first_example == TuningExample("input: 1", "2")


def test_rows_without_any_text_are_left_out() -> None:
    """AI Studio keeps an empty row at the end; the others keep their numbers."""
    found = structured_prompt(prompt({"a": "1", "b": "2"}, {"a": " ", "b": ""}, {"a": "3", "b": "4"}))

    assert found is not None
    assert [row.number for row in found.rows] == [1, 3]


def test_a_row_without_input_is_an_error_though_there_is_a_preamble(tmp_path: Path) -> None:
    """The preamble alone asks nothing."""
    with pytest.raises(DatasetInvalid) as raised:
        Dataset.read(write(tmp_path, prompt({"b": "2"}, preamble="Count.")))

    assert [(problem.kind, problem.row) for problem in raised.value.problems if problem.level == "error"] == [
        ("empty-input", 1)
    ]


def test_several_outputs_are_columns_to_choose_from(tmp_path: Path) -> None:
    """Each output is a column under its prefix; one is taken, and the user can name the other."""
    columns = {"a": ("text:", True), "b": ("title:", False), "c": ("topic:", False)}
    path = write(tmp_path, prompt({"a": "x", "b": "y", "c": "z"}, **columns))

    assert preview(path).columns == ("text_input", "title", "topic")
    assert Dataset.read(path, output_column="topic").examples == (TuningExample("text: x", "z"),)


def test_outputs_of_one_prefix_stay_apart(tmp_path: Path) -> None:
    """Columns of the same name are numbered, so that the user can name either."""
    columns = {"a": ("text:", True), "b": ("title:", False), "c": ("title:", False), "d": ("text_input", False)}
    path = write(tmp_path, prompt({"a": "x", "b": "y", "c": "z"}, **columns))

    assert preview(path).columns == ("text_input", "title", "title 2", "text_input 2")
    assert Dataset.read(path, output_column="title 2").examples == (TuningExample("text: x", "z"),)


def test_cells_of_parts_are_texts() -> None:
    """A cell may hold parts; one with a picture is no text."""
    picture = {"parts": [{"inlineData": {"mimeType": "image/png", "data": ""}}]}
    found = structured_prompt(prompt({"a": {"parts": [{"text": "1"}, {"text": "2"}]}, "b": picture}))

    assert found is not None
    assert found.rows[0].cells[0] == "12"
    assert isinstance(found.rows[0].cells[1], BadCell)


def test_the_system_instruction_takes_the_place_of_a_missing_preamble() -> None:
    """Either says what the rows are about."""
    value = prompt({"a": "1", "b": "2"}) | {"systemInstruction": {"parts": [{"text": "Count on."}]}}

    found = structured_prompt(value)

    assert found is not None
    assert found.preamble == "Count on."


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"textPrompt": {"value": "Hi"}}, "a freeform prompt of AI Studio"),
        ({"chunkedPrompt": {"chunks": []}}, "a chat prompt of AI Studio"),
        ({"dataPrompt": {"columns": [{"columnId": "a"}], "rows": []}}, "an input column and an output column"),
        ({"dataPrompt": {"columns": "a"}}, "not a list"),
        ({"dataPrompt": {"columns": [{}]}}, "Column 1 of the structured prompt has no columnId"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, value: object, said: str) -> None:
    """Other prompts and broken ones are refused with their name."""
    with pytest.raises(DatasetInvalid, match=said):
        Dataset.read(write(tmp_path, value))


def test_other_json_is_none_of_it() -> None:
    """Objects of other programs are left to the other readers."""
    assert structured_prompt({"text_input": ["1"], "output": ["2"]}) is None
    assert structured_prompt([1]) is None
