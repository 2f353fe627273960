"""What is shown while something takes long: lines in a pipe, a live line on a terminal, a bar in a notebook."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tunery import progress
from tunery.progress import LiveLine, doing, never_silent

MAX_WAIT_SECONDS = 60


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show what is being done at once."""
    for name in ("TERMINAL_SECONDS", "PIPE_SECONDS", "REDRAW_SECONDS"):
        monkeypatch.setattr(progress, name, 0.0)
    monkeypatch.setattr(progress, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(progress, "clock", lambda _seconds: "0:07")


class Stream(io.StringIO):
    """A standard error that may be a terminal, and knows what was written."""

    encoding = "utf-8"

    def __init__(self, *, is_terminal: bool = False) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def wait_for(self, text: str) -> None:
        give_up = time.monotonic() + MAX_WAIT_SECONDS
        while text not in self.getvalue():
            assert time.monotonic() < give_up, self.getvalue()
            time.sleep(0.001)


def standing_for_stderr(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool = False) -> Stream:
    """Return a stream that is standard error for the rest of the test; pytest sets its own after the fixtures."""
    monkeypatch.setattr(sys, "stderr", stream := Stream(is_terminal=is_terminal))
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_a_pipe_hears_what_is_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """First the text of the block, then what is done now, and within a line what was drawn last."""
    pipe = standing_for_stderr(monkeypatch)
    with never_silent("Reading numbers.csv"):
        pipe.wait_for("Reading numbers.csv  0:07\n")
        doing("Counting tokens")
        pipe.wait_for("Counting tokens  0:07\n")
        with LiveLine() as live:
            live.draw("Answered 3 of 7", share=3 / 7)
            pipe.wait_for("Answered 3 of 7  0:07\n")

    assert [thread.name for thread in threading.enumerate() if thread.name == "progress"] == []


def test_a_terminal_has_the_line_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time it has taken so far, and erased at the end."""
    screen = standing_for_stderr(monkeypatch, is_terminal=True)
    with never_silent("Loading the model"):
        screen.wait_for("Loading the model  0:07")

    assert screen.getvalue().endswith("\x1b[2K")


def test_steps_of_a_longer_work_count_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that since the work began, in each line and whenever one is shown again, not since the last step."""
    monkeypatch.setattr(progress, "clock", lambda seconds: "17:00" if seconds >= 1000 else "0:07")
    begun = time.monotonic() - 1000
    screen = standing_for_stderr(monkeypatch, is_terminal=True)
    with LiveLine() as live:
        live.draw("Tuning 2 of 3: step 1", since=begun)
    assert "Tuning 2 of 3: step 1  17:00" in screen.getvalue()

    pipe = standing_for_stderr(monkeypatch)
    with never_silent("Tuning"), LiveLine() as live:
        for step in (1, 2):
            live.draw(f"Tuning 2 of 3: step {step}", since=begun)
            pipe.wait_for(f"Tuning 2 of 3: step {step}  17:00\n")


def test_nothing_is_drawn_into_an_unfinished_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is printed piece by piece ends in a sign until the next piece; a person is left alone."""
    pipe = standing_for_stderr(monkeypatch)
    monkeypatch.setattr(sys, "stdout", screen := Stream(is_terminal=True))
    with never_silent("Answering"):
        with progress.printing(is_partial=True):
            sys.stdout.write("One ")
            before = pipe.getvalue()
        screen.wait_for("One _\b")
        assert pipe.getvalue() == before
        with progress.printing(is_partial=True):
            sys.stdout.write("two")
        assert "_\b \btwo" in screen.getvalue()
        with progress.printing():
            pass
        with progress.waiting_for_a_person():
            before = pipe.getvalue()
            time.sleep(0.02)
            assert pipe.getvalue() == before
        pipe.wait_for(before + "Answering  0:07\n")


STUCK = """
import os, pathlib, sys
from tunery import progress
progress.PIPE_SECONDS, progress.STAND_IN_SECONDS = 1e9, 0.0  # as if no thread could run
with progress.standing_in(), progress.never_silent("Loading"):
    while "Loading  0:0" not in pathlib.Path(sys.argv[1]).read_text():
        pass
    progress.wait_quietly()
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("no process is left")
"""


def test_another_process_stands_in_for_one_that_is_stuck(tmp_path: Path) -> None:
    """It shows what is being done while the process shows nothing itself, and ends with the block."""
    with (tmp_path / "said").open("w") as said:
        parts = [sys.executable, "-c", STUCK, str(tmp_path / "said")]
        done = subprocess.run(parts, stderr=said, stdout=subprocess.PIPE, timeout=MAX_WAIT_SECONDS, check=True)

    assert done.stdout == b"no process is left\n"


def test_inner_blocks_change_the_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outer text comes back, and one thread shows both; without a text nothing is shown."""
    pipe = standing_for_stderr(monkeypatch)
    with never_silent("outer"):
        with never_silent("inner"):
            pipe.wait_for("inner  0:07\n")
            assert [thread.name for thread in threading.enumerate()].count("progress") == 1
        before = pipe.getvalue()
        pipe.wait_for(before + "outer  0:07\n")
        doing("")
        with progress.printing():
            before = pipe.getvalue()
        time.sleep(0.02)
        assert pipe.getvalue() == before


def test_a_notebook_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is drawn again below the cell, with the text beside it; nothing goes to standard error."""
    pipe = standing_for_stderr(monkeypatch)
    drawn: list[str] = []
    handle = SimpleNamespace(update=drawn.append)
    shell = SimpleNamespace(kernel=object())

    def display(bar: str, *, display_id: bool) -> SimpleNamespace:
        assert display_id
        drawn.append(bar)
        return handle

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(HTML=str, display=display))

    with LiveLine() as live:
        live.draw("step 1/4 <b>", share=0.25)
        live.draw("step 2/4", share=0.5)

    assert drawn == [
        '<progress value="0.2500"></progress> step 1/4 &lt;b&gt;',
        '<progress value="0.5000"></progress> step 2/4',
        "",
    ]
    assert pipe.getvalue() == ""
