"""The output contract: labels, numbers, dates and JSON are told from free text."""

from __future__ import annotations

import json

import pytest

from tunery.data.outputs import OutputContract, OutputKind, difference, output_kind, rows_and_labels
from tunery.evaluation.report import ScoringKind
from tunery.evaluation.scores import Scoring
from tunery.types import TuningExample

ROWS = range(30)


def test_few_texts_that_come_again_are_labels() -> None:
    """The most frequent first; the form is the set of them."""
    contract = OutputContract.learn([["ham", "spam", "ham"][n % 3] for n in ROWS])

    assert (contract.kind, contract.labels) == ("LABELS", ("ham", "spam"))
    form = contract.form()
    assert form is not None
    assert form.labels == ("ham", "spam")
    assert "one of 2 labels: ham, spam" in contract.sentence()


def test_numbers_and_dates_have_patterns() -> None:
    """Whole numbers, decimals, and dates in one way of writing."""
    assert OutputContract.learn([str(n) for n in ROWS]).kind == "NUMBER"
    assert OutputContract.learn([f"{n}.5" for n in ROWS]).kind == "NUMBER"
    date = OutputContract.learn([f"2024-01-{n + 1:02}" for n in ROWS])
    assert (date.kind, date.name) == ("DATE", "YYYY-MM-DD")


def test_json_has_the_schema_of_all_rows() -> None:
    """Keys in their order, optional ones, few values as a choice, blanks as they were written."""
    rows = [{"kind": "ab"[n % 2], "n": n, "who": f"p{n}"} | ({"x": [1.5]} if n % 2 else {}) for n in ROWS]
    contract = OutputContract.learn([json.dumps(row) for row in rows])

    schema = contract.json_schema
    assert schema is not None
    assert list(schema["properties"]) == ["kind", "n", "who", "x"]
    assert schema["required"] == ["kind", "n", "who"]
    assert schema["properties"]["kind"] == {"type": "string", "enum": ["a", "b"]}
    assert schema["properties"]["x"] == {"type": "array", "items": {"type": "number"}}
    assert schema["x-guidance"]["key_separator"] == ": "


def test_sentences_are_free_text() -> None:
    """No form, so nothing to keep answers within."""
    contract = OutputContract.learn([f"It is number {n}, I think." for n in ROWS])

    assert (contract.kind, contract.form()) == ("TEXT", None)


def test_a_contract_survives_its_document() -> None:
    """What is stored is read back equal."""
    contract = OutputContract.learn([json.dumps({"a": n}) for n in ROWS])

    assert OutputContract.read(json.loads(json.dumps(contract.document()))) == contract


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        (["yes", "no"] * 3, OutputKind.LABELS),
        (["spam"] * 6 + ["Spam.", "spams"] + ["ham"] * 2, OutputKind.LABELS),  # spellings of one label
        (["a", "a", "b", "b", "c", "d"], OutputKind.TEXT),  # a third of the rows have an output of their own
        (["yes"] * 4, OutputKind.TEXT),
        ([f"label {number}" for number in range(101)] * 2, OutputKind.TEXT),
        (["x" * 101] * 10, OutputKind.TEXT),
        (['{"a": 1}', "[2]"] * 3, OutputKind.JSON),
        (['{"a": 1}'] * 19 + ["broken"], OutputKind.JSON),
        (["1", "2.5", "-3"], OutputKind.NUMBER),
        ([], OutputKind.TEXT),
    ],
)
def test_there_is_one_rule_for_what_outputs_are(outputs: list[str], kind: OutputKind) -> None:
    """Warnings, scoring and the contract follow the same rule."""
    assert output_kind(outputs) is kind
    assert (Scoring.of(outputs).kind is ScoringKind.LABELS) == (kind is OutputKind.LABELS)
    assert (OutputContract.learn(outputs).kind == "LABELS") == (kind is OutputKind.LABELS)


def test_blanks_of_labels_are_shown() -> None:
    """A label that begins with a blank is quoted, since it must be answered like that."""
    sentence = OutputContract.learn([[" ham", "spam"][n % 2] for n in ROWS]).sentence()

    assert sentence == "The outputs are one of 2 labels: ' ham', spam."


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("ham\u200b", "differs from 'ham' only in an invisible character (U+200B)"),
        ("\uff48am", "looks like 'ham' but is written with other characters"),
        ("hamm", "is probably another spelling of 'ham'"),
    ],
)
def test_a_difference_is_described(label: str, words: str) -> None:
    """What cannot be seen is named."""
    assert difference(label, "ham") == words


def labelled(*labels: str) -> list[TuningExample]:
    return [TuningExample(f"row {number}", label) for number, label in enumerate(labels)]


def test_labels_that_one_part_lacks_are_named() -> None:
    """The number of rows beside the page's, the rows of each label, and what only one of the two parts has."""
    found = rows_and_labels(
        labelled(*["ham"] * 20, *["spam"] * 9, "bug", "bug"), labelled("ham", "ham", "late", "late")
    )

    assert found.advice == "35 rows; 100+ usually give good results in classification."
    assert found.labels == (("ham", 22), ("spam", 9), ("bug", 2), ("late", 2))
    assert [(problem.kind, problem.message) for problem in found.problems] == [
        ("not-held-out", "No held-out row has one of the outputs 'spam', 'bug', so the verdict says nothing about it."),
        ("only-held-out", "No row to tune on has the output 'late': the rows with it are all held out."),
    ]


def test_texts_are_only_counted() -> None:
    """Without labels there is nothing to lack; few rows are few whatever they hold."""
    texts = [TuningExample(str(n), f"a summary of {n} " * 9) for n in range(30)]

    assert rows_and_labels(texts[:12], texts[12:15]).advice == "15 rows; results are rarely good with fewer than 20."
    found = rows_and_labels(texts)
    assert (found.labels, found.problems) == ((), ())
    assert found.advice == "30 rows; 100-500+ usually give good results in summarization."
