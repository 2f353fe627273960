"""
A server process, to be called, stopped, frozen and killed, and its child processes.

Tests authenticate with `proof`, and nowhere else.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

Read = TypeVar("Read")

MAX_WAIT_SECONDS = 300  # the tuning process has a low priority, and tests keep all cores busy
FAKE = ("-m", "tests.chaos.server")
REAL = ("-m", "tunery", "serve", "--port", "0")


def proof(home: Path) -> dict[str, str]:
    """Return the headers that authenticate the owner of a data folder at its running server."""
    return {"Authorization": f"Bearer {(home / 'local-token').read_text().strip()}"}


class Served:
    """A server process on a data folder; `start` returns when it answers."""

    def __init__(self, home: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.home, self._arguments = home, arguments
        self._environment = {**os.environ, "TUNERY_HOME": str(home), "HF_HUB_OFFLINE": "1", **(environment or {})}
        self._errors = home.parent / f"{home.name}.errors"
        self._errors.unlink(missing_ok=True)  # another server's "Serving at" is not this one's
        self.starts = 0
        self.start_seconds = 0.0
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def fake(
        cls,
        home: Path,
        *,
        lease_seconds: float = 10.0,
        step_seconds: float = 0.02,
        environment: dict[str, str] | None = None,
    ) -> Served:
        """Return a server whose trainer computes nothing; its steps are noted in `steps`."""
        steps = {"TUNERY_TEST_STEPS": str(_steps(home)), "TUNERY_TEST_STEP_SECONDS": str(step_seconds)}
        return cls(home, *FAKE, str(home), str(lease_seconds), environment=steps | (environment or {}))

    @classmethod
    def real(cls, home: Path, environment: dict[str, str] | None = None) -> Served:
        """Return a server as users start it."""
        return cls(home, *REAL, environment=environment)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """All that the server and its children wrote to standard error, across restarts."""
        return self._errors.read_text("utf-8", errors="replace") if self._errors.exists() else ""

    @property
    def steps(self) -> list[tuple[float, int, str, int, int]]:
        """Steps of the fake trainer: monotonic time, process, task, claim, step."""
        path = _steps(self.home)
        lines = path.read_text().splitlines() if path.exists() else []
        rows = (line.split() for line in lines)
        return [(float(row[0]), int(row[1]), row[2], int(row[3]), int(row[4])) for row in rows]

    @property
    def last_step_at(self) -> float:
        """Return the monotonic time of the fake trainer's last step, or 0."""
        path = _steps(self.home)
        if not path.exists():
            return 0.0
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 200))
            *_, last = [b"0", *file.read().split(b"\n")[:-1]]  # behind the last line break, one may be half written
        return float(last.split()[0])

    def start(self) -> Served:
        """Start, and wait until it answers."""
        begin = time.monotonic()
        self.starts += 1
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments], env=self._environment, stdin=subprocess.DEVNULL, stdout=errors,
                stderr=errors, start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: self.said.count("Serving at") >= self.starts or self._process.poll() is not None)  # type: ignore[union-attr]
        assert self._process.poll() is None, self.said
        self.port = int(self.said.rpartition("Serving at")[2].split()[0].rpartition(":")[2])
        self.start_seconds = time.monotonic() - begin
        return self

    def __enter__(self) -> Served:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_group(self) -> None:
        """Kill the server and its children at one moment, as a power cut does."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Stop the server as a service manager does, or by another signal; return the seconds it took."""
        assert self._process is not None
        begin = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(30)
        return time.monotonic() - begin

    def exit_status(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Return status and document of one request on a new connection."""
        status, content = self.ask_raw(method, path, body, headers)
        return status, json.loads(content or b"null")

    def ask_raw(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and content of one request on a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
            connection.request(method, f"/v1beta/{path}", content, proof(self.home) | (headers or {}))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def create(self, model_id: str | None = None, **body: Any) -> tuple[int, Any]:
        """Create a tuned model."""
        query = "" if model_id is None else f"?tuned_model_id={model_id}"
        return self.ask("POST", f"tunedModels{query}", creation_body(**body))

    def phase(self, model_id: str) -> str:
        """Return the phase of the task of a tuned model."""
        operation = self.operation(model_id)
        return str(operation["metadata"]["phase"])

    def operation(self, model_id: str) -> dict[str, Any]:
        """Return the operation of a tuned model."""
        status, page = self.ask("GET", f"tunedModels/{model_id}/operations?extensions=true")
        assert status == 200, page
        return dict(page["operations"][0])

    def models(self) -> list[dict[str, Any]]:
        """Return all tuned models."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            status, page = self.ask("GET", f"tunedModels?page_size=1000&page_token={token}")
            assert status == 200, page
            found += page.get("tunedModels", [])
            token = page.get("nextPageToken", "")
            if not token:
                return found

    def tuning_child(self) -> psutil.Process | None:
        """Return the process that tunes, once it has lowered its priority."""
        return next((child for child in children(self.pid) if _niceness(child) > self._niceness), None)

    def answering_child(self) -> psutil.Process | None:
        """Return the process that answers."""
        return next((child for child in children(self.pid) if _niceness(child) <= self._niceness), None)

    @property
    def _niceness(self) -> int:
        return _niceness(psutil.Process(self.pid))  # not 0 where the tests themselves run with `nice`


def creation_body(
    examples: Sequence[tuple[str, str]] | int = 4, *, epochs: int = 5, base: str = "tiny", **more: Any
) -> Any:
    """Return the body of a creation; with batches of 4, 4 examples are one step per epoch."""
    rows = [(str(n), str(n + 1)) for n in range(examples)] if isinstance(examples, int) else examples
    inner = [{"textInput": text_input, "output": output} for text_input, output in rows]
    task = {
        "hyperparameters": {"epochCount": epochs, "batchSize": 4, "learningRate": 0.001},
        "trainingData": {"examples": {"examples": inner}},
    }
    return {"displayName": "numbers", "baseModel": f"models/{base}", "tuningTask": task, **more}


def family(pid: int) -> list[psutil.Process]:
    """Return a server and all processes below it."""
    found = of_living([psutil.Process(pid)], lambda server: [server, *server.children(recursive=True)])
    return found[0] if found else []


def children(pid: int) -> list[psutil.Process]:
    """Return the child processes of a server."""
    found = family(pid)[1:]
    commands = of_living(found, lambda child: (child, " ".join(child.cmdline())))
    return [child for child, command in commands if "spawn_main" in command]


def of_living(processes: Iterable[psutil.Process], read: Callable[[psutil.Process], Read]) -> list[Read]:
    """Return what `read` gives for each process, without those that have ended meanwhile."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found.append(read(process))
    return found


def wait_until(is_so: Callable[[], object], seconds: float = MAX_WAIT_SECONDS, pause: float = 0.01) -> float:
    """Wait for a condition; return the seconds it took."""
    begin = time.monotonic()
    while not is_so():
        assert time.monotonic() - begin < seconds, "waited too long"
        time.sleep(pause)
    return time.monotonic() - begin


def _niceness(process: psutil.Process) -> int:
    try:
        return int(process.nice())
    except psutil.NoSuchProcess:
        return -1


def _steps(home: Path) -> Path:
    return home.parent / f"{home.name}.steps"
