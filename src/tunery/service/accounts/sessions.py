"""
Browsers that are signed in, and the links with which one signs in the first time.

The browser has a secret in a cookie, the server a record under its hash. Knows no HTTP.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from tunery.errors import Unauthenticated
from tunery.service.accounts.opaque import Prefix, digest, is_well_formed, new_secret
from tunery.service.accounts.store import Store
from tunery.service.accounts.values import LOCAL_USER, Session
from tunery.service.database import sessions

SESSION_DAYS = 30
IDLE_DAYS = 7
SETUP_LINK_MINUTES = 15


class Sessions:
    """The sessions of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, user_id: str) -> str:
        """Sign a browser in as a user and return the secret for its cookie."""
        secret, now = new_secret(Prefix.SESSION), self._store.clock()
        session = Session(digest(secret), user_id, now, now + timedelta(days=SESSION_DAYS), now)
        with self._store.database.writing() as connection:
            sessions.add(connection, session)
        return secret

    def find(self, secret: str) -> Session | None:
        """Return the session with this secret, None if it is over."""
        if not is_well_formed(secret, Prefix.SESSION):
            return None
        now = self._store.clock()
        with self._store.database.reading() as connection:
            session = sessions.find_valid(connection, digest(secret), now, now - timedelta(days=IDLE_DAYS))
        if session is not None and self._store.is_worth_noting(session.last_use_time):
            with self._store.database.writing() as connection:
                sessions.note_use(connection, session.sha256, now)
        return session

    def end(self, secret: str) -> None:
        """Sign a browser out."""
        with self._store.database.writing() as connection:
            sessions.revoke(connection, digest(secret), self._store.clock())

    def new_setup_link(self, user_id: str = LOCAL_USER) -> str:
        """Return the secret of a link that signs a user in once, within 15 minutes; the one before ends."""
        secret = new_secret(Prefix.SETUP)
        expire_time = self._store.clock() + timedelta(minutes=SETUP_LINK_MINUTES)
        with self._store.database.writing() as connection:
            sessions.add_setup_link(connection, digest(secret), user_id, expire_time)
        return secret

    def use_setup_link(self, secret: str) -> str:
        """Return the user of a set-up link, which thereby ends; raises Unauthenticated."""
        user_id = None
        if is_well_formed(secret, Prefix.SETUP):
            with self._store.database.writing() as connection:
                user_id = sessions.use_setup_link(connection, digest(secret), self._store.clock())
        if user_id is None:
            raise Unauthenticated("This link was used already or is older than 15 minutes.")
        return user_id


def form_token(secret: str) -> str:
    """Return what forms of a session carry, so that no other page can send them: only the cookie leads to it."""
    return hashlib.sha256(f"form {secret}".encode()).hexdigest()
