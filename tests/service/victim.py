"""
A whole life of a library that is killed at a chosen moment; `test_kill.py` runs it as a process.

    python -m tests.service.victim TEMPLATE FOLDER points 3    # lives in FOLDER/1, FOLDER/2, ...: every 3rd kill point
    python -m tests.service.victim TEMPLATE FOLDER times 50    # 50 lives, killed at times spread over one of them
    python -m tests.service.victim TEMPLATE FOLDER calls 7     # killed by strace at every 7th system call that writes

Each life begins with a copy of TEMPLATE, if it exists, and leaves a file `done` beside it, with a line for each call
that returned. Kill points are each opening, renaming, creating and removing of a file in the copy, the moments before
and after each SQL statement, and before each commit.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import alembic.command  # noqa: F401  # imported once here, not again in each child
import sqlalchemy.dialects.sqlite  # noqa: F401
from sqlalchemy import Engine, event

from tests.service.samples import a_curve, a_request, claimed, made_checkpoint, write_adapter
from tunery.service.library import Library
from tunery.service.tuning import Progress
from tunery.types import Phase

_FILE_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "sqlite3.connect"}

# By kind; "?" because no machine knows all of them
_CALLS = (
    "?write,?pwrite64",
    "?fsync,?fdatasync",
    "?ftruncate",
    "?rename,?renameat,?renameat2",
    "?unlink,?unlinkat,?rmdir",
    "?mkdir,?mkdirat",
)


def live(home: Path, done: Callable[[str], None]) -> None:
    """Open a library; create, tune, publish and finish a model; delete another; cancel a third."""
    with Library.own(home) as library:
        kept = library.create(a_request(id="kept"))
        done("created kept")
        task = library.claim("victim", task_id=kept.task.id)
        assert task is not None
        library.heartbeat(task, Phase.RUNNING, Progress(step=3, snapshots=a_curve(3)))
        done("step 3")
        (made_checkpoint(library, task) / "state").write_bytes(bytes(5000))
        library.heartbeat(task, Phase.RUNNING, Progress(step=4, checkpoint_step=4))
        library.heartbeat(task, Phase.PUBLISHING)
        published = library.folder.publish(task, write_adapter)
        library.finish(task, Phase.SUCCEEDED, Progress(step=19, snapshots=a_curve(19)), published=published)
        done("finished kept")

        library.create(a_request(id="gone"))
        done("created gone")
        library.delete("gone")
        done("deleted gone")

        task = claimed(library, id="cancelled")
        library.heartbeat(task, Phase.RUNNING, Progress(step=1, snapshots=a_curve(1)))
        library.request_cancel("cancelled")
        done("asked to cancel")
        library.finish(task, Phase.CANCELLED, published=library.folder.publish(task, write_adapter))
        done("finished cancelled")
        library.delete("cancelled")
        done("deleted cancelled")


def main() -> None:
    """Live as often as the command line says, killed at another moment each time."""
    template, folder, mode, *numbers = sys.argv[1:]
    homes = (_home(Path(template), Path(folder) / str(number)) for number in itertools.count(1))
    {"points": _at_points, "times": _at_times, "calls": _at_calls}[mode](homes, *map(int, numbers))


def _at_points(homes: Iterator[Path], stride: int) -> None:
    for kill_point, home in zip(itertools.count(1, stride), homes, strict=False):
        if _outlives(_born(home, kill_point)):
            return


def _at_times(homes: Iterator[Path], lives: int) -> None:
    begin = time.monotonic()
    _outlives(_born(next(homes)))
    seconds = time.monotonic() - begin
    for number in range(1, lives):
        child = _born(next(homes))
        time.sleep(seconds * number / lives)
        os.kill(child, signal.SIGKILL)
        _outlives(child)


def _at_calls(homes: Iterator[Path], stride: int) -> None:
    for calls in _CALLS:
        for number in itertools.count(1, stride):
            ready, go = os.pipe()
            child = _born(next(homes), wait_for=ready)
            inject = f"inject={calls}:signal=KILL:when={number}"
            trace = ["strace", "-o", os.devnull, "-e", f"trace={calls}", "-e", inject, "-p", str(child)]
            with subprocess.Popen(trace, stderr=subprocess.PIPE, text=True) as strace:
                assert strace.stderr is not None
                assert "attached" in strace.stderr.readline()
                os.write(go, b"!")
                is_alive = _outlives(child)
            os.close(ready)
            os.close(go)
            if is_alive:
                break


def _home(template: Path, folder: Path) -> Path:
    if template.exists():
        shutil.copytree(template, folder / "home")
    else:
        folder.mkdir(parents=True)
    return folder / "home"


def _born(home: Path, kill_point: int | None = None, wait_for: int | None = None) -> int:
    """Fork a child that lives, and return its process id."""
    child = os.fork()
    if child == 0:
        notes = os.open(home.parent / "done", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        if wait_for is not None:
            _let_anyone_trace()
            os.read(wait_for, 1)
        if kill_point is not None:
            _kill_at(kill_point, home)
        live(home, lambda line: os.write(notes, f"{line}\n".encode()) and None)
        os._exit(0)
    return child


def _outlives(child: int) -> bool:
    """Wait for a child to end; return whether it lived to its end."""
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the victim failed by itself"
    return os.WIFEXITED(status)


def _let_anyone_trace() -> None:
    """Allow strace, a sibling process, to trace us where only ancestors may (kernel.yama.ptrace_scope = 1)."""
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, PR_SET_PTRACER_ANY


def _kill_at(kill_point: int, home: Path) -> None:
    points = 0

    def pass_point(*_: object) -> None:
        nonlocal points
        points += 1
        if points == kill_point:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(name: str, arguments: tuple[object, ...]) -> None:
        if name in _FILE_EVENTS:
            path = str(arguments[0])
            if path.startswith(str(home)) or not path.startswith("/"):  # rmtree removes by names within a folder
                pass_point()

    sys.addaudithook(audit)
    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(Engine, moment, pass_point)


if __name__ == "__main__":
    main()
