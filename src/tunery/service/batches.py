"""
Many questions to the answering child, a few at a time, so that the questions of users find room beside them.

Waits for whole answers; what is refused because the child was busy or died is asked again. Knows the answering service;
nothing of who asks.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from tunery.errors import Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable
from tunery.service.answering import Answer, Answering
from tunery.service.children.answering import Counted, Question, Refused, Said

AT_ONCE = 8  # half of what the child decodes together
TRIES = 5
WAIT_SECONDS = 2.0  # before a question that found no room is asked again
_LOOK_SECONDS = 0.5  # for a wish to stop
_PASSES = (DeadlineExceeded, ResourceExhausted, Unavailable)


class Batches:
    """Questions that wait for their whole answers, until `is_stopping` is set."""

    def __init__(self, answering: Answering, is_stopping: threading.Event) -> None:
        self._answering, self._is_stopping = answering, is_stopping

    def answers(self, questions: Sequence[Question]) -> list[str]:
        """Return the answers; raises what a question was refused with, Cancelled when it is time to stop."""
        texts, tries = [""] * len(questions), [0] * len(questions)
        open_places, asked = deque(range(len(questions))), dict[int, int]()
        arrived: queue.SimpleQueue[tuple[int, Answer]] = queue.SimpleQueue()
        try:
            while open_places or asked:
                while open_places and len(asked) < AT_ONCE:
                    place = open_places.popleft()
                    asked[place] = self._ask(questions[place], place, arrived)
                place, answer = self._next(arrived)
                if isinstance(answer, Refused):
                    del asked[place]
                    tries[place] += 1
                    self._pause_or_raise(answer, tries[place])
                    texts[place] = ""
                    open_places.append(place)
                elif isinstance(answer, Said):
                    texts[place] += answer.text
                    if answer.finish_reason is not None:
                        del asked[place]
        finally:
            for number in asked.values():
                self._answering.drop(number)
        return texts

    def tokens(self, question: Question) -> int:
        """Return how many tokens the prompt of a question has; raises InvalidArgument if the window is too small."""
        for attempt in range(1, TRIES + 1):
            arrived: queue.SimpleQueue[tuple[int, Answer]] = queue.SimpleQueue()
            self._answering.count(question, partial(_put, arrived, 0))
            _, answer = self._next(arrived)
            if isinstance(answer, Counted):
                return answer.tokens
            assert isinstance(answer, Refused)
            self._pause_or_raise(answer, attempt)
        raise AssertionError("the last try raises")

    def _ask(self, question: Question, place: int, arrived: queue.SimpleQueue[Any]) -> int:
        for attempt in range(1, TRIES + 1):
            try:
                return self._answering.ask(question, partial(_put, arrived, place))
            except ResourceExhausted as error:
                self._pause_or_raise(Refused(0, error), attempt)
        raise AssertionError("the last try raises")

    def _next(self, arrived: queue.SimpleQueue[tuple[int, Answer]]) -> tuple[int, Answer]:
        while not self._is_stopping.is_set():
            try:
                return arrived.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
        raise Cancelled("The server is stopping.")

    def _pause_or_raise(self, refused: Refused, attempt: int) -> None:
        if attempt >= TRIES or not isinstance(refused.error, _PASSES):
            raise refused.error
        self._is_stopping.wait(WAIT_SECONDS * attempt)


def _put(arrived: queue.SimpleQueue[tuple[int, Answer]], place: int, answer: Answer) -> None:
    arrived.put((place, answer))
