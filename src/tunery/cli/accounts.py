"""`tunery keys` and `tunery users`: API keys, key files, sign-ins and users of a data folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tunery import config
from tunery.cli import login, output, terminal
from tunery.cli.client import snake_case
from tunery.cli.terminal import Json, argument, option
from tunery.cli.workplace import own_workplace
from tunery.errors import InvalidArgument
from tunery.progress import waiting_for_a_person

keys = typer.Typer(name="keys", help="Create, list and revoke API keys, key files and tokens.", no_args_is_help=True)

_LOCAL_USER = "local"
_USUAL_ADDRESS = "http://127.0.0.1:8000"


@keys.command()
def create(
    label: Annotated[str, option("Note on what the key is for.", "none", metavar="TEXT")] = "",
    user: Annotated[
        str | None, option("User that the key acts for.", "none; you for a key file", metavar="USER")
    ] = None,
    service_account: Annotated[
        Path | None, option("New file to write a machine's key file to.", "an API key", metavar="FILE")
    ] = None,
    json: Json = False,
) -> None:
    """Create an API key, or a key file that lets a machine act as a user."""
    if service_account is not None:
        _create_key_file(service_account, user or _LOCAL_USER, label, json=json)
        return
    made = own_workplace().create_key(label, user)
    terminal.say(
        "This key is shown only once. It gives access to base models and to tuned models shared with everyone."
    )
    terminal.result(output.dumped(snake_case(made)) if json else str(made["secret"]))


@keys.command("list")
def list_keys(json: Json = False) -> None:
    """List API keys, key files, logins and tokens."""
    place = own_workplace()
    found = [{"kind": "key file" if key.get("address") else "API key", **key} for key in place.list_keys()]
    found += [{"kind": "token" if token.get("client") is None else "login", **token} for token in place.list_tokens()]
    if json:
        terminal.result(output.dumped(snake_case(found)))
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
    terminal.table(("ID", "KIND", "USER", "CREATED", "LAST USED", "LABEL"), rows)


@keys.command()
def revoke(key: Annotated[str, argument("Id of an API key, key file, login or token.", "ID")]) -> None:
    """Revoke a key, login or token at once."""
    own_workplace().revoke(key)
    terminal.say(f"Revoked {key}.")


def _create_key_file(path: Path, user: str, label: str, *, json: bool) -> None:
    if path.exists():
        raise InvalidArgument(f"{path} already exists. Name a new file.")
    private_key, public_key = login.new_key_pair()
    address = f"{user.partition('@')[0]}-{path.stem.lower()}@{login.UNIVERSE_DOMAIN}"
    place = own_workplace()
    made = place.add_key_file("".join(address.split()), public_key, user, label or path.name)
    server = place.address or config.server_address() or _USUAL_ADDRESS
    document = login.key_document(server, str(made["address"]), str(made["id"]), private_key)
    login.write_private(path, document)
    terminal.say(
        f"Wrote {path}, which only you can read. It gives the rights of {user}. Google's libraries use it after:"
    )
    terminal.result(output.dumped(snake_case(made)) if json else login.export_line(path.absolute()))


def _day(time: object) -> str:
    return str(time)[:10] if time else ""


users = typer.Typer(name="users", help="Add, list and disable users, and set passwords.", no_args_is_help=True)

UserName = Annotated[str, argument("E-mail address of a user, or local.", "USER")]


@users.command()
def add(
    user: Annotated[str, argument("E-mail address.", "USER")],
    admin: Annotated[bool, option("Allow managing users and keys.", "no", "--admin")] = False,
    password: Annotated[bool, option("Ask for a password, or read it from a pipe.", "a link", "--password")] = False,
    json: Json = False,
) -> None:
    """Add a user, who first signs in with a password or a link."""
    chosen = _password() if password else None
    place = own_workplace()
    made = place.add_user(user, chosen, is_admin=admin)
    link = place.setup_link(made["id"]) if chosen is None and place.address else None
    if json:
        terminal.result(output.dumped(snake_case(made | ({"setupLink": link} if link else {}))))
        return
    terminal.say(f"Added {made['id']}.")
    if link:
        terminal.say("This link signs the user in once, within 15 minutes:")
        terminal.result(link)
    elif chosen is None:
        terminal.say(f"Start `tunery serve`; then `tunery users link {made['id']}` prints a link to sign in.")


@users.command("list")
def list_users(json: Json = False) -> None:
    """List the users."""
    found = own_workplace().list_users()
    if json:
        terminal.result(output.dumped(snake_case(found)))
        return
    rows = [
        (user["id"], _role(user), "yes" if user["hasPassword"] else "no", user["createTime"][:10]) for user in found
    ]
    terminal.table(("USER", "ROLE", "PASSWORD", "CREATED"), rows)


@users.command()
def password(user: UserName) -> None:
    """Set a user's password, prompting for it or reading it from standard input."""
    chosen = _password()
    own_workplace().set_password(user, chosen)
    terminal.say(f"Password set for {user}. Browsers must sign in again.")


@users.command()
def link(user: Annotated[str, argument("E-mail address of a user.", "USER")] = "local") -> None:
    """Print a link that signs a user in once, within 15 minutes."""
    terminal.result(own_workplace().setup_link(user))


@users.command()
def disable(user: UserName) -> None:
    """Lock out a user, along with all their keys and tokens; tuned models are kept."""
    own_workplace().set_disabled(user, True)
    terminal.say(f"Locked out {user}. `tunery users enable {user}` lets them in again.")


@users.command()
def enable(user: UserName) -> None:
    """Let a disabled user in again."""
    own_workplace().set_disabled(user, False)
    terminal.say(f"{user} can sign in again.")


@users.command()
def log(
    by: Annotated[str | None, option("Only what this user did.", "everybody", metavar="USER")] = None,
    model: Annotated[str | None, option("Only what was done to this tuned model.", "everything", metavar="ID")] = None,
    limit: Annotated[int, option("How many of the newest lines.", "50")] = 50,
    json: Json = False,
) -> None:
    """Print the audit log: who tuned, shared, exported or deleted what, and who managed users and keys."""
    from tunery.service.database import audit
    from tunery.service.library import Library

    resource = None if model is None else f"tunedModels/{model.removeprefix('tunedModels/')}"
    with Library.open(config.data_folder(), config.shared()) as library:
        found = audit.events(library.database, limit=limit, actor=by, resource=resource)
    if json:
        terminal.result(output.dumped([event.shown() | {"time": event.time.isoformat()} for event in found]))
        return
    if not found:
        terminal.say("Nothing is recorded yet." if by is None and model is None else "Nothing is recorded of that.")
        return
    rows = [
        (f"{event.time:%Y-%m-%d %H:%M:%S}", event.actor, event.action, event.resource, _told(event.details))
        for event in reversed(found)
    ]
    terminal.table(("TIME (UTC)", "BY", "ACTION", "OF", "DETAILS"), rows)


def _told(details: dict[str, object]) -> str:
    """Return details as `name value`, lists with commas."""
    texts = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in details.items()}
    return "; ".join(f"{name} {value}" for name, value in texts.items())


def _password() -> str:
    if terminal.can_ask():
        with waiting_for_a_person():
            chosen: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return chosen
    given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise InvalidArgument("Pipe the password to standard input, or run this in a terminal.")
    return given


def _role(user: dict[str, object]) -> str:
    if user["isDisabled"]:
        return "disabled"
    return "admin" if user["isAdmin"] else "user"
