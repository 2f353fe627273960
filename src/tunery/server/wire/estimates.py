"""
What a tuning task would take, on the wire (extension): the reply to a creation with `validateOnly=true`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from tunery.errors import DataProblem
from tunery.server.wire.base import Message
from tunery.server.wire.datasets import DataProblemOut, problems_out
from tunery.service.estimate import Estimate, Source


class SecondsOut(Message):
    """How long it would take once it begins: at least, at most, and where the figures come from."""

    at_least: float
    at_most: float
    source: Annotated[Source, Field(description="`measured` on the last tasks of this base here, or a first `guess`.")]


class MemoryOut(Message):
    """About how much memory it would take, and how much is free now; what is not known is left out."""

    needed_bytes: int | None
    free_bytes: int | None
    fits: bool | None


class EstimateOut(Message):
    """What a tuning task would take; nothing was created."""

    total_steps: int
    example_count: int
    held_out_count: int
    tokens_per_epoch: int
    total_tokens: int
    longest_example_tokens: int
    example_tokens: Annotated[list[int], Field(description="Of each example, in the order in which they came.")]
    cut_rows: Annotated[list[int] | None, Field(description="Examples, counted from 1, that lose their end.")]
    seconds: SecondsOut
    waiting_before: int
    memory: MemoryOut
    problems: Annotated[list[DataProblemOut] | None, Field(description="Warnings; rows count from 1.")]


def estimate_out(estimate: Estimate, problems: Sequence[DataProblem]) -> EstimateOut:
    """Return an estimate as the API shows it."""
    needed, free = estimate.needed_memory, estimate.free_memory
    at_least, at_most = estimate.seconds
    return EstimateOut(
        total_steps=estimate.total_steps,
        example_count=estimate.examples,
        held_out_count=estimate.held_out,
        tokens_per_epoch=estimate.tokens_per_epoch,
        total_tokens=estimate.total_tokens,
        longest_example_tokens=estimate.longest_tokens,
        example_tokens=list(estimate.example_tokens),
        cut_rows=[place + 1 for place in estimate.cut] or None,
        seconds=SecondsOut(at_least=round(at_least, 1), at_most=round(at_most, 1), source=estimate.source),
        waiting_before=estimate.waiting_before,
        memory=MemoryOut(
            needed_bytes=needed,
            free_bytes=free,
            fits=None if needed is None or free is None else needed <= free,
        ),
        problems=problems_out(problems) or None,
    )
