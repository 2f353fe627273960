"""
A locked database: another process holds it for twenty seconds while clients read and create, and a job is running.

    python -m tests.chaos.locked --seconds 20    # one JSON line

Only 200 and 503 with Retry-After are right answers; what was answered with 200 must be there afterwards.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.chaos.served import Served, creation_body, proof, wait_until
from tests.chaos.template import in_a_new_home

CLIENTS = 10
PAUSE_SECONDS = 0.2


class Clients:
    """Clients that read and create until they are stopped; each counts what it was answered."""

    def __init__(self, server: Served) -> None:
        self._server, self._is_over = server, threading.Event()
        self.answers: Counter[str] = Counter()
        self.created: list[str] = []
        self.slowest = 0.0
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        for turn in range(10_000):
            if self._is_over.wait(PAUSE_SECONDS):
                return
            model_id = f"during-{number}-{turn}"
            begin = time.monotonic()
            if turn % 2:
                self._count("read", *self._ask("GET", "tunedModels?page_size=10"))
            else:
                status, has_time = self._ask("POST", f"tunedModels?tuned_model_id={model_id}", creation_body())
                self._count("create", status, has_time)
                if status == 200:
                    self.created.append(model_id)
            self.slowest = max(self.slowest, time.monotonic() - begin)

    def _count(self, what: str, status: int, has_time: bool) -> None:
        self.answers[f"{what} {status}{'' if status != 503 or has_time else ' without Retry-After'}"] += 1

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, bool]:
        with closing(http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)) as connection:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, f"/v1beta/{path}", content, proof(self._server.home))
            reply = connection.getresponse()
            reply.read()
            return reply.status, reply.getheader("Retry-After") is not None


def lock(server: Served, seconds: float) -> dict[str, object]:
    """Return what was answered while the database was locked, and what was lost."""
    server.create("running", epochs=2_000)
    wait_until(lambda: len(server.steps) > 2)
    with Clients(server) as clients:
        time.sleep(2)
        clients.answers.clear()
        _hold(server.home / "tunery.sqlite3", seconds)
        during = dict(clients.answers)
        steps = len(server.steps)
        wait_until(lambda: len(server.steps) > steps)
        time.sleep(2)
    found = {model["name"].removeprefix("tunedModels/") for model in server.models()}
    lost = [model_id for model_id in clients.created if model_id not in found]
    unasked = [model_id for model_id in found if model_id != "running" and model_id not in clients.created]
    return {
        "locked s": seconds, "answers": during, "created": len(clients.created), "lost": len(lost),
        "made without an answer": len(unasked), "slowest answer s": round(clients.slowest, 1),
        "job after it": server.phase("running"),
    }  # fmt: skip


def _hold(path: Path, seconds: float) -> None:
    """Hold the database with a transaction of another connection, which to SQLite is another process."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        other.execute("ROLLBACK")


def main() -> None:
    """Run the measurement with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    with in_a_new_home() as home, Served.fake(home, step_seconds=0.2) as server:
        print(json.dumps(lock(server, asked.seconds)))  # noqa: T201


if __name__ == "__main__":
    main()
