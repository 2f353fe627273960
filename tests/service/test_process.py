"""A child process and the channel to it: freezing, dying, and being left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tests.chaos.served import wait_until
from tunery.service import process
from tunery.service.process import Channel, Child, MachineLoad, Meter, memory_kills

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither kill -9 nor SIGSTOP")


def echo(channel: Channel) -> None:
    """Send back each message."""
    while True:
        channel.send(channel.messages.get())


def test_messages_come_back_in_order() -> None:
    """Messages arrive complete and in order, however large."""
    child = Child("echo", echo)
    try:
        sent = [bytes(size) for size in (1, 5_000_000, 2)]
        for message in sent:
            child.send(message)
        assert [child.receive(10) for _ in sent] == sent
    finally:
        child.stop()


def test_a_frozen_child_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending more than the pipe holds returns at once; receiving nothing in time raises TimeoutError."""
    monkeypatch.setattr(process, "START_SECONDS", 0.0)
    child = Child("echo", echo)
    child.send("ready")
    assert child.receive() == "ready"
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)

    for _ in range(20):
        child.send(bytes(100_000))
    with pytest.raises(TimeoutError):
        child.receive(0.2)
    child.stop()

    assert child.was_killed
    with pytest.raises(EOFError):
        child.receive(0.2)


def test_a_dead_child_is_seen_at_once() -> None:
    """kill -9 of the child ends a wait without timeout."""
    child = Child("echo", echo)
    child.kill()

    with pytest.raises(EOFError):
        child.receive()
    child.stop()


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    """kill -9 of the parent ends the child, also one that never receives a message."""
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent("""
        import time
        from tests.service.test_process import echo
        from tunery.service.process import Child
        if __name__ == "__main__":
            child = Child("echo", echo)
            child.send("ready"); child.receive()
            print(child.pid, flush=True)
            time.sleep(60)
        """)
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    with subprocess.Popen([sys.executable, str(parent)], stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        child = psutil.Process(int(running.stdout.readline()))
        running.kill()

    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_meter_measures_this_process() -> None:
    """Cores since it was asked before, memory now, and at most."""
    meter = Meter()
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass

    usage = meter.usage()

    assert usage.processor_cores > 0
    assert 0 < usage.memory_bytes <= usage.peak_memory_bytes
    assert meter.processor_seconds >= 0.03  # the clock may step by 0.01


def test_the_load_of_other_programs_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both cores were busy for ten seconds, 4 s of it with our own processes; a new child starts from nothing."""
    machine, own = iter([100.0, 120.0, 140.0]), iter([{1: 5.0, 2: 7.0}, {1: 6.0, 2: 10.0}, {1: 6.0, 3: 2.0}])
    clock = iter([1000.0, 1010.0, 1020.0])
    times: dict[int, float] = {}
    monkeypatch.setattr(process, "_machine_seconds", lambda: times.update(next(own)) or next(machine))
    monkeypatch.setattr(process, "_seconds_of", lambda pid: times.get(pid, 0.0))
    monkeypatch.setattr(process.os, "getpid", lambda: 1)
    monkeypatch.setattr(process.time, "time", lambda: next(clock))
    load = MachineLoad(lambda: [2 if 3 not in times else 3, None])

    for _ in range(3):
        load._sample()

    assert load.others(990, 1010) == (20 - 4) / 10
    assert load.others(1010, 1030) == (20 - 2) / 10
    assert load.others(1005, 1015) is None  # a single sample


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/stat")
def test_this_machine_tells_its_load() -> None:
    """A number of cores, once two samples are far enough apart."""
    load = MachineLoad(list)
    load._sample()
    time.sleep(1.05)

    lately = load.lately()

    assert len(lately) == 2
    assert all(0 <= others <= (os.cpu_count() or 1) + 0.5 for others in lately)


def test_memory_kills_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number after `oom_kill` is read, not those of other lines."""
    (tmp_path / "vmstat").write_text("pgfault 7\noom_kill 3\noom_killer 9\n")
    monkeypatch.setattr(process, "_KERNEL_COUNTS", tmp_path / "vmstat")

    assert memory_kills() == 3


def test_no_kernel_count_means_no_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the file the count is 0."""
    monkeypatch.setattr(process, "_KERNEL_COUNTS", tmp_path / "nothing")

    assert memory_kills() == 0
