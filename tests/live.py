"""A server with a tiny base and one tuned model, in this process and its children, and who may talk to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from tests import backend
from tests.engine.tiny_bases import make_folder
from tunery.engine.catalog import Catalog
from tunery.server.app import make_app
from tunery.server.http import Services
from tunery.server.serve import ServerSettings, listening, running, uvicorn_config

BASE = "tiny"
TUNED = "numbers"
MAX_WAIT_SECONDS = 300  # the tuning process has a low priority, and tests keep all cores busy


@dataclass(frozen=True)
class Server:
    """A running server."""

    home: Path
    address: str

    @property
    def token(self) -> str:
        """Return the token of the user at this machine: the one place where tests of this server know one."""
        return (self.home / "local-token").read_text().strip()

    def client(self, credential: str | None = None) -> httpx2.Client:
        """Return a client that shows this bearer, the local token if none is given."""
        headers = {"Authorization": f"Bearer {self.token if credential is None else credential}"}
        return httpx2.Client(base_url=self.address, headers=headers, timeout=MAX_WAIT_SECONDS, trust_env=False)

    def tune(
        self,
        client: httpx2.Client,
        model_id: str,
        rows: int | list[dict[str, str]] = 6,
        *,
        hold_out: str | None = None,
        **settings: Any,
    ) -> None:
        """Create a tuned model on these rows, or on this many numbers, and wait until its task has ended."""
        numbers = [{"textInput": str(n), "output": str(n + 1)} for n in range(rows)] if isinstance(rows, int) else rows
        task: dict[str, Any] = {
            "trainingData": {"examples": {"examples": numbers}},
            "hyperparameters": {"epochCount": 1, **settings},
        }
        if hold_out is not None:
            task["holdOut"] = hold_out
        body = {"baseModel": f"models/{BASE}", "displayName": model_id, "tuningTask": task}
        reply = client.post("/v1beta/tunedModels", params={"tunedModelId": model_id}, json=body)
        assert reply.status_code == 200, reply.text
        self.wait_until_done(client, reply.json()["name"])

    def found_out(self, client: httpx2.Client, model_id: str, verb: str, noun: str, **how: Any) -> dict[str, Any]:
        """Ask for an inquiry about a tuned model, and return it once it has ended."""
        reply = client.post(f"/v1beta/tunedModels/{model_id}:{verb}", json=how)
        assert reply.status_code == 200, reply.text
        found, give_up = reply.json(), time.monotonic() + MAX_WAIT_SECONDS
        assert found["state"] == "RUNNING"
        while found["state"] == "RUNNING":
            assert time.monotonic() < give_up, found
            time.sleep(0.05)
            found = client.get(f"/v1beta/tunedModels/{model_id}:{noun}").json()
        return dict(found)

    def wait_until_done(self, client: httpx2.Client, operation: str) -> dict[str, Any]:
        give_up = time.monotonic() + MAX_WAIT_SECONDS
        while not (found := client.get(f"/v1beta/{operation}").json()).get("done"):
            assert time.monotonic() < give_up, found
            time.sleep(0.05)
        return dict(found)


@dataclass(frozen=True)
class Live(Server):
    """A server in this process."""

    services: Services

    @property
    def key(self) -> str:
        """Return an API key: the one place where tests of this server know one."""
        return self.services.accounts.keys.create("a test")[1]


@contextmanager
def serving(home: Path, **settings: Any) -> Iterator[Live]:
    """
    Serve a data folder on a free port within the block, with these settings of the server.

    What it shares and who tunes is chosen for the whole test session, unless the settings say so.
    """
    with ExitStack() as stack:
        if not settings.keys() & {"shared", "tunes", "ray"}:
            evaluates = settings.get("evaluates", True)
            settings |= stack.enter_context(backend.tuning_for(home, BASE, evaluates=evaluates)).settings
        yield stack.enter_context(_serving(ServerSettings(home, BASE, port=0, **settings)))


@contextmanager
def _serving(chosen: ServerSettings) -> Iterator[Live]:
    with listening(chosen) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with running(chosen, address) as services:
            config = uvicorn_config(make_app(services))
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            try:
                while not server.started:
                    time.sleep(0.01)
                yield Live(chosen.data_folder, address, services)
            finally:
                server.should_exit = True
                thread.join()


def make_home(folder: Path) -> Path:
    """Return a data folder with the base `tiny`, made below `folder`."""
    Catalog(folder / "home").add(str(make_folder(folder / "base", max_position_embeddings=512)), BASE)
    return folder / "home"
