"""
How well a server foresees how long a tuning job takes: the time said before the start, and the time left on the way.

    python -m benchmarks.estimates    # thirty jobs, about twenty minutes on an idle machine with two cores

A real server, one job after the other: one that is not counted, then some on an idle machine, some while another
program keeps one core busy, some while it keeps all busy. Jobs differ in rows, lengths and epochs; some hold rows out,
some have the loss of labels; and nothing tells the server that the machine has become busy. Nothing is evaluated after
a job, as the next one would have to share the machine with that. Each job is a line of JSON in results/estimates.jsonl.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import psutil

from benchmarks import side_by_side
from benchmarks.load import served
from benchmarks.side_by_side import Result
from benchmarks.speed_workloads import examples
from tests.chaos.served import Served, creation_body, family, of_living
from tunery.types import DEFAULT_BASE_MODEL

RESULTS = side_by_side.RESULTS / "estimates.jsonl"
FACTOR = 2.0
ASKED_AT = (0.25, 0.5, 0.75)  # of the steps: when the time left is looked at
_SPIN = "while True: pass"


@dataclass(frozen=True, slots=True)
class Job:
    """What is tuned."""

    rows: list[tuple[str, str]]
    epoch_count: int
    hold_out: str = "0"
    label_share: float = 0.0

    def body(self, base_model: str) -> dict[str, Any]:
        body: dict[str, Any] = creation_body(self.rows, epochs=self.epoch_count, base=base_model)
        task = body["tuningTask"] | {"holdOut": self.hold_out}
        task["hyperparameters"] |= {"labelShare": self.label_share} if self.label_share else {}
        return body | {"tuningTask": task}


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    cores = len(os.sched_getaffinity(0))
    conditions = {"idle": 0, "one core busy": 1, "all cores busy": cores}
    draw = random.Random(given.seed)
    with served("--no-evaluation") as server:
        measured(server, _drawn(draw, given.most_rows), given.base_model)  # nothing was measured before it
        for condition, busy in conditions.items():
            with busy_cores(busy):
                for number in range(given.tasks):
                    found = measured(server, _drawn(draw, given.most_rows), given.base_model)
                    line = {"condition": condition, "task": number + 1, "cores": cores, **found}
                    side_by_side.append(given.out, [line])
                    print(line, file=sys.stderr, flush=True)
    print(summary(side_by_side.read(given.out)))


def measured(server: Served, job: Job, base_model: str) -> Result:
    """Tune, and return the seconds that were said before the start and on the way beside those it took."""
    body = job.body(base_model)
    status, estimate = server.ask("POST", "tunedModels?validateOnly=true", body)
    assert status == 200, estimate
    model_id = f"job-{time.time_ns()}"
    status, reply = server.ask("POST", f"tunedModels?tuned_model_id={model_id}", body)
    assert status == 200, reply
    with _others_watched(server) as others:
        left = _left_on_the_way(server, model_id)
    status, model = server.ask("GET", f"tunedModels/{model_id}")
    task = model["tuningTask"]
    start, end = (datetime.fromisoformat(task[name]) for name in ("startTime", "completeTime"))
    seconds = estimate["seconds"]
    return {
        "rows": len(job.rows), "epochs": job.epoch_count, "held_out": job.hold_out, "label_share": job.label_share,
        "tokens": estimate["totalTokens"],
        "source": seconds["source"], "at_least": seconds["atLeast"], "at_most": seconds["atMost"],
        "took": round((end - start).total_seconds(), 1),
        "left": [[said, round((end - when).total_seconds(), 1)] for said, when in left],
        "others": round(others[0], 2),
    }  # fmt: skip


def ratio(result: Result) -> float:
    """Return how many times longer a job took than was said: than the geometric middle of the range."""
    return float(result["took"] / sqrt(result["at_least"] * result["at_most"]))


def summary(results: Sequence[Result]) -> str:
    """Return a table: in how many jobs the estimate was within FACTOR, and the time left likewise."""
    header = ("", f"within a factor of {FACTOR:g}", "took / said, geometric mean", "time left", "others used, cores")
    conditions = dict.fromkeys(result["condition"] for result in results)
    rows = [_row(name, [r for r in results if r["condition"] == name]) for name in conditions]
    return side_by_side.markdown(header, [*rows, _row("all", results)])


def _row(name: str, results: Sequence[Result]) -> list[str]:
    ratios = [ratio(result) for result in results]
    left = [took / max(said, 0.1) for result in results for said, took in result["left"] if took > 1]
    return [
        name,
        f"{sum(map(_is_close, ratios))} of {len(ratios)}",
        f"{exp(sum(map(log, ratios)) / len(ratios)):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
        f"{sum(map(_is_close, left))} of {len(left)}",
        f"{side_by_side.middle(results, 'others'):.1f}",
    ]


def _is_close(value: float) -> bool:
    return 1 / FACTOR <= value <= FACTOR


@contextmanager
def busy_cores(number: int) -> Iterator[None]:
    """Keep some cores busy with processes of another session that do nothing else."""
    spinning = [subprocess.Popen([sys.executable, "-c", _SPIN], start_new_session=True) for _ in range(number)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def _left_on_the_way(server: Served, model_id: str) -> list[tuple[float, datetime]]:
    """Wait for the end of a job; return the seconds left that were said at some of its steps, and when."""
    said: list[tuple[float, datetime]] = []
    waiting = list(ASKED_AT)
    while not (operation := server.operation(model_id)).get("done"):
        facts = operation["metadata"]
        share = facts.get("completedSteps", 0) / facts["totalSteps"]
        if waiting and share >= waiting[0] and (left := facts.get("secondsLeft")) is not None:
            said.append((left, datetime.now().astimezone()))
            waiting = [later for later in waiting if later > share]
        time.sleep(0.2)
    assert "error" not in operation, operation
    return said


@contextmanager
def _others_watched(server: Served) -> Iterator[list[float]]:
    """Give a list that holds, after the block, how many cores other programs kept busy in it."""
    found = [0.0]
    begin, ours, busy = time.monotonic(), _processor_seconds(server), _busy_seconds()
    yield found
    found[0] = (_busy_seconds() - busy - _processor_seconds(server) + ours) / (time.monotonic() - begin)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _processor_seconds(server: Served) -> float:
    times = of_living(family(server.pid), psutil.Process.cpu_times)
    return sum(one.user + one.system for one in times)


def _drawn(draw: random.Random, most_rows: int) -> Job:
    count = draw.randint(max(2, most_rows // 3), most_rows)
    rows = examples(draw.choice(("W1", "W2")), 120)
    chosen = draw.sample([(row.text_input, row.output) for row in rows], count)
    return Job(chosen, draw.choice((1, 2)), draw.choice(("0", "20%")), draw.choice((0, 0, 0, 0.5)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10, help="jobs of each condition")
    parser.add_argument("--most-rows", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--base-model", default=DEFAULT_BASE_MODEL)
    parser.add_argument("--out", type=Path, default=RESULTS, help="raw results are added to this file")
    return parser


if __name__ == "__main__":
    main()
