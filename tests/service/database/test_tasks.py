"""
The statements of the queue in any order, with valid and superseded claims.

Random scripts run on a real database next to a simple model of what must be true; after each act the rows are compared
with the model. The normal course of a task is tested in `test_library_tasks.py`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.samples import EXAMPLES, a_curve, a_request
from tunery.service.database import connection as schema
from tunery.service.database import models, tasks
from tunery.service.database.connection import Database
from tunery.service.tuning import (
    MAX_LOSSES,
    MAX_LOSSES_AT_ONE_STEP,
    RUNNING_PHASES,
    Loss,
    Progress,
    Published,
    state_of,
)
from tunery.types import Phase, TunedModel, TuningTask

STEPS = 19
MAX_OPEN_TASKS = 2  # so that claims of the same task overtake each other often
ACTS_OF_A_SCRIPT = 100

_MEMORY = Path("/dev/shm")  # the statements need no disk, where each sync took 4 ms
_PLACE = _MEMORY if os.access(_MEMORY, os.W_OK) else None


@dataclass(frozen=True)
class Act:
    """One call of a script; each call interprets the numbers in its own way."""

    name: str
    which: int  # of the last claims, or of the tasks
    step: int
    phase: Phase
    is_so: bool


# How often each is called, of 30: workers most, since frequent cancels and deletes would leave them nothing
_OFTEN = {
    "create": 3,
    "claim": 5,
    "beat": 9,
    "finish": 2,
    "release": 2,
    "cancel": 1,
    "delete": 1,
    "see": 2,
    "requeue_lost": 3,
    "restart": 2,
}

_acts = st.builds(
    Act,
    name=st.sampled_from([name for name, times in _OFTEN.items() for _ in range(times)]),
    which=st.integers(0, 3),
    step=st.integers(0, STEPS),
    phase=st.sampled_from([Phase.RUNNING, Phase.RUNNING, Phase.PUBLISHING, Phase.PREPARING]),
    is_so=st.booleans(),
)


@pytest.fixture(scope="module")
def empty_database() -> Iterator[Path]:
    """Return a database with the newest tables and no rows."""
    with tempfile.TemporaryDirectory(dir=_PLACE) as folder:
        path = Path(folder) / "empty.sqlite3"
        database = Database(path, is_writer=True)
        schema.upgrade(database)
        database.close()
        yield path


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(_acts, min_size=ACTS_OF_A_SCRIPT, max_size=ACTS_OF_A_SCRIPT))
def test_whatever_happens_each_task_has_one_end_and_no_late_write_counts(empty_database: Path, acts: list[Act]) -> None:
    """In any order of calls, steps never fall, a superseded worker writes nothing, an ended task is final."""
    with tempfile.TemporaryDirectory(dir=_PLACE) as folder:
        path = Path(shutil.copy(empty_database, folder))
        play = Play(Database(path, is_writer=True))
        for act in acts:
            getattr(play, act.name)(act)
            play.compare()
        play.database.close()


@dataclass
class Account:
    """What must be true of one task."""

    model_id: str
    phase: Phase = Phase.QUEUED
    claim_number: int = 0
    completed_steps: int = 0
    checkpoint_step: int = 0
    heartbeat: int = 0
    is_cancel_requested: bool = False
    losses: list[int] = field(default_factory=list)  # the step of each
    is_deleted: bool = False

    @property
    def is_over(self) -> bool:
        return self.is_deleted or self.phase.is_final

    @property
    def waits(self) -> bool:
        return not self.is_deleted and self.phase == Phase.QUEUED

    def lose(self) -> None:
        """The worker is lost: count it and apply the consequences."""
        self.losses.append(self.completed_steps)
        last = self.losses[-MAX_LOSSES_AT_ONE_STEP:]
        is_poison = len(last) == MAX_LOSSES_AT_ONE_STEP and len(set(last)) == 1
        if is_poison or len(self.losses) >= MAX_LOSSES:
            self.phase = Phase.FAILED
        else:
            self.wait()

    def wait(self) -> None:
        """The worker is gone through no fault of the task."""
        self.phase = Phase.QUEUED
        if self.waits and self.is_cancel_requested and self.checkpoint_step == 0:
            self.phase = Phase.CANCELLED

    def is_owned_by(self, claim: TuningTask) -> bool:
        """Return whether a worker with this claim may still write."""
        return not self.is_deleted and self.claim_number == claim.claim_number and self.phase in RUNNING_PHASES


class Play:
    """Users, workers and a reconciler on one queue, and what must be true after their calls."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.accounts: dict[str, Account] = {}
        self.claims: list[TuningTask] = []
        self.sightings: list[tuple[str, int, int]] = []  # what a reconciler saw, perhaps used later

    def create(self, _: Act) -> None:
        """A user creates a model."""
        if sum(not account.is_over for account in self.accounts.values()) >= MAX_OPEN_TASKS:
            return
        model_id = f"model-{len(self.accounts)}"
        with self.database.writing() as connection:
            models.add_model(connection, model_id, a_request(id=model_id, examples=EXAMPLES[:1]))
            model = models.get_model(connection, model_id)
        assert model is not None
        self.accounts[model.task.id] = Account(model_id)

    def claim(self, act: Act) -> None:
        """A worker gets the oldest waiting task, or the oldest that waits to be cancelled."""
        is_cancelled = act.is_so and any(account.is_cancel_requested for account in self.accounts.values())
        waiting = [
            task_id
            for task_id, account in self.accounts.items()
            if account.waits and account.is_cancel_requested == is_cancelled
        ]
        with self.database.writing() as connection:
            task = tasks.claim(connection, "a worker", is_cancelled=is_cancelled)

        assert (task and task.id) == next(iter(waiting), None)
        if task is not None:
            account = self.accounts[task.id]
            account.phase, account.heartbeat = Phase.PREPARING, 0
            account.claim_number += 1
            assert (task.claim_number, task.checkpoint_step) == (account.claim_number, account.checkpoint_step)
            self.claims.append(task)

    def beat(self, act: Act) -> None:
        """A worker, perhaps a superseded one, reports progress; what it may not report changes nothing."""
        for claim, account in self._one_of_the_last_claims(act):
            checkpoint_step = act.step if act.is_so else None  # may fall, as after a damaged file
            is_forward = _runs(account) and _rank(act.phase) >= _rank(account.phase)
            progress = Progress(act.step, checkpoint_step, snapshots=a_curve(act.step))
            with self.database.writing() as connection:
                answer = tasks.heartbeat(connection, claim, act.phase, progress)

            may = account.is_owned_by(claim) and is_forward
            assert answer == (account.is_cancel_requested if may else None)
            if may and not (act.phase == Phase.PUBLISHING and answer):
                account.phase = act.phase
                account.heartbeat += 1
                account.completed_steps = max(account.completed_steps, act.step)
                account.checkpoint_step = account.checkpoint_step if checkpoint_step is None else checkpoint_step

    def finish(self, act: Act) -> None:
        """A worker ends its task: SUCCEEDED only past the commit point, CANCELLED only before it and on request."""
        phase = {Phase.PUBLISHING: Phase.SUCCEEDED, Phase.RUNNING: Phase.CANCELLED}.get(act.phase, Phase.FAILED)
        for claim, account in self._one_of_the_last_claims(act):
            may_end = {
                Phase.SUCCEEDED: account.phase == Phase.PUBLISHING,
                Phase.FAILED: True,
                Phase.CANCELLED: account.phase != Phase.PUBLISHING and account.is_cancel_requested,
            }[phase]
            has_artifact = phase == Phase.SUCCEEDED or (phase == Phase.CANCELLED and act.is_so)
            published = Published(Path("unused"), claim.claim_number, "digest") if has_artifact else None
            with self.database.writing() as connection:
                is_done = tasks.finish(connection, claim, phase, Progress(), published=published)

            assert is_done == (account.is_owned_by(claim) and may_end)
            if is_done:
                account.phase = phase

    def release(self, act: Act) -> None:
        """A worker that stops releases its task."""
        for claim, account in self._one_of_the_last_claims(act):
            with self.database.writing() as connection:
                is_done = tasks.release(connection, claim)

            assert is_done == account.is_owned_by(claim)
            if is_done:
                account.phase = Phase.QUEUED

    def cancel(self, act: Act) -> None:
        """A user cancels, at any time."""
        for account in self._one_of_the_tasks(act):
            with self.database.writing() as connection:
                tasks.request_cancel(connection, account.model_id)

            if account.waits and account.checkpoint_step == 0:
                account.phase, account.is_cancel_requested = Phase.CANCELLED, True
            elif not account.phase.is_final and account.phase != Phase.PUBLISHING:
                account.is_cancel_requested = True

    def delete(self, act: Act) -> None:
        """A user deletes a model, whatever its task is doing."""
        for account in self._one_of_the_tasks(act):
            with self.database.writing() as connection:
                assert models.remove_model(connection, account.model_id)
            account.is_deleted = True

    def see(self, _: Act) -> None:
        """A reconciler notes the heartbeats of all workers."""
        with self.database.reading() as connection:
            self.sightings += tasks.running(connection)

    def requeue_lost(self, act: Act) -> None:
        """A reconciler requeues a task if its worker did not report since it was seen."""
        for task_id, claim_number, heartbeat in self.sightings[::-1][act.which : act.which + 1]:
            account = self.accounts[task_id]
            if _runs(account) and (claim_number, heartbeat) == (account.claim_number, account.heartbeat):
                account.lose()
            with self.database.writing() as connection:
                tasks.requeue_lost(connection, task_id, claim_number, heartbeat, Loss.PROCESS)

    def restart(self, _: Act) -> None:
        """The owner process dies with all workers, and the next one requeues their tasks."""
        with self.database.writing() as connection:
            for sighting in tasks.running(connection):
                tasks.requeue_lost(connection, *sighting, Loss.SERVER)
        for account in filter(_runs, self.accounts.values()):
            account.wait()

    def compare(self) -> None:
        """Compare phases, epochs, steps, curves and states with the account; no deleted model is left."""
        with self.database.reading() as connection:
            found = {model.task.id: model for model in models.list_models(connection, None, with_snapshots=True)}

        assert set(found) == {task_id for task_id, account in self.accounts.items() if not account.is_deleted}
        for task_id, model in found.items():
            _compare(model, self.accounts[task_id])

    def _one_of_the_last_claims(self, act: Act) -> list[tuple[TuningTask, Account]]:
        claims = self.claims[::-1][act.which : act.which + 1]
        return [(claim, self.accounts[claim.id]) for claim in claims]

    def _one_of_the_tasks(self, act: Act) -> list[Account]:
        left = [account for account in self.accounts.values() if not account.is_deleted]
        return left[::-1][act.which : act.which + 1]


def _compare(model: TunedModel, account: Account) -> None:
    task = model.task
    assert task.phase == account.phase
    assert task.claim_number == account.claim_number
    assert task.completed_steps == account.completed_steps
    assert task.checkpoint_step == account.checkpoint_step
    assert task.cancel_requested == account.is_cancel_requested
    assert len(task.snapshots) == account.completed_steps
    assert model.state == state_of(task.phase, model.artifact is not None)
    assert (task.complete_time is not None) == task.phase.is_final


def _runs(account: Account) -> bool:
    return not account.is_deleted and account.phase in RUNNING_PHASES


def _rank(phase: Phase) -> int:
    return RUNNING_PHASES.index(phase)
