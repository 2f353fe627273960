"""
Power cuts: server and children are killed together at random moments before, in and after the first step of a job.

    python -m tests.chaos.power_cuts --jobs 5 --kills 40    # one JSON line

Each job must end with the bytes of an undisturbed run. A busy machine may choose another number format for a new job,
whose bytes say nothing; such jobs are counted apart.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections import Counter
from pathlib import Path

from tests.chaos.served import Served, wait_until
from tests.chaos.template import in_a_new_home
from tunery.service.library import Library

ROWS = [(f"How much is {number} plus one?", f"It is {number + 1}.") for number in range(20)]
PAUSE_SECONDS = 0.02
LONGEST_SECONDS = 900.0
MOMENTS = ("before the first step", "in the first step", "after the first step")


def cut(jobs: int, kills: int, epochs: int, seed: int = 0) -> dict[str, object]:
    """Return how the jobs ended, how many have the undisturbed bytes, and when the kills came."""
    with in_a_new_home() as home, Served.real(home, {"TUNERY_BASE": "tiny"}) as server:
        _create(server, jobs, epochs)
        _wait_for_all(server, jobs)
        wanted = _adapters(home, jobs)
    order, seen = random.Random(seed), Counter[str]()
    with in_a_new_home() as home:
        server = Served.real(home, {"TUNERY_BASE": "tiny"}).start()
        _create(server, jobs, epochs)
        for _ in range(kills):
            seen[_wait_for_a_moment(server, jobs, order)] += 1
            server.kill_group()
            server.start()
        _wait_for_all(server, jobs)
        phases = Counter(server.phase(f"job-{number}") for number in range(jobs))
        found = _adapters(home, jobs)
        server.stop()
    comparable = [number for number in found if found[number][1] == wanted[number][1]]
    same = sum(found[number] == wanted[number] for number in comparable)
    return {
        "jobs": jobs, "kills": dict(seen), "ended": dict(phases), "in the same number format": len(comparable),
        "same bytes of those": same,
    }  # fmt: skip


def _wait_for_a_moment(server: Served, jobs: int, order: random.Random) -> str:
    """Wait for a random moment and return what it is called."""
    moment = order.choice(MOMENTS)
    if moment == MOMENTS[0]:
        time.sleep(order.uniform(0, 1.0))
    elif _current(server, jobs) is not None:
        steps = 0 if moment == MOMENTS[1] else 1
        wait_until(lambda: _has_come(server, jobs, steps), LONGEST_SECONDS, PAUSE_SECONDS)
        time.sleep(order.uniform(0, 0.1))
    return moment


def _has_come(server: Served, jobs: int, steps: int) -> bool:
    job = _current(server, jobs)
    if job is None:
        return True
    metadata = server.operation(job)["metadata"]
    return metadata["phase"] == "RUNNING" and int(metadata.get("completedSteps", 0)) >= steps


def _current(server: Served, jobs: int) -> str | None:
    """Return the job that is worked on or comes next, None when all have ended."""
    waiting = (f"job-{number}" for number in range(jobs))
    return next((job for job in waiting if server.phase(job) not in ("SUCCEEDED", "FAILED")), None)


def _create(server: Served, jobs: int, epochs: int) -> None:
    for number in range(jobs):
        status, reply = server.create(f"job-{number}", examples=ROWS[number:], epochs=epochs)
        assert status == 200, reply


def _wait_for_all(server: Served, jobs: int) -> None:
    wait_until(lambda: _current(server, jobs) is None, LONGEST_SECONDS, PAUSE_SECONDS)


def _adapters(home: Path, jobs: int) -> dict[int, tuple[str, object]]:
    """Return the digest of each adapter, and the number format it was tuned in."""
    found: dict[int, tuple[str, object]] = {}
    with Library.open(home) as library:
        for number in range(jobs):
            model = library.get(f"job-{number}")
            weights = library.adapter_folder(model) / "adapter_model.safetensors"
            found[number] = hashlib.sha256(weights.read_bytes()).hexdigest(), model.task.settings.get("dtype")
    return found


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=5)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(json.dumps(cut(asked.jobs, asked.kills, asked.epochs, asked.seed)))  # noqa: T201


if __name__ == "__main__":
    main()
