"""datasets:parse: files as a form or as a body, good ones and a corpus of bad ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.data import made_workbooks as made
from tests.data.bad_files import BadFile, bad_files
from tests.live import Live
from tunery.types import MAX_DATASET_BYTES

PATH = "/v1beta/datasets:parse"
GOOD = b"question,answer,note\n" + b"".join(f"What comes after {n}?,{n + 1},x\n".encode() for n in range(30))
CORPUS = bad_files()


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


def parsed(client: httpx2.Client, name: str, content: bytes, **fields: Any) -> dict[str, Any]:
    reply = client.post(PATH, files={"file": (name, content)}, data=fields)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_a_file_is_understood(client: httpx2.Client) -> None:
    """Format, columns, sample, mapping and examples with their rows are there; nothing is wrong."""
    found = parsed(client, "questions.csv", GOOD)

    assert (found["source"], found["format"], found["encoding"]) == ("questions.csv", "csv", "utf-8")
    assert found["columns"] == ["question", "answer", "note"]
    assert found["mapping"] == {
        "inputColumns": ["question"],
        "outputColumn": "answer",
        "ignoredColumns": ["note"],
    }
    assert found["sample"][0] == {"number": 2, "cells": ["What comes after 0?", "1", "x"]}
    assert len(found["sample"]) == 20
    assert found["examples"][29] == {"textInput": "What comes after 29?", "output": "30", "row": 31}
    assert [problem for problem in found["problems"] if problem["level"] == "error"] == []


@pytest.mark.parametrize("name", ["fileName", "file_name"])
def test_a_body_is_read_as_a_form_is(client: httpx2.Client, name: str) -> None:
    """The bytes alone with a name in the query give the same."""
    reply = client.post(PATH, params={name: "questions.csv"}, content=GOOD)

    assert reply.json() == parsed(client, "questions.csv", GOOD)


def test_options_overrule_what_was_found_out(client: httpx2.Client) -> None:
    """Columns, header, delimiter and rows to skip are taken from the form or the query."""
    fields = {"inputColumn": ["note", "question"], "outputColumn": "answer", "skipRows": "2,3"}

    found = parsed(client, "questions.csv", GOOD, **fields)
    in_query = client.post(PATH, params={"fileName": "a.csv", "header": "false"}, content=GOOD).json()

    assert found["mapping"]["inputColumns"] == ["note", "question"]
    assert found["examples"][0]["row"] == 4
    assert in_query["hasHeader"] is False
    assert in_query["rowCount"] == 31


def test_sheets_of_a_workbook_can_be_chosen(client: httpx2.Client) -> None:
    """All sheets are named and the requested one is read."""
    rows = [["text_input", "output"], ["a", "b"]]
    workbook = made.xlsx(("First", rows), ("Second", [*rows, ["c", "d"]]))

    found = parsed(client, "book.xlsx", workbook, sheet="Second")

    assert [sheet["name"] for sheet in found["sheets"]] == ["First", "Second"]
    assert [example["textInput"] for example in found["examples"]] == ["a", "c"]


def test_problems_have_all_that_a_table_shows(client: httpx2.Client) -> None:
    """A problem has row, column, kind, limit, actual value and level; all of them come at once, and no examples."""
    content = b"text_input,output\na,\nx," + b"y" * 5_001 + b"\n c,d\n"

    found = parsed(client, "bad.csv", content)

    long = next(problem for problem in found["problems"] if problem.get("limit") == 5_000)
    assert (long["row"], long["column"], long["actual"], long["level"]) == (3, "output", 5_001, "error")
    assert {problem.get("row") for problem in found["problems"]} >= {2, 3, 4}
    assert {problem["level"] for problem in found["problems"]} == {"error", "warning"}
    assert "examples" not in found


def test_rows_that_problems_name_can_be_shown(client: httpx2.Client) -> None:
    """Beyond the sample they are in the reply: a copy and its original, a row of another width, a first example."""
    rows = [f"question {number},answer {number % 3}" for number in range(60)]
    rows[2], rows[50], rows[40] = "question 1,answer 0", "question 9,answer 0", "a,b,c"

    found = parsed(client, "rows.csv", ("text_input,output\n" + "\n".join(rows)).encode())

    copy = next(problem for problem in found["problems"] if problem["kind"] == "duplicate")
    assert (copy["row"], copy["otherRow"]) == (52, 11)
    assert found["problemRows"] == [
        {"number": 42, "cells": ["a", "b", "c"]},
        {"number": 52, "cells": ["question 9", "answer 0"]},
    ]
    assert found["firstExample"] == {"textInput": "question 0", "output": "answer 0"}
    assert "examples" not in found


def test_all_rows_can_be_in_the_sample(client: httpx2.Client) -> None:
    """Whoever needs the cells of all rows asks for them; those that are skipped are not among them."""
    found = parsed(client, "questions.csv", GOOD, sampleRows="1000", skipRows="3")

    assert [row["number"] for row in found["sample"]] == [2, *range(4, 32)]


def test_broken_lines_are_shown_as_they_stand(client: httpx2.Client) -> None:
    """A line that is not JSON and a conversation that cannot be used come as one cell; a system message is said."""
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    good = json.dumps({"messages": [*turns, {"role": "assistant", "content": "Hello"}]})
    lines = [*[good] * 4, '{"messages": [', json.dumps({"messages": turns})]

    found = parsed(client, "chat.jsonl", "\n".join(lines).encode())

    assert [row["cells"] for row in found["problemRows"]] == [[lines[4]], [lines[5]]]
    said = [problem["message"] for problem in found["problems"]]
    assert "4 rows have a system message, which goes before the input after an empty line (first: row 1)." in said


def test_the_corpus_is_large() -> None:
    """At least 60 files are sent."""
    assert len(CORPUS) >= 60


@pytest.mark.parametrize("bad", CORPUS, ids=lambda bad: bad.name)
def test_a_bad_file_is_told_from_a_bad_request(client: httpx2.Client, bad: BadFile) -> None:
    """Each file gets a reply whose first error has the expected text, row and column; the server keeps running."""
    options = {{"input_column": "inputColumn"}.get(name, name): _sent(value) for name, value in bad.options.items()}
    reply = client.post(PATH, files={"file": (bad.name, bad.content)}, data=options)

    if len(bad.content) > MAX_DATASET_BYTES + 1:
        assert reply.status_code == 400
        assert reply.json()["error"]["message"].startswith("Request payload size exceeds the limit: ")
        return
    assert reply.status_code == 200, reply.text
    first = next(problem for problem in reply.json()["problems"] if problem["level"] == "error")
    assert bad.words in first["message"]
    assert bad.row is None or (first.get("row"), first.get("column")) == (bad.row, bad.column)
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"data": {"sheet": "x"}, "files": {"other": b"x"}}, "no file"),
        ({"params": {"fileName": "a.csv", "header": "perhaps"}, "content": GOOD}, "header must be"),
        ({"params": {"fileName": "a.csv", "skipRows": "two"}, "content": GOOD}, "skipRows must be"),
        ({"params": {"fileName": "a.csv", "skipRows": "9" * 5000}, "content": GOOD}, "skipRows must be"),
        ({"params": {"fileName": "a.csv", "headerRow": "0x1"}, "content": GOOD}, "headerRow must be"),
        ({"params": {"fileName": "a.csv", "hiddenRows": "yes"}, "content": GOOD}, "hiddenRows must be"),
        ({"params": {"fileName": "a.csv", "encoding": "klingon"}, "content": GOOD}, "no text encoding"),
        ({"params": {"fileName": "a.csv", "sheet": "x"}, "content": GOOD}, "has no sheet"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "The form cannot be read"),
        (
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=y"}},
            "",
        ),
        ({"files": [("file", ("a.csv", GOOD)), ("file", ("b.csv", GOOD))]}, "Too many files"),
    ],
)
def test_a_wrong_request_is_400(client: httpx2.Client, arguments: dict[str, Any], words: str) -> None:
    """What is wrong with the request, not the file, is an error in the envelope."""
    reply = client.post(PATH, **arguments)

    assert reply.status_code == 400
    assert words in json.loads(reply.text)["error"]["message"]


def test_a_body_beyond_the_limit_is_not_read_to_its_end(client: httpx2.Client) -> None:
    """Bytes are counted while they come in."""
    reply = client.post(PATH, params={"fileName": "a.csv"}, content=bytes(MAX_DATASET_BYTES + 1))

    assert reply.status_code == 400
    assert "exceeds the limit" in reply.json()["error"]["message"]


def test_names_of_files_do_not_lead_anywhere(client: httpx2.Client) -> None:
    """Only the last part of a name is kept, whatever separators it has."""
    names = ("../../etc/passwd.csv", "C:\\data\\passwd.csv")

    assert {parsed(client, name, GOOD)["source"] for name in names} == {"passwd.csv"}


def test_a_key_cannot_have_files_read(live: Live) -> None:
    """Reading files takes a token with the scope for tuning."""
    with httpx2.Client(base_url=live.address, trust_env=False) as client:
        reply = client.post(PATH, headers={"x-goog-api-key": live.key}, content=GOOD)

    assert reply.status_code == 403


def _sent(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def rescued(rows: int = 30, **changes: Any) -> bytes:
    """Return a file as `tunery rescue` writes it."""
    lines = [
        {"row": n, "text_input": f"What is {n}?", "output": str(n), "answer": f"old {n}", "model": "old-1", **changes}
        for n in range(1, rows + 1)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def test_the_answers_in_a_rescued_file_are_returned(client: httpx2.Client) -> None:
    """They follow the order of the examples, under the name of the old model; skipped rows have none."""
    whole = parsed(client, "old.jsonl", rescued())
    shorter = parsed(client, "old.jsonl", rescued(), skipRows="1,3")

    assert whole["recorded"] == {"title": "old-1", "answers": [f"old {n}" for n in range(1, 31)]}
    assert shorter["recorded"]["answers"] == ["old 2", *(f"old {n}" for n in range(4, 31))]
    assert len(shorter["examples"]) == 28


@pytest.mark.parametrize("changes", [{"answer": None}, {"model": 1}, {"row": "1"}])
def test_a_file_that_rescue_did_not_write_has_no_recorded_answers(
    client: httpx2.Client, changes: dict[str, Any]
) -> None:
    """A line with another type somewhere makes it an ordinary file."""
    assert "recorded" not in parsed(client, "old.jsonl", rescued(**changes))
    assert "recorded" not in parsed(client, "questions.csv", GOOD)


def test_only_problems_of_a_row_can_be_skipped(client: httpx2.Client) -> None:
    """Leaving out the row of an empty output helps; few examples and guesses about the file stay."""
    found = parsed(client, "bad.csv", b"text_input,output\na,\nc,d\n")["problems"]
    guessed = parsed(client, "guess.csv", b"caf\xe9,1\n" + GOOD[21:])["problems"]

    skippable = {problem["kind"]: problem["isSkippable"] for problem in [*found, *guessed]}
    assert skippable["empty-output"] is True
    assert skippable["few-examples"] is False
    assert skippable["guessed-encoding"] is False
    assert {problem["kind"]: problem.get("option") for problem in guessed}["guessed-encoding"] == "encoding"
