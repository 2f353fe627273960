"""
Three servers on one PostgreSQL database and one S3 store; every few seconds one of them is killed and started again.

    python -m tests.chaos.servers --requests 10000    # prints one line of JSON

Clients create, rename, share and delete tuned models, read them and walk through all pages, each request at a server
chosen at random. An acknowledged write has to be seen through every server from then on; a model that exists
throughout a walk has to be met exactly once. A write whose reply was lost may have happened or not, but not halfway.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import count
from typing import Any

from tests.chaos.served import Served, creation_body
from tests.chaos.template import in_a_new_home
from tests.postgres import serving_postgres
from tests.s3 import serving_s3

SERVERS, CLIENTS = 3, 8
KILL_SECONDS = 5.0
PAGE_SIZE = 20
MOST_MODELS = 12  # of each client
READER = "reader@example.com"
GIVE_UP_SECONDS = 120.0
SETTLE_SECONDS = 1.0  # after a lost reply; the database may still end what a killed server had begun
OPTIONS = ("-m", "tunery", "serve", "--port", "0", "--no-tuning")


class Lost(Exception):
    """The server ended before its reply had arrived."""


@dataclass
class Found:
    """What the clients saw, over all of them."""

    requests: int = 0
    kills: int = 0
    replies_lost: int = 0  # or not to be had, because the server was down
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # acknowledged and not seen, repeated or missing on pages

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def note(self, status: int | None) -> None:
        with self._lock:
            self.requests += 1
            if status is None:
                self.replies_lost += 1
            else:
                self.statuses[status] += 1

    def summary(self) -> dict[str, object]:
        statuses = {str(status): number for status, number in sorted(self.statuses.items())}
        return {
            "requests": self.requests, "kills": self.kills, "without a reply": self.replies_lost, "statuses": statuses,
            "wrong": len(self.wrong), "examples": self.wrong[:5],
        }  # fmt: skip


@dataclass
class Client:
    """One client with models of its own, whose state it knows from the replies."""

    name: str
    servers: list[Served]
    found: Found
    order: random.Random
    models: dict[str, dict[str, Any]] = field(default_factory=dict)  # by id: display name and whether it is shared
    numbers: Iterator[int] = field(default_factory=count)

    def act(self) -> None:
        """Do one thing, and look at a server chosen at random whether it is so."""
        model_id = self.order.choice(list(self.models)) if self.models else None
        if model_id is None or (len(self.models) < MOST_MODELS and self.order.random() < 0.3):
            self._write(f"{self.name}-{next(self.numbers)}", self._create)
        else:
            chosen = self.order.choice((self._rename, self._share, self._delete, self._look, self._look, self._walk))
            if chosen in (self._look, self._walk):
                chosen(model_id)
            else:
                self._write(model_id, chosen)

    def _write(self, model_id: str, act: Any) -> None:
        """Write; a lost reply is followed by a look at which of the two states there is."""
        before = self.models.get(model_id)
        try:
            after = act(model_id, before)
        except Lost:
            time.sleep(SETTLE_SECONDS)
            after, seen = self._expected(model_id, act, before), self._seen(model_id)
            if seen not in (before, after):
                self.found.wrong.append(f"{model_id} is {seen} after a lost reply; it was {before}")
            after = seen
        if after is None:
            self.models.pop(model_id, None)
        else:
            self.models[model_id] = after
        self._look(model_id)

    def _create(self, model_id: str, before: dict[str, Any] | None) -> dict[str, Any] | None:
        self._ask("POST", f"tunedModels?tuned_model_id={model_id}", creation_body())
        return self._expected(model_id, self._create, before)

    def _rename(self, model_id: str, before: dict[str, Any] | None) -> dict[str, Any] | None:
        self._new_name = f"name {next(self.numbers)}"
        self._ask("PATCH", f"tunedModels/{model_id}?updateMask=displayName", {"displayName": self._new_name})
        return self._expected(model_id, self._rename, before)

    def _share(self, model_id: str, before: dict[str, Any] | None) -> dict[str, Any] | None:
        if before is not None and before["is shared"]:
            self._ask("DELETE", f"tunedModels/{model_id}/permissions/{self._permission(model_id)}")
        else:
            grant = {"granteeType": "USER", "emailAddress": READER, "role": "READER"}
            self._ask("POST", f"tunedModels/{model_id}/permissions", grant)
        return self._expected(model_id, self._share, before)

    def _delete(self, model_id: str, before: dict[str, Any] | None) -> dict[str, Any] | None:
        self._ask("DELETE", f"tunedModels/{model_id}")
        return self._expected(model_id, self._delete, before)

    def _expected(self, model_id: str, act: Any, before: dict[str, Any] | None) -> dict[str, Any] | None:  # noqa: ARG002
        """Return what a model is after a write."""
        if act == self._create:
            return {"name": "numbers", "is shared": False}
        if act == self._delete or before is None:
            return None
        if act == self._rename:
            return {**before, "name": self._new_name}
        return {**before, "is shared": not before["is shared"]}

    def _look(self, model_id: str) -> None:
        seen, wanted = self._seen(model_id), self.models.get(model_id)
        if seen != wanted:
            self.found.wrong.append(f"{model_id} is {seen}, not {wanted}")

    def _seen(self, model_id: str) -> dict[str, Any] | None:
        """Return what a model is, at a server chosen at random."""
        status, model = self._read(f"tunedModels/{model_id}")
        if status == 404:
            return None
        return {"name": model["displayName"], "is shared": self._permission(model_id) is not None}

    def _permission(self, model_id: str) -> str | None:
        listed = self._read(f"tunedModels/{model_id}/permissions?pageSize=50")[1].get("permissions", [])
        names = [one["name"].rpartition("/")[2] for one in listed if one.get("emailAddress") == READER]
        return names[0] if names else None

    def _walk(self, _: str) -> None:
        """Walk through all pages; those of the own models do not change meanwhile."""
        met: Counter[str] = Counter()
        token = ""
        while True:
            _, page = self._read(f"tunedModels?pageSize={PAGE_SIZE}&pageToken={token}")
            met.update(model["name"].removeprefix("tunedModels/") for model in page.get("tunedModels", []))
            token = page.get("nextPageToken", "")
            if not token:
                break
        for model_id in self.models:
            if met[model_id] != 1:
                self.found.wrong.append(f"{model_id} was met {met[model_id]} times on the pages")

    def _read(self, path: str) -> tuple[int, Any]:
        """Return a reply of the first server that gives one."""
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                return self._ask("GET", path)
            except Lost:
                assert time.monotonic() < give_up, f"no server answers {path}"
                time.sleep(0.05)

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the reply of a server chosen at random; raises Lost if there is none, or a 503."""
        try:
            status, reply = self.order.choice(self.servers).ask(method, path, body)
        except (OSError, HTTPException, ValueError):
            self.found.note(None)
            raise Lost from None
        self.found.note(status)
        if status == 503:
            raise Lost
        if status != 200 and not (status == 404 and method == "GET"):
            self.found.wrong.append(f"{method} {path}: {status} {str(reply)[:200]}")
        return status, reply


