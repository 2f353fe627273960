"""
Servers for the Studio to talk to: `tunery serve` as users start it, and people who may sign in there.

Knows processes and the API of accounts; nothing of browsers.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.chaos.served import Served
from tests.fakes import write_learnable_base
from tunery import config
from tunery.engine.catalog import Catalog
from tunery.types import DEFAULT_BASE_MODEL

BASE = "tiny"
DEFAULT = DEFAULT_BASE_MODEL
WINDOW = 2048  # tokens are bytes here, and a ticket has about 500
PASSWORD = "correct horse battery staple"

_people = itertools.count(1)


class Host(Served):
    """A server with a port that stays the same when it starts again."""

    @classmethod
    def on(cls, home: Path, base: str = BASE, environment: dict[str, str] | None = None) -> Host:
        """Return a server for a data folder; a `with` block starts and stops it."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        host = cls(
            home,
            "-m",
            "tests.forked",
            "serve",
            "--port",
            str(port),
            environment={"TUNERY_BASE": base, **(environment or {})},
        )
        host.port = port
        return host

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Stop the server within the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def printed_link(self) -> str:
        """Return the link that the server printed when it last started: each start ends the link before."""
        return [part for part in self.said.split() if part.startswith(f"{self.address}/setup?")][-1]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return the document of a request that must succeed, made by the owner of the data folder."""
        status, document = self.ask(method, path, body)
        assert status == 200, document
        return document

    def new_user(self, name: str) -> str:
        """Add a user whom no other test knows; returns the address."""
        known = {user["id"] for user in self.call("GET", "accounts/users")["users"]}  # of a folder that is used again
        address = next(address for number in _people if (address := f"{name}-{number}@example.com") not in known)
        self.call("POST", "accounts/users", {"id": address, "password": PASSWORD})
        return address

    def link(self, user: str) -> str:
        """Return a link that signs a user in once."""
        return str(self.call("POST", "accounts/setupLinks", {"user": user})["uri"])


def make_default_home(folder: Path) -> Path:
    """Return a data folder with the default base, which is not copied; FileNotFoundError if it is not there."""
    there = config.data_folder() / "bases" / DEFAULT
    (folder / "bases").mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (folder / "bases" / DEFAULT).symlink_to(there.resolve(strict=True))
    return folder


def make_home(folder: Path) -> Path:
    """Return a data folder with a tiny base that can learn, made below `folder`."""
    base = write_learnable_base(folder / "base", max_position_embeddings=WINDOW)
    Catalog(folder / "home").add(str(base), BASE)
    return folder / "home"
