"""
A server under load on this machine: polls, streams, creations and answers beside a running task.

    python -m benchmarks.load --rounds 5    # some ten minutes; each figure is a line of JSON in results/load.jsonl

The server is `tunery serve` as users start it, on a fresh data folder with the default base; task and examples are
those of `examples/tickets.csv`. What is compared is measured in turn, since other programs may use the machine too.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.load_clients import Calls, Connection, p95, repeat, rounded
from benchmarks.side_by_side import HERE, RESULTS, append
from tests.chaos.served import REAL, Served, proof, wait_until
from tunery import config
from tunery.types import DEFAULT_BASE_MODEL

FILE = RESULTS / "load.jsonl"
TICKETS = HERE.parent / "examples" / "tickets.csv"
POLLING_CLIENTS, STREAMING_CLIENTS, PAUSE_SECONDS = 50, 8, 1.0  # old clients poll without a pause; guides add one
QUESTION = {"contents": [{"parts": [{"text": "What comes after seven?"}]}]}
SHORT = {**QUESTION, "generationConfig": {"maxOutputTokens": 16, "temperature": 0}}
STORY = {"contents": [{"parts": [{"text": "Tell a long story about a fisherman and a storm."}]}],
         "generationConfig": {"maxOutputTokens": 200, "temperature": 0}}  # fmt: skip
LONG = {**QUESTION, "generationConfig": {"maxOutputTokens": 200, "temperature": 1.0}}
ASK = f"models/{DEFAULT_BASE_MODEL}:generateContent"
STREAM = f"models/{DEFAULT_BASE_MODEL}:streamGenerateContent?alt=sse"


class Load:
    """A server with the default base, and those who use it."""

    def __init__(self, server: Served) -> None:
        self.server = server
        self.numbers = itertools.count(1)
        with TICKETS.open(encoding="utf-8", newline="") as file:
            self.rows = [(row["text_input"], row["output"]) for row in csv.DictReader(file)]

    def connection(self) -> Connection:
        return Connection(self.server.port, proof(self.server.home))

    def first_snapshots(self, rounds: int) -> dict[str, Any]:
        """Seconds from the request that creates a task to its first snapshot, on a server that is idle."""
        seconds, created = [], []
        for _ in range(rounds):
            begin = time.perf_counter()
            name = self._create(epochs=100)
            created.append(1000 * (time.perf_counter() - begin))
            self._until_step(name, 1)
            seconds.append(time.perf_counter() - begin)
            self._delete(name)
        return {"seconds": [round(value, 2) for value in seconds], "median s": round(median(seconds), 2),
                "create, median ms": rounded(median(created))}  # fmt: skip

    def short_answers(self, rounds: int) -> dict[str, Any]:
        """Milliseconds of a short answer, idle and beside a task, in turn."""
        idle, beside = Calls(), Calls()
        for _ in range(rounds):
            self.answers(idle, 12)
            with self._task():
                self.answers(beside, 12)
        ratio = (p95(beside.milliseconds) or 0) / (p95(idle.milliseconds) or 1)
        medians = median(beside.milliseconds) / median(idle.milliseconds)
        return {"idle": idle.summary(), "beside a task": beside.summary(), "p95 ratio": round(ratio, 2),
                "median ratio": round(medians, 2)}  # fmt: skip

    def fair_share(self, rounds: int, seconds: float) -> dict[str, Any]:
        """Steps a second of a task and tokens a second of two long answers at a time, alone and together, in turn."""
        steps_alone, steps, tokens_alone, tokens, calls = [], [], [], [], Calls()
        for _ in range(rounds):
            tokens_alone.append(self._tokens_per_second(seconds, Calls()))
            with self._task(batch_size=1) as name:  # short steps: many in each window
                steps_alone.append(self._rate(name, lambda: time.sleep(seconds)))
                steps.append(self._rate(name, lambda: tokens.append(self._tokens_per_second(2 * seconds, calls))))
        return {"steps/s alone": _twice_rounded(steps_alone), "steps/s beside answers": _twice_rounded(steps),
                "tokens/s alone": _twice_rounded(tokens_alone), "tokens/s beside a task": _twice_rounded(tokens),
                "share of steps": round(median(steps) / median(steps_alone), 2),
                "share of tokens": round(median(tokens) / median(tokens_alone), 2),
                "long answers beside a task": calls.summary()}  # fmt: skip

    def _tokens_per_second(self, seconds: float, calls: Calls) -> float:
        """Ask two long questions again and again; return the tokens of all answers by the time until the last ended."""
        found: list[int] = []

        async def client(is_over: Callable[[], bool]) -> None:
            connection = self.connection()
            while not is_over():
                status, reply, milliseconds = await connection.call("POST", ASK, STORY)
                calls.note(status, milliseconds)
                found.append(json.loads(reply)["usageMetadata"]["candidatesTokenCount"])
            connection.close()

        begin = time.perf_counter()
        self.run(lambda is_over: [client(is_over), client(is_over)], seconds)
        return sum(found) / (time.perf_counter() - begin)

    def polling(self, rounds: int, seconds: float, pause: float) -> dict[str, Any]:
        """Steps a second of a task in turn without and with clients that poll it."""
        alone, polled, calls = [], [], Calls()
        with self._task() as name:
            for _ in range(rounds):
                alone.append(self._rate(name, lambda: time.sleep(seconds)))
                polled.append(self._rate(name, lambda: self.run(self._polls(name, calls, pause), seconds)))
        slower = 1 - median(polled) / median(alone)
        return {"pause s": pause, "steps/s alone": [round(rate, 2) for rate in alone],
                "steps/s polled": [round(rate, 2) for rate in polled], "slower by %": rounded(100 * slower),
                "polls": calls.summary()}  # fmt: skip

    def everything(self, seconds: float) -> dict[str, Any]:
        """Polls, streams and creations at once beside a running task."""
        polls, streams, creations = Calls(), Calls(), Calls()

        def clients(is_over: Callable[[], bool]) -> list[Coroutine[Any, Any, None]]:
            streaming = [
                repeat(self.connection(), streams, is_over, 0, "POST", STREAM, LONG) for _ in range(STREAMING_CLIENTS)
            ]
            created = repeat(self.connection(), creations, is_over, 0.5, "POST", "tunedModels", self._wish(5))
            return [*self._polls(name, polls, PAUSE_SECONDS)(is_over), *streaming, created]

        with self._task() as name:
            rate = self._rate(name, lambda: self.run(clients, seconds))
        self._delete_all()
        return {"polls": polls.summary(), "streams": streams.summary(), "creations": creations.summary(),
                "steps/s of the task": round(rate, 2)}  # fmt: skip

    def _polls(self, name: str, calls: Calls, pause: float) -> Callable[..., list[Coroutine[Any, Any, None]]]:
        def clients(is_over: Callable[[], bool]) -> list[Coroutine[Any, Any, None]]:
            return [
                repeat(self.connection(), calls, is_over, pause, "GET", name) for _ in range(POLLING_CLIENTS)
            ]  # fmt: skip

        return clients

    def run(self, clients: Callable[..., list[Coroutine[Any, Any, None]]], seconds: float) -> None:
        """Run clients, which are told when the time is over, until the last has ended."""

        async def run() -> None:
            end = time.perf_counter() + seconds
            await asyncio.gather(*clients(lambda: time.perf_counter() > end))

        asyncio.run(run())

    def answers(self, calls: Calls, count: int) -> None:
        """Ask short questions one after the other, with a pause between."""

        async def ask() -> None:
            connection = self.connection()
            for _ in range(count):
                status, _, milliseconds = await connection.call("POST", ASK, SHORT)
                calls.note(status, milliseconds)
                await asyncio.sleep(0.1)
            connection.close()

        asyncio.run(ask())

    def _rate(self, name: str, meanwhile: Callable[[], None]) -> float:
        """Return steps a second while something else is done, by the times that the steps themselves carry."""
        first = self._last_snapshot(name)
        meanwhile()
        last = self._last_snapshot(name)
        if last["step"] == first["step"]:
            return 0.0
        seconds = (_time(last) - _time(first)).total_seconds()
        return float((last["step"] - first["step"]) / seconds)

    def _last_snapshot(self, name: str) -> dict[str, Any]:
        snapshot: dict[str, Any] = self.server.ask("GET", name)[1]["metadata"]["snapshots"][-1]
        return snapshot

    @contextmanager
    def _task(self, batch_size: int | None = None) -> Iterator[str]:
        """Give the operation of a task that has begun to step; it is deleted in the end."""
        name = self._create(epochs=10_000, batch_size=batch_size)
        self._until_step(name, 3)
        yield name
        self._delete(name)

    def _wish(self, epochs: int, batch_size: int | None = None) -> dict[str, Any]:
        examples = [{"textInput": text_input, "output": output} for text_input, output in self.rows]
        wished = {"epochCount": epochs, **({} if batch_size is None else {"batchSize": batch_size})}
        task = {"hyperparameters": wished, "trainingData": {"examples": {"examples": examples}}}
        base = f"models/{DEFAULT_BASE_MODEL}"
        return {"displayName": f"tickets {next(self.numbers)}", "baseModel": base, "tuningTask": task}

    def _create(self, epochs: int, batch_size: int | None = None) -> str:
        status, reply = self.server.ask("POST", "tunedModels", self._wish(epochs, batch_size))
        assert status == 200, reply
        return str(reply["name"])

    def _until_step(self, name: str, step: int) -> None:
        wait_until(lambda: self.server.ask("GET", name)[1]["metadata"]["completedSteps"] >= step)

    def _delete(self, name: str) -> None:
        child = self.server.tuning_child()
        self.server.ask("DELETE", name.partition("/operations/")[0])
        assert child is not None
        time.sleep(1)  # until its worker has found out

    def _delete_all(self) -> None:
        for model in self.server.models():
            self.server.ask("DELETE", model["name"])
        time.sleep(2)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    with served() as server:
        load = Load(server)
        load.answers(Calls(), 3)
        figures: dict[str, Callable[[], dict[str, Any]]] = {
            "create to first snapshot": lambda: load.first_snapshots(asked.rounds),
            "short answers": lambda: load.short_answers(asked.rounds),
            "fair share": lambda: load.fair_share(asked.rounds, asked.seconds),
            "polling": lambda: load.polling(asked.rounds, asked.seconds, PAUSE_SECONDS),
            "everything": lambda: load.everything(2 * asked.seconds),
        }
        for name, measure in figures.items():
            if not asked.only or name in asked.only:
                write(name, measure())


@contextmanager
def served(*options: str) -> Iterator[Served]:
    """Give a server with the default base, as users start it, when both its children are ready."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        (home / "bases").symlink_to(config.data_folder() / "bases")
        with Served(home, *REAL, *options) as server:
            wait_until(lambda: server.tuning_child() is not None)
            time.sleep(10)  # until both children have the base in memory, as on any server that runs
            yield server


def write(figure: str, found: dict[str, Any]) -> None:
    """Append what was found to the results, and print it."""
    cores = len(os.sched_getaffinity(0))
    line = {"figure": figure, "time": datetime.now(UTC).isoformat(timespec="seconds"), "cores": cores,
            "others' load": round(os.getloadavg()[0], 1), **found}  # fmt: skip
    append(FILE, [line])
    print(json.dumps(line), file=sys.stderr, flush=True)


def _twice_rounded(values: list[float]) -> list[float]:
    return [round(value, 2) for value in values]


def _time(snapshot: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(snapshot["computeTime"])


if __name__ == "__main__":
    main()
