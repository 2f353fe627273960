"""
`tunery login`: credentials for Google's libraries, from a server on this machine or elsewhere.

On this machine, access to the data folder is enough; elsewhere the user signs in with a browser. The file of Google's
own tools is never touched.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import shlex
import time
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from tunery import config
from tunery.cli import terminal
from tunery.cli.client import API, Client, Document, holding_server
from tunery.cli.terminal import option
from tunery.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    TuneryError,
    Unauthenticated,
    Unavailable,
)
from tunery.progress import wait_quietly

DEFAULT_DAYS = 90
_TUNING = "https://www.googleapis.com/auth/generative-language.tuning"


def login(
    server: Annotated[
        str | None, option("Address of the server; or set TUNERY_SERVER.", "that of the data folder", metavar="URL")
    ] = None,
    local: Annotated[bool, option("Use only the server of this data folder.", "no", "--local")] = False,
    no_browser: Annotated[
        bool, option("Sign in with a code in a browser on any device.", "no", "--no-browser")
    ] = False,
    print_token: Annotated[bool, option("Print a token and write no file.", "no", "--print-token")] = False,
    print_env: Annotated[bool, option("Print only the export line.", "no", "--print-env")] = False,
    days: Annotated[int, option("Days until the credentials expire.", DEFAULT_DAYS, metavar="N")] = DEFAULT_DAYS,
) -> None:
    """Sign in and get credentials for Google's libraries."""
    if local and (server or no_browser):
        raise InvalidArgument("--local uses the server of this data folder; leave out --server and --no-browser.")
    client = _signed_in(server or (None if local else config.server_address()), no_browser=no_browser)
    body = {"days": days, "scopes": [_TUNING], "name": f"tunery login on {platform.node()[:60] or 'a computer'}"}
    if print_token:
        terminal.result(str(client.call("POST", f"{API}/accounts/tokens", body=body)["secret"]))
        return
    made = client.call("POST", f"{API}/accounts/logins", body=body)
    path = config.data_folder() / LOGIN_FILE
    _end_earlier_login(path)
    write_private(path, login_document(client.address, made["clientId"], made["clientSecret"], made["refreshToken"]))
    if not print_env:
        terminal.say(f"Signed in to {client.address} for {days} days. Google's libraries use it after this line:")
    terminal.result(export_line(path))


def _signed_in(address: str | None, *, no_browser: bool) -> Client:
    """Return the server at an address, or the one that holds the data folder, with a token for the user."""
    if address is None:
        client = holding_server(config.data_folder())
        if client is None:
            raise FailedPrecondition(
                f"No server is using the data folder {config.data_folder()}. "
                "Start one with `tunery serve`, or name one with --server."
            )
        if not no_browser:
            return client
        address = client.address
    wait_quietly()
    through = through_device_code if no_browser else through_browser
    return Client(address, through(Client(address), _TUNING, terminal.say))


def _end_earlier_login(path: Path) -> None:
    """Revoke the login in the file; if its server no longer exists, the credentials expire."""
    earlier = read_login(path)
    if earlier is None:
        return
    try:
        client = Client(earlier.get("revoke_url", "").removesuffix("/oauth/revoke"))
        fields = {name: earlier.get(name, "") for name in ("client_id", "client_secret")}
        client.form("/oauth/revoke", fields | {"token": earlier["refresh_token"]})
    except TuneryError:
        return


LOGIN_FILE = "credentials.json"

# A domain that does not exist; with Google's domain, google-auth 2.62 would send the signed token to Google.
UNIVERSE_DOMAIN = "tunery.invalid"


def login_document(address: str, client_id: str, client_secret: str, refresh_token: str) -> dict[str, str]:
    """Return a login in the form that `google.auth.default()` reads; the library renews it by itself."""
    return {
        "type": "external_account_authorized_user",
        "audience": f"{address}/",  # not a workforce pool: for those, google-auth calls Google
        "client_id": client_id,
        "client_secret": client_secret,
        "refresh_token": refresh_token,
        "token_url": f"{address}/oauth/token",
        "token_info_url": f"{address}/oauth/introspect",
        "revoke_url": f"{address}/oauth/revoke",
    }


def key_document(address: str, email: str, key_id: str, private_key: str) -> dict[str, str]:
    """Return a key file, with which a program can sign tokens without a server."""
    return {
        "type": "service_account",
        "project_id": "tunery",
        "private_key_id": key_id,
        "private_key": private_key,
        "client_email": email,
        "client_id": key_id,
        "auth_uri": f"{address}/oauth/authorize",
        "token_uri": f"{address}/oauth/token",
        "universe_domain": UNIVERSE_DOMAIN,
    }


def new_key_pair() -> tuple[str, str]:
    """Return a private and a public RSA key in PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    from tunery.service.accounts.credentials import MIN_KEY_BITS

    key = rsa.generate_private_key(public_exponent=65_537, key_size=MIN_KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def write_private(path: Path, document: Mapping[str, str]) -> None:
    """Write a file that only its user can read, completely or not at all; raise FailedPrecondition."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise FailedPrecondition(f"{path} cannot be written ({error.strerror}).") from error


