"""
A model in memory as one who answers in a contest: greedily, a batch at a time.

Knows the resident base and the slot of an adapter; loads nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunery.errors import InvalidArgument
from tunery.types import SamplingSettings

if TYPE_CHECKING:
    from tunery.engine.resident import ResidentBase


class ResidentAnswering:
    """
    A base in memory, with the adapter in a slot or, with None, without one.

    `owner` is kept alive as long as this: an adapter leaves the base with the model that it belongs to.
    """

    def __init__(self, resident: ResidentBase, slot: int | None = None, owner: object = None) -> None:
        self._resident, self._slot, self._owner = resident, slot, owner

    def fits(self, prompt: str, max_output_tokens: int) -> bool:
        """Say whether the window takes a prompt and so many tokens behind it."""
        try:
            self._resident.encoder.prompt(prompt, max_output_tokens)
        except InvalidArgument:
            return False
        return True

    def answers(self, prompts: Sequence[str], max_output_tokens: int) -> list[str]:
        """Return the whole answers."""
        settings = SamplingSettings(max_output_tokens=max_output_tokens)
        return self._resident.answers(prompts, settings, self._slot)
