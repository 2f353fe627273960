"""`tunery decide`: texts and files, the model's own question and others, here and on a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.live import BASE, Live
from tunery.evaluation.calibration import scaled

LABELS = ("bug", "billing")


@pytest.fixture
def labelled(run: Run, tiny: str, tmp_path: Path) -> str:
    """Return the id of a model tuned on labels."""
    data = tmp_path / "labels.csv"
    data.write_text("input,output\n" + "".join(f"message {n},{LABELS[n % 2]}\n" for n in range(24)))
    done = run("tune", data, "--no-verdict", "--base-model", tiny, "--id", "sorted", "--epochs", "1", "--hold-out", "0")
    assert done.status == 0, done.said
    return "sorted"


def test_a_model_of_labels_needs_no_question(run: Run, labelled: str) -> None:
    """The options are its labels, the likeliest first, and it chooses as it answers."""
    done = run("decide", labelled, "message 7")
    answer = run("generate", labelled, "message 7", "--max-output-tokens", "20").output.strip()

    head, *options = done.output.splitlines()
    assert head == f"label: {answer}"
    assert {line.split()[-1] for line in options} == set(LABELS)
    assert options[0].endswith(answer)


def test_json_has_the_answers(run: Run, labelled: str) -> None:
    """With model and state, as over HTTP."""
    found = json.loads(run("decide", labelled, "message 7", "--json").output)

    assert (found["model"], found["state"]) == (labelled, "message 7")
    assert sum(found["answers"]["label"]["probabilities"].values()) == pytest.approx(1)


def test_a_base_is_asked(run: Run, tiny: str, tmp_path: Path) -> None:
    """A question alone is yes or no; with labels a choice; a file may have any."""
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps({"urgent": {"type": "score", "criteria": ["low", "high"]}}))

    yes = run("decide", tiny, "x", "--question", "Is it?").output
    choice = run("decide", tiny, "x", "--question", "Which?", "--labels", "a, b").output
    score = run("decide", tiny, "x", "--questions", questions).output

    assert yes.startswith(("question: yes, ", "question: no, "))
    assert {line.split()[-1] for line in choice.splitlines()} == {"a", "b"}
    assert score.startswith("urgent: 0.")
    assert {line.split()[-1] for line in score.splitlines()} == {"low", "high"}


def test_a_file_is_decided_row_by_row(run: Run, labelled: str, tmp_path: Path) -> None:
    """Any table is read; each row becomes a line with its answers, equal to those of the text alone."""
    table, out = tmp_path / "new.csv", tmp_path / "decided.jsonl"
    table.write_text("input\n" + "".join(f"message {n}\n" for n in range(40)))

    done = run("decide", labelled, "--input", table, "--output", out)

    assert (done.status, done.output) == (0, "")
    rows: list[dict[str, Any]] = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["text_input"] for row in rows] == [f"message {n}" for n in range(40)]
    alone = json.loads(run("decide", labelled, "message 7", "--json").output)["answers"]["label"]
    assert rows[7]["answers"]["label"]["probabilities"] == pytest.approx(alone["probabilities"], rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "--labels", "a,b", "--questions", "{}"), "leave out"),
        ((), "Give TEXT"),
        (("x", "--output", "y.jsonl"), "--output needs --input"),
        (("x",), "Give questions"),
        (("x", "--labels", "a,,b"), "criteria"),
    ],
)
def test_what_cannot_be_asked_is_said(run: Run, tiny: str, arguments: tuple[str, ...], said: str) -> None:
    """In one sentence, with the status of an invalid argument."""
    done = run("decide", tiny, *arguments)

    assert done.status == 13
    assert said in done.said


def test_a_questions_file_that_is_no_json_is_said(run: Run, tiny: str, tmp_path: Path) -> None:
    """So is one whose questions are wrong, with the place."""
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "wrong.json").write_text('{"a": {"type": "rank"}}')

    assert "not JSON" in run("decide", tiny, "x", "--questions", tmp_path / "bad.json").said
    assert "questions.a.type: type must be" in run("decide", tiny, "x", "--questions", tmp_path / "wrong.json").said


def test_a_server_decides(run: Run, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command asks a server, and says what it refuses."""
    monkeypatch.setenv("TUNERY_TOKEN", live.token)
    done = run("decide", BASE, "x", "--labels", "a,b", "--json", "--server", live.address)
    refused = run("decide", BASE, "x", "--server", live.address, "--labels", ",".join(map(str, range(27))))

    assert set(json.loads(done.output)["answers"]["question"]["probabilities"]) == {"a", "b"}
    assert refused.status == 13
    assert "questions.question.criteria: A base model reads at most 26 options, not 27." in refused.said


def test_an_evaluation_says_how_true_probabilities_are(run: Run, labelled: str, tmp_path: Path) -> None:
    """Its report has the error and a table of thresholds; from then on the probabilities are divided as it says."""
    new = tmp_path / "new.csv"
    new.write_text("input,output\n" + "".join(f"letter {n},{LABELS[n % 2]}\n" for n in range(20)))
    before = json.loads(run("decide", labelled, "message 7", "--json").output)["answers"]["label"]

    report = json.loads(run("evaluate", labelled, new, "--json").output)
    shown = run("evaluate", labelled, new).output

    after = json.loads(run("decide", labelled, "message 7", "--json").output)["answers"]["label"]
    assert "20 rows are too few to tell how far the probabilities" in shown
    assert "ANSWER ONLY ABOVE" in shown
    expected = scaled(before["probabilities"], report["calibration"]["temperature"])
    assert after["choice"] == before["choice"]
    assert after["probabilities"] == pytest.approx(expected, rel=0.05)
