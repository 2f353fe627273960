"""
Users and groups: made, listed, changed, and signed in with a password.

It knows users and their passwords; nothing of tokens, and no HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tunery.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from tunery.service.accounts import passwords
from tunery.service.accounts.rates import Rate
from tunery.service.accounts.store import Store
from tunery.service.accounts.values import LOCAL_USER, Group, User
from tunery.service.database import accounts, sessions, tokens

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
            passwords.check(password, user_id)
            password_hash = passwords.hashed(password)
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
            if len(password) > passwords.MAX_CHARACTERS or not passwords.matches(password, password_hash):
                raise Unauthenticated("The user or the password is wrong.")
        return self.get(name)

    def set_password(self, user_id: str, password: str) -> User:
        """Give a user a password; browsers that are signed in as this user are signed out."""
        user = self.get(user_id)
        passwords.check(password, user.id)
        password_hash = passwords.hashed(password)
        with self._store.database.writing() as connection:
            accounts.change_user(connection, user.id, password_hash=password_hash)
            sessions.revoke_of_user(connection, user.id, self._store.clock())
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
                sessions.revoke_of_user(connection, user.id, now)
                tokens.revoke_of_user(connection, user.id, now)
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
