"""Tuning requests, and the digest that identifies a repeated one."""

from dataclasses import replace
from typing import Any

import pytest

from tests.service.samples import EXAMPLES, a_request
from tunery.errors import InvalidArgument
from tunery.types import DataFacts, Hyperparameters


def test_equal_requests_have_equal_digests() -> None:
    """The digest depends on the content, not on the type of sequence or the name of the file."""
    request = a_request()
    again = a_request(examples=list(EXAMPLES), data=DataFacts(15, "data-digest", "copy.csv"), description="other words")

    assert request.sha256() == again.sha256()


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "an-id"},
        {"display_name": "Other"},
        {"base_digest": "other"},
        {"examples": EXAMPLES[:-1]},
        {"examples": EXAMPLES[::-1]},
        {"examples": EXAMPLES[:-1], "held_out": EXAMPLES[-1:]},
        {"hyperparameters": Hyperparameters(epoch_count=6).resolve()},
        {"hyperparameters": Hyperparameters(learning_rate=0.002)},
        {"seed": 1},
    ],
)
def test_any_change_of_the_result_or_the_names_changes_the_digest(changes: dict[str, Any]) -> None:
    """A request with another id, name, base, data, settings or seed has another digest."""
    assert a_request().sha256() != a_request(**changes).sha256()


def test_the_multiplier_is_worked_in_before() -> None:
    """A learning rate multiplier gives the same digest as the rate it resolves to."""
    by_multiplier = Hyperparameters(learning_rate_multiplier=2.0).resolve()

    assert a_request(hyperparameters=by_multiplier).sha256() == (
        a_request(hyperparameters=Hyperparameters(learning_rate=0.002)).sha256()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"display_name": None}, "an id or a display name"),
        ({"id": "Bad Id"}, "cannot be used"),
        ({"display_name": "x" * 41}, "1 to 40 characters"),
        ({"examples": ()}, "no examples"),
        ({"hyperparameters": Hyperparameters()}, "not resolved"),
    ],
)
def test_a_request_that_cannot_be_tuned_is_refused(changes: dict[str, Any], message: str) -> None:
    """A request without name, examples or learning rate is refused when it is created."""
    with pytest.raises(InvalidArgument, match=message):
        replace(a_request(), **changes)


def test_steps_count_the_examples_that_are_tuned_on() -> None:
    """15 examples, 5 epochs, batches of 4 are 19 steps; held-out rows add none."""
    assert a_request(held_out=EXAMPLES[:3]).total_steps == 19
