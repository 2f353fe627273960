"""
Chaos on the table of tasks: workers and servers are killed and frozen at random while fake tasks run.

    python -m tests.chaos.tasks --tasks 100 --kills 20 --freezes 10 --server-kills 5    # prints one line of JSON

Afterwards every task must have one terminal state, no claim may have taken steps after the next one, no step count may
have fallen, and late writes of lost claims must be refused.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import statistics
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from tests.chaos.served import Served, wait_until
from tests.chaos.template import in_a_new_home
from tunery.service.library import Fenced, Library
from tunery.service.tuning import Progress
from tunery.types import Phase, TuningTask

LEASE_SECONDS = 3.0
LOOK_SECONDS = 5.0
TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED"}


@dataclass
class Outcome:
    """What was done to the tasks, and how they ended."""

    tasks: int
    seed: int
    kills: int = 0
    freezes: int = 0
    server_kills: int = 0
    cancels: int = 0
    phases: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)  # how often each error was given
    changed_after_the_end: int = 0
    steps_backwards: int = 0
    steps_behind_a_later_claim: int = 0
    late_writes_refused: int = 0
    late_writes_taken: int = 0
    replies_unlike_the_table: int = 0
    seconds_to_the_next_step: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    def summary(self) -> dict[str, object]:
        """Return the outcome with the takeovers as medians and 95th percentiles."""
        times = {
            kind: {"median": round(statistics.median(found), 2), "p95": round(_p95(found), 2)}
            for kind, found in self.seconds_to_the_next_step.items()
        }
        return asdict(self) | {"seconds_to_the_next_step": times}


class Chaos:
    """A server with tasks, and what is done to it."""

    def __init__(self, server: Served, table: Library, tasks: int, seed: int) -> None:
        self.server, self.table, self.random = server, table, random.Random(seed)
        self.outcome = Outcome(tasks, seed)
        self.ids = [f"task-{number}" for number in range(tasks)]
        self.seen: dict[str, tuple[str, int]] = {}

    def run(self, kills: int, freezes: int, server_kills: int) -> Outcome:
        """Create the tasks, kill and freeze in random order, and wait for all to end."""
        begin = time.monotonic()
        for number, model_id in enumerate(self.ids):
            status, reply = self.server.create(model_id, epochs=self.random.randint(6, 24))
            assert status == 200, reply
            if number % 10 == 9:
                self.outcome.cancels += 1
                self.server.ask("POST", f"tunedModels/{self.random.choice(self.ids[: number + 1])}:cancel", {})
        harms = [self.kill] * kills + [self.freeze] * freezes + [self.kill_server] * server_kills
        self.random.shuffle(harms)
        for harm in harms:
            self.look()
            if self.is_over:
                break
            time.sleep(self.random.uniform(0.0, 0.4))
            harm()
        wait_until(lambda: self.look() or self.is_over, 900)
        self.outcome.seconds = round(time.monotonic() - begin, 1)
        self._judge_steps()
        self._judge_replies()
        return self.outcome

    @property
    def is_over(self) -> bool:
        return len(self.seen) == len(self.ids) and all(phase in TERMINAL for phase, _ in self.seen.values())

    def look(self) -> None:
        """Compare every task with its last observed state, in the table itself: it costs the server nothing."""
        for model in self.table.list():
            phase, steps = model.task.phase.name, model.task.completed_steps
            before, steps_before = self.seen.get(model.id, (phase, 0))
            self.outcome.changed_after_the_end += before in TERMINAL and phase != before
            self.outcome.steps_backwards += steps < steps_before
            self.seen[model.id] = phase, steps

    def _judge_replies(self) -> None:
        """Compare what the server says in the end with the table."""
        for model_id, (phase, steps) in self.seen.items():
            operation = self.server.operation(model_id)
            said = operation["metadata"]
            self.outcome.replies_unlike_the_table += (said["phase"], said["completedSteps"]) != (phase, steps)
            if phase == "FAILED":
                message = re.sub(r"\d+", "N", operation["error"]["message"])
                self.outcome.failures[message] = self.outcome.failures.get(message, 0) + 1

    def kill(self) -> None:
        """kill -9 of the child that works."""
        if child := self._working_child():
            child.kill()
            self.outcome.kills += 1
            self._wait_for_a_step("worker killed")

    def freeze(self) -> None:
        """SIGSTOP of the child that works, past its lease."""
        if child := self._working_child():
            child.send_signal(signal.SIGSTOP)
            self.outcome.freezes += 1
            self._wait_for_a_step("worker frozen")
            with suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGCONT)

    def kill_server(self) -> None:
        """kill -9 of the server; before the next one starts, the lost claims try late writes."""
        self.server.kill()
        self.outcome.server_kills += 1
        self._write_late()
        self.server.start()
        self._wait_for_a_step("server killed, from its next start")

    def _write_late(self) -> None:
        running = [m.task for m in self.table.list() if m.task.phase in (Phase.PREPARING, Phase.RUNNING)]
        with Library.own(self.server.home) as library:  # which takes back what was running
            for task in running:
                self._try_late(library, task)

    def _try_late(self, library: Library, lost: TuningTask) -> None:
        tries = (
            lambda: library.heartbeat(lost, Phase.RUNNING, Progress(step=lost.completed_steps + 100)),
            lambda: library.heartbeat(lost, Phase.PUBLISHING),
            lambda: library.release(lost),
        )
        for late in tries:
            try:
                late()
                self.outcome.late_writes_taken += 1
            except Fenced:
                self.outcome.late_writes_refused += 1

    def _working_child(self) -> psutil.Process | None:
        before = self._last_step()
        give_up = time.monotonic() + 60
        while self._last_step() == before and time.monotonic() < give_up:
            self.look()
            if self.is_over:
                return None
            time.sleep(0.01)
        return self.server.tuning_child()

    def _last_step(self) -> float:
        return self.server.last_step_at

    def _wait_for_a_step(self, kind: str) -> None:
        begin = time.monotonic()
        give_up = begin + 60
        next_look = begin + LOOK_SECONDS  # a look reads the whole table: all the time, it would be the load measured
        while time.monotonic() < give_up:
            last = self._last_step()
            if last > begin:
                self.outcome.seconds_to_the_next_step.setdefault(kind, []).append(last - begin)
                return
            if time.monotonic() > next_look:
                self.look()
                next_look = time.monotonic() + LOOK_SECONDS
            if self.is_over:
                return
            time.sleep(0.02)

    def _judge_steps(self) -> None:
        latest: dict[str, int] = {}
        for _, _, task_id, claim, _ in self.server.steps:
            self.outcome.steps_behind_a_later_claim += claim < latest.get(task_id, 0)
            latest[task_id] = max(claim, latest.get(task_id, 0))
        for phase, _ in self.seen.values():
            self.outcome.phases[phase] = self.outcome.phases.get(phase, 0) + 1


def chaos(
    tasks: int, kills: int, freezes: int, server_kills: int, seed: int = 0, step_seconds: float = 0.02
) -> Outcome:
    """Run a number of tasks and return their outcome."""
    with in_a_new_home() as home, _served(home, step_seconds) as server, Library.open(home) as table:
        return Chaos(server, table, tasks, seed).run(kills, freezes, server_kills)


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--step-seconds", type=float, default=0.1)  # long enough tasks that most harms meet one at work
    for name, default in (("tasks", 100), ("kills", 20), ("freezes", 10), ("server-kills", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    outcome = chaos(asked.tasks, asked.kills, asked.freezes, asked.server_kills, asked.seed, asked.step_seconds)
    print(json.dumps(outcome.summary()))  # noqa: T201


def _served(home: Path, step_seconds: float) -> Served:
    return Served.fake(home, lease_seconds=LEASE_SECONDS, step_seconds=step_seconds)


def _p95(values: list[float]) -> float:
    return sorted(values)[max(0, round(0.95 * len(values)) - 1)]


if __name__ == "__main__":
    main()
