"""The table of phases and states."""

import pytest

from tunery.service.tuning import PHASES_BEFORE, PHASES_BEFORE_END, RUNNING_PHASES, state_of
from tunery.types import Phase, State


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.PREPARING, Phase.RUNNING, Phase.PUBLISHING])
@pytest.mark.parametrize("has_artifact", [False, True])
def test_a_task_that_has_not_ended_is_creating(phase: Phase, has_artifact: bool) -> None:
    """A tuned model is CREATING, queued or not, until its task has ended."""
    assert state_of(phase, has_artifact) == State.CREATING


@pytest.mark.parametrize(
    ("phase", "has_artifact", "state"),
    [
        (Phase.SUCCEEDED, True, State.ACTIVE),
        (Phase.FAILED, False, State.FAILED),
        (Phase.CANCELLED, True, State.ACTIVE),
        (Phase.CANCELLED, False, State.FAILED),
    ],
)
def test_an_ended_task_shows_what_it_left(phase: Phase, has_artifact: bool, state: State) -> None:
    """A cancelled model is usable if a step was done and published, else it failed."""
    assert state_of(phase, has_artifact) == state


def test_every_phase_has_a_way_in() -> None:
    """Every phase can be reached, and each final phase only from a running one."""
    assert set(PHASES_BEFORE) == set(RUNNING_PHASES)
    assert set(PHASES_BEFORE_END) == {phase for phase in Phase if phase.is_final}
    assert all(set(before) <= set(RUNNING_PHASES) for before in PHASES_BEFORE_END.values())
