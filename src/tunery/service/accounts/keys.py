"""
API keys and key files: made, listed, revoked, and checked when they come with a call.

Of an API key only its hash is kept, of a key file only the public half. Knows no HTTP.
"""

from __future__ import annotations

from tunery.errors import InvalidArgument, NotFound, ResourceExhausted
from tunery.service.accounts import jwt
from tunery.service.accounts.opaque import Prefix, digest, is_well_formed, new_secret
from tunery.service.accounts.rates import Rate
from tunery.service.accounts.store import Store, new_id
from tunery.service.accounts.users import Users, normal_address
from tunery.service.accounts.values import ApiKey, ServiceAccountKey
from tunery.service.database import keys, tokens

WRONG_KEYS = 60  # in a minute, of all callers together; good keys go on working meanwhile


class Keys:
    """The API keys and key files of one data folder."""

    def __init__(self, store: Store, users: Users) -> None:
        self._store, self._users = store, users
        self._wrong_keys = Rate(WRONG_KEYS, 60, store.stopwatch)

    def create(self, label: str = "", user_id: str | None = None) -> tuple[ApiKey, str]:
        """Make an API key; return it with its secret, which cannot be had again."""
        owner = None if user_id is None else self._users.get(user_id).id
        secret = new_secret(Prefix.KEY)
        key = ApiKey(new_id(), checked_label(label), owner, self._store.clock())
        with self._store.database.writing() as connection:
            keys.add_api_key(connection, key, digest(secret))
        return key, secret

    def all(self) -> list[ApiKey]:
        """Return the API keys that can be used."""
        with self._store.database.reading() as connection:
            return keys.list_api_keys(connection)

    def check(self, secret: str) -> ApiKey:
        """Return the API key with this secret; raises InvalidArgument, or ResourceExhausted while many guess."""
        key = None
        if is_well_formed(secret, Prefix.KEY):
            with self._store.database.reading() as connection:
                key = keys.find_api_key(connection, digest(secret))
        if key is None:
            raise self._refusal()
        self._note_use(key)
        return key

    def add_service_account(self, address: str, public_key: str, user_id: str, label: str = "") -> ServiceAccountKey:
        """
        Take in the public half (PEM, RSA of at least 2048 bits) of a key file that acts as a user.

        Several keys may have one address if they act as one user. Raises InvalidArgument, NotFound.
        """
        user, known = self._users.get(user_id), normal_address(address)
        if any(key.address == known and key.user_id != user.id for key in self.service_accounts()):
            raise InvalidArgument(f"{known} acts as another user already. Choose another address.")
        pem = jwt.normal_public_key(public_key)
        key = ServiceAccountKey(new_id(), known, pem, checked_label(label), user.id, self._store.clock())
        with self._store.database.writing() as connection:
            keys.add_service_account_key(connection, key)
        return key

    def service_accounts(self) -> list[ServiceAccountKey]:
        """Return the keys of key files that can be used."""
        with self._store.database.reading() as connection:
            return keys.list_service_account_keys(connection)

    def service_account(self, key_id: str) -> ServiceAccountKey | None:
        """Return the key of a key file by its id, None if it cannot be used."""
        with self._store.database.reading() as connection:
            return keys.find_service_account_key(connection, key_id)

    def note_service_account_use(self, key: ServiceAccountKey) -> None:
        """Write down that a key file was used."""
        self._note_use(key)

    def revoke(self, key_id: str) -> None:
        """Revoke an API key or a key file, with the tokens it was exchanged for; raises NotFound."""
        now = self._store.clock()
        with self._store.database.writing() as connection:
            tokens.revoke_family(connection, key_id, now)
            if not keys.revoke(connection, key_id, now):
                raise NotFound(f"There is no key {key_id}. `tunery keys list` shows them.")

    def _note_use(self, key: ApiKey | ServiceAccountKey) -> None:
        if self._store.is_worth_noting(key.last_use_time):
            with self._store.database.writing() as connection:
                keys.note_use(connection, key, self._store.clock())

    def _refusal(self) -> InvalidArgument | ResourceExhausted:
        refusal = InvalidArgument("API key not valid. Please pass a valid API key.", reason="API_KEY_INVALID")
        try:
            with self._wrong_keys.attempt("all callers"):
                raise refusal
        except (InvalidArgument, ResourceExhausted) as error:
            return error


def checked_label(label: str) -> str:
    """Return a label without blanks around it; raises InvalidArgument if it is long or cannot be printed."""
    stripped = label.strip()
    if len(stripped) > 100 or not (stripped.isprintable()):
        raise InvalidArgument("A label is up to 100 characters on one line.")
    return stripped
