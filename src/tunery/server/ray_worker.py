"""
A tuning worker as an actor of a Ray cluster, placed by `ray_executor`: what `tunery worker` runs, in another process.

It leaves by itself: when it is idle and not needed, or when no server looks at it any more.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tunery import __version__, config
from tunery.config import Shared
from tunery.errors import FailedPrecondition
from tunery.server.monitoring import start_logging
from tunery.server.work import WorkerSettings, Working, working

IDLE_SECONDS = 60.0  # how long an idle worker that is not needed stays
ABANDONED_SECONDS = 120.0  # how long a worker goes on without hearing from a server, which may have to reconnect
TOLD_SECONDS = 10.0  # how long a faulty worker stays, so that servers can read why

_log = logging.getLogger("tunery.ray")


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker works on, and how."""

    default_base: str
    shared: Shared
    evaluates: bool = True
    device: str = "cpu"
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Answer:
    """From a worker to a look."""

    is_busy: bool
    is_leaving: bool
    fault: str | None


class TuningActor:
    """A worker on a node of the cluster: what `tunery worker` runs, in a data folder below the node's own."""

    def __init__(self, spec: WorkerSpec, name: str) -> None:
        self._spec, self._name = spec, name
        self._working: Working | None = None
        self._fault: str | None = None
        self._is_leaving = False
        self._looked = self._needed = time.monotonic()
        threading.Thread(target=self._run, name="worker", daemon=True).start()

    def look(self, is_needed: bool) -> Answer:
        """Note that a server is there, and whether it needs this worker."""
        self._looked = time.monotonic()
        if is_needed:
            self._needed = self._looked
        return Answer(self._is_busy, self._is_leaving, self._fault)

    @property
    def _is_busy(self) -> bool:
        return self._working is not None and self._working.is_busy

    def _run(self) -> None:
        try:
            start_logging("text")
            if self._spec.version != __version__:
                raise FailedPrecondition(f"This node has tunery {__version__}, the server {self._spec.version}.")
            os.environ["TUNERY_DEVICE"] = self._spec.device
            folder = node_folder(config.data_folder(), self._name)
            settings = WorkerSettings(folder, self._spec.default_base, self._spec.shared, self._spec.evaluates)
            with working(settings) as self._working:
                while self._working.is_alive and not self._may_leave():
                    time.sleep(0.5)
                self._is_leaving = True
        except Exception as error:  # noqa: BLE001  # a server has to hear of it
            _log.exception("The worker ends")
            self._fault = str(error)
            time.sleep(TOLD_SECONDS)
        os._exit(0)  # everything is in the database; Ray's own ways to end an actor need its head

    def _may_leave(self) -> bool:
        now = time.monotonic()
        is_over = now - self._needed > IDLE_SECONDS and not self._is_busy
        return is_over or now - self._looked > ABANDONED_SECONDS


def node_folder(home: Path, name: str) -> Path:
    """Return the data folder of a worker below the one of its node, whose bases it uses."""
    folder, bases = home / "ray" / name, home / "bases"
    bases.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (folder / "bases").symlink_to(bases)
    return folder
