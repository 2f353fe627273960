"""
Programs that sign users in: the built-in one of the command line, those of logins, and those an administrator adds.

Also where the authorization server may send a browser back to. Knows clients; nothing of HTTP.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

from tunery.errors import InvalidArgument, NotFound
from tunery.service.accounts.keys import checked_label
from tunery.service.accounts.opaque import Prefix, digest, is_well_formed, new_secret
from tunery.service.accounts.store import Store, new_id
from tunery.service.accounts.tokens import ACCESS_SECONDS, REFRESH_DAYS
from tunery.service.accounts.values import Client
from tunery.service.database import oauth

COMMAND_LINE = "tunery-cli"  # `tunery login`, a public client that everybody has
CODE, REFRESH = "authorization_code", "refresh_token"
KEY_FILE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"

# http on this machine, any port, no user-info, no query: a browser and we must read an address in the same way
_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(?::([1-9][0-9]{0,4}))?(/[A-Za-z0-9._~/-]*)?")
_HTTPS = re.compile(r"https://[a-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9._~/-]*")
_DESKTOP_REDIRECTS = ("http://localhost/", "http://127.0.0.1/", "http://[::1]/")


class Clients:
    """The clients of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, client_id: str) -> Client | None:
        """Return a client, None if there is none or it was revoked."""
        if client_id == COMMAND_LINE:
            return self._command_line()
        with self._store.database.reading() as connection:
            return oauth.get_client(connection, client_id)

    def all(self) -> list[Client]:
        """Return the clients that were not revoked, without the built-in one."""
        with self._store.database.reading() as connection:
            return [client for client in oauth.list_clients(connection) if client.id != COMMAND_LINE]

    def add(self, name: str, redirect_uris: Sequence[str], *, is_public: bool = False) -> tuple[Client, str | None]:
        """
        Add a client that sends users to our sign-in; return it with its secret, if it has one.

        Raises InvalidArgument for addresses that are neither https nor http on the user's machine.
        """
        for uri in redirect_uris:
            if not _LOOPBACK.fullmatch(uri) and not _HTTPS.fullmatch(uri):
                raise InvalidArgument(f"{uri!r} must begin with https://, or with http:// and a loopback name.")
        client, secret = self._new(name, (CODE, REFRESH), redirect_uris, is_public=is_public)
        with self._store.database.writing() as connection:
            oauth.add_client(connection, client)
        return client, secret

    def add_desktop(self, name: str) -> tuple[Client, str]:
        """
        Add a client for Google's desktop flow (`InstalledAppFlow`); return it with its secret.

        What guides store of it is never renewed: its access token lives as long as the sign-in.
        """
        client, secret = self._new(name, (CODE, REFRESH), _DESKTOP_REDIRECTS, access_seconds=REFRESH_DAYS * 86_400)
        assert secret is not None
        with self._store.database.writing() as connection:
            oauth.add_client(connection, client)
        return client, secret

    def for_login(self, name: str, user_id: str, access_seconds: int = ACCESS_SECONDS) -> tuple[Client, str]:
        """Return a confidential client of a single login, not written down yet, with its secret."""
        client, secret = self._new(name, (REFRESH,), (), user_id=user_id, access_seconds=access_seconds)
        assert secret is not None
        return client, secret

    def revoke(self, client_id: str) -> None:
        """Revoke a client with all its tokens; raises NotFound."""
        with self._store.database.writing() as connection:
            if not oauth.revoke_client(connection, client_id, self._store.clock()):
                raise NotFound(f"There is no client {client_id}.")

    def _new(
        self,
        name: str,
        grant_types: Sequence[str],
        redirect_uris: Sequence[str],
        *,
        is_public: bool = False,
        user_id: str | None = None,
        access_seconds: int = ACCESS_SECONDS,
    ) -> tuple[Client, str | None]:
        secret = None if is_public else new_secret(Prefix.CLIENT)
        client = Client(
            id=new_id(),
            secret_sha256=digest(secret) if secret else None,
            name=checked_label(name),
            redirect_uris=tuple(redirect_uris),
            grant_types=tuple(grant_types),
            access_seconds=access_seconds,
            user_id=user_id,
            create_time=self._store.clock(),
        )
        return client, secret

    def _command_line(self) -> Client:
        """Return the client of the command line; its row is made with the first sign-in."""
        with self._store.database.reading() as connection:
            client = oauth.get_client(connection, COMMAND_LINE)
        if client is not None:
            return client
        redirects = ("http://127.0.0.1/callback",)
        now = self._store.clock()
        client = Client(COMMAND_LINE, None, "tunery login", redirects, (CODE, DEVICE), 600, None, now)
        with self._store.database.writing() as connection:
            if oauth.get_client(connection, COMMAND_LINE) is None:
                oauth.add_client(connection, client)
        return client


def has_secret(client: Client, secret: str) -> bool:
    """Say whether this is the secret of a client."""
    if client.secret_sha256 is None or not is_well_formed(secret, Prefix.CLIENT):
        return False
    return hmac.compare_digest(client.secret_sha256, digest(secret))


def may_redirect(client: Client, uri: str) -> bool:
    """Say whether a browser may be sent there: letter by letter, on this machine with any port (RFC 8252, 7.3)."""
    if uri in client.redirect_uris:
        return True
    asked = _LOOPBACK.fullmatch(uri)
    if asked is None or int(asked[2] or 80) > 65_535:
        return False
    registered = (_LOOPBACK.fullmatch(known) for known in client.redirect_uris)
    return any(known is not None and (known[1], known[3]) == (asked[1], asked[3]) for known in registered)
