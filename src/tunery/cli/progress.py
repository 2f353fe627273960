"""
Progress on standard error: one line that is drawn again on a terminal, plain aligned lines into a pipe.

Knows steps, bytes and time; nothing of what is being done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tunery.cli import terminal
from tunery.types import TuningSnapshot

MAX_PIPE_LINES = 200
REDRAW_SECONDS = 0.1
PIPE_SECONDS = 5.0  # between two lines about bytes
_BAR_COLUMNS = 20


class LiveLine:
    """A line at the bottom of the terminal; what is said while it stands there goes above it."""

    def __init__(self) -> None:
        self.is_live = sys.stderr.isatty()
        self._text = ""
        self._time = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def draw(self, text: str, *, is_last: bool = False) -> None:
        """Show a text in place of the one before, not more often than eyes can follow."""
        now = time.monotonic()
        if not self.is_live or (now - self._time < REDRAW_SECONDS and not is_last):
            return
        line = text[: terminal.columns() - 1]
        self._write("\r" + line.ljust(len(self._text)))
        self._text, self._time = line, now

    def say(self, text: str) -> None:
        """Write a line that stays."""
        drawn = self._text
        self.clear()
        terminal.say(text)
        if drawn:
            self._write("\r" + drawn)
            self._text = drawn

    def clear(self) -> None:
        if self._text:
            self._write("\r" + " " * len(self._text) + "\r")
            self._text = ""

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


class StepProgress:
    """Lines about the steps of a tuning job."""

    def __init__(self, live: LiveLine, first_step: int, total_steps: int) -> None:
        self._live, self._first, self._total = live, first_step, total_steps
        self._every = -(-total_steps // MAX_PIPE_LINES)
        self._begin = time.monotonic()
        self._epoch = 0

    def show(self, snapshot: TuningSnapshot) -> None:
        """Show a finished step."""
        is_last = snapshot.step == self._total
        width = len(str(self._total))
        line = (
            f"step {snapshot.step:>{width}}/{self._total}  {100 * snapshot.step / self._total:3.0f}%  "
            f"epoch {snapshot.epoch}  loss {snapshot.mean_loss:7.4f}"
        )
        rate = (snapshot.step - self._first + 1) / max(time.monotonic() - self._begin, 1e-6)  # steps a second
        left = f"{clock((self._total - snapshot.step) / rate)} left"
        if self._live.is_live:
            self._live.draw(f"{_bar(snapshot.step / self._total)} {line}  {left}", is_last=is_last)
        elif snapshot.step % self._every == 0 or is_last or snapshot.epoch > self._epoch:
            terminal.say(f"{line}  {rate:7.2f} steps/s  {left}")
        self._epoch = snapshot.epoch


def byte_progress(live: LiveLine, what: str) -> Callable[[str, int, int | None], None]:
    """Return a function that shows how far fetching is: stage, bytes done, bytes in all."""
    shown_stage, shown_time = "", 0.0

    def show(stage: str, done: int, total: int | None) -> None:
        nonlocal shown_stage, shown_time
        amount = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if total else f"{done / 1e6:,.0f} MB"
        share = f"{_bar(done / total)} " if total else ""
        live.draw(f"{share}{what}: {stage}  {amount}", is_last=done == total)
        now = time.monotonic()
        if not live.is_live and (stage != shown_stage or now - shown_time >= PIPE_SECONDS):
            terminal.say(f"{what}: {stage}  {amount}")
            shown_stage, shown_time = stage, now

    return show


def count_progress(live: LiveLine, what: str, total: int) -> Callable[[int], None]:
    """Return a function that shows how many of `total` are done."""

    def show(done: int) -> None:
        line = f"{what} {done:>{len(str(total))}}/{total}"
        if live.is_live:
            live.draw(f"{_bar(done / total)} {line}", is_last=done == total)
        else:
            terminal.say(line)

    return show


def clock(seconds: float) -> str:
    """Return minutes and seconds, with hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(share: float) -> str:
    full, empty = ("━", "╌") if terminal.can_show("━╌") else ("#", ".")
    filled = round(share * _BAR_COLUMNS)
    return full * filled + empty * (_BAR_COLUMNS - filled)
