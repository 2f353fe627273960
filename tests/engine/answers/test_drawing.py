"""Tests of `engine.answers.drawing`: the next token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tunery.engine.answers.drawing import _likeliest_first, next_token
from tunery.errors import InvalidArgument
from tunery.types import SamplingSettings

LOGITS = torch.log(torch.tensor([0.05, 0.5, 0.15, 0.3]))


def drawn(settings: SamplingSettings, times: int = 400) -> set[int]:
    random = torch.Generator().manual_seed(0)
    return {next_token(LOGITS, settings, random) for _ in range(times)}


def test_temperature_zero_takes_the_likeliest() -> None:
    """Greedy answers need no luck."""
    assert drawn(SamplingSettings(temperature=0)) == {1}


def test_top_k_leaves_the_k_likeliest() -> None:
    """With top_k 2 only the two likeliest tokens are drawn."""
    assert drawn(SamplingSettings(temperature=1, top_k=2)) == {1, 3}


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0, float("-inf")]), min_size=1), st.integers(1, 12))
def test_the_likeliest_are_those_of_a_whole_sort(scores: list[float], count: int) -> None:
    """Equal ones come in the order of their places, whichever way is taken."""
    given_scores = torch.tensor(scores)

    found, places = _likeliest_first(given_scores, count)

    whole, all_places = given_scores.sort(descending=True, stable=True)
    assert torch.equal(found, whole[:count])
    assert torch.equal(places, all_places[:count])


@pytest.mark.parametrize(
    ("top_p", "tokens"), [(0.4, {1}), (0.5, {1}), (0.6, {1, 3}), (0.9, {1, 2, 3}), (1.0, {0, 1, 2, 3})]
)
def test_top_p_leaves_the_fewest_that_reach_it(top_p: float, tokens: set[int]) -> None:
    """The set is the smallest whose probabilities reach top_p."""
    assert drawn(SamplingSettings(temperature=1, top_p=top_p)) == tokens


def test_frequencies_follow_the_probabilities() -> None:
    """At temperature 1 tokens come as often as their probability says."""
    random = torch.Generator().manual_seed(0)
    counts = [0] * 4
    for _ in range(4000):
        counts[next_token(LOGITS, SamplingSettings(temperature=1, top_p=1, top_k=None), random)] += 1

    assert counts[1] / 4000 == pytest.approx(0.5, abs=0.03)
    assert counts[0] / 4000 == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 2.1},
        {"temperature": -1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": 0},
        {"max_output_tokens": 0},
        {"stop_sequences": ("",)},
        {"stop_sequences": tuple("abcdef")},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, object]) -> None:
    """Each setting names itself in the error."""
    with pytest.raises(InvalidArgument, match=next(iter(values))):
        SamplingSettings(**values)  # type: ignore[arg-type]
