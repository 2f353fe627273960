"""
A tuning task that a server works on, told as the events of one in this process.

`RemoteTask` stands in for `service.run.TaskWorker`: `events()` and `cancel()`. Knows the server; nothing of terminals.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from tunery.cli import received
from tunery.cli.served import Server, error_of_code
from tunery.service.phases import Ended, Event, PhaseEntered, Started, StepDone
from tunery.types import Phase, TunedModel

LOOK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Waited:
    """Some time went by; `before` tasks wait before this one, None once it is worked on."""

    before: int | None


class RemoteTask:
    """The task of a tuned model on a server."""

    def __init__(self, server: Server, model: TunedModel) -> None:
        self._server, self._model = server, model
        self._phase = Phase.QUEUED
        self._is_started = False
        self._shown_step = 0

    def cancel(self) -> None:
        """Ask to end the task, and to keep what was tuned."""
        self._server.cancel(self._model)

    def events(self) -> Generator[Event | Waited]:
        """Yield what happens until the task ends; raises the error that it FAILED with."""
        while True:
            operation = self._server.operation(self._model)
            yield from self._news(operation["metadata"])
            if operation.get("done"):
                yield Ended(self._ended())
                return
            yield Waited(operation["metadata"].get("waitingBefore"))
            time.sleep(LOOK_SECONDS)

    def _news(self, metadata: Mapping[str, Any]) -> Generator[Event]:
        phase = Phase(metadata["phase"])
        if phase in (Phase.PREPARING, Phase.PUBLISHING) and phase is not self._phase:
            yield PhaseEntered(phase)
        self._phase = phase
        curve = received.snapshots(metadata.get("snapshots", []))
        if not self._is_started and (curve or phase is Phase.RUNNING):
            settings = self._server.get(self._model.name).task.settings
            if settings:
                yield Started(settings, 1, metadata["totalSteps"])
                self._is_started = True
        for snapshot in curve if self._is_started else ():
            if snapshot.step > self._shown_step:
                yield StepDone(snapshot)
                self._shown_step = snapshot.step

    def _ended(self) -> TunedModel:
        model = self._server.get(self._model.name)
        if model.task.phase is Phase.FAILED:
            raise error_of_code(model.task.error_code or 13, model.task.error_message or "The tuning job failed.")
        return model
