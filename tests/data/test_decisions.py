"""Typed questions: what is refused and where, and what answers are made of; the models are tested elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from tunery.data.decisions import (
    MAX_OPTIONS,
    MAX_QUESTIONS,
    Asked,
    asked_of_base,
    asked_of_tuned,
    read_questions,
    required_question,
)
from tunery.data.outputs import OutputContract
from tunery.errors import BodyInvalid, InvalidArgument

LABELS = OutputContract("LABELS", 30, labels=("spam", "ham", "newsletter\n"))
TEXTS = OutputContract("TEXT", 30)
NOUL = {"type": "noul"}


def tuned(question: dict[str, Any], outputs: OutputContract | None = LABELS) -> Asked:
    return asked_of_tuned({"subject": "Hi"}, *read_questions({"q": question}), outputs)


def choice(*options: str) -> dict[str, Any]:
    return {"type": "choice", "criteria": dict.fromkeys(options)}


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("spam?", ["q"]),
        ({"type": "rank"}, ["q", "type"]),
        ({"type": ["choice"]}, ["q", "type"]),
        ({"type": "choice"}, ["q", "criteria"]),
        (choice(), ["q", "criteria"]),
        (choice(""), ["q", "criteria"]),
        (choice(*map(str, range(MAX_OPTIONS + 1))), ["q", "criteria"]),
        ({"type": "choice", "criteria": {"a": 1}}, ["q", "criteria"]),
        ({"type": "score", "criteria": {"low": None}}, ["q", "criteria"]),
        ({"type": "score", "criteria": ["low"]}, ["q", "criteria"]),
        ({"type": "score", "criteria": ["low", None]}, ["q", "criteria"]),
        ({"type": "score", "criteria": [str(level) for level in range(11)]}, ["q", "criteria"]),
        ({"type": "noul", "criteria": {"maybe": "x"}}, ["q", "criteria"]),
        ({"type": "noul", "instructions": 7}, ["q", "instructions"]),
        ({"type": "noul", "temperature": 1}, ["q", "temperature"]),
    ],
)
def test_a_question_that_cannot_be_read_is_named(question: Any, place: list[str]) -> None:
    """The detail has the path to the field."""
    with pytest.raises(BodyInvalid) as refused:
        read_questions({"fine": NOUL, "q": question})

    assert [problem["loc"] for problem in refused.value.detail] == [["body", "questions", *place]]
    assert all(problem["msg"] and problem["type"] for problem in refused.value.detail)


def test_all_wrong_questions_are_named_at_once() -> None:
    """Two wrong questions are two entries."""
    with pytest.raises(BodyInvalid) as refused:
        read_questions({"a": {"type": "x"}, "b": {"type": "score", "criteria": []}})

    assert len(refused.value.detail) == 2


@pytest.mark.parametrize("questions", [{}, None, [NOUL], {str(n): NOUL for n in range(MAX_QUESTIONS + 1)}])
def test_there_are_one_to_64_questions(questions: Any) -> None:
    """None at all, a list, and one too many are refused."""
    with pytest.raises(BodyInvalid):
        read_questions(questions)


def test_a_base_has_a_letter_for_26_options() -> None:
    """One more is refused, as by DecisionPipeline; a tuned model may have 255 labels."""
    (question,) = read_questions({"q": choice(*map(str, range(27)))})

    with pytest.raises(BodyInvalid, match="26"):
        asked_of_base("x", question)

    assert len(asked_of_tuned("x", question, TEXTS).form.labels) == 27


def test_a_choice_of_a_tuned_model_is_among_its_labels() -> None:
    """All labels or some of them are asked for after the plain state, whatever the space around them."""
    asked = tuned(choice("ham", "newsletter"))

    assert asked.text == '{"subject": "Hi"}'
    assert asked.form.labels == ("ham", "newsletter\n")
    assert asked.answer({"ham": 0.25, "newsletter\n": 0.75}) == {
        "type": "choice",
        "choice": "newsletter",
        "confidence": 0.5,
        "probabilities": {"ham": 0.25, "newsletter": 0.75},
    }


@pytest.mark.parametrize(
    "question",
    [
        choice("spam", "eggs"),
        {"type": "score", "criteria": ["ham", "eggs"]},
        {"type": "noul", "criteria": {"true": "eggs"}},
        {"type": "noul", "criteria": {"false": "ham"}},
        NOUL,
        choice("spam", "spam "),
    ],
)
def test_a_label_that_was_not_learned_is_refused(question: dict[str, Any]) -> None:
    """The message says which labels there are, or that one is named twice."""
    with pytest.raises(BodyInvalid, match=r"'ham'|distinct") as refused:
        tuned(question)

    assert refused.value.detail[0]["loc"] == ["body", "questions", "q", "criteria"]


def test_levels_of_a_tuned_model_are_labels() -> None:
    """The score is the mean level, and the legend names the levels."""
    asked = tuned({"type": "score", "criteria": ["ham", "spam"]})

    found = asked.answer({"ham": 0.25, "spam": 0.75})

    assert found["score"] == 0.75
    assert found["legend"] == {"0": "ham", "1": "spam"}
    assert found["probabilities"] == {"0": 0.25, "1": 0.75}


def test_yes_is_one_label_against_all_others() -> None:
    """Without a label for false, the other labels share its probability."""
    asked = tuned({"type": "noul", "criteria": {"true": "spam"}})

    assert asked.form.labels == ("spam", "ham", "newsletter\n")
    assert asked.answer({"spam": 0.7, "ham": 0.2, "newsletter\n": 0.1}) == {"type": "noul", "noul": 0.7}


def test_labels_that_mean_yes_and_no_need_no_criteria() -> None:
    """A model tuned on yes and no answers a noul question as it is."""
    asked = tuned(NOUL, OutputContract("LABELS", 30, labels=("No", "Yes")))

    assert asked.answer({"No": 0.9, "Yes": 0.1}) == {"type": "noul", "noul": 0.1}


def test_a_model_of_texts_may_be_asked_for_any() -> None:
    """Its outputs are no closed set, so the options are; for yes and no both have to be named."""
    assert tuned(choice("8", "9"), TEXTS).form.labels == ("8", "9")
    assert tuned({"type": "noul", "criteria": {"true": "8", "false": "9"}}, None).form.labels == ("8", "9")
    with pytest.raises(BodyInvalid, match="which output"):
        tuned({"type": "noul", "criteria": {"true": "8"}}, TEXTS)


def test_the_question_that_a_model_has_learned() -> None:
    """It has all labels as options; a model of texts has none."""
    assert required_question(LABELS)["label"]["criteria"] == {"spam": None, "ham": None, "newsletter\n": None}
    with pytest.raises(InvalidArgument, match="Give questions"):
        required_question(TEXTS)
