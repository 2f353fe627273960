"""
Users, groups, keys and logins on the wire. All of it is an extension; Google's API has nothing like it.

Secrets go out once, in the reply to the call that made them. Knows messages and the values of accounts.
"""

from __future__ import annotations

from pydantic import Field

from tunery.server.wire.messages import Message, StrictIncoming, Timestamp
from tunery.service.access import TUNING
from tunery.service.account_values import ApiKey, Client, Group, ServiceAccountKey, Token, User
from tunery.service.accounts.accounts import Login
from tunery.service.accounts.credentials import REFRESH_DAYS


class UserMessage(Message):
    """A user; `id` is the address."""

    id: str
    is_admin: bool
    is_disabled: bool
    has_password: bool
    create_time: Timestamp

    @classmethod
    def of(cls, user: User) -> UserMessage:
        """Return the message for a user."""
        return cls(
            id=user.id,
            is_admin=user.is_admin,
            is_disabled=user.is_disabled,
            has_password=user.has_password,
            create_time=user.create_time,
        )


class GroupMessage(Message):
    """A group with the ids of its members."""

    id: str
    members: list[str]
    create_time: Timestamp

    @classmethod
    def of(cls, group: Group) -> GroupMessage:
        """Return the message for a group."""
        return cls(id=group.id, members=list(group.members), create_time=group.create_time)


class KeyMessage(Message):
    """An API key, or the key of a key file, which has an `address`; `secret` only from the call that made it."""

    id: str
    label: str
    user: str | None = None
    address: str | None = None
    secret: str | None = None
    create_time: Timestamp
    last_use_time: Timestamp | None = None

    @classmethod
    def of(cls, key: ApiKey | ServiceAccountKey, secret: str | None = None) -> KeyMessage:
        """Return the message for a key."""
        return cls(
            id=key.id,
            label=key.label,
            user=key.user_id,
            address=key.address if isinstance(key, ServiceAccountKey) else None,
            secret=secret,
            create_time=key.create_time,
            last_use_time=key.last_use_time,
        )


class TokenMessage(Message):
    """A token; `secret` only from the call that made it."""

    id: str
    label: str
    user: str
    scope: str
    client: str | None = None
    secret: str | None = None
    create_time: Timestamp
    expire_time: Timestamp
    last_use_time: Timestamp | None = None

    @classmethod
    def of(cls, token: Token, secret: str | None = None) -> TokenMessage:
        """Return the message for a token."""
        return cls(
            id=token.id,
            label=token.label,
            user=token.user_id,
            scope=token.scope,
            client=token.client_id,
            secret=secret,
            create_time=token.create_time,
            expire_time=token.expire_time,
            last_use_time=token.last_use_time,
        )


class ClientMessage(Message):
    """A program that signs users in; `secret` only from the call that made it."""

    id: str
    name: str
    redirect_uris: list[str]
    secret: str | None = None
    create_time: Timestamp

    @classmethod
    def of(cls, client: Client, secret: str | None = None) -> ClientMessage:
        """Return the message for a client."""
        uris = list(client.redirect_uris)
        return cls(id=client.id, name=client.name, redirect_uris=uris, secret=secret, create_time=client.create_time)


class LoginMessage(Message):
    """What a credentials file holds."""

    client_id: str
    client_secret: str
    refresh_token: str

    @classmethod
    def of(cls, login: Login) -> LoginMessage:
        """Return the message for a login."""
        return cls(client_id=login.client.id, client_secret=login.client_secret, refresh_token=login.refresh_token)


class SetupLinkMessage(Message):
    """A link that signs a browser in once."""

    uri: str


class MeMessage(Message):
    """Who calls."""

    user: str | None = None
    is_admin: bool = False
    groups: list[str] = Field(default_factory=list)
    scopes: list[str] = Field(default_factory=list)


class ListUsersReply(Message):
    """All users."""

    users: list[UserMessage]


class ListGroupsReply(Message):
    """All groups."""

    groups: list[GroupMessage]


class ListKeysReply(Message):
    """All keys that can be used, of both kinds."""

    keys: list[KeyMessage]


class ListTokensReply(Message):
    """What signs users in for long."""

    tokens: list[TokenMessage]


class ListClientsReply(Message):
    """All clients that an administrator added, and those of logins."""

    clients: list[ClientMessage]


class CreateUserBody(StrictIncoming):
    """A new user; without a password he signs in with a set-up link."""

    id: str
    password: str | None = None
    is_admin: bool = False


class UpdateUserBody(StrictIncoming):
    """What changes of a user."""

    password: str | None = None
    is_disabled: bool | None = None


class SetGroupBody(StrictIncoming):
    """All members of a group."""

    members: list[str]


class CreateKeyBody(StrictIncoming):
    """A new API key; with `public_key` and `address` the key of a key file, which acts as `user`."""

    label: str = ""
    user: str | None = None
    address: str | None = None
    public_key: str | None = None


class CreateClientBody(StrictIncoming):
    """A new client; `is_desktop` for Google's `InstalledAppFlow`."""

    name: str
    redirect_uris: list[str] = Field(default_factory=list)
    is_public: bool = False
    is_desktop: bool = False


class CreateLoginBody(StrictIncoming):
    """A new login or token for who calls."""

    days: int = REFRESH_DAYS
    scopes: list[str] = Field(default_factory=lambda: [TUNING])
    name: str = ""


class CreateSetupLinkBody(StrictIncoming):
    """For whom the link is."""

    user: str
