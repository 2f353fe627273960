"""Recording an old model's answers with `tunery.rescue`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tunery
from tests.fakes import counting_examples
from tests.provider import KEY, Provider, providing
from tunery.errors import FailedPrecondition, InvalidArgument, Unauthenticated


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
