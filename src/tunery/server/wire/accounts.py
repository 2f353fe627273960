"""
Users, groups, keys and logins as messages.

This is an extension; Google's API has nothing like it. A secret is sent only once, in the reply to the call that
created it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Self

from pydantic import Field

from tunery.server.wire.messages import Message, StrictIncoming, Timestamp
from tunery.service.access import TUNING
from tunery.service.accounts.credentials import REFRESH_DAYS


class _AccountMessage(Message):
    @classmethod
    def of(cls, value: Any, secret: str | None = None) -> Self:
        """Return the message for an account value; fields that are not listed here are left out."""
        values = asdict(value)
        names = {"user": values.get("user_id"), "client": values.get("client_id")}
        return cls.model_validate({"secret": secret} | values | names)


class UserMessage(_AccountMessage):
    """A user; `id` is the e-mail address."""

    id: str
    is_admin: bool
    is_disabled: bool
    has_password: bool
    create_time: Timestamp


class GroupMessage(_AccountMessage):
    """A group with the ids of its members."""

    id: str
    members: list[str]
    create_time: Timestamp


class KeyMessage(_AccountMessage):
    """
    An API key, or a key file, which has an `address`; `secret` is set only in the reply to the call that created it.
    """

    id: str
    label: str
    user: str | None = None
    address: str | None = None
    secret: str | None = None
    create_time: Timestamp
    last_use_time: Timestamp | None = None


class TokenMessage(_AccountMessage):
    """A token; `secret` is set only in the reply to the call that created it."""

    id: str
    label: str
    user: str
    scope: str
    client: str | None = None
    secret: str | None = None
    create_time: Timestamp
    expire_time: Timestamp
    last_use_time: Timestamp | None = None


class ClientMessage(_AccountMessage):
    """An OAuth client; `secret` is set only in the reply to the call that created it."""

    id: str
    name: str
    redirect_uris: list[str]
    secret: str | None = None
    create_time: Timestamp


class LoginMessage(_AccountMessage):
    """The content of a credentials file."""

    client_id: str
    client_secret: str
    refresh_token: str


class SetupLinkMessage(Message):
    """A link that signs a browser in once."""

    uri: str


class MeMessage(Message):
    """The caller."""

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
    """All API keys and key files that were not revoked."""

    keys: list[KeyMessage]


class ListTokensReply(Message):
    """All plain and refresh tokens that can be used."""

    tokens: list[TokenMessage]


class ListClientsReply(Message):
    """All clients, including those of logins."""

    clients: list[ClientMessage]


class AuditEventMessage(Message):
    """What somebody did; `action` is named like the operation, `resource` like what it was done to."""

    time: Timestamp
    actor: str
    action: str
    resource: str
    details: dict[str, Any] = Field(default_factory=dict)


class ListAuditEventsReply(Message):
    """A page of the audit log, newest first."""

    audit_events: list[AuditEventMessage]
    next_page_token: str | None = None


class CreateUserBody(StrictIncoming):
    """A new user; without a password, the first sign-in needs a set-up link."""

    id: str
    password: str | None = None
    is_admin: bool = False


class UpdateUserBody(StrictIncoming):
    """Changes of a user."""

    password: str | None = None
    is_disabled: bool | None = None


class SetGroupBody(StrictIncoming):
    """All members of a group."""

    members: list[str] = Field(max_length=10_000)


class CreateKeyBody(StrictIncoming):
    """A new API key or, with `public_key` and `address`, a key file that acts as `user`."""

    label: str = ""
    user: str | None = None
    address: str | None = None
    public_key: str | None = None


class CreateClientBody(StrictIncoming):
    """A new client; `is_desktop` for Google's `InstalledAppFlow`."""

    name: str
    redirect_uris: list[str] = Field(default_factory=list, max_length=100)
    is_public: bool = False
    is_desktop: bool = False


class CreateLoginBody(StrictIncoming):
    """A new login or token for the caller."""

    days: int = REFRESH_DAYS
    scopes: list[str] = Field(default_factory=lambda: [TUNING], max_length=100)
    name: str = ""


class CreateSetupLinkBody(StrictIncoming):
    """The user of a new set-up link."""

    user: str
