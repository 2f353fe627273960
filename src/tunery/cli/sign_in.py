"""
How a command proves to a server who sits there: through a browser here, or one elsewhere.

Both end with a short-lived token of the command line, which is exchanged for what is kept. Knows OAuth as a client.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
import webbrowser
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from tunery.cli.remote import Document, Remote
from tunery.errors import DeadlineExceeded, PermissionDenied, Unauthenticated, Unavailable

CLIENT_ID = "tunery-cli"
BROWSER_SECONDS = 300
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_DONE = b"<!doctype html><title>tunery</title><p>Signed in. You can close this page and go back to the terminal."

Say = Callable[[str], None]


def through_browser(server: Remote, scope: str, say: Say) -> str:
    """
    Return a token from a sign-in in the browser of this machine (RFC 8252 with PKCE).

    Raises PermissionDenied if the user says no, DeadlineExceeded after five minutes.
    """
    issuer = _issuer(server)
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Listener(state) as listener:
        redirect_uri = f"http://127.0.0.1:{listener.server_port}/callback"
        asked = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": redirect_uri,
            "scope": scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = f"{server.address}/oauth/authorize?{urlencode(asked)}"
        say(f"Sign in here: {address}")
        webbrowser.open(address)
        answer = listener.wait()
    if answer.get("iss") != issuer:
        raise Unauthenticated("The answer in the browser came from another server. Begin again.")
    if "code" not in answer:
        raise PermissionDenied(f"The sign-in ended without access ({answer.get('error', 'no reason given')}).")
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
        "client_id": CLIENT_ID,
    }
    return _access_token(*server.form("/oauth/token", form))


def through_device_code(server: Remote, scope: str, say: Say, sleep: Callable[[float], None] = time.sleep) -> str:
    """Return a token from a sign-in in a browser anywhere (RFC 8628); raises PermissionDenied, DeadlineExceeded."""
    status, codes = server.form("/oauth/device_authorization", {"client_id": CLIENT_ID, "scope": scope})
    if status != 200:
        raise _refusal(codes)
    say(f"Open {codes['verification_uri']} in any browser and type the code {codes['user_code']}")
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
    raise DeadlineExceeded("Nobody typed the code in time. Begin again.")


class _Listener(HTTPServer):
    """Waits on this machine for the browser to come back with our state."""

    def __init__(self, state: str) -> None:
        self._state = state
        self.answer: dict[str, str] | None = None
        super().__init__(("127.0.0.1", 0), _Callback)
        self.timeout = 1

    def take(self, path: str) -> bool:
        """Take the parameters of a request if it is the one that is waited for."""
        parts = urlsplit(path)
        fields = {name: values[0] for name, values in parse_qs(parts.query).items()}
        is_ours = parts.path == "/callback" and hmac.compare_digest(
            fields.get("state", "").encode(), self._state.encode()
        )
        if is_ours and self.answer is None:
            self.answer = fields
        return is_ours

    def wait(self) -> dict[str, str]:
        """Return the parameters with which the browser came back."""
        give_up = time.monotonic() + BROWSER_SECONDS
        while self.answer is None:
            if time.monotonic() > give_up:
                raise DeadlineExceeded("Nobody signed in within five minutes. Begin again, perhaps with --no-browser.")
            self.handle_request()
        return self.answer


class _Callback(BaseHTTPRequestHandler):
    server: _Listener
    timeout = 5  # seconds; a browser may open a connection and say nothing

    def do_GET(self) -> None:
        is_ours = self.server.take(self.path)
        self.send_response(200 if is_ours else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(_DONE if is_ours else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing: the address has the code in it."""


def _issuer(server: Remote) -> str:
    """Return who the server says that it is; raises Unavailable if that is not where we asked."""
    issuer = str(server.call("GET", "/.well-known/oauth-authorization-server").get("issuer"))
    if issuer != server.address:
        raise Unavailable(f"The server at {server.address} calls itself {issuer}. Use that address with --server.")
    return issuer


def _access_token(status: int, reply: Document) -> str:
    if status != 200 or "access_token" not in reply:
        raise _refusal(reply)
    return str(reply["access_token"])


def _refusal(reply: Document) -> PermissionDenied | DeadlineExceeded:
    error = str(reply.get("error", "no reason given"))
    if error == "expired_token":
        return DeadlineExceeded("Nobody typed the code in time. Begin again.")
    return PermissionDenied(f"The server did not let you in ({error}: {reply.get('error_description', '')}).")
