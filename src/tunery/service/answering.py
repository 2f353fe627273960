"""
Answers from base and tuned models: questions go to a child process, and pieces of text come back as they are generated.

At most `MAX_WAITING` questions wait for their turn, three quarters of them of one user, and none that would wait too
long at the pace of the last ones; another is refused at once. If the child dies or freezes, its questions fail and a
new child starts. Access is checked by the callers.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from tunery.errors import Cancelled, DeadlineExceeded, ResourceExhausted, TuneryError, Unavailable
from tunery.service.answering_child import (
    AnswerChunk,
    Ask,
    Beside,
    Count,
    Counted,
    CountRows,
    Drop,
    Question,
    ReadStates,
    Refused,
    RenderRows,
    RowsCounted,
    RowsRendered,
    StatesRead,
    Warm,
    answering_child,
)
from tunery.service.process import Alive, Child
from tunery.types import Rendering, TuningExample

MAX_WAITING = 64
LONGEST_WAIT_SECONDS = 20.0  # expected; what has waited 30 s is refused by the child, much later than at once
PACE_QUESTIONS = 16  # the number that are decoded together
BACKGROUND = "background"  # the user for questions that no user is waiting for
READER = "reader"  # the user that reads mean states, for minutes, so that counting rows takes turns with it
LEASE_SECONDS = 10.0  # a child that is silent for this long counts as frozen
RESTART_SECONDS = 10.0
ROWS_SECONDS = 60.0  # includes loading a base that is not in memory

AT_ONCE = 8  # half of what the child decodes together
TRIES = 5
WAIT_SECONDS = 2.0  # before a refused question is asked again
_LOOK_SECONDS = 0.5  # between two checks whether to stop
_TEMPORARY = (DeadlineExceeded, ResourceExhausted, Unavailable)

Reply = AnswerChunk | Counted | RowsCounted | RowsRendered | StatesRead | Refused
Listener = Callable[[Reply], None]

_log = logging.getLogger("tunery.answering")


@dataclass(slots=True)
class _Waiting:
    user: str
    listener: Listener
    child: Child
    has_begun: bool = False
    since: float = field(default_factory=time.monotonic)


class Pace:
    """The pace at which waiting questions begin; a question that finds room immediately counts as no time."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque([0.0] * PACE_QUESTIONS, maxlen=PACE_QUESTIONS)  # seconds since the last one
        self._last_begin = 0.0

    @property
    def seconds(self) -> float:
        """The average number of seconds between the last questions."""
        return mean(self._latest)

    def note(self, since: float, now: float) -> None:
        """Note that a question begins now, and when it started waiting."""
        self._latest.append(now - self._last_begin if since < self._last_begin else 0.0)
        self._last_begin = now


