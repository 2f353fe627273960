"""
Calls of commands to a running server: JSON in, JSON out, errors as tunery raises them.

Knows HTTP as a client; nothing of what is asked. A token goes out over TLS, or does not leave this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tunery import errors
from tunery.errors import FailedPrecondition, FolderLocked, InvalidArgument, TuneryError, Unavailable

TIMEOUT_SECONDS = 30
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

Document = dict[str, Any]


class Remote:
    """A server at an address, with a token for it; to be used in a `with` block."""

    def __init__(self, address: str, token: str | None = None) -> None:
        import httpx2

        self.address = checked_address(address)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # what goes to this machine does not go through the proxy of a company
        trusts_proxy = urlsplit(self.address).hostname not in _LOOPBACK_NAMES
        self._client = httpx2.Client(
            base_url=self.address, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=trusts_proxy
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Document:
        """Return the reply to a call of the API; raises what the server says went wrong."""
        reply = self._sent(method, path, json=body)
        document = _document(reply)
        if reply.status_code >= 400:
            raise _error(document, reply.status_code)
        return document

    def form(self, path: str, fields: Mapping[str, str]) -> tuple[int, Document]:
        """Return status and reply to a form, as the endpoints of the authorization server take it."""
        reply = self._sent("POST", path, data=fields)
        return reply.status_code, _document(reply)

    def _sent(self, method: str, path: str, **content: Any) -> Any:
        import httpx2

        try:
            return self._client.request(method, path, **content)
        except httpx2.TransportError as error:
            raise Unavailable(
                f"No server answers at {self.address} ({type(error).__name__}). Is it running?"
            ) from error


def checked_address(address: str) -> str:
    """Return an address without a slash at its end; raises InvalidArgument unless tokens may be sent there."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidArgument(f"{address!r} is not the address of a server, such as https://tunery.example.")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK_NAMES:
        raise InvalidArgument(f"{address} is not encrypted: your token could be read on its way. Use https.")
    return address.rstrip("/")


def local_server(data_folder: Path) -> tuple[str, str]:
    """
    Return address and local proof of the server that owns a data folder.

    Raises FailedPrecondition if there is none, FolderLocked if its owner is not a server.
    """
    from tunery.service.folder import DataFolder

    folder = DataFolder(data_folder)
    holder = folder.holder()
    if holder is None or not folder.local_token.exists():
        raise FailedPrecondition(
            f"No server uses the data folder {data_folder}. Start one with `tunery serve`, or name one with --server."
        )
    if holder.address is None:
        raise FolderLocked(f"Process {holder.pid} is using the data folder {data_folder}; wait until it is done.")
    return holder.address, folder.local_token.read_text("ascii").strip()


def _document(reply: Any) -> Document:
    try:
        document = reply.json()
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {}


def _error(document: Document, status: int) -> TuneryError:
    said = document.get("error")
    if not isinstance(said, dict):
        return Unavailable(f"The server answered {status} and did not say why. Is it a tunery server?")
    kinds = {kind.status: kind for kind in _own_kinds()}
    return kinds.get(str(said.get("status")), TuneryError)(str(said.get("message")))


def _own_kinds() -> list[type[TuneryError]]:
    """Return the classes that stand for a status themselves: those right below the base."""
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__base__ is TuneryError]
