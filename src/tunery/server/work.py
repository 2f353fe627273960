"""A running worker, which tunes for servers on other machines and answers no requests: `tunery worker`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunery.config import ALONE, Shared
from tunery.engine.catalog import Catalog
from tunery.errors import FailedPrecondition
from tunery.progress import doing
from tunery.service.answering import Answering
from tunery.service.library import Library
from tunery.service.reports import Evaluations
from tunery.service.worker import Worker

STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The data folder of a worker, what it shares, and the base that is kept in memory."""

    data_folder: Path
    default_base: str
    shared: Shared = ALONE
    evaluates: bool = True  # tuned models with held-out rows, automatically


def work(settings: WorkerSettings, on_ready: Callable[[], None]) -> None:
    """
    Tune for servers that share a database until SIGINT or SIGTERM, then put the task back with a checkpoint.

    `on_ready` is called once the first task can begin. Raises FailedPrecondition without a shared database.
    """
    if settings.shared.database_url is None:
        raise FailedPrecondition(
            "A worker needs the database that it shares with servers: set TUNERY_DATABASE_URL."
            " Without one, `tunery serve` tunes by itself."
        )
    stop = threading.Event()
    with handlers_kept():
        for number in STOPS:
            signal.signal(number, lambda *_: stop.set())
        with working(settings) as worker:
            on_ready()
            while not stop.wait(1.0) and worker.is_alive:
                pass
            doing("Stopping the worker")


@dataclass(frozen=True, slots=True)
class Working:
    """The running worker of a data folder, with what it does besides tuning."""

    worker: Worker
    evaluations: Evaluations

    @property
    def is_alive(self) -> bool:
        return self.worker.is_alive

    @property
    def is_busy(self) -> bool:
        """Whether it tunes or evaluates a tuned model."""
        return self.worker.current_task_id is not None or self.evaluations.is_busy


@contextmanager
def working(settings: WorkerSettings) -> Iterator[Working]:
    """Yield the running worker of a data folder; it tunes and evaluates the tuned models, but answers no requests."""
    catalog = Catalog(settings.data_folder, settings.default_base)
    warm_base = settings.default_base if catalog.is_present(settings.default_base) else None
    with Library.own(settings.data_folder, None, settings.shared) as library:
        answering = Answering(settings.data_folder)
        evaluations = Evaluations(library, answering, catalog)
        on_success = evaluations.begin if settings.evaluates else None
        worker = Worker(library, warm_base=warm_base, on_success=on_success, beside=answering.beside_tuning)
        try:
            if settings.evaluates:
                answering.start()
                evaluations.start()
            worker.start()
            yield Working(worker, evaluations)
        finally:
            worker.begin_stop()
            if settings.evaluates:
                evaluations.stop()
            worker.stop()
            if settings.evaluates:
                answering.stop()


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restore the earlier signal handlers once everything has stopped."""
    before = {number: signal.getsignal(number) for number in STOPS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
