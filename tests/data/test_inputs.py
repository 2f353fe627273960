"""The prompt contract: what inputs have in common is learned, said, checked and added."""

from __future__ import annotations

import pytest

from tunery.data.inputs import PromptContract

PREAMBLE = "Classify the ticket. Answer with one word.\n"
LABELLED = [f"question: who is number {n}?\ncontext: he is {n} years old" for n in range(30)]
TICKETS = [f"{PREAMBLE}Ticket: the door {n} is stuck again" for n in range(30)]


def kinds(contract: PromptContract, text: str) -> list[str]:
    return [difference.kind for difference in contract.differences(text)]


def test_a_common_beginning_is_a_preamble() -> None:
    """It is said, its absence is noticed, and rows with it pass."""
    contract = PromptContract.learn(TICKETS)

    assert contract.preamble == PREAMBLE
    assert contract.labels == ("Ticket",)
    assert kinds(contract, TICKETS[3]) == []
    assert "PREAMBLE" in kinds(contract, "Ticket: the door 7 is stuck again")
    assert 'begin with "Classify the ticket.' in contract.sentence()


def test_field_labels_are_learned_in_their_order() -> None:
    """A missing label is named; so are another spelling and another order."""
    contract = PromptContract.learn(LABELLED)

    assert (contract.labels, contract.is_ordered, contract.preamble) == (("question", "context"), True, "")
    (missing,) = contract.differences("question: who is number 3?\nhe is 3 years old")
    (spelled,) = contract.differences("question: who is number 3?\nContext: he is 3 years old")
    assert missing.text == "context: is missing"
    assert spelled.text == "context: is written Context:"
    assert kinds(contract, "context: he is 3 years old\nquestion: who is number 3?") == ["LABEL_ORDER"]


def test_labels_in_one_line_count() -> None:
    """T5's way to write fields is found too."""
    contract = PromptContract.learn([f"question: how old {n}? context: it is {n}" for n in range(20)])

    assert contract.labels == ("question", "context")


def test_an_ending_is_learned() -> None:
    """The last line that all inputs share is missed when it is not there."""
    contract = PromptContract.learn([f"the weather number {n}\nAnswer:" for n in range(20)])

    assert contract.ending == "\nAnswer:"
    assert kinds(contract, "the weather number 3") == ["ENDING"]


def test_numbers_are_a_form() -> None:
    """A word among numbers is noticed."""
    contract = PromptContract.learn([str(n) for n in range(30)])

    assert contract.are_numbers
    assert kinds(contract, "41") == []
    assert "FORM" in kinds(contract, "forty")


def test_another_script_is_noticed() -> None:
    """Cyrillic letters where all examples had Latin ones."""
    contract = PromptContract.learn([f"the parcel number {n} is late" for n in range(20)])

    assert kinds(contract, "посылка номер три опоздала") == ["SCRIPT"]


@pytest.mark.parametrize(("text", "kind"), [("x " * 500, "TOO_LONG"), ("late", "TOO_SHORT")])
def test_lengths_far_off_are_noticed(text: str, kind: str) -> None:
    """Three times the longest or a third of the shortest, with some slack."""
    contract = PromptContract.learn([f"the parcel {n} " + "is very late and nobody knows why " * 6 for n in range(20)])

    assert kind in kinds(contract, text)


def test_few_or_different_rows_demand_nothing() -> None:
    """Four rows, or rows without a common form, have no contract but their script and length."""
    assert PromptContract.learn(TICKETS[:4]).differences("x") == ()
    plain = PromptContract.learn(
        ["Where is it?", "Who was that man?", "How far?", "Is it late?", "Why not now?", "When?"]
    )
    assert (plain.preamble, plain.labels, plain.ending) == ("", (), "")


def test_a_plain_input_is_wrapped() -> None:
    """Preamble and the one label are put around it; what is whole already stays as it is."""
    contract = PromptContract.learn(TICKETS)

    assert contract.wrapped("the lamp is broken") == f"{PREAMBLE}Ticket: the lamp is broken"
    assert contract.wrapped(TICKETS[0]) == TICKETS[0]
    assert PromptContract.learn(LABELLED).wrapped("who is it?") == "who is it?"


def test_a_contract_survives_its_document() -> None:
    """What is stored is read back equal."""
    contract = PromptContract.learn(LABELLED)

    assert PromptContract.read(contract.document()) == contract
