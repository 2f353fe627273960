"""Recording an old model's answers with `tunery.rescue`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunery
from tests.fakes import counting_examples
from tests.provider import KEY, Provider, providing
from tunery.data.dataset import Dataset
from tunery.errors import FailedPrecondition, InvalidArgument, Unauthenticated
from tunery.old_models import AnswerFile, OldAnswer, read_recorded, recorded_in
from tunery.types import TuningExample

CASES = Path(__file__).parent / "fixtures" / "cases"
TEXTS = st.text()  # line ends of every kind among them, and halves of characters


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a provider whose key is in the environment."""
    monkeypatch.setenv("RESCUE_API_KEY", KEY)
    with providing() as address:
        yield address


def test_recorded_answers_are_returned_and_kept(address: str, tmp_path: Path) -> None:
    """Answers come in the order of the rows; the same call again sends no request."""
    told: list[tuple[int, int]] = []
    options = {"endpoint": address, "model": "old", "to": tmp_path / "old.jsonl", "per_minute": 100_000}

    answers = tunery.rescue(counting_examples(), **options, on_answered=lambda *now: told.append(now))  # type: ignore[arg-type]
    asked = len(Provider.asked)
    again = tunery.rescue(counting_examples(), **options)  # type: ignore[arg-type]

    assert (answers.title, list(answers.answers)) == ("old", [example.output for example in counting_examples()])
    assert told == [(done, 12) for done in range(1, 13)]
    assert again == answers
    assert asked == len(Provider.asked) == 12


def test_answers_of_another_model_are_not_mixed_in(address: str, tmp_path: Path) -> None:
    """A file with the answers of another model is refused."""
    for_all = {"endpoint": address, "to": tmp_path / "old.jsonl", "per_minute": 100_000}
    tunery.rescue(counting_examples(2), model="old", **for_all)  # type: ignore[arg-type]

    with pytest.raises(FailedPrecondition, match="contains answers from old, not from another"):
        tunery.rescue(counting_examples(2), model="another", **for_all)  # type: ignore[arg-type]


def test_a_key_must_be_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the missing variable, and no request is sent."""
    monkeypatch.delenv("MY_KEY", raising=False)

    with pytest.raises(Unauthenticated, match=r"\$MY_KEY"):
        tunery.rescue(
            counting_examples(), endpoint="http://127.0.0.1:9/v1", model="old", to=tmp_path / "x", key_variable="MY_KEY"
        )


@pytest.mark.parametrize(("setting", "value"), [("style", "mine"), ("per_minute", 0)])
def test_invalid_settings_are_refused(address: str, tmp_path: Path, setting: str, value: object) -> None:
    """No file is created."""
    options = {"endpoint": address, "model": "old", "to": tmp_path / "x", setting: value}

    with pytest.raises(InvalidArgument, match=str(value)):
        tunery.rescue(counting_examples(), **options)  # type: ignore[arg-type]

    assert not (tmp_path / "x").exists()


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, unique_by=lambda row: row[0]))
def test_what_was_recorded_is_read_back(rows: list[tuple[str, str, str]]) -> None:
    """Whatever the texts hold, another run has nothing to ask and both readers find every answer."""
    examples = [TuningExample(text_input, output) for text_input, output, _ in rows]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "old.jsonl"
        for number, (_, _, answer) in enumerate(rows, start=1):
            AnswerFile(path, "old", examples).add(number, OldAnswer(answer))

        # json joins two halves of one character that stand side by side
        answers = [json.loads(json.dumps(answer)) for _, _, answer in rows]
        if answers == [answer for _, _, answer in rows]:
            assert AnswerFile(path, "old", examples).missing == []
            assert read_recorded(path, examples).answers == answers
            assert recorded_in(path.read_bytes(), examples) == read_recorded(path, examples)


def test_files_of_earlier_versions_are_read() -> None:
    """They hold U+2028 as it is, and no finish reason."""
    folder = CASES / "01-line-separators"
    rows = Dataset.read(folder / "rows.csv").examples

    recorded = read_recorded(folder / "rows.answers.jsonl", rows)

    assert recorded.answers[1] == "billing\u2028see the terms"
    assert (len(recorded.answers), recorded.title, recorded.cut) == (6, "old-model", 0)


def answers_of(path: Path) -> AnswerFile:
    return AnswerFile(path, "old", counting_examples(2))


@pytest.mark.parametrize("cut", [1, 2, 9, 60])
def test_a_line_that_was_cut_is_asked_for_again(tmp_path: Path, cut: int) -> None:
    """Also inside a character, and a whole line without its line feed is kept; the file goes on with a whole line."""
    path = tmp_path / "old.jsonl"
    answers_of(path).add(1, OldAnswer("eins"))
    answers_of(path).add(2, OldAnswer("zwei 🛠️"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])

    again = answers_of(path)
    for number in again.missing:
        again.add(number, OldAnswer("zwei 🛠️"))

    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"a note without a line end", b"text_input,output\na,b\n", b'{"rows": 1'])
def test_other_files_are_left_as_they_are(tmp_path: Path, content: bytes) -> None:
    """A file that is not of `tunery rescue` is refused and keeps its bytes."""
    path = tmp_path / "mine"
    path.write_bytes(content)

    for use in (answers_of, lambda path: read_recorded(path, counting_examples(2))):
        with pytest.raises(InvalidArgument, match="was not written by `tunery rescue`"):
            use(path)

    assert path.read_bytes() == content


def test_a_place_that_cannot_hold_answers_is_refused_at_once(tmp_path: Path) -> None:
    """Before anything is asked: a missing folder, and a folder in place of the file."""
    with pytest.raises(InvalidArgument, match="missing is not a writable folder"):
        answers_of(tmp_path / "missing" / "old.jsonl")
    with pytest.raises(InvalidArgument, match="cannot be read: Is a directory"):
        answers_of(tmp_path)


def test_cut_answers_are_counted(tmp_path: Path) -> None:
    """The file says which answers were cut, and an evaluation shows it beside the model's name."""
    path = tmp_path / "old.jsonl"
    file = answers_of(path)
    file.add(1, OldAnswer("ei", "MAX_TOKENS"))
    file.add(2, OldAnswer("zwei", "stop"))

    assert [json.loads(line).get("finish_reason") for line in path.read_text().split("\n")[:2]] == ["MAX_TOKENS", None]
    assert (file.cut, answers_of(path).cut) == ([1], [1])
    recorded = read_recorded(path, counting_examples(2))
    assert (recorded.title, recorded.cut) == ("old (1 of 2 answers cut off at its token limit)", 1)
