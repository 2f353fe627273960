"""
Where the commands write: results to standard output, everything else to standard error.

Knows what the two streams can show (a terminal or a pipe, its width, its characters); nothing of what is written.
"""

from __future__ import annotations

import _thread
import os
import shutil
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, Any, Self, TextIO

import typer

from tunery.cli import terminal
from tunery.types import TuningSnapshot

MAX_COLUMNS = 100  # longer lines are harder to read
PIPE_COLUMNS = 80


def result(text: str) -> None:
    """Write a line of the result to standard output."""
    typer.echo(text)


def piece(text: str) -> None:
    """Write a part of the result to standard output, at once."""
    typer.echo(harmless(text) if sys.stdout.isatty() else text, nl=False)
    sys.stdout.flush()


def say(text: str = "") -> None:
    """Write a line for the user, not part of the result, to standard error."""
    sys.stdout.flush()  # both streams may be one terminal
    typer.echo(harmless(text), err=True)


def say_at_once(text: str) -> None:
    """Write a line for the user from a signal handler, where buffered streams may be in the middle of a write."""
    start = "\n" if sys.stderr.isatty() else ""  # behind the ^C that a terminal shows
    os.write(sys.stderr.fileno(), f"{start}{text}\n".encode())


def harmless(text: str) -> str:
    """Return text without the characters by which a file, or a model, could steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def ask(question: str, *, default: bool) -> bool:
    """Return the answer to a question of yes or no; only to be called when `can_ask`."""
    return typer.confirm(question, default=default, err=True)


def can_ask() -> bool:
    """Say whether somebody is there to answer."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def columns(stream: TextIO | None = None) -> int:
    """Return how many columns to use on a stream, standard error if none is given."""
    if not (stream or sys.stderr).isatty():
        return PIPE_COLUMNS
    return min(shutil.get_terminal_size().columns, MAX_COLUMNS)


def can_show(characters: str, stream: TextIO | None = None) -> bool:
    """Say whether the encoding of a stream, standard error if none is given, has these characters."""
    try:
        characters.encode((stream or sys.stderr).encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def shortened(text: str, width: int) -> str:
    """Return a text as one line of at most `width` columns."""
    from rich.cells import cell_len, set_cell_size

    line = " ".join(harmless(text).split())
    return line if cell_len(line) <= width else set_cell_size(line, max(width - 3, 0)).rstrip() + "..."


def facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return lines of a name and what is known under it, aligned; longer texts go on below where they began."""
    filled = [(name, text) for name, text in pairs if text]
    width = max((len(name) for name, _ in filled), default=0)
    room = max(columns() - width - 2, 20)
    lines = []
    for name, text in filled:
        first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        lines += [f"{name:<{width}}  {first}", *(" " * (width + 2) + line for line in rest)]
    return lines


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return the lines of a table; the columns in `right` are aligned to the right."""
    from rich.cells import cell_len

    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(header))]

    def drawn(line: Sequence[str]) -> str:
        blanks = [" " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
        cells = [blank + cell if column in right else cell + blank for column, (cell, blank) in _numbered(line, blanks)]
        return "  ".join(cells).rstrip()

    return [drawn(line) for line in lines]


def _numbered(line: Sequence[str], blanks: Sequence[str]) -> Iterator[tuple[int, tuple[str, str]]]:
    return enumerate(zip(line, blanks, strict=True))


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


def option(text: str, default: object, *names: str, metavar: str | None = None) -> Any:
    """Declare an option; `default` is said in the help, `names` only where they do not follow from the parameter."""
    return typer.Option(*names, help=f"{text} (default: {default})", show_default=False, metavar=metavar)


def argument(text: str, metavar: str) -> Any:
    """Declare an argument."""
    return typer.Argument(help=text, metavar=metavar, show_default=False)


DataFile = Annotated[Path, argument("CSV, TSV, XLSX, XLS, ODS, JSONL or JSON with an input and an output.", "FILE")]
InputColumn = Annotated[
    list[str] | None, option("Column with the input; may be repeated.", "found by its name", metavar="COLUMN")
]
OutputColumn = Annotated[str | None, option("Column with the output.", "found by its name", metavar="COLUMN")]
TunedModelName = Annotated[str, argument("Id or display name of a tuned model.", "MODEL")]
ServerAddress = Annotated[
    str | None,
    option(
        "Server to work with, as TUNERY_SERVER; its token in TUNERY_TOKEN.", "data folder", "--server", metavar="URL"
    ),
]
Json = Annotated[bool, option("Print one JSON document.", "text", "--json")]
Yes = Annotated[bool, option("Do not ask.", "ask on a terminal", "--yes", "-y")]


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
