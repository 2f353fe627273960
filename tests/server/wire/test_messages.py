"""Messages on the wire: names, numbers, times and curves as Google's clients read them, without a server."""

from __future__ import annotations

import itertools
import json
import math
from datetime import UTC, datetime

import pytest

from tests.service.samples import a_curve
from tunery.server.wire.generation import GenerateContentIn, turns_of
from tunery.server.wire.messages import Message, one_or_list
from tunery.server.wire.tuning import MAX_SNAPSHOTS, PermissionIn, snapshots_out
from tunery.types import GranteeType, Role, TuningSnapshot

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Number(Message):
    mean_loss: float | None


@pytest.mark.parametrize(
    ("value", "shown"), [(1.5, 1.5), (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_numbers_that_are_none_are_texts(value: float, shown: float | str) -> None:
    """NaN and infinity go out as strings: bare they are no JSON."""
    assert json.loads(json.dumps(Number(mean_loss=value).json_object(), allow_nan=False)) == {"meanLoss": shown}


def test_a_curve_that_broke_can_be_shown() -> None:
    """An infinite loss is a text in the curve, so the reply is valid JSON."""
    (shown,) = snapshots_out((TuningSnapshot(1, 0, math.inf, NOW),))

    assert shown.json_object()["meanLoss"] == "Infinity"


def test_what_is_not_set_is_left_out() -> None:
    """None never goes out as null."""
    assert Number(mean_loss=None).json_object() == {}


def test_a_curve_of_a_usual_length_is_whole() -> None:
    """One snapshot a step, times with T and Z."""
    shown = [snapshot.json_object() for snapshot in snapshots_out(a_curve(MAX_SNAPSHOTS))]

    assert [snapshot["step"] for snapshot in shown] == list(range(1, MAX_SNAPSHOTS + 1))
    assert shown[0]["computeTime"] == "2026-01-02T03:04:06.678901Z"


def test_a_very_long_curve_is_thinned_evenly() -> None:
    """2,000 snapshots, in order, the first and the last among them, none twice."""
    curve = tuple(TuningSnapshot(step, 0, 1.0, NOW) for step in range(1, 12_346))

    steps = [snapshot.step for snapshot in snapshots_out(curve)]

    assert (len(steps), steps[0], steps[-1]) == (MAX_SNAPSHOTS, 1, 12_345)
    gaps = [after - before for before, after in itertools.pairwise(steps)]
    assert set(gaps) <= {6, 7}


@pytest.mark.parametrize(("kind", "role"), [("USER", "READER"), (1, 3), ("1", "3")])
def test_enums_come_as_names_and_numbers(kind: str | int, role: str | int) -> None:
    """As JSON numbers, as their digits, or as names."""
    read = PermissionIn.model_validate({"granteeType": kind, "role": role})

    assert (read.grantee_type, read.role) == (GranteeType.USER, Role.READER)


@pytest.mark.parametrize(("value", "read"), [({"a": 1}, [{"a": 1}]), ([{"a": 1}], [{"a": 1}]), ([], []), ("x", "x")])
def test_one_object_is_a_list(value: object, read: object) -> None:
    """A single object where a list is meant; nothing else is changed."""
    assert one_or_list(value) == read


def test_parts_are_joined_without_a_separator() -> None:
    """The original's studio exported prompts as `["input: ...", "output: "]`."""
    asked = GenerateContentIn.model_validate({"contents": {"parts": [{"text": "input: 7\n"}, {"text": "output: "}]}})

    (turn,) = turns_of(asked)
    assert (turn.role, turn.text) == ("user", "input: 7\noutput: ")
