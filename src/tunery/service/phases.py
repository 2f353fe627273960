"""
The phases a tuning task passes through, and what they mean for the state of its tuned model.

Pure rules: no SQL, no files. The database package writes them down, the library shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunery.types import Phase, State, TunedModel, TuningSnapshot

RUNNING_PHASES = (Phase.PREPARING, Phase.RUNNING, Phase.PUBLISHING)  # a worker has the task in hand

# A worker takes its task forward only; PREPARING → PUBLISHING is a task resumed from its last step.
PHASES_BEFORE = {
    Phase.PREPARING: (Phase.PREPARING,),
    Phase.RUNNING: (Phase.PREPARING, Phase.RUNNING),
    Phase.PUBLISHING: RUNNING_PHASES,
}

# Where each ending may come from. PUBLISHING is the commit point: behind it nothing can be cancelled any more.
PHASES_BEFORE_END = {
    Phase.SUCCEEDED: (Phase.PUBLISHING,),
    Phase.CANCELLED: (Phase.PREPARING, Phase.RUNNING),
    Phase.FAILED: RUNNING_PHASES,
}

# After so many dead workers a task is given up: it is the task that kills them (our own choice).
MAX_LOSSES = 5
MAX_LOSSES_AT_ONE_STEP = 3


def state_of(phase: Phase, has_artifact: bool) -> State:
    """
    Return the state that a tuned model shows while its task is in this phase.

    A cancelled task that had finished a step leaves a usable, partial adapter (`has_artifact`): ACTIVE.
    """
    if phase == Phase.SUCCEEDED or (phase == Phase.CANCELLED and has_artifact):
        return State.ACTIVE
    return State.FAILED if phase.is_final else State.CREATING


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
