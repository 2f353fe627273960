"""
Shared by all commands: the two output streams, tables, signals and common options.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import _thread
import functools
import inspect
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TextIO

import typer

from tunery import config, progress
from tunery.progress import columns as columns
from tunery.progress import harmless as harmless
from tunery.progress import say as say
from tunery.types import Hyperparameters, WeightFormat

BEGUN = time.monotonic()  # the command, for lines that say how long it has taken so far
_UNLIMITED_COLUMNS = 100_000  # tables in a pipe are not wrapped


def result(text: str) -> None:
    """Print a line of the result."""
    piece(f"{text}\n")


def piece(text: str) -> None:
    """Print part of a line of the result immediately."""
    # a file or a pipe gets every character; typer.echo would strip escape sequences
    with progress.printing(is_partial=sys.stdout.isatty() and not text.endswith("\n")):
        sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()


def say_at_once(text: str) -> None:
    """Print a line for the user from a signal handler, which may interrupt a buffered write."""
    start = "\n" if sys.stderr.isatty() else ""  # start after the ^C that a terminal shows
    os.write(sys.stderr.fileno(), f"{start}{text}\n".encode())


def ask(question: str, *, default: bool) -> bool:
    """Ask a yes-or-no question and return the answer; call this only if `can_ask`."""
    with progress.waiting_for_a_person():
        return typer.confirm(question, default=default, err=True)


def can_ask() -> bool:
    """Return whether there is a person to answer."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def can_show(characters: str, stream: TextIO | None = None) -> bool:
    """Return whether a stream, by default standard error, can encode these characters."""
    try:
        characters.encode((stream or sys.stderr).encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def shortened(text: str, width: int) -> str:
    """Return a text as one line of at most `width` columns; a cut is marked with dots."""
    from rich.cells import cell_len, set_cell_size

    line = " ".join(harmless(text).split())
    return line if cell_len(line) <= width else set_cell_size(line, max(width - 3, 0)).rstrip() + "..."


def facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return aligned lines of a name and its text; long texts are wrapped, empty ones left out."""
    filled = [(name, text) for name, text in pairs if text]
    width = max((len(name) for name, _ in filled), default=0)
    room = max(columns() - width - 2, 20)
    lines = []
    for name, text in filled:
        first, *rest = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        lines += [f"{name:<{width}}  {first}", *(" " * (width + 2) + line for line in rest)]
    return lines


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = (), stream: TextIO | None = None
) -> None:
    """Print a table on a stream, by default standard output; columns in `right` are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = stream or sys.stdout
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, name in enumerate(header):
        drawn.add_column(name, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(harmless(cell)) for cell in row))
    console = Console(file=stream, width=None if stream.isatty() else _UNLIMITED_COLUMNS)
    with console.capture() as captured:
        console.print(drawn)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip(), file=stream)


FORCE_SECONDS = 6.0  # out of the 10 s that stopping may take

INTERRUPTED, TERMINATED = 130, 143  # exit statuses, 128 + the signal


_STOPPING = (
    "Stopping after this step, and keeping the model as it is then."
    " Press Ctrl-C again to only interrupt the job, so that the same command resumes it."
)


class Interrupts:
    """Counts the signals that tell a tuning job to end."""

    def __init__(self) -> None:
        self._presses = 0
        self._is_terminated = False
        self._timers: list[threading.Timer] = []

    @property
    def should_end(self) -> bool:
        """Whether Ctrl-C was pressed: end the task and keep what was tuned."""
        return self._presses > 0

    @property
    def should_leave(self) -> bool:
        """Whether Ctrl-C was pressed again or SIGTERM arrived: leave the task for later."""
        return self._presses > 1 or self._is_terminated

    @property
    def exit_status(self) -> int:
        return TERMINATED if self._is_terminated else INTERRUPTED

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle the signals within the block; raise KeyboardInterrupt in it if it does not end in time."""
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
        if self.should_leave:
            self._timers.append(threading.Timer(FORCE_SECONDS, self._force))
            self._timers[-1].daemon = True
            self._timers[-1].start()
        elif self._presses == 1:
            say_at_once(_STOPPING)

    def _force(self) -> None:
        self._presses = 2  # the next signal raises
        _thread.interrupt_main(signal.SIGINT)


def option(
    text: str,
    default: object,
    *names: str,
    metavar: str | None = None,
    variable: str | None = None,
    callback: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare an option; pass `names` only if they do not follow from the parameter."""
    return typer.Option(
        *names,
        help=f"{text} (default: {default})",
        show_default=False,
        metavar=metavar,
        envvar=variable,
        show_envvar=False,
        callback=callback,
    )


