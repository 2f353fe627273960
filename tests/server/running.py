"""A real server on a free port, with the routes on accounts only, for clients that open sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from tests.server.accounts_app import make_app
from tunery.service.accounts.accounts import Accounts
from tunery.service.library import Library


@dataclass(frozen=True)
class Running:
    """A running server."""

    address: str
    accounts: Accounts


@contextmanager
def running_server(home: Path) -> Iterator[Running]:
    """Serve a data folder as `tunery serve` does, without models."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Library.own(home, address) as library:
            accounts = Accounts(library.database, library.folder, address=address)
            accounts.local_token.start()
            config = uvicorn.Config(make_app(accounts, address), log_level="warning", lifespan="off")
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield Running(address, accounts)
            finally:
                server.should_exit = True
                thread.join()
                accounts.local_token.stop()
