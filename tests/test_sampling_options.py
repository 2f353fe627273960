"""Sampling options: the four ways to give a form, and invalid options."""

from __future__ import annotations

import json
import re

import pytest

from tests.fakes import counting_examples
from tunery.data.outputs import Contracts
from tunery.errors import FailedPrecondition, InvalidArgument
from tunery.model import SamplingOptions, settings_of
from tunery.types import AnswerForm, SamplingSettings, TuningExample

NUMBERS = Contracts.learn(counting_examples())
ODD = Contracts.learn([TuningExample(str(n), "yes" if n % 2 else "no") for n in range(12)])
TEXTS = Contracts.learn([TuningExample(str(n), f"text {n}") for n in range(12)])


def test_no_options_give_the_defaults() -> None:
    """The defaults are those of SamplingSettings; a single stop sequence needs no list."""
    assert settings_of({}, None) == SamplingSettings()
    assert settings_of({"stop_sequences": "x", "form": None}, NUMBERS) == SamplingSettings(stop_sequences=("x",))


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ({"form": AnswerForm(pattern="x")}, AnswerForm(pattern="x")),
        ({"labels": ["a", "b"]}, AnswerForm(labels=("a", "b"))),
        ({"labels": ["a", "b"], "none_below": 0.5}, AnswerForm(labels=("a", "b"), none_below=0.5)),
        ({"json_schema": {"type": "object"}}, AnswerForm(json_schema=json.dumps({"type": "object"}))),
        ({"constrain_to_training_outputs": True}, ODD.output.form()),
        ({"constrain_to_training_outputs": False}, None),
        ({}, AnswerForm(labels=ODD.output.labels, is_own=True)),
        ({"none_below": 0.5}, AnswerForm(labels=ODD.output.labels, none_below=0.5, is_own=True)),
        (
            {"constrain_to_training_outputs": True, "none_below": 0.5},
            AnswerForm(labels=ODD.output.labels, none_below=0.5),
        ),
    ],
)
def test_each_way_to_give_a_form(options: SamplingOptions, form: AnswerForm | None) -> None:
    """Labels, a schema and the training outputs become a form."""
    assert settings_of(options, ODD).form == form


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": ["a"], "json_schema": {}}, "not labels and json_schema"),
        ({"form": AnswerForm(pattern="x"), "constrain_to_training_outputs": True}, "not form and constrain"),
        ({"none_below": 0.5, "constrain_to_training_outputs": False}, "none_below needs labels"),
        ({"labels": ["a"], "none_below": 2}, "none_below must be between 0 and 1"),
        ({"temperature": 3}, "temperature must be between"),
    ],
)
def test_invalid_options_are_refused(options: SamplingOptions, words: str) -> None:
    """The message names two forms, a threshold without labels or a value out of range."""
    with pytest.raises(InvalidArgument, match=words):
        settings_of(options, ODD)


def test_only_labels_are_a_default() -> None:
    """Numbers and texts stay free; so does a model whose constraint is switched off."""
    assert settings_of({}, NUMBERS).form is None
    assert settings_of({}, TEXTS).form is None
    assert settings_of({}, ODD, constrains=False).form is None


def test_many_labels_are_drawn_token_by_token() -> None:
    """Scoring long sets would take longer than free text; the pattern admits each label and nothing else."""
    labels = [f"{'long ' * 10}label (no. {n}) + more" for n in range(20)]
    contracts = Contracts.learn([TuningExample(str(n), labels[n % 20]) for n in range(60)])

    form = settings_of({}, contracts).form

    assert form is not None
    assert form.is_own
    assert form.labels == ()
    assert all(re.fullmatch(form.pattern or "", label) for label in labels)
    assert not re.fullmatch(form.pattern or "", labels[0] + labels[1])


def test_without_training_outputs_there_is_no_constraint() -> None:
    """A base has no training outputs, and free text cannot be constrained."""
    with pytest.raises(InvalidArgument, match="a base has none"):
        settings_of({"constrain_to_training_outputs": True}, None)
    with pytest.raises(FailedPrecondition, match="free text"):
        settings_of({"constrain_to_training_outputs": True}, TEXTS)
