"""
The phases of a tuning task, the events of its work, and the calls by which a worker has its rows written.

Plain values and rules, shared by the library, its workers and their child processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunery.errors import TuneryError
from tunery.types import Advice, EpochLoss, Phase, State, TunedModel, TuningSnapshot

RUNNING_PHASES = (Phase.PREPARING, Phase.RUNNING, Phase.PUBLISHING)  # a worker has claimed the task

# A worker only moves its task forward; PREPARING → PUBLISHING is a task resumed after its last step.
PHASES_BEFORE = {
    Phase.PREPARING: (Phase.PREPARING,),
    Phase.RUNNING: (Phase.PREPARING, Phase.RUNNING),
    Phase.PUBLISHING: RUNNING_PHASES,
}

# The phases each ending may follow. PUBLISHING is the commit point: after it nothing can be cancelled.
PHASES_BEFORE_END = {
    Phase.SUCCEEDED: (Phase.PUBLISHING,),
    Phase.CANCELLED: (Phase.PREPARING, Phase.RUNNING),
    Phase.FAILED: RUNNING_PHASES,
}

# A task that lost this many workers is given up: the task itself must be killing them (our own choice of limits).
MAX_LOSSES = 5
MAX_LOSSES_AT_ONE_STEP = 3


def state_of(phase: Phase, has_artifact: bool) -> State:
    """
    Return the state of a tuned model whose task is in this phase.

    A cancelled task that had finished a step leaves a usable, partial adapter (`has_artifact`): ACTIVE.
    """
    if phase == Phase.SUCCEEDED or (phase == Phase.CANCELLED and has_artifact):
        return State.ACTIVE
    return State.FAILED if phase.is_final else State.CREATING


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    """The task has entered a phase that is not final."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Started:
    """The base is loaded and `step` begins, the first or the one after a checkpoint; `settings` are those in force."""

    settings: Mapping[str, object]
    step: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class StepDone:
    """An optimizer step is done. Between two of these the task can be cancelled or left."""

    snapshot: TuningSnapshot


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something the user should know, as a sentence; the work continues."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The task is SUCCEEDED or CANCELLED, and this is its tuned model; the last event."""

    model: TunedModel


Event = PhaseEntered | Started | StepDone | Noticed | Ended


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is. None leaves the stored value; no value ever shortens the stored curve."""

    step: int = 0  # optimizer steps done
    checkpoint_step: int | None = None
    micro_batch_size: int | None = None
    snapshots: Sequence[TuningSnapshot] | None = None  # all since step 1, also those before a resume
    epoch_losses: Sequence[EpochLoss] | None = None
    advice: Advice | None = None
    settings: Mapping[str, object] | None = None
    versions: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A published adapter folder, the claim that wrote it, and the sha256 of its manifest."""

    folder: Path
    claim_number: int
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class ReadInputs:
    """Read the examples of the task, its held-out examples, and the adapter folder it starts from (or None)."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Keep the claim and store the progress; the answer is whether the user asked to cancel."""

    phase: Phase
    progress: Progress


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the task after the step that was reported last."""


@dataclass(frozen=True, slots=True)
class Finish:
    """End the task; the answer is its tuned model."""

    phase: Phase
    progress: Progress
    published: Published | None = None
    error: TuneryError | None = None


@dataclass(frozen=True, slots=True)
class PutBack:
    """Put the task back into the queue, to be resumed from its checkpoint."""


Call = ReadInputs | Beat | Cancel | Finish | PutBack