def argument(text: str, metavar: str) -> Any:
    """Declare an argument."""
    return typer.Argument(help=text, metavar=metavar, show_default=False)


DataFile = Annotated[Path, argument("CSV, TSV, XLSX, XLS, ODS, JSONL or JSON with inputs and outputs.", "FILE")]
TunedModelName = Annotated[str, argument("Id or display name of a tuned model.", "MODEL")]
ServerAddress = Annotated[
    str | None,
    option(
        "Server that does the work, such as https://tunery.example; its token is read from TUNERY_TOKEN. TUNERY_SERVER"
        " sets it for all commands.",
        "this machine, or the server that runs on its data folder",
        "--server",
        metavar="URL",
    ),
]
HoldOut = Annotated[
    str | None,
    option(
        "Rows to hold out to find out whether tuning helped, such as 12 or 10%.",
        "10%, at least 20, of 100 or more rows; 3 folds after tuning with 20 to 99 rows",
        metavar="ROWS",
    ),
]
Device = Annotated[
    str | None,
    option(
        "Device that computes: cpu, cuda, cuda:1, mps, or auto for a graphics card if torch can use one.",
        "TUNERY_DEVICE, else cpu",
        "--device",
        metavar="DEVICE",
        callback=config.choose_device,
    ),
]
WeightsChoice = Annotated[
    WeightFormat,
    option(
        "How exactly the base is kept in memory while it is tuned. 8bit and 4bit need less memory and may cost quality;"
        " such as --weights 4bit for a base that does not fit.",
        "full if that fits, else as its file has them",
    ),
]
LearningRate = Annotated[
    float | None,
    option(
        "How much a step changes the model; too much ruins it.", Hyperparameters.DEFAULT_LEARNING_RATE, metavar="RATE"
    ),
]
Json = Annotated[bool, option("Print one JSON document.", "text", "--json")]
Yes = Annotated[bool, option("Do not ask for confirmation.", "ask on a terminal", "--yes", "-y")]
Reading = dict[str, Any]  # options of `Dataset.read`

_READING = {
    "input_column": Annotated[
        list[str] | None, option("Input column; repeat the option for several.", "found by its name", metavar="COLUMN")
    ],
    "output_column": Annotated[str | None, option("Output column.", "found by its name", metavar="COLUMN")],
    "header_row": Annotated[
        int | None, option("Row with the column names; rows above are left out.", "found", metavar="ROW")
    ],
    "sheet": Annotated[str | None, option("Sheet of a workbook.", "the first with content", metavar="NAME")],
    "hidden_rows": Annotated[
        bool, option("Read the rows that a workbook hides or filters away.", "leave them out", "--hidden-rows")
    ],
    "encoding": Annotated[str | None, option("Encoding of a text file, such as cp1251.", "detected", metavar="NAME")],
    "delimiter": Annotated[
        str | None, option("Character between the cells of a text file, or 'tab'.", "detected", metavar="CHARACTER")
    ],
}


def reads_file(command: Callable[..., None]) -> Callable[..., None]:
    """
    Give a command the options for reading a file; those that were set are passed to it as one argument, `reading`.
    """

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        options = {name: given.pop(name) for name in _READING}
        if options["delimiter"] in ("tab", "\\t"):
            options["delimiter"] = "\t"
        command(**given, reading={name: value for name, value in options.items() if value not in _NOT_GIVEN})

    own = inspect.signature(command, eval_str=True).parameters.values()
    options = [inspect.Parameter(name, _ANY_PLACE, default=None, annotation=kind) for name, kind in _READING.items()]
    both = [*(one for one in own if one.name != "reading"), *options]
    vars(wrapper)["__signature__"] = inspect.Signature(both)
    wrapper.__annotations__ = {one.name: one.annotation for one in both}
    return wrapper


_NOT_GIVEN: tuple[object, ...] = (None, [])
_ANY_PLACE = inspect.Parameter.POSITIONAL_OR_KEYWORD
