"""
Decisions: typed questions about a state, and answers that are probabilities (the System One API).

A base reads the state and one question in the words of transformers' DecisionPipeline, and answers with the letter of
an option. A tuned model has learned one question: it reads the state like any input, and the options are its labels.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunery.data.outputs import OutputContract
from tunery.errors import BodyInvalid, InvalidArgument
from tunery.types import AnswerForm

CHOICE, SCORE, NOUL = "choice", "score", "noul"
TRUE, FALSE = "true", "false"
MAX_QUESTIONS = 64
MAX_OPTIONS = 255
LEAST_LEVELS, MAX_LEVELS = 2, 10
_LETTERS = tuple(string.ascii_uppercase)
_MEANING = {"true": TRUE, "yes": TRUE, "false": FALSE, "no": FALSE}  # of labels, in lower case
_FIELDS = {"type", "instructions", "criteria"}
_SHOWN = 8

Detail = dict[str, object]


@dataclass(frozen=True, slots=True)
class DecisionQuestion:
    """A question with its options in order: choices, levels counted from 0, or true and false; None: not described."""

    name: str
    kind: str
    instructions: Any
    options: tuple[str, ...]
    descriptions: tuple[Any, ...]

    def answer(self, probabilities: Sequence[float]) -> dict[str, Any]:
        """
        Return the answer from the probability of each option.

        `confidence` is 0 if all options are equally probable and 1 if one is certain; for levels it falls with the mean
        distance from the likeliest one.
        """
        if self.kind == NOUL:
            return {"type": NOUL, "noul": probabilities[self.options.index(TRUE)]}
        count, peak = len(probabilities), max(probabilities)
        best = list(probabilities).index(peak)
        by_option = dict(zip(self.options, probabilities, strict=True))
        if self.kind == CHOICE:
            confidence = 1.0 if count == 1 else max(0.0, (count * peak - 1) / (count - 1))
            chosen = self.options[best]
            return {"type": CHOICE, "choice": chosen, "confidence": confidence, "probabilities": by_option}
        distance = sum(probability * abs(level - best) for level, probability in enumerate(probabilities))
        evenly = sum(abs(level - (count - 1) / 2) for level in range(count)) / count
        return {
            "type": SCORE,
            "score": sum(level * probability for level, probability in enumerate(probabilities)),
            "legend": dict(zip(self.options, self.descriptions, strict=True)),
            "confidence": max(0.0, 1 - distance / evenly),
            "probabilities": by_option,
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What a model is asked for a question: a text, and the labels whose probabilities are wanted.

    `shares` are the labels of each option; their probabilities add up to that of the option.
    """

    question: DecisionQuestion
    text: str
    form: AnswerForm
    shares: tuple[tuple[str, ...], ...]

    def answer(self, label_probabilities: Mapping[str, float]) -> dict[str, Any]:
        """Return the answer from the probability of each label."""
        return self.question.answer([sum(label_probabilities[label] for label in labels) for labels in self.shares])


def read_questions(given: Any) -> list[DecisionQuestion]:
    """Return the questions of a request by name; raises BodyInvalid with all that cannot be used."""
    if not isinstance(given, dict) or not 1 <= len(given) <= MAX_QUESTIONS:
        raise BodyInvalid(detail=[_problem((), f"questions must map 1 to {MAX_QUESTIONS} names to questions.")])
    found, problems = [], list[Detail]()
    for name, question in given.items():
        wrong = _problems(name, question)
        problems += wrong
        if not wrong:
            found.append(_question(name, question))
    if problems:
        raise BodyInvalid(detail=problems)
    return found


def asked_of_base(state: Any, question: DecisionQuestion) -> Asked:
    """Return what a base is asked: which letter, or Yes or No, begins the answer; raises BodyInvalid."""
    letters = ("Yes", "No") if question.kind == NOUL else _LETTERS[: len(question.options)]
    if len(letters) < len(question.options):
        text = f"A base model reads at most {len(_LETTERS)} options, not {len(question.options)}."
        raise BodyInvalid(detail=[_problem((question.name, "criteria"), text)])
    form = AnswerForm(labels=letters, are_beginnings=True)
    return Asked(question, _prompt(state, question, letters), form, tuple((letter,) for letter in letters))


def asked_of_tuned(state: Any, question: DecisionQuestion, outputs: OutputContract | None) -> Asked:
    """
    Return what a tuned model is asked: which of its labels is the answer; raises BodyInvalid for others.

    Instructions and descriptions are left out, since the model has not learned to read them. A model tuned on other
    outputs may be asked for any texts.
    """
    labels = outputs.labels if outputs and outputs.kind == "LABELS" else ()
    try:
        shares = _shares(question, labels)
        form = AnswerForm(labels=tuple(label for share in shares for label in share))
    except InvalidArgument as error:
        raise BodyInvalid(detail=[_problem((question.name, "criteria"), str(error))]) from None
    return Asked(question, written(state), form, shares)


def required_question(outputs: OutputContract | None) -> dict[str, Any]:
    """Return the question that a tuned model has learned, named "label"; raises InvalidArgument if there is none."""
    if outputs is None or outputs.kind != "LABELS":
        raise InvalidArgument("Give questions: this model has none of its own, because it was not tuned on labels.")
    return {"label": {"type": CHOICE, "criteria": dict.fromkeys(outputs.labels)}}


