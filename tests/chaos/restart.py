"""
The server is killed with a long queue, a running task and a thousand finished ones, and started again.

    python -m tests.chaos.restart --queued 200 --finished 1000    # prints one line of JSON

There is one worker, so one task is running when the server is killed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from tests.chaos.served import Served, wait_until
from tests.chaos.template import in_a_new_home
from tests.service.samples import a_request, tuned
from tunery.engine.catalog import Catalog
from tunery.service.library import Library


def seed(home: Path, queued: int, finished: int) -> None:
    """Fill a data folder with ACTIVE models, one long task, and tasks waiting behind it."""
    digest = Catalog(home).digest("tiny")
    with Library.own(home) as library:
        for number in range(finished):
            tuned(library, id=f"finished-{number}")
        for number in range(queued + 1):
            library.create(a_request(id=f"queued-{number}", base_model="tiny", base_digest=digest))


def restart(home: Path, queued: int, finished: int) -> dict[str, object]:
    """Return how long a start takes, how long until the running task continues, and what is missing afterwards."""
    seed(home, queued, finished)
    server = Served.fake(home, step_seconds=1.0).start()
    first = server.start_seconds
    wait_until(lambda: len(server.steps) >= 2)
    before = {model["name"] for model in server.models()}
    server.kill()
    begin, steps = time.monotonic(), len(server.steps)
    with server:
        ready = server.start_seconds
        page = _seconds(lambda: server.ask("GET", "tunedModels?page_size=50"))
        wait_until(lambda: len(server.steps) > steps)
        goes_on = time.monotonic() - begin
        after = {model["name"] for model in server.models()}
        is_same = server.steps[steps][2] == server.steps[steps - 1][2]
    return {
        "queued": queued, "finished": finished, "running": 1,
        "ready s, first start and after the kill": [round(first, 2), round(ready, 2)],
        "running task goes on s": round(goes_on, 2), "the same task": is_same, "first page s": round(page, 3),
        "lost": len(before - after), "listed": len(after),
    }  # fmt: skip


def _seconds(work: object) -> float:
    begin = time.monotonic()
    work()  # type: ignore[operator]
    return time.monotonic() - begin


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--queued", type=int, default=200)
    parser.add_argument("--finished", type=int, default=1000)
    asked = parser.parse_args()
    with in_a_new_home() as home:
        print(json.dumps(restart(home, asked.queued, asked.finished)))  # noqa: T201


if __name__ == "__main__":
    main()
