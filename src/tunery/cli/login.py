"""
`tunery login`: credentials for Google's libraries, from a server here or elsewhere.

Here the data folder is the proof; elsewhere a browser is. Never touches the file of Google's own tools.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tunery import config
from tunery.cli import credentials, terminal
from tunery.cli.options import option
from tunery.cli.remote import Document, Remote, local_server
from tunery.errors import InvalidArgument, TuneryError

DEFAULT_DAYS = 90
_TUNING = "https://www.googleapis.com/auth/generative-language.tuning"


def login(
    server: Annotated[
        str | None, option("Address of the server; also TUNERY_SERVER.", "the one on this data folder", metavar="URL")
    ] = None,
    local: Annotated[bool, option("Only sign in to the server on this data folder.", "no", "--local")] = False,
    no_browser: Annotated[bool, option("Sign in with a code, in a browser anywhere.", "no", "--no-browser")] = False,
    print_token: Annotated[bool, option("Print a plain token, write no file.", "no", "--print-token")] = False,
    print_env: Annotated[bool, option("Print the export line and nothing else.", "no", "--print-env")] = False,
    days: Annotated[int, option("How long it lasts.", DEFAULT_DAYS, metavar="N")] = DEFAULT_DAYS,
) -> None:
    """Sign in: get credentials that Google's libraries take as they are."""
    if local and (server or no_browser):
        raise InvalidArgument("--local is for the server on this data folder: no address and no browser go with it.")
    address, proof = _proof(server or (None if local else config.server_address()), no_browser=no_browser)
    with Remote(address, proof) as remote:
        body = {"days": days, "scopes": [_TUNING], "name": f"tunery login on {_machine()}"}
        if print_token:
            terminal.result(str(remote.call("POST", "/v1beta/accounts/tokens", body)["secret"]))
            return
        made = remote.call("POST", "/v1beta/accounts/logins", body)
    path = config.data_folder() / credentials.LOGIN_FILE
    _end_earlier_login(path)
    credentials.write_private(path, _document(address, made))
    if not print_env:
        terminal.say(f"Signed in to {address} for {days} days. Google's libraries find it after this line:")
    terminal.result(credentials.export_line(path))


def _proof(address: str | None, *, no_browser: bool) -> tuple[str, str]:
    """Return the address of the server and a token that shows who sits here."""
    from tunery.cli import sign_in

    if address is None:
        address, token = local_server(config.data_folder())
        if not no_browser:
            return address, token
    with Remote(address) as remote:
        through = sign_in.through_device_code if no_browser else sign_in.through_browser
        return remote.address, through(remote, _TUNING, terminal.say)


def _document(address: str, made: Document) -> dict[str, str]:
    return credentials.login_document(address, made["clientId"], made["clientSecret"], made["refreshToken"])


def _end_earlier_login(path: Path) -> None:
    """Give back what the file held until now; if that server is gone, it ends by itself."""
    earlier = credentials.read_login(path)
    if earlier is None:
        return
    try:
        with Remote(earlier.get("revoke_url", "").removesuffix("/oauth/revoke")) as remote:
            fields = {name: earlier.get(name, "") for name in ("client_id", "client_secret")}
            remote.form("/oauth/revoke", fields | {"token": earlier["refresh_token"]})
    except TuneryError:
        return


def _machine() -> str:
    import platform

    return platform.node()[:60] or "a computer"
