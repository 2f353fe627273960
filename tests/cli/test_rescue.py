"""`tunery rescue` against endpoints in both styles, and what it makes of their failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.provider import KEY, Provider, providing


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a provider whose key is in the environment."""
    monkeypatch.setenv("RESCUE_API_KEY", KEY)
    with providing() as address:
        yield address


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_are_recorded_in_openai_style(run: Run, data: Path, address: str) -> None:
    """Each row has a line with the expected output and the answer."""
    done = run("rescue", data, "--endpoint", address, "--model", "old", "--per-minute", 100_000)

    recorded = data.with_name("numbers.answers.jsonl")
    assert done.status == 0, done.said
    assert done.output.strip() == str(recorded)
    assert lines(recorded)[3] == {"row": 4, "text_input": "3", "output": "4", "answer": "4", "model": "old"}
    path, headers, body = Provider.asked[0]
    assert (path, headers["authorization"], body["model"]) == ("/v1/chat/completions", f"Bearer {KEY}", "old")


def test_a_prompt_without_an_answer_is_kept_as_such(run: Run, data: Path, address: str) -> None:
    """In Gemini's style, with the key in its header; a blocked row has an error and is not sent again."""
    options = ("--endpoint", address, "--style", "gemini", "--model", "tunedModels/x", "--per-minute", 100_000)

    found = json.loads(run("rescue", data, *options, "--json").output)

    assert (found["rows"], found["without_answer"]) == (20, 1)
    assert lines(Path(found["file"]))[3]["error"] == "The model returned no text."
    path, headers, _ = Provider.asked[0]
    assert (path, headers["x-goog-api-key"]) == ("/v1/tunedModels/x:generateContent", KEY)


def test_the_same_command_goes_on_where_it_stopped(run: Run, data: Path, address: str) -> None:
    """Complete lines are kept and cut ones repeated; answers of another model are not mixed in."""
    options = ("--endpoint", address, "--per-minute", 100_000)
    run("rescue", data, *options, "--model", "old")
    recorded = data.with_name("numbers.answers.jsonl")
    whole = recorded.read_text()
    recorded.write_text("".join(whole.splitlines(keepends=True)[:18]) + '{"row": 19, "te')
    Provider.asked.clear()

    again = run("rescue", data, *options, "--model", "old")
    other = run("rescue", data, *options, "--model", "another")

    assert again.status == 0, again.said
    assert (recorded.read_text(), len(Provider.asked)) == (whole, 2)
    assert "contains answers from old, not from another" in other.said


def test_without_a_key_nothing_is_asked(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing variable is named."""
    monkeypatch.delenv("RESCUE_API_KEY", raising=False)

    done = run("rescue", data, "--endpoint", "http://127.0.0.1:9/v1", "--model", "old")

    assert done.status == 26
    assert "$RESCUE_API_KEY" in done.said


def test_answers_with_line_separators_are_resumed(run: Run, data: Path, address: str) -> None:
    """Answers may hold U+2028 and U+0085; the same command again has nothing to ask."""
    options = ("--endpoint", address, "--per-minute", 100_000, "--model", "old")
    text = "delivery\u2028call the depot\u0085thanks"
    Provider.replies = [{"choices": [{"finish_reason": "stop", "message": {"content": text}}]}] * 20

    first = run("rescue", data, *options)
    again = run("rescue", data, *options)

    assert (first.status, again.status, len(Provider.asked)) == (0, 0, 20), again.said
    assert lines(data.with_name("numbers.answers.jsonl"))[0]["answer"] == text


def test_cut_answers_are_said(run: Run, data: Path, address: str) -> None:
    """The number and the rows of answers that ended at the token limit, and what to do."""
    options = ("--endpoint", address, "--per-minute", 100_000, "--model", "old")
    Provider.replies = [{"choices": [{"finish_reason": "length", "message": {"content": "deliv"}}]}] * 2

    done = run("rescue", data, *options)
    counted = json.loads(run("rescue", data, *options, "--json").output)

    assert (
        "Warning: 2 answers were cut off at the token limit, in rows 1, 2. To get whole answers, use a larger"
        in done.said
    )
    assert counted["cut"] == 2