def written(content: Any) -> str:
    """Return a text as it is, other content as JSON, and None as an empty text."""
    if content is None:
        return ""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _prompt(state: Any, question: DecisionQuestion, letters: Sequence[str]) -> str:
    """Return the words of DecisionPipeline (transformers 5.23): state, instructions, options, how to answer."""
    lines = [written(question.instructions)]
    for letter, option, description in zip(letters, question.options, map(written, question.descriptions), strict=True):
        match question.kind:
            case "noul":
                lines.append(f"{letter}: {description}" if description else "")
            case "choice":
                lines.append(f"{letter}. {option}: {description}" if description else f"{letter}. {option}")
            case _:
                lines.append(f"{letter}. {description}")
    if question.kind == NOUL:
        ending = "Answer Yes or No only."
    else:
        noun = "option" if question.kind == CHOICE else "level"
        ending = f"Answer with the letter of the {noun} that fits best ({letters[0]} to {letters[-1]}) only."
    said = "\n".join(line for line in lines if line)
    return f"{written(state)}\n\n{said}\n{ending}"


def _shares(question: DecisionQuestion, labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the labels of each option; raises InvalidArgument for a label that the model has not learned."""
    if question.kind == CHOICE:
        return tuple((_label(option, labels),) for option in question.options)
    if question.kind == SCORE:
        return tuple((_label(written(level), labels),) for level in question.descriptions)
    meant = dict(zip(question.options, question.descriptions, strict=True))
    if meant[TRUE] is None and meant[FALSE] is None:
        meant = {_MEANING.get(label.strip().lower(), ""): label for label in labels}
        if len(labels) != 2 or set(meant) != {TRUE, FALSE}:
            raise InvalidArgument(
                f'criteria must say which label of this model means true, such as {{"true": "LABEL"}}.{_known(labels)}'
            )
    elif meant[TRUE] is None or (meant[FALSE] is None and not labels):
        raise InvalidArgument(
            f"criteria must say which output of this model means true, and which false.{_known(labels)}"
        )
    right = _label(written(meant[TRUE]), labels)
    if meant[FALSE] is None:
        return (right,), tuple(label for label in labels if label != right)
    return (right,), (_label(written(meant[FALSE]), labels),)


def _label(text: str, labels: Sequence[str]) -> str:
    if not labels or text in labels:
        return text
    for label in labels:
        if label.strip() == text.strip():
            return label
    raise InvalidArgument(f"{text!r} is not a label of this model.{_known(labels)}")


def _known(labels: Sequence[str]) -> str:
    shown = ", ".join(map(repr, labels[:_SHOWN]))
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return f" Its labels are {shown}{more}." if labels else ""


def _question(name: str, given: Mapping[str, Any]) -> DecisionQuestion:
    kind, criteria = given["type"], given.get("criteria")
    if kind == NOUL:
        criteria = {option: (criteria or {}).get(option) for option in (TRUE, FALSE)}
    elif kind == SCORE:
        criteria = {str(place): level for place, level in enumerate(criteria or ())}
    assert isinstance(criteria, dict)
    return DecisionQuestion(name, kind, given.get("instructions"), tuple(criteria), tuple(criteria.values()))


def _problems(name: str, given: Any) -> list[Detail]:
    if not isinstance(given, dict):
        return [_problem((name,), "A question must be an object.")]
    found = [_problem((name, key), "This field is not known.") for key in given if key not in _FIELDS]
    if not _is_content(given.get("instructions")):
        found.append(_problem((name, "instructions"), "instructions must be a text, an object or a list."))
    kind, criteria = given.get("type"), given.get("criteria")
    if kind not in (CHOICE, SCORE, NOUL):
        return [*found, _problem((name, "type"), f"type must be {CHOICE}, {SCORE} or {NOUL}, not {kind!r}.")]
    wrong = {CHOICE: _wrong_choices, SCORE: _wrong_levels, NOUL: _wrong_sides}[kind](criteria)
    return [*found, *([_problem((name, "criteria"), wrong)] if wrong else [])]


def _wrong_choices(criteria: Any) -> str:
    if not isinstance(criteria, dict) or not 1 <= len(criteria) <= MAX_OPTIONS or "" in criteria:
        return f"criteria must map 1 to {MAX_OPTIONS} options to descriptions or null."
    return "" if all(map(_is_content, criteria.values())) else _DESCRIPTION


def _wrong_levels(criteria: Any) -> str:
    if not isinstance(criteria, list) or not LEAST_LEVELS <= len(criteria) <= MAX_LEVELS:
        return f"criteria must be a list of {LEAST_LEVELS} to {MAX_LEVELS} levels, the lowest first."
    return "" if all(level is not None and _is_content(level) for level in criteria) else _DESCRIPTION


def _wrong_sides(criteria: Any) -> str:
    if criteria is None:
        return ""
    if not isinstance(criteria, dict) or not criteria.keys() <= {TRUE, FALSE}:
        return 'criteria may describe "true" and "false" only.'
    return "" if all(map(_is_content, criteria.values())) else _DESCRIPTION


_DESCRIPTION = "A description must be a text, an object or a list."


def _is_content(value: Any) -> bool:
    return value is None or isinstance(value, str | dict | list)


def _problem(place: Sequence[str], message: str) -> Detail:
    return {"loc": ["body", "questions", *place], "msg": message, "type": "value_error"}
