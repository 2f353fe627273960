"""
`tunery users`: who may sign in, with which password.

Works on the data folder, or asks the server that owns it. Passwords are typed or piped in, never given as arguments:
other users of the machine see these.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tunery import config
from tunery.cli import documents, terminal
from tunery.cli.administration import administration
from tunery.cli.keys import snake_case
from tunery.cli.options import Json, argument, option
from tunery.errors import InvalidArgument

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
        terminal.result(documents.dumped(snake_case(made | ({"setupLink": link} if link else {}))))
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
        terminal.result(documents.dumped([snake_case(user) for user in found]))
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
