"""
A long day in twenty minutes: answers, lists, counts, files and errors, with tuning jobs beside them; memory stays flat.

    python -m tests.chaos.soak --minutes 20 --calls 20000    # one JSON line

The slope of the memory is that of a straight line through all samples after a quarter of the time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import threading
import time
from collections import Counter

import numpy
import psutil

from tests.chaos.served import Served, creation_body, family
from tests.chaos.template import in_a_new_home

THREADS = 4
SAMPLE_SECONDS = 2.0
WARM_UP = 0.25  # of the time
QUESTION = {"contents": [{"parts": [{"text": "Two?"}]}], "generationConfig": {"maxOutputTokens": 4}}
EXPECTED = {200, 400, 404, 409, 429, 503}
CALLS: tuple[tuple[str, str, object], ...] = (
    ("GET", "tunedModels?page_size=10", None),
    ("GET", "models", None),
    ("GET", "tunedModels/none", None),
    ("POST", "models/tiny:generateContent", QUESTION),
    ("POST", "models/tiny:countTokens", {"contents": QUESTION["contents"]}),
    ("POST", "datasets:parse?fileName=a.csv", b"text_input,output\n" + b"one,two\n" * 20),
    ("POST", "tunedModels", creation_body([("", "")])),
    ("GET", "operations", None),
)
WEIGHTS = (30, 10, 10, 20, 20, 2, 4, 4)


def soak(server: Served, minutes: float, calls: int, jobs: int) -> dict[str, object]:
    """Return what was answered, and how memory and descriptors of the server and its children developed."""
    begin, numbers, statuses = time.monotonic(), itertools.count(), Counter[int]()
    end = begin + 60 * minutes
    threads = [threading.Thread(target=_call, args=(server, end, calls, numbers, statuses)) for _ in range(THREADS)]
    threads.append(threading.Thread(target=_create, args=(server, end, minutes, jobs)))
    for thread in threads:
        thread.start()
    samples = []
    while time.monotonic() < end:
        time.sleep(SAMPLE_SECONDS)
        samples.append((time.monotonic() - begin, *_sizes(server)))
    for thread in threads:
        thread.join()
    warm = numpy.array([sample for sample in samples if sample[0] > 60 * minutes * WARM_UP])
    slope = numpy.polyfit(warm[:, 0], warm[:, 1], 1)[0]
    ended = Counter(model["state"] for model in server.models())
    return {
        "minutes": minutes, "calls": sum(statuses.values()), "jobs": dict(ended),
        "unexpected": {status: count for status, count in statuses.items() if status not in EXPECTED},
        "statuses": dict(statuses), "memory MB, first and last": [round(warm[0, 1]), round(warm[-1, 1])],
        "MB in 10 min": round(600 * slope, 2), "descriptors": [int(warm[:, 2].min()), int(warm[:, 2].max())],
    }  # fmt: skip


def _call(server: Served, end: float, calls: int, numbers: itertools.count[int], statuses: Counter[int]) -> None:
    order, due = random.Random(threading.get_ident()), time.monotonic()
    pause = THREADS * (end - due) / calls
    while time.monotonic() < end and next(numbers) < calls:
        method, path, body = order.choices(CALLS, WEIGHTS)[0]
        statuses[server.ask(method, path, body)[0]] += 1
        due += pause  # so that a slow call is made up for
        time.sleep(max(0.0, due - time.monotonic()))


def _create(server: Served, end: float, minutes: float, jobs: int) -> None:
    """Create jobs at even distances; each second one is deleted when the next comes."""
    for number in range(jobs):
        server.create(f"job-{number}", examples=8, epochs=2)
        if number % 2:
            server.ask("DELETE", f"tunedModels/job-{number - 1}")
        time.sleep(max(0.0, min(60 * minutes / jobs, end - time.monotonic())))


def _sizes(server: Served) -> tuple[float, int]:
    """Return memory in MB and the descriptors of the server and its children."""
    memory, descriptors = 0.0, 0
    for process in family(server.pid):
        try:
            if process.ppid() == server.pid and not process.name().startswith("python"):
                continue
            memory += process.memory_info().rss / 1e6
            descriptors += process.num_fds()
        except psutil.Error:  # it has just ended
            continue
    return memory, descriptors


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=103)
    asked = parser.parse_args()
    with in_a_new_home() as home, Served.real(home, {"TUNERY_BASE": "tiny"}) as server:
        print(json.dumps(soak(server, asked.minutes, asked.calls, asked.jobs)))  # noqa: T201


if __name__ == "__main__":
    main()
