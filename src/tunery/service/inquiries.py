"""
Inquiries about tuned models: asked for, worked on one after the other in a child, kept as reports.

What all of them have in common: the queue, the progress, the child and the report. A subclass says what the work is and
answers what its child asks (`evaluations.py`, `examinations.py`). What runs is known in memory only: after a restart
the newest report counts. Knows no HTTP.
"""

from __future__ import annotations

import logging
import queue
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunery.engine.catalog import Catalog
from tunery.errors import FailedPrecondition, NotFound, ResourceExhausted, TuneryError, Unavailable
from tunery.service.children.inquiring import Begin, Done, Progressed
from tunery.service.children.process import Child
from tunery.service.library import Library
from tunery.types import TunedModel

LEASE_SECONDS = 30.0  # a child that says nothing so long is taken for frozen

_log = logging.getLogger("tunery.inquiries")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an inquiry stands: RUNNING with how much is done, or FAILED with its error."""

    state: str
    done: int = 0
    total: int = 0
    error: TuneryError | None = None


@dataclass(slots=True)
class _Asked:
    """An inquiry that is open: waiting or at work."""

    model: TunedModel
    work: object
    is_cancelled: bool = False


def keep_document(library: Library, model: TunedModel, kind: str, document: Mapping[str, Any]) -> None:
    """Keep the newest report of a kind about a tuned model, with the time."""
    library.put_report(model, kind, {**document, "create_time": datetime.now(UTC).isoformat()})


def require_base(catalog: Catalog, model: TunedModel) -> None:
    """Raise FailedPrecondition if the base here is not the one that a model was tuned on."""
    # one that is not here is fetched by the child
    if catalog.is_present(model.base_model) and catalog.digest(model.base_model) != model.base_digest:
        raise FailedPrecondition(f"The base {model.base_model} is not the one that {model.id} was tuned on.")


class Inquiries:
    """One kind of inquiry, made by a subclass; `start` a thread with it, `stop` at the end."""

    kind: str  # of the reports
    title: str  # one of them, for messages
    max_open: int  # asked for and not finished
    niceness: int
    child_main: Callable[..., None]

    def __init__(self, library: Library) -> None:
        self._library = library
        self._wanted: queue.Queue[_Asked | None] = queue.Queue()
        # both by task: another model may get the id of one that was deleted
        self._open: dict[str, _Asked] = {}
        self._progress: dict[str, Progress] = {}
        self._working: _Asked | None = None
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"{self.title}s", daemon=True)

    @property
    def child_pid(self) -> int | None:
        """The process that works on an inquiry; None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def start(self) -> None:
        """Begin to work on what is asked for."""
        self._thread.start()

    def stop(self) -> None:
        """End what runs; nothing is kept of it."""
        self._is_stopping.set()
        self._wanted.put(None)
        if (child := self._child) is not None:
            child.kill()
        self._thread.join()

    def cancel(self, model: TunedModel) -> None:
        """End the inquiry about a tuned model, waiting or at work; nothing is kept of it. One that has ended stays."""
        with self._lock:
            asked = self._open.pop(model.task.id, None)
            if asked is None:
                return
            asked.is_cancelled = True
            del self._progress[model.task.id]
            child = self._child if self._working is asked else None
        if child is not None:
            child.kill()

    def progress(self, model: TunedModel) -> Progress | None:
        """Return where the inquiry about a tuned model stands, None if none runs or has failed since the last."""
        return self._progress.get(model.task.id)

    def report(self, model: TunedModel) -> dict[str, Any] | None:
        """Return the document of the newest report, with `create_time`; None if there is none."""
        return self._library.report(model, self.kind)

    def _put(self, model: TunedModel, work: object, max_open: int | None = None) -> Progress:
        """Take work into the queue; one that runs already is returned. Raises ResourceExhausted if too many wait."""
        limit = self.max_open if max_open is None else max_open
        with self._lock:
            current = self._progress.get(model.task.id)
            if current is not None and current.state == "RUNNING":
                return current
            if sum(known.state == "RUNNING" for known in self._progress.values()) >= limit:
                raise ResourceExhausted(f"The limit of open {self.title}s is reached ({limit}). Try again later.")
            begun = self._progress[model.task.id] = Progress("RUNNING")
            asked = self._open[model.task.id] = _Asked(model, work)
        self._wanted.put(asked)
        return begun

    def _loop(self) -> None:
        while (asked := self._wanted.get()) is not None and not self._is_stopping.is_set():
            if asked.is_cancelled:
                continue
            try:
                self._end(asked, self._worked(asked))
            except Exception as error:  # noqa: BLE001  # one inquiry must not end the thread that all others need
                _log.exception("The %s of %s failed", self.title, asked.model.name)
                self._end(asked, Progress("FAILED", error=TuneryError(f"Something went wrong: {error!r}.")))

    def _worked(self, asked: _Asked) -> Progress | None:
        """Work on one inquiry and keep its report; returns the failure if there is one to be told of."""
        try:
            document = self._found(asked)
        except TuneryError as error:
            return Progress("FAILED", error=error) if self._is_there(asked.model) else None
        if self._is_there(asked.model) and not asked.is_cancelled:
            keep_document(self._library, asked.model, self.kind, document)
        return None

    def _found(self, asked: _Asked) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="tunery-inquiry-") as folder:
            return self._told(asked, Begin(asked.work, Path(folder)))

    def _told(self, asked: _Asked, begin: Begin) -> dict[str, Any]:
        self._working = asked
        child = self._child = Child(self.title, type(self).child_main, niceness=self.niceness)
        try:
            child.send(begin)
            while not isinstance(message := self._received(child, asked), Done):
                if isinstance(message, Progressed):
                    self._note(asked, Progress("RUNNING", message.done, message.total))
                else:
                    self._answer(child, asked.model, message)
        except (EOFError, TimeoutError):
            raise Unavailable(f"The {self.title} broke off. Start it again.") from None
        finally:
            child.stop()
            self._child = self._working = None
        if message.error is not None:
            raise message.error
        assert message.document is not None
        return message.document

    def _received(self, child: Child, asked: _Asked) -> object:
        if self._is_stopping.is_set() or asked.is_cancelled:  # who ended it may have looked before the child was there
            raise EOFError
        return child.receive(LEASE_SECONDS)

    def _answer(self, child: Child, model: TunedModel, message: object) -> None:
        """Answer what the child asks; those that ask nothing send signs of life only."""

    def _note(self, asked: _Asked, progress: Progress) -> None:
        with self._lock:
            if not asked.is_cancelled:
                self._progress[asked.model.task.id] = progress

    def _end(self, asked: _Asked, progress: Progress | None) -> None:
        with self._lock:
            if asked.is_cancelled:  # and another may have been asked for
                return
            self._open.pop(asked.model.task.id, None)
            self._progress.pop(asked.model.task.id, None)
            if progress is not None:
                self._progress[asked.model.task.id] = progress

    def _is_there(self, model: TunedModel) -> bool:
        """Say whether the model is what it was; its id may be another's by now."""
        try:
            return self._library.find(model.id).task.id == model.task.id
        except NotFound:
            return False
