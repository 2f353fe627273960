"""
Logins of `tunery login`: a proof of who sits there is exchanged for what programs keep.

The proof is the local one, or a fresh access token of the command line, which is good for one exchange. Knows tokens
and clients; nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunery.errors import InvalidArgument, PermissionDenied
from tunery.service.accounts.clients import COMMAND_LINE, Clients
from tunery.service.accounts.tokens import ACCESS_SECONDS, REFRESH_DAYS, Tokens
from tunery.service.accounts.values import Client, Token


@dataclass(frozen=True, slots=True)
class Login:
    """What a credentials file holds."""

    client: Client
    client_secret: str
    refresh_token: str


class Logins:
    """The exchange of proofs."""

    def __init__(self, clients: Clients, tokens: Tokens) -> None:
        self._clients, self._tokens = clients, tokens
        self.access_seconds = ACCESS_SECONDS  # of logins; tests make it short

    def spend_proof(self, token: str) -> None:
        """
        Use up an access token of the command line; raises PermissionDenied for any other token.

        Otherwise a token that was meant for an hour could make itself one for years.
        """
        found = self._tokens.find(token)
        if found is None or found.client_id != COMMAND_LINE:
            raise PermissionDenied("Only `tunery login` makes logins and tokens. Sign in with it.")
        self._tokens.revoke(found)

    def create(self, user_id: str, scopes: Sequence[str], days: int = REFRESH_DAYS, name: str = "") -> Login:
        """Make a login of a client of its own, which is renewed for so many days (1 to 90)."""
        if not 1 <= days <= REFRESH_DAYS:
            raise InvalidArgument(f"A login lives 1 to {REFRESH_DAYS} days, not {days:,}.")
        client, secret = self._clients.for_login(name or "tunery login", user_id, self.access_seconds)
        issued = self._tokens.create_login(client, user_id, scopes, days)
        assert issued.refresh_token is not None
        return Login(client, secret, issued.refresh_token)

    def create_token(self, user_id: str, scopes: Sequence[str], days: int, name: str = "") -> tuple[Token, str]:
        """Make a plain token that lives so many days; return it with its secret."""
        return self._tokens.create_plain(user_id, scopes, days, name)
