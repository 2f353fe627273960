"""
Administration of accounts over HTTP, under `/v1beta/accounts/`: an extension of the API.

Used by `tunery keys`, `users` and `login`. Only administrators may call it, with a token of unlimited scope; logins and
tokens are created with the local token, or with a sign-in that is used up in the process.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, Request

from tunery.errors import InvalidArgument, Unauthenticated
from tunery.server.http import ApiRouter, ServicesOf, services_of
from tunery.server.security import Administrator, CallerOf, bearer_token
from tunery.server.sign_in import PASSWORDS
from tunery.server.wire import accounts as wire
from tunery.service import tuning
from tunery.service.access import require_delegable
from tunery.service.accounts.accounts import Accounts
from tunery.service.database import audit
from tunery.types import Caller

AUDIT_PAGE_SIZE = 100

router = ApiRouter(prefix="/v1beta/accounts", tags=["accounts (extension)"])


def _accounts(request: Request) -> Accounts:
    return services_of(request).accounts


AccountsOf = Annotated[Accounts, Depends(_accounts)]


@router.get("/me", name="GetMe")
def get_me(caller: CallerOf) -> wire.MeMessage:
    """Return the caller."""
    groups, scopes = sorted(caller.groups), sorted(caller.scopes)
    return wire.MeMessage(user=caller.user_id, is_admin=caller.is_admin, groups=groups, scopes=scopes)


@router.get("/users", name="ListUsers")
def list_users(accounts: AccountsOf, _: Administrator) -> wire.ListUsersReply:
    """List the users."""
    return wire.ListUsersReply(users=[wire.UserMessage.of(user) for user in accounts.users.all()])


@router.post("/users", name="CreateUser")
async def create_user(accounts: AccountsOf, caller: Administrator, body: wire.CreateUserBody) -> wire.UserMessage:
    """Add a user."""
    add = partial(accounts.users.add, body.id, body.password, is_admin=body.is_admin)
    return wire.UserMessage.of(await PASSWORDS.run(caller.name, add))


@router.patch("/users/{user_id:id}", name="UpdateUser")
async def update_user(
    accounts: AccountsOf, caller: Administrator, user_id: str, body: wire.UpdateUserBody
) -> wire.UserMessage:
    """Set the password of a user, disable or enable a user."""
    return await PASSWORDS.run(caller.name, partial(_updated, accounts, user_id, body))


def _updated(accounts: Accounts, user_id: str, body: wire.UpdateUserBody) -> wire.UserMessage:
    user = accounts.users.get(user_id)
    if body.password is not None:
        user = accounts.users.set_password(user_id, body.password)
    if body.is_disabled is not None:
        user = accounts.users.set_disabled(user_id, body.is_disabled)
    return wire.UserMessage.of(user)


@router.post("/setupLinks", name="CreateSetupLink")
def create_setup_link(
    request: Request, accounts: AccountsOf, _: Administrator, body: wire.CreateSetupLinkBody
) -> wire.SetupLinkMessage:
    """Create a link that signs a user in once, within 15 minutes."""
    secret = accounts.sessions.new_setup_link(accounts.users.get(body.user).id)
    return wire.SetupLinkMessage(uri=f"{services_of(request).address}/setup?token={secret}")


@router.get("/groups", name="ListGroups")
def list_groups(accounts: AccountsOf, _: Administrator) -> wire.ListGroupsReply:
    """List the groups."""
    return wire.ListGroupsReply(groups=[wire.GroupMessage.of(group) for group in accounts.users.groups()])


@router.put("/groups/{group_id:id}", name="SetGroup")
def set_group(accounts: AccountsOf, _: Administrator, group_id: str, body: wire.SetGroupBody) -> wire.GroupMessage:
    """Set the members of a group; create it if it is new."""
    return wire.GroupMessage.of(accounts.users.set_group(group_id, body.members))


@router.delete("/groups/{group_id:id}", name="DeleteGroup")
def delete_group(accounts: AccountsOf, _: Administrator, group_id: str) -> None:
    """Delete a group."""
    accounts.users.remove_group(group_id)


@router.get("/keys", name="ListKeys")
def list_keys(accounts: AccountsOf, _: Administrator) -> wire.ListKeysReply:
    """List API keys and key files."""
    return wire.ListKeysReply(keys=[wire.KeyMessage.of(key) for key in accounts.keys.all()])


@router.post("/keys", name="CreateKey")
def create_key(accounts: AccountsOf, caller: Administrator, body: wire.CreateKeyBody) -> wire.KeyMessage:
    """Create an API key, or add the public half of a key file."""
    if body.public_key is None:
        return wire.KeyMessage.of(*accounts.keys.create(body.label, body.user))
    if body.address is None:
        raise InvalidArgument("A key file needs an address: set `address`.")
    owner = body.user or caller.user_id
    assert owner is not None, "an administrator is a user"
    key = accounts.keys.add_key_file(body.address, body.public_key, owner, body.label)
    return wire.KeyMessage.of(key)


@router.delete("/keys/{key_id:id}", name="DeleteKey")
def delete_key(accounts: AccountsOf, _: Administrator, key_id: str) -> None:
    """Revoke an API key or a key file."""
    accounts.keys.revoke(key_id)


@router.get("/tokens", name="ListTokens")
def list_tokens(accounts: AccountsOf, _: Administrator) -> wire.ListTokensReply:
    """List the plain and refresh tokens."""
    return wire.ListTokensReply(tokens=[wire.TokenMessage.of(token) for token in accounts.tokens.all()])


@router.delete("/tokens/{token_id:id}", name="DeleteToken")
def delete_token(accounts: AccountsOf, _: Administrator, token_id: str) -> None:
    """Revoke a token and all other tokens of its sign-in."""
    accounts.tokens.revoke_by_id(token_id)


@router.get("/clients", name="ListClients")
def list_clients(accounts: AccountsOf, _: Administrator) -> wire.ListClientsReply:
    """List the OAuth clients."""
    clients = [wire.ClientMessage.of(client) for client in accounts.clients.all()]
    return wire.ListClientsReply(clients=clients)


@router.post("/clients", name="CreateClient")
def create_client(accounts: AccountsOf, _: Administrator, body: wire.CreateClientBody) -> wire.ClientMessage:
    """Add an OAuth client."""
    if body.is_desktop:
        return wire.ClientMessage.of(*accounts.clients.add_desktop(body.name))
    made = accounts.clients.add(body.name, body.redirect_uris, is_public=body.is_public)
    return wire.ClientMessage.of(*made)


@router.delete("/clients/{client_id:id}", name="DeleteClient")
def delete_client(accounts: AccountsOf, _: Administrator, client_id: str) -> None:
    """Revoke an OAuth client with all its tokens."""
    accounts.clients.revoke(client_id)


@router.get("/auditEvents", name="ListAuditEvents")
def list_audit_events(
    services: ServicesOf,
    _: Administrator,
    page_size: int | None = None,
    page_token: str | None = None,
    actor: str | None = None,
    resource: str | None = None,
) -> wire.ListAuditEventsReply:
    """List who did what, newest first: all of it, or what one `actor` did, or what was done to one `resource`."""
    size, list_key = tuning.page_size(page_size, AUDIT_PAGE_SIZE), ("auditEvents", actor, resource)
    before = tuning.read_page_token(page_token, *list_key)
    found = audit.events(services.library.database, before=before, limit=size + 1, actor=actor, resource=resource)
    return wire.ListAuditEventsReply(
        audit_events=[wire.AuditEventMessage(**event.shown()) for event in found[:size]],
        next_page_token=tuning.page_token(found[size - 1].number, *list_key) if len(found) > size else None,
    )


@router.post("/logins", name="CreateLogin")
def create_login(
    request: Request, accounts: AccountsOf, caller: CallerOf, body: wire.CreateLoginBody
) -> wire.LoginMessage:
    """Exchange a sign-in for the content of a credentials file."""
    user_id = _signed_in(request, accounts, caller, body.scopes)
    return wire.LoginMessage.of(accounts.create_login(user_id, body.scopes, body.days, body.name))


@router.post("/tokens", name="CreateToken")
def create_token(
    request: Request, accounts: AccountsOf, caller: CallerOf, body: wire.CreateLoginBody
) -> wire.TokenMessage:
    """Exchange a sign-in for a token that lives for a number of days."""
    user_id = _signed_in(request, accounts, caller, body.scopes)
    made = accounts.tokens.create_plain(user_id, body.scopes, body.days, body.name)
    return wire.TokenMessage.of(*made)


def _signed_in(request: Request, accounts: Accounts, caller: Caller, scopes: list[str]) -> str:
    """Use up a sign-in and return its user; raises unless it may be exchanged and has the scopes."""
    token = bearer_token(request)
    if caller.user_id is None or token is None:
        raise Unauthenticated("Sign in with `tunery login`.")
    require_delegable(caller, scopes)
    accounts.spend(token)
    return caller.user_id