def read_login(path: Path) -> dict[str, str] | None:
    """Return the login in a file, None if there is no readable one."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and "refresh_token" in document else None


def export_line(path: Path) -> str:
    """Return the shell line that makes Google's libraries use a file."""
    return f"export GOOGLE_APPLICATION_CREDENTIALS={shlex.quote(str(path))}"


CLIENT_ID = "tunery-cli"
BROWSER_SECONDS = 300
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_DONE = b"<!doctype html><title>tunery</title><p>Signed in. You can close this page and go back to the terminal."

Say = Callable[[str], None]


def through_browser(server: Client, scope: str, say: Say) -> str:
    """
    Return a token from a sign-in with the browser on this machine (RFC 8252 with PKCE).

    Raises PermissionDenied if the user refuses, DeadlineExceeded after five minutes.
    """
    import hashlib
    import secrets

    issuer = _issuer(server)
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Listener(state) as listener:
        redirect_uri = f"http://127.0.0.1:{listener.port}/callback"
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": redirect_uri,
            "scope": scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = f"{server.address}/oauth/authorize?{urlencode(query)}"
        say(f"Sign in here: {address}")
        webbrowser.open(address)
        answer = listener.wait()
    if answer.get("iss") != issuer:
        raise Unauthenticated("The browser came back from another server. Start again.")
    if "code" not in answer:
        raise PermissionDenied(f"The sign-in ended without granting access ({answer.get('error', 'no reason given')}).")
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
        "client_id": CLIENT_ID,
    }
    return _access_token(*server.form("/oauth/token", form))


def through_device_code(server: Client, scope: str, say: Say, sleep: Callable[[float], None] = time.sleep) -> str:
    """Return a token from a sign-in on any device (RFC 8628); raise PermissionDenied or DeadlineExceeded."""
    status, codes = server.form("/oauth/device_authorization", {"client_id": CLIENT_ID, "scope": scope})
    if status != 200:
        raise _refusal(codes)
    say(f"Open {codes['verification_uri']} in any browser and enter the code {codes['user_code']}")
    form = {"grant_type": _DEVICE_GRANT, "device_code": str(codes["device_code"]), "client_id": CLIENT_ID}
    interval, waited = float(codes.get("interval", 5)), 0.0
    while waited < float(codes["expires_in"]):
        sleep(interval)
        waited += interval
        status, reply = server.form("/oauth/token", form)
        match reply.get("error"):
            case "authorization_pending":
                continue
            case "slow_down":
                interval += 5
            case _:
                return _access_token(status, reply)
    raise DeadlineExceeded("The code was not entered in time. Start again.")


class _Listener:
    """Waits for the browser to return with our state."""

    def __init__(self, state: str) -> None:
        from http.server import BaseHTTPRequestHandler, HTTPServer  # not at the top, because it loads ssl

        listener = self

        class Callback(BaseHTTPRequestHandler):
            timeout = 5  # seconds; a browser may open a connection and send nothing

            def do_GET(self) -> None:
                is_ours = listener.take(self.path)
                self.send_response(200 if is_ours else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(_DONE if is_ours else b"")

            def log_message(self, *_: object) -> None:
                """Log nothing, because the URL contains the code."""

        self._state = state
        self._answer: dict[str, str] | None = None
        self._server = HTTPServer(("127.0.0.1", 0), Callback)
        self._server.timeout = 1
        self.port = self._server.server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def take(self, path: str) -> bool:
        """Accept the parameters of the expected request; return False for any other request."""
        import hmac

        parts = urlsplit(path)
        fields = {name: values[0] for name, values in parse_qs(parts.query).items()}
        is_ours = parts.path == "/callback" and hmac.compare_digest(
            fields.get("state", "").encode(), self._state.encode()
        )
        if is_ours and self._answer is None:
            self._answer = fields
        return is_ours

    def wait(self) -> dict[str, str]:
        """Return the parameters that the browser brings."""
        give_up = time.monotonic() + BROWSER_SECONDS
        while self._answer is None:
            if time.monotonic() > give_up:
                raise DeadlineExceeded("No sign-in within five minutes. Start again, or try --no-browser.")
            self._server.handle_request()
        return self._answer


def _issuer(server: Client) -> str:
    """Return the issuer that the server reports; raise Unavailable if it is not the address we called."""
    issuer = str(server.call("GET", "/.well-known/oauth-authorization-server").get("issuer"))
    if issuer != server.address:
        raise Unavailable(f"The server at {server.address} calls itself {issuer}. Use --server with that address.")
    return issuer


def _access_token(status: int, reply: Document) -> str:
    if status != 200 or "access_token" not in reply:
        raise _refusal(reply)
    return str(reply["access_token"])


def _refusal(reply: Document) -> PermissionDenied | DeadlineExceeded:
    error = str(reply.get("error", "no reason given"))
    if error == "expired_token":
        return DeadlineExceeded("The code was not entered in time. Start again.")
    return PermissionDenied(f"The server refused the sign-in ({error}: {reply.get('error_description', '')}).")
