"""An export whose client leaves is given up, and the next one can begin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.api import Api, called
from tunery.errors import Cancelled
from tunery.server import exports
from tunery.service.export import ExportOrder


def test_an_export_nobody_waits_for_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the client closes its connection the work ends, its folder goes, and another export is made."""
    api.active("numbers")
    has_begun, was_unwanted = threading.Event(), threading.Event()

    def made_slowly(_order: ExportOrder, folder: Path, is_unwanted: Callable[[], bool]) -> None:
        if was_unwanted.is_set():
            return
        (folder / "half").touch()
        has_begun.set()
        while not is_unwanted():
            was_unwanted.wait(0.01)
        was_unwanted.set()
        raise Cancelled("The client left.")

    monkeypatch.setattr(exports, "exported", made_slowly)
    monkeypatch.setattr(exports, "LOOK_SECONDS", 0.01)
    owner = {"authorization": api.web.headers["authorization"]}
    path = "/v1beta/tunedModels/numbers:export"

    async def run() -> int:
        leaving = asyncio.create_task(called(_leaving_when(has_begun, api.app), "GET", path, owner))
        await asyncio.wait_for(leaving, 30)
        return (await called(api.app, "GET", path, owner)).status

    assert asyncio.run(run()) == 200
    assert was_unwanted.is_set()
    assert list(api.library.folder.checkpoints.glob("export-*")) == []


def _leaving_when(has_begun: threading.Event, app: Any) -> Any:
    """Return an application whose client closes the connection once the export has begun."""

    async def asked(scope: Any, _receive: Any, send: Any) -> None:
        async def received() -> Any:
            if has_begun.is_set():
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": b"", "more_body": True}

        await app(scope, received, send)

    return asked
