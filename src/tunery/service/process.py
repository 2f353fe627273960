"""
A child process and the channel to it: starting it, exchanging messages, and noticing when the other side is gone.

Messages are plain values, pickled by `multiprocessing` over a pipe that only these two processes hold.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from tunery import config
from tunery.service.tuning import Usage

CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy the locks and threads of the server
SIGN_OF_LIFE_SECONDS = 1.0
START_SECONDS = 60.0  # limit for a child's first message; ten times the start measured on two busy cores
DEATH_SECONDS = 1.0  # between the end of a child's channel and the end of the child
ORPHANED = 70  # exit status of a child whose parent died
_WAIT_SECONDS = 0.5
_OOM_SCORE = "1000"  # when memory runs out, the kernel kills a child first, not the server
_KERNEL_COUNTS = Path("/proc/vmstat")
_START_TIME = 19  # among the fields of /proc/PID/stat after the name (proc(5), starttime)


@dataclass(frozen=True, slots=True)
class Alive:
    """From a child: it is not frozen, although it has nothing else to report."""


class Child:
    """
    The parent's side of a child process that runs `main(channel, *arguments)`; the process starts at once.

    `niceness` lowers its priority, so that the server keeps answering while the child computes. A child that `is_alone`
    survives if the process group of the server is killed.
    """

    def __init__(
        self, name: str, main: Callable[..., None], *arguments: Any, niceness: int = 0, is_alone: bool = False
    ) -> None:
        self.is_alone = is_alone
        self._connection, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(
            target=_run, args=(main, theirs, niceness, is_alone, arguments), name=f"tunery {name}", daemon=True
        )
        self._process.start()
        theirs.close()  # while we hold this end, the pipe would not report the child's death
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name=f"channel to {name}", daemon=True)
        self._writer.start()
        self._stopping = threading.Lock()
        self._has_spoken = False

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def has_died(self) -> bool:
        """
        Return whether the child has ended, by itself or because it was killed, once its channel is closed.

        False if it is still running, or if it ended because the channel broke and it took its parent for dead.
        """
        self._process.join(DEATH_SECONDS)
        return self._process.exitcode not in (None, ORPHANED)

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended the child, sent by `kill -9` or by the kernel when memory ran out."""
        return sys.platform != "win32" and self._process.exitcode == -signal.SIGKILL

    def send(self, message: object) -> None:
        """
        Queue a message and return immediately, so that a frozen child cannot block its parent; ignored if the child is
        gone.
        """
        self._outgoing.put(bytes(ForkingPickler.dumps(message)))

    def receive(self, timeout_seconds: float | None = None) -> Any:
        """Return the next message; raise EOFError if the child is gone, TimeoutError if nothing came in time."""
        if timeout_seconds is not None and not self._has_spoken:  # the child is still loading its modules
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
        """Kill the child; a thread waiting in `receive` gets an EOFError."""
        self._process.kill()

    def stop(self, grace_seconds: float = 0.0) -> None:
        """
        Give the child `grace_seconds` to end by itself, then kill it; return when it is gone and the channel is closed.

        Call this only from the thread that receives, because the number of a closed descriptor may soon be reused.
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
        while left > 0:  # in short waits, since a long one proves nothing if this process itself was suspended
            wait = min(left, _WAIT_SECONDS)
            if self._connection.poll(wait):
                return True
            left -= wait
        return False

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (message := self._outgoing.get()) is not None:
                self._connection.send_bytes(message)


class Channel:
    """
    The child's side of the channel: messages from the parent are queued in `messages`; if the parent dies, so does the
    child.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.when_orphaned: Callable[[], object] = lambda: None
        threading.Thread(target=self._read, name="channel", daemon=True).start()

    def send(self, message: object) -> None:
        """Send a message to the parent."""
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            self._end()

    def show_life(self, is_needed: Callable[[], bool] = lambda: True) -> None:
        """Send `Alive` now, and from a thread each second in which it `is_needed`."""
        threading.Thread(target=self._show_life, args=(is_needed,), name="signs of life", daemon=True).start()

    def _show_life(self, is_needed: Callable[[], bool]) -> None:
        self.send(Alive())
        while True:
            time.sleep(SIGN_OF_LIFE_SECONDS)
            if is_needed():
                self.send(Alive())

    def _read(self) -> None:
        try:
            while True:
                self.messages.put(self._connection.recv())
        except (EOFError, OSError):
            self._end()

    def _end(self) -> None:
        """End the process: there is nobody left to work for, and everything important is on disk."""
        with contextlib.suppress(OSError):
            self.when_orphaned()
        os._exit(ORPHANED)


