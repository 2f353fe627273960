"""
Cancel × finish, delete × run, change × publish: in any order each task has one end and each adapter one row.

1,200 acts by default; TUNERY_TEST_INTERLEAVINGS=5000 for the full figure.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.service.samples import a_curve, a_request, write_adapter
from tunery.errors import FailedPrecondition, NotFound, TuningUnstable
from tunery.service.library import Fenced, Library
from tunery.service.tuning import Loss, Progress, Published
from tunery.types import Phase, State, TuningTask

INTERLEAVINGS = int(os.environ.get("TUNERY_TEST_INTERLEAVINGS", "60"))
ACTS = 20


class Interleavings(RuleBasedStateMachine):
    """A library, its users, and workers that may have lost their claims."""

    models = Bundle("models")
    template: Path

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.place = tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
        self.home = shutil.copytree(self.template, Path(self.place.name) / "home")
        self.stack = ExitStack()
        self.library = self.stack.enter_context(Library.own(self.home))
        self.claims: list[TuningTask] = []
        self.published: dict[tuple[str, int], Published] = {}
        self.ends: dict[str, Phase] = {}
        self.names: dict[str, str] = {}
        self.deleted: set[str] = set()

    def teardown(self) -> None:
        self.stack.close()
        self.place.cleanup()

    @rule(target=models)
    def create(self) -> str:
        model = self.library.create(a_request())
        self.names[model.id] = model.display_name
        return model.id

    @rule()
    def claim(self) -> None:
        for is_cancelled in (True, False):
            task = self.library.claim("worker", is_cancelled=is_cancelled)
            if task is not None:
                self.claims.append(task)

    @rule(data=st.data(), step=st.integers(1, 19))
    def step(self, data: st.DataObject, step: int) -> None:
        self._try(lambda task: self.library.heartbeat(task, Phase.RUNNING, _at(step)), data)

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        self._try(lambda task: self.library.heartbeat(task, Phase.PUBLISHING), data)

    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        def published(task: TuningTask) -> None:
            self.published[task.id, task.claim_number] = self.library.folder.publish(task, write_adapter)

        if any(task.id not in self.deleted for task in self.claims):
            self._try(published, data)

    @rule(data=st.data(), phase=st.sampled_from([Phase.SUCCEEDED, Phase.CANCELLED, Phase.FAILED]))
    def finish(self, data: st.DataObject, phase: Phase) -> None:
        def finished(task: TuningTask) -> None:
            published = self.published.get((task.id, task.claim_number))
            if published is None and phase is Phase.SUCCEEDED:
                return
            error = TuningUnstable(3) if phase is Phase.FAILED else None
            kept = None if phase is Phase.FAILED else published
            self.library.finish(task, phase, published=kept, error=error)

        self._try(finished, data)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self._try(self.library.release, data)

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self._try(lambda task: self.library.take_back(task, Loss.PROCESS), data)

    @rule(model_id=models)
    def cancel(self, model_id: str) -> None:
        self._ask(lambda: self.library.request_cancel(model_id), model_id)

    @rule(model_id=models, name=st.sampled_from(["one", "two", "three"]))
    def change(self, model_id: str, name: str) -> None:
        if self._ask(lambda: self.library.update(model_id, display_name=name), model_id):
            self.names[model_id] = name

    @rule(model_id=models)
    def delete(self, model_id: str) -> None:
        if model_id not in self.deleted:
            self.library.delete(self.library.find(model_id).id)
            self.deleted.add(model_id)

    @rule()
    def sweep(self) -> None:
        self.library.sweep()

    @rule()
    def restart(self) -> None:
        self.stack.close()
        self.library = self.stack.enter_context(Library.own(self.home))

    @invariant()
    def every_task_has_one_end(self) -> None:
        for model in self.library.list():
            assert model.id not in self.deleted
            assert model.display_name == self.names[model.id]
            phase = model.task.phase
            assert self.ends.get(model.id, phase) is phase
            if phase.is_final:
                self.ends[model.id] = phase
            assert (model.state is State.CREATING) == (not phase.is_final)
            if model.state is State.ACTIVE:
                assert (self.library.adapter_folder(model) / "adapter_config.json").read_text() == "{}"

    def _try(self, act: object, data: st.DataObject) -> None:
        """Let one of the claims act, lost or not; a lost one must be refused."""
        if not self.claims:
            return
        task = data.draw(st.sampled_from(self.claims))
        before = self._row(task)
        try:
            act(task)  # type: ignore[operator]
        except (Fenced, NotFound):
            assert self._row(task) == before
        else:
            is_own = before is not None and before[0] == task.claim_number
            assert is_own or self._row(task) == before

    def _row(self, task: TuningTask) -> tuple[int, Phase, int] | None:
        try:
            now = self.library.find(task.tuned_model_id).task
        except NotFound:
            return None
        return now.claim_number, now.phase, now.completed_steps

    def _ask(self, act: object, model_id: str) -> bool:
        try:
            act()  # type: ignore[operator]
        except (NotFound, FailedPrecondition):
            assert model_id in self.deleted
            return False
        return True


@pytest.mark.slow
def test_whatever_comes_in_between_each_task_has_one_end(tmp_path: Path) -> None:
    """Random acts of users, workers and lost workers, with restarts: one end per task, no late write, whole files."""
    with Library.own(tmp_path / "template"):
        pass
    Interleavings.template = tmp_path / "template"

    run_state_machine_as_test(
        Interleavings,
        settings=settings(
            max_examples=INTERLEAVINGS,
            stateful_step_count=ACTS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=INTERLEAVINGS < 1000,
        ),
    )


def _at(step: int) -> Progress:
    return Progress(step=step, checkpoint_step=step, snapshots=a_curve(step))
