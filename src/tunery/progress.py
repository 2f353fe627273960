"""
Progress, for commands and for the Python library: a live line on a terminal, lines in a pipe, a bar in a notebook.

    with never_silent("Reading tickets.csv"), LiveLine() as live:
        live.draw("step 3/40", share=3 / 40)

Within `never_silent`, a thread shows what is being done whenever nothing else has been shown for some seconds.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, TextIO

from tunery.types import TuningSnapshot

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

MAX_COLUMNS = 100  # longer lines are harder to read
PIPE_COLUMNS = 80
MAX_PIPE_LINES = 200
REDRAW_SECONDS = 0.1
TERMINAL_SECONDS = 1.5  # without a sign of life on a terminal or in a notebook
PIPE_SECONDS = 3.0  # and in a pipe; a library that is being loaded can hold up the line for a second or two
_LOOK_SECONDS = 0.25
_BAR_COLUMNS = 16

STAND_IN_SECONDS = 4.0  # longer than the other two: without a sign, the process itself must be stuck
STARTED_SECONDS = 1.0  # that Python takes on a busy machine before it comes here
TOLD_SECONDS = 0.5  # between two signs to the stand-in

_lock = threading.RLock()  # held while anything is printed, also over a fork
_lines: list[LiveLine] = []  # those in use, the innermost last
_heard = time.monotonic()  # when something was printed last
_is_held = False  # a person is typing, or a line of the result is unfinished
_is_unfinished = False  # it is the line, so that a sign may stand at its end
_has_sign = False
_stand_in: _StandIn | None = None


def say(text: str = "") -> None:
    """Print a line for the user on standard error."""
    with printing():
        sys.stdout.flush()  # both streams may be one terminal
        sys.stderr.write(f"{harmless(text)}\n")
        sys.stderr.flush()


def harmless(text: str) -> str:
    """Return text without the control characters by which a file or a model could control the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def columns(stream: TextIO | None = None) -> int:
    """Return how many columns to use on a stream, by default standard error."""
    if not (stream or sys.stderr).isatty():
        return PIPE_COLUMNS
    return min(shutil.get_terminal_size().columns, MAX_COLUMNS)


def can_redraw() -> bool:
    """Return whether somebody sees a line that is drawn again: on a terminal or in a notebook, in the main thread."""
    return LiveLine().can_draw and threading.current_thread() is threading.main_thread()


@contextmanager
def printing(*, is_partial: bool = False) -> Iterator[None]:
    """Print within the block; after a partial line of the result no live line is drawn until it is complete."""
    global _is_held, _is_unfinished
    with _lock:
        _erase_sign()
        if is_partial:
            for line in _lines:
                line.erase()
        yield
        _is_held = _is_unfinished = is_partial
        _sign()


def _draw_sign() -> None:
    """Draw a sign of life at the end of an unfinished line, which the next piece replaces."""
    global _has_sign
    sys.stdout.write("_\b")
    sys.stdout.flush()
    _has_sign = True
    _sign()


def _erase_sign() -> None:
    global _has_sign
    if _has_sign:
        sys.stdout.write(" \b")
        _has_sign = False


@contextmanager
def waiting_for_a_person() -> Iterator[None]:
    """Draw nothing within the block, while a person types."""
    global _is_held, _is_unfinished
    with _lock:
        for line in _lines:
            line.erase()
        _is_held, _is_unfinished = True, False
        _sign()
    try:
        yield
    finally:
        _is_held = False
        _sign()


