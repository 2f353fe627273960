"""Tests of the probes of `engine.base` and `engine.tuner`: what this machine is good at, and when it is full."""

from __future__ import annotations

import pytest
import torch

from tunery.engine.base import MINIMUM_GAIN, bfloat16_gain, chosen_device, fast_dtype
from tunery.engine.tuner import is_out_of_memory
from tunery.errors import InvalidArgument


def test_type_follows_from_the_measured_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 from MINIMUM_GAIN on, float32 below."""
    for gain, dtype in ((MINIMUM_GAIN, torch.bfloat16), (MINIMUM_GAIN - 0.1, torch.float32)):
        monkeypatch.setattr("tunery.engine.base.bfloat16_gain", lambda gain=gain: gain)
        fast_dtype.cache_clear()
        assert fast_dtype() is dtype
    fast_dtype.cache_clear()


def test_gain_is_a_ratio_of_times() -> None:
    """The probe runs on any machine and gives a positive number."""
    assert 0 < bfloat16_gain() < 100


def test_the_real_allocator_is_recognised() -> None:
    """An impossible allocation is told from any other error."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)

    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))


def test_a_device_that_torch_cannot_use_is_named_with_what_to_do() -> None:
    """Before any weight is read."""
    assert chosen_device("cpu") == torch.device("cpu")
    for name in ("cuda:77", "abacus"):
        with pytest.raises(InvalidArgument, match=f"cannot compute on the device {name}, from --device or TUNERY_DEV"):
            chosen_device(name)


@pytest.mark.parametrize(("card", "found"), [(None, "cpu"), ("cuda:77", "cpu"), ("cpu:0", "cpu:0")])
def test_auto_is_the_graphics_card_that_torch_can_use(
    monkeypatch: pytest.MonkeyPatch, card: str | None, found: str
) -> None:
    """Else the processor, also if the card is there and does not work."""
    there = None if card is None else torch.device(card)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: there)  # noqa: ARG005
    assert chosen_device("auto") == torch.device(found)
