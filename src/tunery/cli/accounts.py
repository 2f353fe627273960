"""
Where `tunery keys` and `tunery users` do their work: in the data folder, or by the server that owns it.

Both doors take the same calls and give the documents of the API. Knows the accounts and HTTP; no terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import quote

import typer

from tunery import config
from tunery.cli import login, output, terminal
from tunery.cli.client import Document, Remote, local_server
from tunery.cli.terminal import Json, argument, option
from tunery.errors import FailedPrecondition, FolderLocked, InvalidArgument, NotFound

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


keys = typer.Typer(help="Make, list and revoke API keys, key files and tokens.", no_args_is_help=True)

_LOCAL_USER = "local"
_USUAL_ADDRESS = "http://127.0.0.1:8000"


@keys.command()
def create(
    label: Annotated[str, option("What it is for.", "none", metavar="TEXT")] = "",
    user: Annotated[str | None, option("Whose it is.", "nobody's; of a key file yours", metavar="USER")] = None,
    service_account: Annotated[
        Path | None, option("Write a key file for a machine instead, to this new file.", "an API key", metavar="FILE")
    ] = None,
    json: Json = False,
) -> None:
    """Make an API key, or a key file with which a machine acts as a user."""
    if service_account is not None:
        _create_key_file(service_account, user or _LOCAL_USER, label, json=json)
        return
    with administration(config.data_folder()) as door:
        made = door.create_key(label, user)
    terminal.say("This is shown once. Callers with it may ask base models, and tuned models that everyone may read.")
    terminal.result(output.dumped(snake_case(made)) if json else str(made["secret"]))


@keys.command("list")
def list_keys(json: Json = False) -> None:
    """List API keys, key files and what keeps users signed in."""
    with administration(config.data_folder()) as door:
        found = [{"kind": "key file" if key.get("address") else "API key", **key} for key in door.list_keys()]
        found += [
            {"kind": "token" if token.get("client") is None else "login", **token} for token in door.list_tokens()
        ]
    if json:
        terminal.result(output.dumped([snake_case(key) for key in found]))
        return
    if not found:
        terminal.say("There are no keys. Next: tunery keys create")
        return
    rows = [
        (
            key["id"],
            key["kind"],
            key.get("user") or "",
            _day(key["createTime"]),
            _day(key.get("lastUseTime")),
            key["label"],
        )
        for key in found
    ]
    for line in terminal.table(("ID", "KIND", "USER", "CREATED", "LAST USED", "LABEL"), rows):
        terminal.result(line)


@keys.command()
def revoke(key: Annotated[str, argument("Id of an API key, a key file or a token.", "ID")]) -> None:
    """Revoke a key; whoever has it is out at once."""
    with administration(config.data_folder()) as door:
        door.revoke(key)
    terminal.say(f"Revoked {key}.")


def snake_case(document: dict[str, object]) -> dict[str, object]:
    """Return a document of the API with the names that `--json` prints."""
    return {"".join(f"_{c.lower()}" if c.isupper() else c for c in name): value for name, value in document.items()}


def _create_key_file(path: Path, user: str, label: str, *, json: bool) -> None:
    if path.exists():
        raise InvalidArgument(f"{path} exists already. Name a new file.")
    private_key, public_key = login.new_key_pair()
    address = f"{user.partition('@')[0]}-{path.stem.lower()}@{login.UNIVERSE_DOMAIN}"
    with administration(config.data_folder()) as door:
        made = door.add_key_file("".join(address.split()), public_key, user, label or path.name)
        server = door.address or config.server_address() or _USUAL_ADDRESS
    document = login.key_document(server, str(made["address"]), str(made["id"]), private_key)
    login.write_private(path, document)
    terminal.say(f"Wrote {path}, readable for you only. Who has it acts as {user}. Google's libraries find it after:")
    terminal.result(output.dumped(snake_case(made)) if json else login.export_line(path.absolute()))


def _day(time: object) -> str:
    return str(time)[:10] if time else ""


users = typer.Typer(help="Add and list users, set passwords.", no_args_is_help=True)

UserName = Annotated[str, argument("E-mail address of a user, or local.", "USER")]


@users.command()
def add(
    user: Annotated[str, argument("E-mail address.", "USER")],
    admin: Annotated[bool, option("May manage users and keys.", "no", "--admin")] = False,
    password: Annotated[bool, option("Ask for a password, or read it from a pipe.", "a link", "--password")] = False,
    json: Json = False,
) -> None:
    """Add a user, who signs in with a password or, the first time, with a link."""
    chosen = _password() if password else None
    with administration(config.data_folder()) as door:
        made = door.add_user(user, chosen, is_admin=admin)
        link = door.setup_link(made["id"]) if chosen is None and door.address else None
    if json:
        terminal.result(output.dumped(snake_case(made | ({"setupLink": link} if link else {}))))
        return
    terminal.say(f"Added {made['id']}.")
    if link:
        terminal.say("This link signs in once, within 15 minutes:")
        terminal.result(link)
    elif chosen is None:
        terminal.say(f"While the server is running, `tunery users link {made['id']}` prints a link to sign in.")


@users.command("list")
def list_users(json: Json = False) -> None:
    """List the users."""
    with administration(config.data_folder()) as door:
        found = door.list_users()
    if json:
        terminal.result(output.dumped([snake_case(user) for user in found]))
        return
    rows = [
        (user["id"], _role(user), "yes" if user["hasPassword"] else "no", user["createTime"][:10]) for user in found
    ]
    for line in terminal.table(("USER", "ROLE", "PASSWORD", "CREATED"), rows):
        terminal.result(line)


@users.command()
def password(user: UserName) -> None:
    """Set the password of a user; asked for on a terminal, else read from standard input."""
    chosen = _password()
    with administration(config.data_folder()) as door:
        door.set_password(user, chosen)
    terminal.say(f"{user} has a new password; browsers that were signed in must sign in again.")


@users.command()
def link(user: Annotated[str, argument("E-mail address of a user.", "USER")] = "local") -> None:
    """Print a link that signs a user in once, within 15 minutes."""
    with administration(config.data_folder()) as door:
        terminal.result(door.setup_link(user))


@users.command()
def disable(user: UserName) -> None:
    """Lock a user out, with all keys, tokens and browsers; tuned models stay."""
    with administration(config.data_folder()) as door:
        door.set_disabled(user, True)
    terminal.say(f"{user} is locked out. `tunery users enable {user}` lets them in again.")


@users.command()
def enable(user: UserName) -> None:
    """Let a user in again."""
    with administration(config.data_folder()) as door:
        door.set_disabled(user, False)
    terminal.say(f"{user} may sign in again.")


def _password() -> str:
    if terminal.can_ask():
        chosen: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return chosen
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise InvalidArgument("Pipe the password into standard input, or run this on a terminal.")
    return given


def _role(user: dict[str, object]) -> str:
    if user["isDisabled"]:
        return "disabled"
    return "admin" if user["isAdmin"] else "user"
