"""
The whole application over a library of its own, without worker and children: for routes that need no tensors.

Tasks stand where a test puts them, with the statements that a worker uses. The one place where tests of these routes
make callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from starlette.testclient import TestClient
from starlette.types import ASGIApp

from tests.engine.tiny_bases import make_folder
from tests.server.accounts_app import ADDRESS, Clock, make_accounts
from tests.service.samples import CountingHere, a_curve, a_request, tuned, write_adapter
from tunery.config import ALONE, Shared
from tunery.engine.catalog import Catalog
from tunery.errors import TuneryError, Unavailable
from tunery.server.app import make_app
from tunery.server.http import Services
from tunery.service.access import TUNING
from tunery.service.answering import Answering
from tunery.service.bases import Downloads
from tunery.service.creation import Creation, seconds_left
from tunery.service.library import Library
from tunery.service.reports import DataChecks, DataCurves, Evaluations
from tunery.service.tuning import Progress
from tunery.types import Phase, TunedModel, TuningTask

OWNER = "owner@example.com"
BASE = "tiny"
EXAMPLES = [{"textInput": str(n), "output": str(n + 1)} for n in range(15)]


class _NobodyAnswers:
    """A stand-in for the answering child: a call that gets here was allowed."""

    def ask(self, *_: object) -> int:
        raise Unavailable("Nothing is answered here.")

    count = ask

    def require_room(self, *_: object) -> None:
        pass

    def drop(self, _number: int) -> None:
        pass


class Api:
    """A library behind the routes, and its owner as the caller."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.accounts = make_accounts(library, Clock())
        catalog = Catalog(library.folder.path, BASE)
        self.services = SimpleNamespace(
            library=library,
            catalog=catalog,
            accounts=self.accounts,
            answering=_NobodyAnswers(),
            creation=Creation(library, catalog, cast(Answering, CountingHere(library.folder.path))),
            estimates=SimpleNamespace(left=lambda model: seconds_left(model.task)),  # no base has to be loaded
            evaluations=Evaluations(library, cast(Answering, None), catalog),  # not started
            data_checks=DataChecks(library, catalog),
            data_curves=DataCurves(library, catalog),
            downloads=Downloads(catalog),
            worker=SimpleNamespace(wake=lambda: None, usage_of=lambda _task_id: None),
            address=ADDRESS,
        )
        self.app = make_app(cast(Services, self.services))
        self.web = self.client(OWNER)

    def clear(self) -> None:
        """Delete all tuned models."""
        for model in self.library.list():
            self.library.delete(model.id)

    def client(self, user: str | None = None, scope: str = TUNING, key: str | None = None) -> TestClient:
        """Return a client with a token of a user, added if missing; without a user, an unknown caller."""
        headers = {"x-goog-api-key": key} if key else {}
        if user is not None:
            if user not in {known.id for known in self.accounts.users.all()}:
                self.accounts.users.add(user)
            _, secret = self.accounts.tokens.create_plain(user, [scope], 30)
            headers["authorization"] = f"Bearer {secret}"
        return TestClient(self.app, base_url=ADDRESS, headers=headers, raise_server_exceptions=False)

    def queued(self, model_id: str, **changes: Any) -> TunedModel:
        """Return a tuned model whose task is queued."""
        return self.library.create(a_request(id=model_id, user_id=OWNER, **changes))

    def running(self, model_id: str, steps: int = 3, **changes: Any) -> TuningTask:
        """Return the task of a tuned model, claimed and after this many steps."""
        task = self.library.claim("a test", task_id=self.queued(model_id, **changes).task.id)
        assert task is not None
        self.library.heartbeat(task, Phase.RUNNING, Progress(step=steps, snapshots=a_curve(steps)))
        return task

    def active(self, model_id: str, **changes: Any) -> TunedModel:
        """Return a tuned model that is ACTIVE."""
        return tuned(self.library, id=model_id, user_id=OWNER, **changes)

    def cancelled(self, model_id: str) -> TunedModel:
        """Return a tuned model that was cancelled after three steps."""
        task = self.running(model_id)
        self.library.request_cancel(model_id)
        return self.library.finish(task, Phase.CANCELLED, published=self.library.folder.publish(task, write_adapter))

    def failed(self, model_id: str, error: TuneryError) -> TunedModel:
        """Return a tuned model whose task failed after three steps."""
        return self.library.finish(self.running(model_id), Phase.FAILED, error=error)

    def create(
        self,
        model_id: str | None = None,
        *,
        task: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> Any:
        """Ask for a tuned model on 15 number pairs; return the reply."""
        wish = {"trainingData": {"examples": {"examples": EXAMPLES}}, **(task or {})}
        body = {"baseModel": f"models/{BASE}", "displayName": "numbers", "tuningTask": wish, **fields}
        query = {} if model_id is None else {"tunedModelId": model_id}
        return self.web.post("/v1beta/tunedModels", params=query, json=body, headers=headers)


@dataclass
class Called:
    """A reply to `called`, and how often the server waited for a part of the body."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    waits: int = 0


async def called(
    app: ASGIApp, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"{}"
) -> Called:
    """Return the reply of an application to a request; in one event loop, many may run at once."""
    reply = Called()
    path, _, query = path.partition("?")

    async def receive() -> dict[str, Any]:
        reply.waits += 1
        if reply.waits > 1:  # the client stays
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            reply.body += message.get("body", b"")

    given = {"host": "127.0.0.1:8000", "content-length": str(len(body)), **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "state": {},
    }
    await app(scope, receive, send)
    return reply


@contextmanager
def serving_api(home: Path, base: Path, shared: Shared = ALONE) -> Iterator[Api]:
    """Yield the application over a data folder with the base `tiny`, whose files are at `base`."""
    Catalog(home).add(str(base), BASE)
    with Library.own(home, shared=shared) as library:
        yield Api(library)


def write_base(folder: Path) -> Path:
    """Write the files of the base `tiny`."""
    return make_folder(folder)


def error_of(reply: Any) -> dict[str, Any]:
    """Return the error object of a reply, after its envelope was checked."""
    assert reply.headers["content-type"] == "application/json; charset=UTF-8"
    body = reply.json()
    assert set(body) == {"error"}, body
    error: dict[str, Any] = body["error"]
    assert {"code", "message", "status"} <= set(error) <= {"code", "message", "status", "details"}
    assert error["code"] == reply.status_code
    return error


def names(api: Api, **query: Any) -> list[str]:
    """Return the ids that a list shows, page after page."""
    found: list[str] = []
    token = ""
    while True:
        reply = api.web.get("/v1beta/tunedModels", params={**query, **({"pageToken": token} if token else {})})
        assert reply.status_code == 200, reply.text
        page = reply.json()
        found += [model["name"].removeprefix("tunedModels/") for model in page.get("tunedModels", [])]
        token = page.get("nextPageToken", "")
        if not token:
            return found


def settings_of(api: Api, model_id: str) -> dict[str, Any]:
    """Return the hyperparameters that a tuned model shows."""
    found: dict[str, Any] = api.web.get(f"/v1beta/tunedModels/{model_id}").json()["tuningTask"]["hyperparameters"]
    return found
