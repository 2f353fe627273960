"""
`tunery keys`: API keys, key files for machines, and the tokens of logins; made, listed, revoked.

Works on the data folder, or asks the server that owns it. A secret is shown once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunery import config
from tunery.cli import credentials, documents, terminal
from tunery.cli.administration import administration
from tunery.cli.options import Json, argument, option
from tunery.errors import InvalidArgument

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
    terminal.result(documents.dumped(snake_case(made)) if json else str(made["secret"]))


@keys.command("list")
def list_keys(json: Json = False) -> None:
    """List API keys, key files and what keeps users signed in."""
    with administration(config.data_folder()) as door:
        found = [{"kind": "key file" if key.get("address") else "API key", **key} for key in door.list_keys()]
        found += [
            {"kind": "token" if token.get("client") is None else "login", **token} for token in door.list_tokens()
        ]
    if json:
        terminal.result(documents.dumped([snake_case(key) for key in found]))
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
    private_key, public_key = credentials.new_key_pair()
    address = f"{user.partition('@')[0]}-{path.stem.lower()}@{credentials.UNIVERSE_DOMAIN}"
    with administration(config.data_folder()) as door:
        made = door.add_key_file("".join(address.split()), public_key, user, label or path.name)
        server = door.address or config.server_address() or _USUAL_ADDRESS
    document = credentials.key_document(server, str(made["address"]), str(made["id"]), private_key)
    credentials.write_private(path, document)
    terminal.say(f"Wrote {path}, readable for you only. Who has it acts as {user}. Google's libraries find it after:")
    terminal.result(documents.dumped(snake_case(made)) if json else credentials.export_line(path.absolute()))


def _day(time: object) -> str:
    return str(time)[:10] if time else ""