def rolling_kills(requests: int, seed: int = 0, *, clients: int = CLIENTS, kill_seconds: float = KILL_SECONDS) -> Found:
    """Let clients work until they have made `requests` requests, while servers are killed in turn."""
    found, is_over = Found(), threading.Event()
    with three_servers() as servers:
        servers[0].ask("POST", "accounts/users", {"id": READER})
        killer = threading.Thread(target=_kill_in_turn, args=(servers, found, is_over, kill_seconds))

        def work(number: int) -> None:
            client = Client(f"client-{number}", servers, found, random.Random(f"{seed} {number}"))
            while found.requests < requests:
                client.act()

        killer.start()
        try:
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(work, range(clients)))
        finally:
            is_over.set()
            killer.join()
    return found


def _kill_in_turn(servers: list[Served], found: Found, is_over: threading.Event, seconds: float) -> None:
    for number in count():
        if is_over.wait(seconds):
            return
        server = servers[number % len(servers)]
        server.kill_group()
        found.kills += 1
        server.start()


@contextmanager
def three_servers() -> Iterator[list[Served]]:
    """Yield servers with data folders of their own, which share a database and a store."""
    with serving_postgres() as postgres, serving_s3() as bucket, ExitStack() as stack:
        environment = {
            "TUNERY_DATABASE_URL": postgres.url(),
            "TUNERY_STORE_URL": f"{bucket}/tunery",
            "TUNERY_BASE": "tiny",
        }
        servers = []
        for _ in range(SERVERS):
            home = stack.enter_context(in_a_new_home())
            servers.append(stack.enter_context(Served(home, *OPTIONS, environment=environment)))
        yield servers


def main() -> None:
    """Run the trial with the options of the command line; the exit status is 1 if anything is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    begin = time.monotonic()
    found = rolling_kills(given.requests, given.seed)
    print(json.dumps({**found.summary(), "seconds": round(time.monotonic() - begin)}))  # noqa: T201
    raise SystemExit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
