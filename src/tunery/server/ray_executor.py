"""
Tuning workers as actors of a Ray cluster: `tunery serve --executor ray`.

Ray only places them. Which worker has which task, and whether it was lost, is in the database as for `tunery worker`,
whose function each actor runs; Ray's own restarts and retries are off. There are three sides:

- the server: `RayExecutor`, a thread that counts the unfinished tasks and sends the number to its child;
- its child: `ray_child`, the driver. It is a process of its own because Ray ends one that has lost its head, and may
  wait forever for one that it cannot reach;
- the cluster: a `TuningActor` for each worker.

Actors are named after what they work on and a number, so several servers mean the same ones, and none has to lead. No
server ends a worker: it leaves by itself when it is idle and not needed, or when no server looks at it any more. So
workers outlive the restart of a server.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from typing import Any

from tunery.config import Shared
from tunery.errors import FailedPrecondition, InvalidArgument, TuneryError, Unavailable
from tunery.server.ray_worker import Answer, TuningActor, WorkerSpec
from tunery.service.database import tasks
from tunery.service.library import Library
from tunery.service.process import Channel, Child

NAMESPACE = "tunery"
LOOK_SECONDS = 2.0  # between two looks of a server at its workers
ANSWER_SECONDS = 1.0  # that a look waits for answers
SILENT_SECONDS = 8.0  # after this, a worker that does not answer is replaced; Ray takes a minute to miss its node
CONNECT_SECONDS = 30.0
LOST_SECONDS = 30.0  # after this, a silent driver is taken for lost
RECONNECT_SECONDS = 5.0  # between two attempts to reach the cluster
_LEAST_SHARE = 0.0001  # of a processor or graphics card, in Ray

_log = logging.getLogger("tunery.ray")


@dataclass(frozen=True, slots=True)
class RaySettings:
    """Which cluster places workers, how many at least and at most, and what each of them reserves there."""

    address: str = "auto"
    least: int = 1
    most: int = 4
    cpus: float = 1.0
    gpus: float = 0.0

    @classmethod
    def read(cls, address: str, workers: str, cpus: float, gpus: float) -> RaySettings:
        """Return the settings of options; raises InvalidArgument for a number that makes no sense."""
        least, _, most = workers.partition("-")
        if not (re.fullmatch("[0-9]+(-[0-9]+)?", workers) and int(least) <= int(most or least) > 0):
            raise InvalidArgument(f"--ray-workers is a number or a range, such as 2 or 1-4, not {workers!r}.")
        for name, number in (("--ray-cpus", cpus), ("--ray-gpus", gpus)):
            # what Ray itself refuses, but only when it places a worker
            if not math.isfinite(number) or number < 0 or 0 < number < _LEAST_SHARE or (number > 1 and number % 1):
                raise InvalidArgument(f"{name} is 0, a share such as 0.5, or a whole number, not {number:g}.")
        return cls(address, int(least), int(most or least), cpus, gpus)


@dataclass(frozen=True, slots=True)
class Seen:
    """From the driver: how many workers there are, how many of them are busy, and what is wrong with others."""

    workers: int
    busy: int
    faults: tuple[str, ...] = ()


def require_ray(shared: Shared, environment: Mapping[str, str]) -> None:
    """Raise FailedPrecondition unless workers on other machines can share the work, and nobody else gets at Ray."""
    if shared.database_url is None or shared.store_url is None:
        raise FailedPrecondition(
            "Workers on a Ray cluster need a database and a store that they share with this server: set"
            " TUNERY_DATABASE_URL and TUNERY_STORE_URL (docs/growing.md)."
        )
    if environment.get("RAY_AUTH_MODE") != "token":
        raise FailedPrecondition(
            "Anyone who can reach a Ray cluster can run code on it. Set RAY_AUTH_MODE=token here and on all its nodes"
            " (docs/growing.md)."
        )
    if find_spec("ray") is None:
        raise FailedPrecondition("--executor ray needs Ray: pip install 'tunery[ray]'")


class RayExecutor:
    """Keeps as many workers on a Ray cluster as a library has tasks, within limits; `start`, `stop` at the end."""

    def __init__(self, library: Library, settings: RaySettings, spec: WorkerSpec) -> None:
        self._library, self._settings, self._spec = library, settings, spec
        self._tasks = 0
        self._child: Child | None = None
        self._told: object = None  # what was logged last
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="ray", daemon=True)

    @property
    def child_pid(self) -> int | None:
        """The process that is connected to the cluster; None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def start(self) -> None:
        """
        Begin; a cluster that cannot be reached is tried again and again, since the server can answer without it.

        Raises FailedPrecondition if the settings do not allow workers on a cluster.
        """
        require_ray(self._spec.shared, os.environ)
        self._thread.start()

    def stop(self) -> None:
        """Leave the cluster; its workers go on, and leave too unless another server looks at them."""
        self._is_stopping.set()
        while self._thread.is_alive():
            if (child := self._child) is not None:  # the thread may be waiting for its answer
                child.kill()
            self._thread.join(0.1)
        self._disconnect()

    def _loop(self) -> None:
        while not self._is_stopping.wait(LOOK_SECONDS):
            try:
                if self._child is None:
                    self._connect()
                self._look()
            except TuneryError as error:
                self._tell(logging.WARNING, str(error))
                self._is_stopping.wait(RECONNECT_SECONDS)
            except Exception:  # noqa: BLE001  # such as an error of Ray: the workers are still needed
                _log.exception("The executor continues after an unexpected error")
                self._disconnect()
                self._is_stopping.wait(RECONNECT_SECONDS)

    def _look(self) -> None:
        # while the database does not answer, workers are still looked at
        with suppress(Unavailable), self._library.database.reading() as connection:
            self._tasks = tasks.unfinished(connection, self._settings.most)
        seen = self._ask(self._tasks, LOST_SECONDS)
        for fault in seen.faults:
            _log.warning("Ray: %s", fault)
        self._tell(logging.INFO, f"Workers on the Ray cluster: {seen.workers}, busy: {seen.busy}")

    def _connect(self) -> None:
        require_listening(self._settings.address)
        self._child = Child("ray", ray_child, self._settings, self._spec, self._namespace_of_library())
        self._ask(None, CONNECT_SECONDS)

    def _namespace_of_library(self) -> str:
        """Return a text that only servers on the same library have in common, without its password."""
        known = f"{getattr(self._library.database, 'name', '')} {self._spec.shared.store_url}"
        return hashlib.sha256(known.encode()).hexdigest()[:10]

    def _ask(self, message: object, seconds: float) -> Any:
        child = self._child
        assert child is not None
        if message is not None:
            child.send(message)
        try:
            answer = child.receive(seconds)
        except (EOFError, TimeoutError):
            self._disconnect()
            raise _unreachable(self._settings.address) from None
        if isinstance(answer, TuneryError):
            self._disconnect()
            raise answer
        return answer

    def _disconnect(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()

    def _tell(self, level: int, text: str) -> None:
        if text != self._told and not self._is_stopping.is_set():
            _log.log(level, "%s", text)
        self._told = text


def require_listening(address: str) -> None:
    """Raise Unavailable if nobody listens at HOST:PORT, because Ray would wait for it for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
        except OSError:
            raise _unreachable(address) from None


def _unreachable(address: str) -> Unavailable:
    return Unavailable(
        f"The Ray cluster at {address} cannot be reached. Start it (`ray start --head`), or join it on this machine"
        " (`ray start --address=HOST:PORT`), or set --ray-address."
    )


def ray_child(channel: Channel, settings: RaySettings, spec: WorkerSpec, library: str) -> None:
    """Run the driver: connect, say so with None, then answer each number of tasks with what was seen."""
    try:
        import ray

        ray.init(address=settings.address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.CRITICAL)
        cluster = Cluster(settings, spec, library, ray)
    except Exception as error:  # noqa: BLE001  # Ray raises many kinds
        reason = _first_line(error)
        known = _unreachable(settings.address)
        channel.send(error if isinstance(error, TuneryError) else Unavailable(f"{known} Ray says: {reason}"))
        return
    channel.send(None)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # Ray would add paragraphs to a line of the log
    while True:
        tasks_waiting = channel.messages.get()
        try:
            channel.send(cluster.look(tasks_waiting))
        except Exception as error:  # noqa: BLE001  # the server has to hear of it, and starts another driver
            channel.send(Unavailable(f"Ray says: {type(error).__name__}: {_first_line(error)}"))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


@dataclass(slots=True)
class _Known:
    """A worker as the driver knows it."""

    handle: Any
    question: Any = None  # a look that was not answered yet
    answer: Answer | None = None
    answered_at: float = 0.0
    is_needed: bool = True

    @property
    def is_silent(self) -> bool:
        """Whether a worker that has answered before does not do so any more; a new one may wait for resources."""
        return self.answer is not None and time.monotonic() - self.answered_at > SILENT_SECONDS

    @property
    def counts(self) -> bool:
        return not (self.is_silent or (self.answer is not None and self.answer.is_leaving))


@dataclass(slots=True)
class Cluster:
    """The workers of a library on a Ray cluster."""

    settings: RaySettings
    spec: WorkerSpec
    library: str
    ray: Any  # the package
    known: dict[str, _Known] = field(default_factory=dict)  # by name
    faults: list[str] = field(default_factory=list)
    said: str = ""  # the last fault

    def look(self, tasks: int) -> Seen:
        """Ask all workers how they are, decide which are needed, and have missing ones placed."""
        self.faults.clear()
        self._question()  # first: it also works for a while when the head is lost
        self._meet()
        self._decide(tasks)
        faults, self.faults = tuple(self.faults), []
        answers = [worker.answer for worker in self.known.values() if worker.counts]
        return Seen(len(answers), sum(answer is not None and answer.is_busy for answer in answers), faults)

    def _question(self) -> None:
        for worker in self.known.values():
            if worker.question is None:
                worker.question = worker.handle.look.remote(worker.is_needed)
        names = {worker.question: name for name, worker in self.known.items()}
        if names:
            done, _ = self.ray.wait(list(names), num_returns=len(names), timeout=ANSWER_SECONDS)
            for question in done:
                self._note(names[question], question)

    def _note(self, name: str, question: Any) -> None:
        worker = self.known[name]
        before, worker.question = worker.answer, None
        try:
            worker.answer, worker.answered_at = self.ray.get(question), time.monotonic()
        except self.ray.exceptions.ActorUnavailableError:  # cut off; it may come back
            return
        except self.ray.exceptions.RayError as error:
            del self.known[name]
            # one that was not needed has left between two looks; one with a fault has said so
            if before is None or not (before.is_leaving or before.fault or not worker.is_needed):
                self._say(f"{name} was lost ({type(error).__name__}: {_first_line(error)})")
            return
        if worker.answer.fault and (before is None or before.fault != worker.answer.fault):
            self._say(f"{name} cannot work: {worker.answer.fault}")

    def _say(self, fault: str) -> None:
        """Note a fault, unless it was the last one: a worker that cannot work is placed again and again."""
        if fault != self.said:
            self.faults.append(fault)
        self.said = fault

    def _meet(self) -> None:
        """Get to know the workers that other servers, or an earlier driver, had placed."""
        for name in self.ray.util.list_named_actors():
            if name.startswith(self._name("")) and name not in self.known:
                with suppress(ValueError):  # it has left meanwhile
                    self.known[name] = _Known(self.ray.get_actor(name))

    def _decide(self, tasks: int) -> None:
        wanted = max(self.settings.least, min(self.settings.most, tasks))
        here = sorted(name for name, worker in self.known.items() if worker.counts)
        here.sort(key=self._is_idle)  # busy ones first
        for place, name in enumerate(here):
            self.known[name].is_needed = place < wanted
        free = (name for number in count() if (name := self._name(number)) not in self.known)
        for _ in range(wanted - len(here)):
            name = next(free)
            self.known[name] = _Known(self._placed(name))

    def _is_idle(self, name: str) -> bool:
        answer = self.known[name].answer
        return answer is None or not answer.is_busy

    def _name(self, number: int | str) -> str:
        """Return the name of a worker; other settings make other workers, and the ones of before leave."""
        known = f"{self.library} {self.spec} {self.settings.cpus} {self.settings.gpus}"
        return f"worker-{hashlib.sha256(known.encode()).hexdigest()[:10]}-{number}"

    def _placed(self, name: str) -> Any:
        actor = self.ray.remote(TuningActor)
        options = {"max_restarts": 0, "max_task_retries": 0, "lifetime": "detached", "get_if_exists": True}
        resources = {"num_cpus": self.settings.cpus, "num_gpus": self.settings.gpus}
        return actor.options(name=name, **options, **resources).remote(self.spec, name)
