"""The messages of the command line: in its own words, and with hints that work where people follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tunery.cli.main import main
from tunery.errors import InvalidArgument, NotFound


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tune", "x.csv", "--weights", "half"), "'--weights': 'half' is not one of 'auto', 'full', '8bit', '4bit'."),
        (("models", "export", "x", "--format", "x"), "'--format': 'x' is not one of 'adapter', 'merged', 'gguf'."),
        (("tune", "x.csv", "--epochs", "1.5"), "'--epochs': it must be a whole number."),
        (("data", "curve", "x.csv", "--epochs", "many"), "'--epochs': it must be a whole number."),
        (("tune", "x.csv", "--learning-rate", "high"), "'--learning-rate': it must be a number."),
        (("models", "use", "x", "last"), "'EPOCH': it must be a whole number."),
    ],
)
def test_a_value_that_an_option_cannot_take(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """It is said in plain words, not in those of the library that reads options."""
    done = run(*arguments)

    assert done.status == 2
    assert done.said.splitlines()[-1] == f"Error: Invalid value for {said}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("generate", "x", "7", "--temperature", "3"), "--temperature must be between 0 and 2, not 3.0."),
        (("generate", "x", "7", "--top-p", "3"), "--top-p must be above 0 and at most 1, not 3.0."),
        (("generate", "x", "7", "--max-output-tokens", "0"), "--max-output-tokens must be at least 1, not 0."),
        (("generate", "x", "7", "--stop", ""), "--stop takes up to 5 non-empty strings."),
        (("generate", "x", "7", "--labels", "a,a"), "--labels must be distinct, non-empty strings."),
        (("generate", "x", ""), "The text is empty. Give a text to answer."),
        (("decide", "x", " "), "The text is empty. Give a text to answer."),
    ],
)
def test_a_fault_is_said_with_the_option(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """Other parts name fields of the API; here they are options."""
    done = run(*arguments)

    assert (done.status, done.said) == (13, f"Error: {said}\n")


def test_a_name_in_a_text_of_the_user_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only names of settings are translated: not in a path, a longer name or a quoted text."""
    text = "Row 3 of /x/top_k.csv: 'epoch_count' has no my_top_p; set top_p or epoch_count."
    monkeypatch.setattr("tunery.cli.generate.require_inputs", lambda *_: (_ for _ in ()).throw(InvalidArgument(text)))

    said = run("generate", "x", "7").said

    assert said == "Error: Row 3 of /x/top_k.csv: 'epoch_count' has no my_top_p; set --top-p or --epochs.\n"


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_works_wherever_it_is_added(home: Path, place: int) -> None:
    """Before the command, within it, and at its end."""
    assert not home.exists()
    arguments = ["models", "show", "nothing"]
    arguments.insert(place, "--debug")

    with pytest.raises(NotFound):
        main(arguments)


def test_a_text_may_be_debug(run: Run) -> None:
    """What follows -- is a text, and the error stays a sentence."""
    assert run("generate", "nothing", "--", "--debug").said.startswith("Error: There is no tuned model 'nothing'.")


def test_a_fault_of_ours_says_how_to_see_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the option that works where it is added."""
    monkeypatch.setattr("tunery.cli.generate.require_inputs", lambda *_: 1 / 0)

    done = run("generate", "x", "7")

    assert done.status == 23
    assert done.said.splitlines() == [
        "Error: something went wrong inside tunery (ZeroDivisionError: division by zero).",
        "Add --debug to the command to see where.",
    ]
