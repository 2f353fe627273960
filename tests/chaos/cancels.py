"""
Cancelled tasks: the time from the request until the operation is done, and whether a process is left behind.

    python -m tests.chaos.cancels                                                     # fake trainer
    python -m tests.chaos.cancels --base smollm2-135m-instruct --bases ~/.local/share/tunery/bases    # real tuning

Each cancel gets its own task, at a random step, whose model must be usable afterwards. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import random
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from tests.chaos.served import Served, children, wait_until
from tests.chaos.template import in_a_home_with, in_a_new_home

EPOCHS = 200
LATEST_STEP = 20


def cancels(server: Served, base: str, count: int, seed: int = 0) -> dict[str, Any]:
    """Return the seconds each cancel took, the time of a step, and the number of processes afterwards."""
    order, seconds, steps = random.Random(seed), [], []
    processes: set[int] = set()
    for number in range(count):
        model_id = f"cancelled-{number}"
        status, reply = server.create(model_id, examples=8, base=base, epochs=EPOCHS)
        assert status == 200, reply
        step = order.randint(1, LATEST_STEP)
        wait_until(lambda: _steps(server, model_id) >= step, 900, 0.05)  # noqa: B023
        processes |= {child.pid for child in children(server.pid)}
        status, reply = server.ask("POST", f"tunedModels/{model_id}:cancel")
        assert status == 200, reply
        seconds.append(wait_until(lambda: server.operation(model_id).get("done"), 900, 0.02))  # noqa: B023
        assert server.phase(model_id) == "CANCELLED"
        steps.append(_step_seconds(server.operation(model_id)["metadata"]["snapshots"]))
        state = server.ask("GET", f"tunedModels/{model_id}")[1]["state"]
        assert state == "ACTIVE", state
    left = len(children(server.pid))
    server.stop()
    return {
        "base": base,
        "cancels": count,
        "seconds": [round(one, 2) for one in sorted(seconds)],
        "median seconds a step": round(median(steps), 2),
        "children while the server waits": left,
        "processes after its stop": sum(psutil.pid_exists(pid) for pid in processes),
    }


def _steps(server: Served, model_id: str) -> int:
    return int(server.operation(model_id)["metadata"].get("completedSteps", 0))


def _step_seconds(snapshots: list[dict[str, Any]]) -> float:
    times = [datetime.fromisoformat(snapshot["computeTime"]).timestamp() for snapshot in snapshots]
    return median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base")
    parser.add_argument("--bases", type=Path)
    parser.add_argument("--count", type=int, default=20)
    asked = parser.parse_args()
    if (asked.base is None) != (asked.bases is None):
        parser.error("--base and --bases belong together")
    if asked.base is None:
        with in_a_new_home() as home, Served.fake(home) as server:
            print(json.dumps(cancels(server, "tiny", asked.count)))  # noqa: T201
        return
    with in_a_home_with(asked.bases) as home, Served.real(home, {"TUNERY_BASE": asked.base}) as server:
        print(json.dumps(cancels(server, asked.base, asked.count)))  # noqa: T201


if __name__ == "__main__":
    main()
