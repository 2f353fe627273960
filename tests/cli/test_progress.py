"""Progress on a terminal and into a pipe, and signals while a job is tuned."""

from __future__ import annotations

import io
import re
import signal
import sys
from datetime import UTC, datetime

import pytest

from tunery.cli import output, terminal
from tunery.cli.terminal import Interrupts
from tunery.errors import DataProblem, Level
from tunery.progress import LiveLine, StepProgress, byte_progress, clock
from tunery.types import TuningSnapshot

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def _screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal of 80 columns that stands for standard error from now on."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    return screen


def _shown(screen: Terminal) -> list[str]:
    """Return the texts between the control sequences."""
    return [text for text in re.split(r"\x1b\[[0-9?]*[A-Za-z]|\r", screen.getvalue()) if text]


def test_a_terminal_has_one_line_that_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is drawn over the one before, with a bar and within the columns; the line is erased at the end."""
    screen = _screen(monkeypatch)
    monkeypatch.setattr("tunery.progress.REDRAW_SECONDS", 0)
    with LiveLine() as live:
        steps = StepProgress(live, 1, 1_000, 200)
        for step in range(1, 1_001):
            steps.show(TuningSnapshot(step, step // 5, 12.3456, NOW))

    shown = _shown(screen)
    assert "\n" not in "".join(shown[:-1])
    assert max(len(text) for text in shown) <= 80
    assert "━" * 16 in screen.getvalue()
    assert "step 1000/1000  100%  epoch 200/200  loss 12.3456  0:00 left" in "".join(shown)
    assert screen.getvalue().endswith("\x1b[2K")  # erased, with the cursor at its beginning


def test_other_lines_appear_above_the_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notice is a line of its own, and the live line comes back below it."""
    screen = _screen(monkeypatch)

    with LiveLine() as live:
        live.draw("working")
        terminal.say("a notice")

    assert [text.strip() for text in _shown(screen) if text.strip()][:2] == ["working", "a notice\nworking"]


def test_a_terminal_that_cannot_redraw_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """With TERM=dumb there are lines as in a pipe."""
    screen = _screen(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")

    with LiveLine() as live:
        StepProgress(live, 1, 1, 1).show(TuningSnapshot(1, 1, 1.0, NOW))

    assert screen.getvalue().startswith("step 1/1  100%  epoch 1/1  loss  1.0000")


def test_bytes_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each stage, not for each block."""
    with LiveLine() as live:
        show = byte_progress(live, "Fetching x")
        for done in range(100):
            show("download", done * 10**6, 10**8)
        show("convert", 0, None)

    said = capsys.readouterr().err
    assert said == "Fetching x: download  0 of 100 MB\nFetching x: convert  0 MB\n"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3_725, "1:02:05")])
def test_times_are_read_at_a_glance(seconds: float, text: str) -> None:
    """Minutes and seconds, hours only if there are any."""
    assert clock(seconds) == text


def test_signals_only_leave_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first Ctrl-C ends the job, the second and SIGTERM leave it; handlers are restored afterwards."""
    before = signal.getsignal(signal.SIGINT)
    said: list[str] = []
    monkeypatch.setattr("tunery.cli.terminal.say_at_once", said.append)
    interrupts = Interrupts()

    with interrupts.watching():
        signal.raise_signal(signal.SIGINT)
        assert (interrupts.should_end, interrupts.should_leave) == (True, False)
        signal.raise_signal(signal.SIGINT)
        assert interrupts.should_leave
        assert interrupts.exit_status == 130
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.exit_status == 143

    assert len(said) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_leaving_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that does not end in time is interrupted."""
    monkeypatch.setattr("tunery.cli.terminal.FORCE_SECONDS", 0.05)
    interrupts = Interrupts()

    with interrupts.watching(), pytest.raises(KeyboardInterrupt):
        _spin_after(signal.SIGTERM)


def _spin_after(number: signal.Signals) -> None:
    signal.raise_signal(number)
    while True:
        pass


def test_text_of_a_file_cannot_steer_the_terminal() -> None:
    """Control characters are shown as replacement characters; a long text ends with dots; wide ones count double."""
    assert terminal.harmless("a\x1b[31mb\n") == "a\ufffd[31mb\n"
    assert terminal.shortened("one  two\nthree", 11) == "one two..."
    assert terminal.shortened("日本語のテキスト", 9) == "日本語..."


@pytest.mark.parametrize(("is_terminal", "shown"), [(True, "a\ufffd[31mb\n"), (False, "a\x1b[31mb\n")])
def test_results_cannot_control_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool, shown: str
) -> None:
    """What users and models wrote is harmless on a terminal, and unchanged in a file."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)

    terminal.result("a\x1b[31mb")

    assert capsys.readouterr().out == shown


def test_tables_align_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are aligned also with characters of double width; in a pipe no cell is wrapped."""
    terminal.table(("A", "B"), [("日本", "1"), ("x" * 100, "22")], right=(1,))

    gap = " " * 96
    assert capsys.readouterr().out == f"A   {gap}   B\n日本{gap}   1\n{'x' * 100}  22\n"


def test_problems_are_grouped() -> None:
    """Errors come first; rows with the same problem share a line."""
    many = [DataProblem("empty", "empty.", row=row, column="output") for row in range(2, 20)]
    warning = DataProblem("few", "3 examples.", Level.WARNING)

    assert list(output.problem_lines([warning, *many])) == [
        "Error:    Rows 2, 3, 4, 5, 6 and 13 more, output: empty.",
        "Warning:  3 examples.",
    ]
    assert output.problem_counts([warning, *many]) == "18 errors, 1 warning"


def test_of_a_frequent_kind_a_few_are_shown() -> None:
    """Where each row has its own sentence, five are listed and the others counted."""
    many = [DataProblem("duplicate", f"the same as row {row - 1}.", row=row) for row in range(2, 20)]

    lines = list(output.problem_lines(many))

    assert lines[0] == "Error:    Row 2: the same as row 1."
    assert lines[5:] == ["          13 more like this, in rows 7, 8, 9, 10, 11, ..."]


def test_a_problem_names_the_option_that_settles_it() -> None:
    """On the command line it is written with dashes, also where rows share a line."""
    many = [DataProblem("doubt", "a guess.", Level.WARNING, row=row, option="header_row") for row in (1, 2)]

    assert list(output.problem_lines(many)) == ["Warning:  Rows 1 and 2: a guess (--header-row)."]
