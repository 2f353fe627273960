"""
Users and groups: made, listed, changed, and signed in with a password.

It knows users and their passwords; nothing of tokens, and no HTTP.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import timedelta

from tunery.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from tunery.service.account_values import LOCAL_USER, Group, Session, User
from tunery.service.accounts import secrets
from tunery.service.accounts.secrets import Prefix, Rate, Store, digest, is_well_formed, new_secret
from tunery.service.database import accounts

WRONG_PASSWORDS = 5  # in a minute: 10,000 guesses take more than a day
_ADDRESS = re.compile(r"[^\s@<>\"'()\\,;:]{1,64}@[^\s@<>\"'()\\,;:/]{1,190}")


class Users:
    """The users of one data folder."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wrong_passwords = Rate(WRONG_PASSWORDS, 60, store.stopwatch)

    def add(self, address: str, password: str | None = None, *, is_admin: bool = False) -> User:
        """
        Take in a user. Raises InvalidArgument for an address or password that cannot be used, AlreadyExists.

        Without a password the user signs in with a set-up link.
        """
        user_id = normal_address(address)
        password_hash = None
        if password is not None:
            secrets.check_password(password, user_id)
            password_hash = secrets.hashed_password(password)
        now = self._store.clock()
        with self._store.database.writing() as connection:
            if not accounts.add_user(connection, user_id, password_hash, is_admin=is_admin, now=now):
                raise AlreadyExists(f"There is already a user {user_id}.")
        return self.get(user_id)

    def get(self, user_id: str) -> User:
        """Return a user; raises NotFound."""
        with self._store.database.reading() as connection:
            user = accounts.get_user(connection, user_id.strip().lower())
        if user is None:
            raise NotFound(f"There is no user {user_id}. `tunery users list` shows them.")
        return user

    def all(self) -> list[User]:
        """Return all users."""
        with self._store.database.reading() as connection:
            return accounts.list_users(connection)

    def sign_in(self, user_id: str, password: str) -> User:
        """
        Return the user whose password this is.

        Raises Unauthenticated, the same for a wrong password and an unknown user; ResourceExhausted after
        `WRONG_PASSWORDS` wrong ones in a minute.
        """
        name = user_id.strip().lower()
        with self._wrong_passwords.attempt(name):
            with self._store.database.reading() as connection:
                password_hash = accounts.password_hash(connection, name)
            if len(password) > secrets.MAX_PASSWORD_CHARACTERS or not secrets.password_matches(password, password_hash):
                raise Unauthenticated("The user or the password is wrong.")
        return self.get(name)

    def set_password(self, user_id: str, password: str) -> User:
        """Give a user a password; browsers that are signed in as this user are signed out."""
        user = self.get(user_id)
        secrets.check_password(password, user.id)
        password_hash = secrets.hashed_password(password)
        with self._store.database.writing() as connection:
            accounts.change_user(connection, user.id, password_hash=password_hash)
            accounts.revoke_sessions_of_user(connection, user.id, self._store.clock())
        return self.get(user.id)

    def set_disabled(self, user_id: str, is_disabled: bool) -> User:
        """Lock a user out, with all that is signed in, or let one in again; raises FailedPrecondition for "local"."""
        user = self.get(user_id)
        if user.id == LOCAL_USER and is_disabled:
            raise FailedPrecondition("The user of this machine cannot be disabled: nobody could undo it.")
        now = self._store.clock()
        with self._store.database.writing() as connection:
            accounts.change_user(connection, user.id, is_disabled=is_disabled)
            if is_disabled:
                accounts.revoke_sessions_of_user(connection, user.id, now)
                accounts.revoke_tokens_of_user(connection, user.id, now)
        return self.get(user.id)

    def groups(self) -> list[Group]:
        """Return all groups."""
        with self._store.database.reading() as connection:
            return accounts.list_groups(connection)

    def set_group(self, address: str, members: Iterable[str]) -> Group:
        """Make these users the members of a group, which is made if it is not there; raises NotFound for a user."""
        group_id = normal_address(address)
        user_ids = sorted({self.get(member).id for member in members})
        with self._store.database.writing() as connection:
            accounts.add_group(connection, group_id, self._store.clock())
            accounts.set_members(connection, group_id, user_ids)
        return next(group for group in self.groups() if group.id == group_id)

    def remove_group(self, address: str) -> None:
        """Delete a group; raises NotFound."""
        with self._store.database.writing() as connection:
            if not accounts.remove_group(connection, address.strip().lower()):
                raise NotFound(f"There is no group {address}.")


def normal_address(address: str) -> str:
    """Return an e-mail address as ids have it, in lower case; raises InvalidArgument if it is none."""
    normal = address.strip().lower()
    if not _ADDRESS.fullmatch(normal) or not normal.isprintable():
        raise InvalidArgument(f"{address!r} is not an e-mail address.")
    return normal


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
            accounts.add_session(connection, session)
        return secret

    def find(self, secret: str) -> Session | None:
        """Return the session with this secret, None if it is over."""
        if not is_well_formed(secret, Prefix.SESSION):
            return None
        now = self._store.clock()
        with self._store.database.reading() as connection:
            session = accounts.find_session(connection, digest(secret), now, now - timedelta(days=IDLE_DAYS))
        if session is not None and self._store.is_worth_noting(session.last_use_time):
            with self._store.database.writing() as connection:
                accounts.note_session_use(connection, session.sha256, now)
        return session

    def end(self, secret: str) -> None:
        """Sign a browser out."""
        with self._store.database.writing() as connection:
            accounts.revoke_session(connection, digest(secret), self._store.clock())

    def new_setup_link(self, user_id: str = LOCAL_USER) -> str:
        """Return the secret of a link that signs a user in once, within 15 minutes; the one before ends."""
        secret = new_secret(Prefix.SETUP)
        expire_time = self._store.clock() + timedelta(minutes=SETUP_LINK_MINUTES)
        with self._store.database.writing() as connection:
            accounts.add_setup_link(connection, digest(secret), user_id, expire_time)
        return secret

    def use_setup_link(self, secret: str) -> str:
        """Return the user of a set-up link, which thereby ends; raises Unauthenticated."""
        user_id = None
        if is_well_formed(secret, Prefix.SETUP):
            with self._store.database.writing() as connection:
                user_id = accounts.use_setup_link(connection, digest(secret), self._store.clock())
        if user_id is None:
            raise Unauthenticated("This link was used already or is older than 15 minutes.")
        return user_id


def form_token(secret: str) -> str:
    """Return what forms of a session carry, so that no other page can send them: only the cookie leads to it."""
    return hashlib.sha256(f"form {secret}".encode()).hexdigest()