@contextmanager
def never_silent(doing: str) -> Iterator[None]:
    """
    Show within the block what is being done, at least every TERMINAL_SECONDS or PIPE_SECONDS.

    Within another such block only the text changes, until the end of the inner one.
    """
    if _lines:
        with LiveLine() as line:
            line.draw(doing, is_shown=False)
            yield
        return
    done = threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_SECONDS):
            with _lock:
                if not done.is_set():
                    _lines[-1].remind()

    with LiveLine() as line:
        line.draw(doing, is_shown=False)
        _sign()
        thread = threading.Thread(target=look, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def doing(text: str) -> None:
    """Say within `never_silent` what is being done now, "" for nothing; it is shown only if it takes long."""
    if _lines:
        _lines[-1].draw(text, is_shown=False)
        if not text:
            _lines[-1].erase()


class LiveLine:
    """A line at the bottom of a terminal, below other lines; a bar in a notebook. A pipe gets it when it is silent."""

    def __init__(self) -> None:
        self._notebook = _Notebook.here()
        self.is_live = self._notebook is None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._live: Live | None = None
        self._time = 0.0
        self._text = ""
        self._share: float | None = None
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        with _lock:
            for line in _lines:
                line.erase()
            if _lines:  # until it has a text of its own
                self._text, self._since = _lines[-1]._text, _lines[-1]._since
            _lines.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        with _lock:
            _lines.remove(self)
            self.erase()

    def draw(
        self,
        text: str,
        *,
        share: float | None = None,
        since: float | None = None,
        is_last: bool = False,
        is_shown: bool = True,
    ) -> None:
        """
        Replace the line, at most ten times a second; `share`, 0 to 1, is drawn as a bar before the text.

        The time that follows the text is that since it was drawn, or since `since`, and then it always follows.
        """
        now = time.monotonic()
        with _lock:
            self._text, self._share, self._since = text, share, now if since is None else since
            text = text if since is None else f"{text}  {clock(now - since)}"
            if is_shown and self.can_draw and (is_last or now - self._time >= REDRAW_SECONDS):
                self._show(text, share)
                self._time = now
                _sign()
            elif _stand_in is not None and not is_shown:
                _stand_in.tell(text)

    def remind(self) -> None:
        """Show again what is being done, and for how long, if nothing was shown for a while."""
        now = time.monotonic()
        if not self._text or now - _heard < (TERMINAL_SECONDS if self.can_draw else PIPE_SECONDS):
            return
        if _is_held:
            if _is_unfinished:
                _draw_sign()
            return
        text = f"{self._text}  {clock(now - self._since)}"
        if self.can_draw:
            self._show(text, self._share)
            _sign()
        else:
            say(text)

    def erase(self) -> None:
        """Take the line away; it comes back when it is drawn again."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._notebook is not None:
            self._notebook.clear()

    @property
    def can_draw(self) -> bool:
        """Whether lines are drawn over; else they are printed one below the other."""
        return self.is_live or self._notebook is not None

    def _show(self, text: str, share: float | None) -> None:
        if self._notebook is not None:
            self._notebook.show(text, share)
            return
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        row: list[RenderableType] = [Text(harmless(text), no_wrap=True, overflow="ellipsis")]
        line = Table.grid(padding=(0, 1))
        if share is not None:
            row.insert(0, ProgressBar(1.0, share, _BAR_COLUMNS))
        line.add_row(*row)
        self._started().update(line, refresh=True)

    def _started(self) -> Live:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, width=columns())
            # standard output is not redirected: it holds the result, and may be a file
            self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
            self._live.start()
            console.show_cursor()  # a killed process could not bring it back
        return self._live


def _sign() -> None:
    """Note that something has been printed, or that nothing may be."""
    global _heard
    _heard = time.monotonic()
    if _stand_in is not None:
        _stand_in.tell("" if _is_held or not _lines else _lines[-1]._text, was_printed=True)


@contextmanager
def standing_in() -> Iterator[None]:
    """
    Keep a small process, from the block to the end of this one, that shows what is being done if this one is stuck.

    While a library is loaded, no thread of Python runs, for seconds on a busy machine. Call this before anything else.
    """
    global _stand_in
    if sys.platform == "win32" or sys.stderr is None:
        yield
        return
    _stand_in = _StandIn()
    try:
        yield
    finally:  # it ends with this process, whose libraries may take long to unload
        if _stand_in is not None:
            _stand_in.tell("tunery is ending")


def wait_quietly() -> None:
    """Show nothing until something else is being done, because a server waits for calls, or a command for somebody."""
    global _stand_in
    doing("")
    if _stand_in is not None:
        _stand_in.end()
        _stand_in = None


class _StandIn:
    """
    The process of `standing_in`, seen from its parent.

    It is told lines: what is being done, after "+" if something was printed just now; it ends when nobody can tell it
    anything any more.
    """

    _tell: int  # where the other end of its pipe is
    _process: int

    def __init__(self) -> None:
        self._told, self._text = 0.0, ""
        if sys.platform == "win32":
            raise NotImplementedError
        read, self._tell = os.pipe()
        is_live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._process = os.fork()
        if self._process == 0:
            try:
                os.close(self._tell)
                _stand(read, is_live=is_live)
            finally:
                os._exit(0)
        os.close(read)
        os.set_blocking(self._tell, False)

    def tell(self, text: str, *, was_printed: bool = False) -> None:
        now = time.monotonic()
        if was_printed and bool(text) == bool(self._text) and now - self._told < TOLD_SECONDS:
            return
        line = " ".join(harmless(text).split())
        with suppress(OSError):  # it has ended, or has not read for long
            os.write(self._tell, f"{'+' if was_printed else '='}{line}\n".encode(errors="replace"))
            self._told, self._text = now, text

    def end(self) -> None:
        if sys.platform == "win32":
            raise NotImplementedError
        os.close(self._tell)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)


def _stand(read: int, *, is_live: bool) -> None:
    """Be the process of `standing_in`: show what is being done whenever nothing was printed for too long."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which may still have work to do
    for stream in (0, 1):
        with suppress(OSError):
            os.close(stream)
    text, since, heard = "", time.monotonic(), time.monotonic() - STARTED_SECONDS
    while True:
        ready, _, _ = select.select([read], [], [], _LOOK_SECONDS if text else None)
        now = time.monotonic()
        if ready:
            told = os.read(read, 1 << 16).decode(errors="replace")
            if not told:
                return
            *_, line = told.splitlines()
            heard = now if "+" in (one[:1] for one in told.splitlines()) else heard
            text, since = line[1:], since if line[1:] == text else now
        elif text and now - heard >= STAND_IN_SECONDS:
            shown = f"{text}  {clock(now - since)}"
            os.write(2, (f"\r\x1b[2K{shown[: columns() - 1]}" if is_live else f"{shown}\n").encode(errors="replace"))
            heard = now


class _Notebook:
    """A bar with a text below a cell, drawn with what the notebook brings along."""

    def __init__(self) -> None:
        self._handle: Any = None

    @classmethod
    def here(cls) -> Self | None:
        """Return a bar if this is a notebook, else None."""
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None else None
        return cls() if shell is not None and hasattr(shell, "kernel") else None

    def show(self, text: str, share: float | None) -> None:
        drawing = import_module("IPython.display")

        value = "" if share is None else f' value="{share:.4f}"'
        bar = drawing.HTML(f"<progress{value}></progress> {escape(text)}")
        if self._handle is None:
            self._handle = drawing.display(bar, display_id=True)
        else:
            self._handle.update(bar)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.update(import_module("IPython.display").HTML(""))
            self._handle = None


class StepProgress:
    """The steps of a tuning job: a live line on a terminal, lines in a pipe."""

    def __init__(self, live: LiveLine, first_step: int, total_steps: int, epochs: int) -> None:
        self._live, self._first, self._total, self._epochs = live, first_step, total_steps, epochs
        self._every = -(-total_steps // MAX_PIPE_LINES)
        self._begin = time.monotonic()
        self._epoch = 0

    def show(self, snapshot: TuningSnapshot) -> None:
        """Show a finished step."""
        is_last, share = snapshot.step == self._total, snapshot.step / self._total
        width = len(str(self._total))
        line = (
            f"step {snapshot.step:>{width}}/{self._total}  {100 * share:3.0f}%  "
            f"epoch {-(-snapshot.step * self._epochs // self._total)}/{self._epochs}  loss {snapshot.mean_loss:7.4f}"
        )
        rate = (snapshot.step - self._first + 1) / max(time.monotonic() - self._begin, 1e-6)  # steps a second
        left = f"{clock((self._total - snapshot.step) / rate)} left"
        self._live.draw(f"{line}  {left}", share=share, is_last=is_last)
        if is_last:
            self._live.draw("Checking and writing the model", is_shown=False)
        if not self._live.can_draw and (snapshot.step % self._every == 0 or is_last or snapshot.epoch > self._epoch):
            say(f"{line}  {rate:7.2f} steps/s  {left}")
        self._epoch = snapshot.epoch


def byte_progress(live: LiveLine, what: str) -> Callable[[str, int, int | None], None]:
    """Return a function that shows the progress of a download: stage, bytes done, bytes in all."""
    shown_stage = ""

    def show(stage: str, done: int, total: int | None) -> None:
        nonlocal shown_stage
        amount = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if total else f"{done / 1e6:,.0f} MB"
        line = f"{what}: {stage}  {amount}"
        live.draw(line, share=done / total if total else None, is_last=done == total)
        if not live.can_draw and stage != shown_stage:
            say(line)
            shown_stage = stage

    return show


def count_progress(live: LiveLine, what: str, total: int) -> Callable[[int], None]:
    """Return a function that shows how many of `total` are done."""

    def show(done: int) -> None:
        line = f"{what} {done:>{len(str(total))}}/{total}"
        live.draw(line, share=done / total, is_last=done == total)
        if not live.can_draw:
            say(line)

    return show


def clock(seconds: float) -> str:
    """Return minutes and seconds, and hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


if hasattr(os, "register_at_fork"):  # a child must not begin while a line is half printed
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