class Answering:
    """The answering child of a data folder."""

    def __init__(
        self,
        data_folder: Path,
        *,
        warm_base: str | None = None,
        max_waiting: int = MAX_WAITING,
        lease_seconds: float = LEASE_SECONDS,
        main: Callable[..., None] = answering_child,
        has_engine: Callable[[], bool] = lambda: True,
    ) -> None:
        self._data_folder, self._warm_base, self._max_waiting = data_folder, warm_base, max_waiting
        self._lease_seconds, self._main = lease_seconds, main
        self._has_engine = has_engine  # whether the child can reach what computes, if that is elsewhere
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._asked: dict[int, _Waiting] = {}
        self._pace = Pace()
        self._child: Child | None = None
        # of that child: the only thread that reads from it and closes its channel
        self._reader: threading.Thread | None = None
        self._is_stopped = self._is_tuning = False
        self.generated_tokens = 0  # tokens of finished answers since the server started

    @property
    def child_pid(self) -> int | None:
        """The process that answers; None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def start(self) -> None:
        """Start the child, with a base loaded ahead of the first question."""
        with self._lock:
            self._ready_child()

    def stop(self) -> None:
        """End the child; the questions it was answering fail."""
        with self._lock:
            self._is_stopped = True
            child, reader = self._child, self._reader
        if child is not None and reader is not None:
            child.kill()
            reader.join()

    def ask(self, question: Question, listener: Listener, user: str = BACKGROUND) -> int:
        """
        Ask a user's question and return its number, for `drop`.

        `listener` is called from another thread with each piece of the answer, the last with a finish reason, or with
        a `Refused`. Raises ResourceExhausted if too many questions wait.
        """
        return self._send(lambda number: Ask(number, question, user), listener, user)

    def count(self, question: Question, listener: Listener, user: str = BACKGROUND) -> int:
        """Count the tokens of a prompt; `listener` gets a `Counted` or a `Refused`; raises the errors of `ask`."""
        return self._send(lambda number: Count(number, question, user), listener, user)

    def count_rows(self, base_model: str, examples: tuple[TuningExample, ...], user: str = BACKGROUND) -> RowsCounted:
        """Count the tokens of examples as tuning reads them; raise DeadlineExceeded if the child takes too long."""
        counted = self._awaited(lambda number: CountRows(number, base_model, examples, user), user)
        assert isinstance(counted, RowsCounted)
        return counted

    def render_rows(
        self, base_model: str, examples: tuple[TuningExample, ...], user: str = BACKGROUND
    ) -> tuple[str, ...]:
        """Return examples as tuning reads them, with template and special tokens; raises the errors of `count_rows`."""
        rendered = self._awaited(lambda number: RenderRows(number, base_model, examples, user), user)
        assert isinstance(rendered, RowsRendered)
        return rendered.texts

    def read_states(
        self,
        base_model: str,
        texts: tuple[str, ...],
        preamble: str,
        rendering: Rendering,
        listener: Listener,
        user: str = READER,
    ) -> int:
        """
        Read prompts, which begin with a preamble, for their mean states; `listener` gets a `StatesRead` or a `Refused`.

        Raises the errors of `ask`.
        """

        def message(number: int) -> ReadStates:
            return ReadStates(number, base_model, texts, preamble, rendering, user)

        return self._send(message, listener, user)

    def require_room(self, user: str, questions: int = 1) -> None:
        """Raise ResourceExhausted, like `ask`, if there is no room for this many more questions of a user."""
        with self._lock:
            self._require_room(user, questions)

    def drop(self, number: int) -> None:
        """Drop a question unless it has ended; its place in the batch is free after at most one token."""
        with self._lock:
            asked = self._asked.pop(number, None)
        if asked is not None:
            asked.child.send(Drop(number))

    def is_ready(self) -> bool:
        """Return whether a question can be answered; if the child has died, start another."""
        with self._lock:
            is_alive = self._child is not None and self._child.is_alive
            if not is_alive and not self._is_stopped:
                self._ready_child()
        return is_alive and self._has_engine()

    @contextmanager
    def beside_tuning(self) -> Iterator[None]:
        """Within the block, leave a tuning job its share of the processor; see `Pauses`."""
        self._tell(is_tuning=True)
        try:
            yield
        finally:
            self._tell(is_tuning=False)

    @property
    def waiting(self) -> int:
        """Questions whose answer has not begun."""
        return sum(not asked.has_begun for asked in self._asked.values())

    @property
    def running(self) -> int:
        """Questions that are being answered."""
        return sum(asked.has_begun for asked in self._asked.values())

    def _tell(self, *, is_tuning: bool) -> None:
        with self._lock:
            self._is_tuning = is_tuning
            if self._child is not None:  # a child that starts later is told at its start
                self._child.send(Beside(is_tuning))

    def _awaited(self, message: Callable[[int], object], user: str) -> Reply:
        arrived: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        number = self._send(message, arrived.put, user)
        try:
            answer = arrived.get(timeout=ROWS_SECONDS)
        except queue.Empty:
            self.drop(number)
            raise DeadlineExceeded("The rows could not be read in time. Try again in a moment.") from None
        if isinstance(answer, Refused):
            raise answer.error
        return answer

    def _send(self, message: Callable[[int], object], listener: Listener, user: str) -> int:
        with self._lock:
            self._require_room(user)
            child = self._ready_child()
            number = next(self._numbers)
            self._asked[number] = _Waiting(user, listener, child)
            child.send(message(number))  # if the child is gone, the reading thread notices it and refuses the question
            return number

    def _require_room(self, user: str, questions: int = 1) -> None:
        waiting = [asked.user for asked in self._asked.values() if not asked.has_begun]
        most = self._max_waiting - self._max_waiting // 4
        if len(waiting) + questions > self._max_waiting:
            raise ResourceExhausted(
                f"{len(waiting)} requests are already waiting for an answer. Try again in a moment."
            )
        if waiting.count(user) + questions > most:
            raise ResourceExhausted(
                f"{most} of your requests are already waiting for an answer. Try again in a moment."
            )
        expected = self._expected_seconds(waiting, user)
        if expected > LONGEST_WAIT_SECONDS:
            raise ResourceExhausted(f"Your request would wait about {expected:.0f} s for its turn. Try again later.")

    def _expected_seconds(self, waiting: Sequence[str], user: str) -> float:
        """
        Return how long a user's next question would wait, given that users take turns; 0 for a user's only question.
        """
        return waiting.count(user) * len(set(waiting)) * self._pace.seconds

    def _ready_child(self) -> Child:
        if self._is_stopped:
            raise Unavailable("The server is stopping. Try again in a moment.")
        if self._child is None or not self._child.is_alive:
            self._child = Child("answering", self._main, self._data_folder)
            if self._warm_base is not None:
                self._child.send(Warm(self._warm_base))
            if self._is_tuning:
                self._child.send(Beside(is_tuning=True))
            self._reader = threading.Thread(target=self._read, args=(self._child,), name="answers", daemon=True)
            self._reader.start()
        return self._child

    def _read(self, child: Child) -> None:
        started = time.monotonic()
        try:
            while True:
                message = child.receive(self._lease_seconds)
                if not isinstance(message, Alive):
                    self._hand_over(message)
        except (EOFError, TimeoutError) as lost:
            child.stop()
            self._refuse_all(child, "froze" if isinstance(lost, TimeoutError) else "ended")
        with self._lock, suppress(Unavailable):
            if (
                time.monotonic() - started > RESTART_SECONDS
            ):  # otherwise it may die again immediately, so wait for a question
                self._ready_child()

    def _hand_over(self, answer: Reply) -> None:
        with self._lock:
            asked = self._asked.get(answer.number)
            if asked is None:  # dropped
                return
            if not asked.has_begun:
                asked.has_begun = True
                if asked.user != READER:  # says nothing about how soon a question is begun
                    self._pace.note(asked.since, time.monotonic())
            if not (isinstance(answer, AnswerChunk) and answer.finish_reason is None):
                del self._asked[answer.number]
            if isinstance(answer, AnswerChunk) and answer.finish_reason is not None:
                self.generated_tokens += answer.output_tokens
        asked.listener(answer)

    def _refuse_all(self, child: Child, how: str) -> None:
        with self._lock:
            lost = {number: asked for number, asked in self._asked.items() if asked.child is child}
            for number in lost:
                del self._asked[number]
        if not self._is_stopped:
            _log.error("The answering process %s with %d requests", how, len(lost))
        for number, asked in lost.items():
            asked.listener(Refused(number, Unavailable(f"The answering process {how}. Ask again.")))


class Batches:
    """Answers many questions, a few at a time, so that there is room for users' questions; ends with `is_stopping`."""

    def __init__(self, answering: Answering, is_stopping: threading.Event) -> None:
        self._answering, self._is_stopping = answering, is_stopping

    def answers(self, questions: Sequence[Question]) -> list[str]:
        """Return the answers; raise the error of a question refused too often, or Cancelled when stopping."""
        return ["".join(chunk.text for chunk in chunks) for chunks in self._finished(questions)]

    def label_chances(self, questions: Sequence[Question]) -> list[dict[str, float]]:
        """Return the probability of each label of questions that have some; raises the errors of `answers`."""
        return [dict(chunks[-1].label_probabilities) for chunks in self._finished(questions)]

    def _finished(self, questions: Sequence[Question]) -> list[list[AnswerChunk]]:
        found, tries = [list[AnswerChunk]() for _ in questions], [0] * len(questions)
        open_places, asked = deque(range(len(questions))), dict[int, int]()
        arrived: queue.SimpleQueue[tuple[int, Reply]] = queue.SimpleQueue()
        try:
            while open_places or asked:
                while open_places and len(asked) < AT_ONCE:
                    place = open_places.popleft()
                    asked[place] = self._ask(questions[place], place, arrived)
                place, answer = self._next(arrived)
                if isinstance(answer, Refused):
                    del asked[place]
                    tries[place] += 1
                    self._pause_or_raise(answer.error, tries[place])
                    found[place].clear()
                    open_places.append(place)
                elif isinstance(answer, AnswerChunk):
                    found[place].append(answer)
                    if answer.finish_reason is not None:
                        del asked[place]
        finally:
            for number in asked.values():
                self._answering.drop(number)
        return found

    def tokens(self, question: Question) -> int:
        """Return the number of tokens of a question's prompt; raise InvalidArgument if it exceeds the window."""
        counted = self._told(partial(self._answering.count, question))
        assert isinstance(counted, Counted)
        return counted.tokens

    def mean_states(
        self, base_model: str, texts: Sequence[str], preamble: str, rendering: Rendering
    ) -> list[Sequence[float]]:
        """Return the mean state of each prompt; empty if an engine computes that does not tell states."""
        read = self._told(partial(self._answering.read_states, base_model, tuple(texts), preamble, rendering))
        assert isinstance(read, StatesRead)
        return list(read.states)

    def _told(self, send: Callable[[Listener], int]) -> Reply:
        """Return the reply to what `send` sends; raise its error if it is refused, too often or for good."""
        for attempt in range(1, TRIES + 1):
            arrived: queue.SimpleQueue[tuple[int, Reply]] = queue.SimpleQueue()
            try:
                send(partial(_put, arrived, 0))
                _, answer = self._next(arrived)
            except ResourceExhausted as error:
                answer = Refused(0, error)
            if not isinstance(answer, Refused):
                return answer
            self._pause_or_raise(answer.error, attempt)
        raise AssertionError("the last try raises its error")

    def _ask(self, question: Question, place: int, arrived: queue.SimpleQueue[Any]) -> int:
        for attempt in range(1, TRIES + 1):
            try:
                return self._answering.ask(question, partial(_put, arrived, place))
            except ResourceExhausted as error:
                self._pause_or_raise(error, attempt)
        raise AssertionError("the last try raises its error")

    def _next(self, arrived: queue.SimpleQueue[tuple[int, Reply]]) -> tuple[int, Reply]:
        while not self._is_stopping.is_set():
            try:
                return arrived.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
        raise Cancelled("The server is stopping.")

    def _pause_or_raise(self, error: TuneryError, attempt: int) -> None:
        if attempt >= TRIES or not isinstance(error, _TEMPORARY):
            raise error
        self._is_stopping.wait(WAIT_SECONDS * attempt)


def _put(arrived: queue.SimpleQueue[tuple[int, Reply]], place: int, answer: Reply) -> None:
    arrived.put((place, answer))
