"""
Where `tunery keys` and `tunery users` do their work: in the data folder, or by the server that owns it.

Both doors take the same calls and give the documents of the API. Knows the accounts and HTTP; no terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from tunery.cli.remote import Document, Remote, local_server
from tunery.errors import FailedPrecondition, FolderLocked, NotFound

if TYPE_CHECKING:
    from tunery.service.account_values import ApiKey, ServiceAccountKey
    from tunery.service.accounts import Accounts

PREFIX = "/v1beta/accounts"


class Administration(Protocol):
    """What can be done about users and keys; documents have the names of the API."""

    address: str | None  # of the server, if one is running

    def list_users(self) -> list[Document]: ...
    def add_user(self, address: str, password: str | None, *, is_admin: bool) -> Document: ...
    def set_password(self, user: str, password: str) -> Document: ...
    def set_disabled(self, user: str, is_disabled: bool) -> Document: ...
    def setup_link(self, user: str) -> str: ...
    def list_keys(self) -> list[Document]: ...
    def create_key(self, label: str, user: str | None) -> Document: ...
    def add_key_file(self, address: str, public_key: str, user: str, label: str) -> Document: ...
    def list_tokens(self) -> list[Document]: ...
    def revoke(self, key: str) -> None: ...


@contextmanager
def administration(data_folder: Path) -> Iterator[Administration]:
    """Give the door to the accounts of a data folder; raises FolderLocked if its owner is not a server."""
    from tunery.service.accounts import Accounts
    from tunery.service.library import Library

    with ExitStack() as stack:
        try:
            library = stack.enter_context(Library.own(data_folder))
        except FolderLocked:
            address, token = local_server(data_folder)
            yield Served(stack.enter_context(Remote(address, token)))
            return
        yield Direct(Accounts(library.database, library.folder))


class Direct:
    """The accounts in a data folder that nobody else uses."""

    def __init__(self, accounts: Accounts) -> None:
        from tunery.server.wire import accounts as wire

        self._accounts, self._wire = accounts, wire
        self.address: str | None = None

    def list_users(self) -> list[Document]:
        return [self._wire.UserMessage.of(user).json_object() for user in self._accounts.users.all()]

    def add_user(self, address: str, password: str | None, *, is_admin: bool) -> Document:
        user = self._accounts.users.add(address, password, is_admin=is_admin)
        return self._wire.UserMessage.of(user).json_object()

    def set_password(self, user: str, password: str) -> Document:
        return self._wire.UserMessage.of(self._accounts.users.set_password(user, password)).json_object()

    def set_disabled(self, user: str, is_disabled: bool) -> Document:
        return self._wire.UserMessage.of(self._accounts.users.set_disabled(user, is_disabled)).json_object()

    def setup_link(self, user: str) -> str:
        raise FailedPrecondition(f"A link for {user} leads to a running server. Start one with `tunery serve`.")

    def list_keys(self) -> list[Document]:
        api_keys, key_files = self._accounts.keys.all(), self._accounts.keys.service_accounts()
        keys: list[ApiKey | ServiceAccountKey] = [*api_keys, *key_files]
        return [self._wire.KeyMessage.of(key).json_object() for key in keys]

    def create_key(self, label: str, user: str | None) -> Document:
        return self._wire.KeyMessage.of(*self._accounts.keys.create(label, user)).json_object()

    def add_key_file(self, address: str, public_key: str, user: str, label: str) -> Document:
        key = self._accounts.keys.add_service_account(address, public_key, user, label)
        return self._wire.KeyMessage.of(key).json_object()

    def list_tokens(self) -> list[Document]:
        return [self._wire.TokenMessage.of(token).json_object() for token in self._accounts.tokens.all()]

    def revoke(self, key: str) -> None:
        try:
            self._accounts.keys.revoke(key)
        except NotFound as error:
            _try_token(lambda: self._accounts.tokens.revoke_by_id(key), error)


class Served:
    """The accounts behind the server that owns a data folder."""

    def __init__(self, server: Remote) -> None:
        self._server = server
        self.address: str | None = server.address

    def list_users(self) -> list[Document]:
        return self._listed("users")

    def add_user(self, address: str, password: str | None, *, is_admin: bool) -> Document:
        body = {"id": address, "password": password, "isAdmin": is_admin}
        return self._server.call("POST", f"{PREFIX}/users", body)

    def set_password(self, user: str, password: str) -> Document:
        return self._server.call("PATCH", f"{PREFIX}/users/{quote(user, safe='')}", {"password": password})

    def set_disabled(self, user: str, is_disabled: bool) -> Document:
        return self._server.call("PATCH", f"{PREFIX}/users/{quote(user, safe='')}", {"isDisabled": is_disabled})

    def setup_link(self, user: str) -> str:
        return str(self._server.call("POST", f"{PREFIX}/setupLinks", {"user": user})["uri"])

    def list_keys(self) -> list[Document]:
        return self._listed("keys")

    def create_key(self, label: str, user: str | None) -> Document:
        return self._server.call("POST", f"{PREFIX}/keys", {"label": label, "user": user})

    def add_key_file(self, address: str, public_key: str, user: str, label: str) -> Document:
        body = {"address": address, "publicKey": public_key, "user": user, "label": label}
        return self._server.call("POST", f"{PREFIX}/keys", body)

    def list_tokens(self) -> list[Document]:
        return self._listed("tokens")

    def revoke(self, key: str) -> None:
        name = quote(key, safe="")
        try:
            self._server.call("DELETE", f"{PREFIX}/keys/{name}")
        except NotFound as error:
            _try_token(lambda: self._server.call("DELETE", f"{PREFIX}/tokens/{name}"), error)

    def _listed(self, resource: str) -> list[Document]:
        found: list[Document] = self._server.call("GET", f"{PREFIX}/{resource}").get(resource, [])
        return found


def _try_token(revoke: Any, error: NotFound) -> None:
    """Revoke a token by an id that is none of a key; raises the error about the key if it is none of a token either."""
    try:
        revoke()
    except NotFound:
        raise error from None
