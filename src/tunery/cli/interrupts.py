"""
Signals while a tuning job is worked on: Ctrl-C asks it to end, a second one or SIGTERM to leave it.

The handlers only remember what was asked; the loop over the events looks between two of them. If the loop does not come
round in time (a long load, a very long step), leaving is forced. Knows signals; nothing of tuning.
"""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

FORCE_SECONDS = 6.0  # leaves some of the 10 s that a stop may take

INTERRUPTED, TERMINATED = 130, 143  # exit statuses, 128 + the signal


class Interrupts:
    """What was asked by signals so far."""

    def __init__(self, on_first: Callable[[], None]) -> None:
        self._on_first = on_first
        self._presses = 0
        self._is_terminated = False
        self._timers: list[threading.Timer] = []

    @property
    def is_end_asked(self) -> bool:
        """Ctrl-C was pressed: end the task and keep what was tuned."""
        return self._presses > 0

    @property
    def is_leave_asked(self) -> bool:
        """Ctrl-C was pressed again, or the system wants the process to go: leave the task for later."""
        return self._presses > 1 or self._is_terminated

    @property
    def exit_status(self) -> int:
        return TERMINATED if self._is_terminated else INTERRUPTED

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle the signals within the block; raises KeyboardInterrupt in it when leaving has to be forced."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for timer in self._timers:
                timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if number == signal.SIGTERM:
            self._is_terminated = True
        else:
            self._presses += 1
        if self._presses > 2:
            raise KeyboardInterrupt
        if self.is_leave_asked:
            self._timers.append(threading.Timer(FORCE_SECONDS, self._force))
            self._timers[-1].daemon = True
            self._timers[-1].start()
        elif self._presses == 1:
            self._on_first()

    def _force(self) -> None:
        self._presses = 2  # the next one raises
        _thread.interrupt_main(signal.SIGINT)