def memory_kills() -> int:
    """
    Return how many processes the kernel has killed for lack of memory since the machine started; 0 if unknown.

    To the parent, such a kill looks like a manual `kill -9`; only this count tells them apart.
    """
    try:
        lines = _KERNEL_COUNTS.read_text("ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def machine_start() -> str | None:
    """
    Return a text that changes whenever the machine, or the container with this process, is started; None if unknown.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        first_process = Path("/proc/1/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return f"{boot} {first_process[_START_TIME]}"


class Meter:
    """Measures what this process takes, from the moment the meter is made."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):  # forget the peak of earlier work (proc(5), clear_refs); only Linux has this
            Path("/proc/self/clear_refs").write_text("5", "ascii")
        self._start_processor = self._processor = _processor_seconds()
        self._time = time.monotonic()

    @property
    def processor_seconds(self) -> float:
        """Seconds of all cores together."""
        return _processor_seconds() - self._start_processor

    def usage(self) -> Usage:
        """Return what the process takes now; the cores are a mean since the last call."""
        now, processor = time.monotonic(), _processor_seconds()
        cores = (processor - self._processor) / max(now - self._time, 1e-3)
        self._time, self._processor = now, processor
        memory, peak = _memory_bytes()
        return Usage(round(cores, 2), memory, peak)


class MachineLoad:
    """
    How many cores other programs kept busy in the last hour; `own` are the processes that do not count.

    It knows nothing where there is no /proc/stat, that is, outside of Linux.
    """

    def __init__(self, own: Callable[[], Sequence[int | None]]) -> None:
        self._own = own
        self._busy: deque[tuple[float, float]] = deque(maxlen=_KEPT_SAMPLES)  # time, seconds of other programs since
        self._before: tuple[float, dict[int, float]] | None = None
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="machine load", daemon=True)

    def start(self) -> None:
        self._sample()
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def lately(self) -> list[float]:
        """Return the mean of cores over the last moment and over the last seconds, as far as they are known."""
        self._sample()
        now = time.time()
        return [found for seconds in _LATELY_SECONDS if (found := self.others(now - seconds, now)) is not None]

    def others(self, start: float, end: float) -> float | None:
        """Return the mean of cores between two times; None if it is not known."""
        with self._lock:
            known = [sample for sample in self._busy if start <= sample[0] <= end]
        if len(known) < 2 or known[-1][0] - known[0][0] < _LEAST_SECONDS:
            return None
        return (known[-1][1] - known[0][1]) / (known[-1][0] - known[0][0])

    def _watch(self) -> None:
        while not self._is_over.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        now, machine = time.time(), _machine_seconds()
        if machine is None:
            return
        with self._lock:
            own = {pid: _seconds_of(pid) for pid in (os.getpid(), *self._own()) if pid is not None}
            seconds, before = self._busy[-1][1] if self._busy else 0.0, self._before
            if before is not None:
                ours = sum(max(0.0, value - before[1].get(pid, 0.0)) for pid, value in own.items())
                seconds += max(0.0, machine - before[0] - ours)
            self._before = machine, own
            self._busy.append((now, seconds))


_SAMPLE_SECONDS, _KEPT_SAMPLES = 1.0, 3600
_LATELY_SECONDS, _LEAST_SECONDS = (2.5, 12.0), 0.9
_IDLE, _WAITING, _GUEST = 3, 4, 8  # among the times of a processor (proc_stat(5)); those of guests count twice
_USER_TIME, _SYSTEM_TIME = 11, 12  # among the fields of /proc/PID/stat after the name (proc_pid_stat(5))


def _machine_seconds() -> float | None:
    """Return how long all cores together have been busy since the machine started; None if it is not known."""
    if sys.platform != "linux":
        return None
    try:
        times = [int(part) for part in Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:]]
    except (OSError, ValueError):
        return None
    busy = sum(times[:_GUEST]) - times[_IDLE] - times[_WAITING]
    return busy / os.sysconf("SC_CLK_TCK")


def _seconds_of(pid: int) -> float:
    if sys.platform != "linux":
        return 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) / os.sysconf("SC_CLK_TCK")


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _memory_bytes() -> tuple[int, int]:
    """Return the bytes in memory now and at most; where only the latter is known, as on macOS, that twice."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8", "replace").splitlines()
        sizes = dict(line.split(":", 1) for line in lines)
        return 1024 * int(sizes["VmRSS"].split()[0]), 1024 * int(sizes["VmHWM"].split()[0])
    except (OSError, KeyError):
        pass
    if sys.platform == "win32":
        return 0, 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, peak


def lower_thread_priority(niceness: int) -> None:
    """Lower the priority of the calling thread and of threads it starts; only Linux has priorities for threads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def _run(
    main: Callable[..., None], connection: Connection, niceness: int, is_alone: bool, arguments: tuple[Any, ...]
) -> None:
    if is_alone and hasattr(os, "setsid"):
        os.setsid()
    config.relax_garbage_collector()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches every process; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, "ascii")
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)
    main(Channel(connection), *arguments)
