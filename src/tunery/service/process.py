"""
A child process and the line to it: how it starts, how both sides notice that the other is gone.

Messages are plain values, pickled by `multiprocessing` over a pipe that only these two processes have. Knows nothing of
what they say to each other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from tunery import config

SIGN_OF_LIFE_SECONDS = 1.0
START_SECONDS = 60.0  # until the first word of a child; ten times what a start took on two busy cores
ORPHANED = 70  # exit status of a child whose parent died
_WAIT_SECONDS = 0.5
_OOM_SCORE = "1000"  # the kernel shall take a child when memory runs out, not the server


@dataclass(frozen=True, slots=True)
class Alive:
    """From a child: it is not frozen, though it may have nothing else to say."""


class Child:
    """
    The parent's side of a child process that runs `main(line, *arguments)`; it starts at once.

    `niceness` lowers its priority, so that the server answers while it computes.
    """

    def __init__(self, name: str, main: Callable[..., None], *arguments: Any, niceness: int = 0) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks and threads of the server
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_run, args=(main, theirs, niceness, arguments), name=f"tunery {name}", daemon=True
        )
        self._process.start()
        theirs.close()  # or the end of the child would never be seen
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name=f"line to {name}", daemon=True)
        self._writer.start()
        self._stopping = threading.Lock()
        self._has_spoken = False

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    @property
    def was_killed(self) -> bool:
        """SIGKILL has ended the child: somebody's `kill -9`, or the kernel when memory ran out."""
        return sys.platform != "win32" and self._process.exitcode == -signal.SIGKILL

    def send(self, message: object) -> None:
        """Send a message without waiting: a frozen child must not hold up its parent. Nothing happens if it is gone."""
        self._outgoing.put(bytes(ForkingPickler.dumps(message)))

    def receive(self, timeout_seconds: float | None = None) -> Any:
        """Return the next message; raises EOFError if the child is gone, TimeoutError if it says nothing so long."""
        if timeout_seconds is not None and not self._has_spoken:  # it is still loading its modules
            timeout_seconds = max(timeout_seconds, START_SECONDS)
        try:
            if not self._has_message(timeout_seconds):
                raise TimeoutError
            self._has_spoken = True
            return self._connection.recv()
        except (OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise EOFError from error

    def kill(self) -> None:
        """Kill the child; who receives from it gets an EOFError."""
        self._process.kill()

    def stop(self, grace_seconds: float = 0.0) -> None:
        """
        Wait so long for the child to end by itself, then kill it; returns when it is gone and the line closed.

        For the thread that receives: a closed descriptor may soon be another's.
        """
        with self._stopping:
            self._process.join(grace_seconds)
            if self._process.is_alive():
                self._process.kill()
            self._process.join()
            self._outgoing.put(None)
            self._writer.join()
            self._connection.close()

    def _has_message(self, timeout_seconds: float | None) -> bool:
        if timeout_seconds is None:
            return self._connection.poll(None)
        left = timeout_seconds
        while left > 0:  # in short waits: time in which we were stopped ourselves proves nothing
            wait = min(left, _WAIT_SECONDS)
            if self._connection.poll(wait):
                return True
            left -= wait
        return False

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (message := self._outgoing.get()) is not None:
                self._connection.send_bytes(message)


class Line:
    """The child's side: messages from the parent wait in `messages`; if the parent dies, so does the child."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="line", daemon=True).start()

    def send(self, message: object) -> None:
        """Send a message to the parent."""
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            os._exit(ORPHANED)

    def _read(self) -> None:
        try:
            while True:
                self.messages.put(self._connection.recv())
        except (EOFError, OSError):
            os._exit(ORPHANED)  # nobody is left to work for; what counts was written before


def _run(main: Callable[..., None], connection: Connection, niceness: int, arguments: tuple[Any, ...]) -> None:
    config.relax_garbage_collector()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal goes to all; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)
    main(Line(connection), *arguments)


_COUNTS = Path("/proc/vmstat")


def memory_kills() -> int:
    """Return the count since the machine started; always 0 where the system does not count."""
    try:
        lines = _COUNTS.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
