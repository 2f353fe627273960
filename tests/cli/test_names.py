"""What is refused before anything is read or loaded: names that no model has, files that would be written over."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.service.samples import tuned as tuned_model
from tunery.cli.workplace import Here
from tunery.service.library import Library


@pytest.fixture
def numbers(home: Path) -> None:
    """Put a tuned model into the library, without a base that could answer."""
    with Library.own(home) as library:
        tuned_model(library, id="numbers")


@pytest.mark.usefixtures("numbers")
@pytest.mark.parametrize(
    "command",
    [
        ("generate", "nmbers", "7"),
        ("generate", "nmbers", "--input", "missing.csv"),
        ("decide", "nmbers", "7"),
        ("decide", "nmbers", "--input", "missing.jsonl"),
        ("evaluate", "nmbers"),
        ("evaluate", "nmbers", "missing.csv"),
        ("models", "export", "nmbers"),
        ("models", "show", "nmbers"),
    ],
    ids=" ".join,
)
def test_a_wrong_name_comes_first(run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    """Before a file is read, and before a library is loaded that takes seconds."""
    for slow in ("tunery.service.python", "tunery.model", "tunery.engine.proof"):
        monkeypatch.setitem(sys.modules, slow, None)  # importing it fails

    done = run(*command)

    assert done.status == 15, done.said
    assert "Error: There is no tuned model 'nmbers'. Did you mean numbers?" in done.said


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("qwen3-0.6b", "Error: qwen3-0.6b is not on this machine yet. Run `tunery bases get qwen3-0.6b`.\n"),
        ("qwen3-06b", "There is no base model with that name either. Did you mean qwen3-0.6b"),
        ("nothing", "My Library is empty. There is no base model with that name either.\n"),
    ],
)
def test_a_base_that_is_not_here_is_told_from_one_that_does_not_exist(run: Run, name: str, sentence: str) -> None:
    """A base that can be fetched is named with its command, a misspelt one with its name."""
    done = run("generate", name, "7")

    assert done.status == 15
    assert sentence in done.said


@pytest.mark.usefixtures("numbers")
def test_an_epoch_that_was_not_kept_is_refused_first(run: Run) -> None:
    """And nothing is said about a base of that name."""
    done = run("generate", "numbers@epoch-9", "7")

    assert done.status == 15
    assert done.said == "Error: Epoch 9 of this tuned model was not kept. Kept epochs: none.\n"


@pytest.mark.usefixtures("numbers")
def test_a_name_says_whether_it_was_tuned() -> None:
    """By its id or display name; a base is none."""
    place = Here()

    assert place.require_model("numbers")
    assert not place.require_model("smollm2-135m-instruct")


def test_a_base_cannot_be_held_to_the_outputs_of_examples(run: Run) -> None:
    """It has none, and is not fetched to find that out."""
    done = run("generate", "smollm2-135m-instruct", "7", "--constrain-to-training-outputs")

    assert done.status == 13
    assert "is for tuned models; smollm2-135m-instruct is a base" in done.said


@pytest.mark.parametrize("command", ["generate", "decide"])
def test_a_file_is_not_written_over_unasked(run: Run, tmp_path: Path, command: str) -> None:
    """Without a terminal it is refused before a model is looked for; with --yes the model is looked for."""
    read, written = tmp_path / "new.csv", tmp_path / "mine.jsonl"
    read.write_text("text\nhello there\n")
    written.write_text("mine")
    arguments = (command, "nobody", "--input", read, "--output", written)

    refused, meant = run(*arguments), run(*arguments, "--yes")

    assert refused.status == 16
    assert refused.said == f"Error: {written} already exists. Name another file, or add --yes to write over it.\n"
    assert "There is no tuned model 'nobody'" in meant.said
    assert written.read_text() == "mine"


@pytest.mark.parametrize(("answer", "status"), [(False, 1), (True, 15)])
def test_a_person_is_asked_before_a_file_is_written_over(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bool, status: int
) -> None:
    """On a terminal; after a no, nothing happens, after a yes, the missing model is the next fault."""
    (tmp_path / "mine.jsonl").write_text("mine")
    asked = []
    monkeypatch.setattr("tunery.cli.terminal.can_ask", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda question, **_: asked.append(question) or answer)

    done = run("generate", "nobody", "--input", tmp_path / "new.csv", "--output", tmp_path / "mine.jsonl")

    assert done.status == status
    assert asked == [f"{tmp_path / 'mine.jsonl'} already exists. Write over it?"]
