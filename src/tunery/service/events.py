"""
What a tuning task says while it is worked on: plain values, in the order in which things happen.

Who shows or forwards them decides how; they know neither terminals nor pipes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunery.types import Phase, TunedModel, TuningSnapshot


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    """The task has come to a phase that is not final."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Started:
    """The base is loaded and the first step begins; `settings` are those in force, `step` is where a resume goes on."""

    settings: Mapping[str, object]
    step: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class StepDone:
    """An optimizer step is done. Between two of these the task can be cancelled or left."""

    snapshot: TuningSnapshot


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something the user should know, as a sentence; the work goes on."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The task is SUCCEEDED or CANCELLED, and this is its tuned model; the last event."""

    model: TunedModel


Event = PhaseEntered | Started | StepDone | Noticed | Ended
