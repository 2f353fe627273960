"""
Disk faults: system calls of the running server and its children fail with ENOSPC, EIO, EMFILE or EACCES.

    python -m tests.chaos.disk_faults --faults 100    # one JSON line; needs strace

Each fault lasts half a second, while a model is created and another is tuned. The server must live, answer with the
right status, and finish every job it accepted once the disk is well again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.chaos.served import Served, wait_until
from tests.chaos.template import in_a_new_home

FAULT_SECONDS = 0.5
# What a disk can answer to a call; `write` is left out, since it also carries the channel between the processes.
FAULTS = (
    ("pwrite64", "ENOSPC"),
    ("pwrite64", "EIO"),
    ("fsync", "EIO"),
    ("fsync", "ENOSPC"),
    ("fdatasync", "EIO"),
    ("openat", "EMFILE"),
    ("openat", "EACCES"),
    ("rename", "EACCES"),
    ("rename", "ENOSPC"),
    ("mkdir", "ENOSPC"),
    ("ftruncate", "EIO"),
    ("unlink", "EIO"),
)
RIGHT = {200, 400, 429, 503}  # 400: the data folder cannot be written to


def suffer(server: Served, faults: int, seed: int = 0) -> dict[str, object]:
    """Return what was answered during the faults, and how the accepted jobs ended."""
    order, answers, accepted = random.Random(seed), Counter[str](), []
    first = server.pid
    for number in range(faults):
        call, error = FAULTS[number % len(FAULTS)]
        with _failing(server, call, error, order.choice((1, 2, 3))):
            end = time.monotonic() + FAULT_SECONDS
            status, reply = server.create(f"job-{number}", examples=8, epochs=3)
            time.sleep(max(0.0, end - time.monotonic()))
        answers[f"{call} {error} {status}"] += status not in RIGHT
        if status == 200:
            accepted.append(f"job-{number}")
        elif status not in RIGHT:
            answers[str(reply)[:120]] += 1
    alive = server.exit_status() is None and server.pid == first
    wait_until(lambda: not _waiting(server, accepted), 900, 0.5)
    failed = [server.operation(one)["error"]["message"] for one in accepted if server.phase(one) == "FAILED"]
    phases = Counter(server.phase(model_id) for model_id in accepted)
    return {
        "faults": faults, "the same server lives": alive, "accepted": len(accepted), "ended": dict(phases),
        "failed": failed,
        "wrong answers": {what: count for what, count in answers.items() if count},
        "ready": server.ask("GET", "tunedModels?page_size=1")[0],
    }  # fmt: skip


def _waiting(server: Served, accepted: list[str]) -> bool:
    return any(server.phase(model_id) not in ("SUCCEEDED", "FAILED") for model_id in accepted)


@contextmanager
def _failing(server: Served, call: str, error: str, begin: int) -> Iterator[None]:
    """Let a call of the server and its children fail, from the `begin`-th of each process on."""
    processes = [server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True))]
    attached = [argument for pid in processes for argument in ("-p", str(pid))]
    inject = f"inject={call}:error={error}:when={begin}+"
    strace = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *attached],
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.2)  # until it is attached
        yield
    finally:
        strace.terminate()
        strace.wait()


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=100)
    asked = parser.parse_args()
    with in_a_new_home() as home, Served.fake(home, step_seconds=0.05) as server:
        print(json.dumps(suffer(server, asked.faults)))  # noqa: T201


if __name__ == "__main__":
    main()
