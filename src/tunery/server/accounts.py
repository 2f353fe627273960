"""
Administration of accounts over HTTP, under `/v1beta/accounts/`: an extension of the API.

Used by `tunery keys`, `users` and `login`. Only administrators may call it, with a token for everything; logins and
tokens are made with the local token or a sign-in that is used up.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from tunery.errors import InvalidArgument, Unauthenticated
from tunery.server.http import body_of, described, services_of
from tunery.server.security import Administrator, CallerOf, bearer_token
from tunery.server.wire import accounts as wire
from tunery.service.access import require_delegable
from tunery.service.accounts.accounts import Accounts
from tunery.types import Caller

router = APIRouter(prefix="/v1beta/accounts", tags=["accounts (extension)"])


def _accounts(request: Request) -> Accounts:
    return services_of(request).accounts


AccountsOf = Annotated[Accounts, Depends(_accounts)]
CreateUser = Annotated[wire.CreateUserBody, Depends(body_of(wire.CreateUserBody))]
UpdateUser = Annotated[wire.UpdateUserBody, Depends(body_of(wire.UpdateUserBody))]
SetGroup = Annotated[wire.SetGroupBody, Depends(body_of(wire.SetGroupBody))]
CreateKey = Annotated[wire.CreateKeyBody, Depends(body_of(wire.CreateKeyBody))]
CreateClient = Annotated[wire.CreateClientBody, Depends(body_of(wire.CreateClientBody))]
CreateLogin = Annotated[wire.CreateLoginBody, Depends(body_of(wire.CreateLoginBody))]
CreateSetupLink = Annotated[wire.CreateSetupLinkBody, Depends(body_of(wire.CreateSetupLinkBody))]

Document = dict[str, Any]


@router.get("/me", name="GetMe", **described(wire.MeMessage))
def get_me(caller: CallerOf) -> Document:
    """Return the caller."""
    groups, scopes = sorted(caller.groups), sorted(caller.scopes)
    me = wire.MeMessage(user=caller.user_id, is_admin=caller.is_admin, groups=groups, scopes=scopes)
    return me.json_object()


@router.get("/users", name="ListUsers", **described(wire.ListUsersReply))
def list_users(accounts: AccountsOf, _: Administrator) -> Document:
    """List the users."""
    return wire.ListUsersReply(users=[wire.UserMessage.of(user) for user in accounts.users.all()]).json_object()


@router.post("/users", name="CreateUser", **described(wire.UserMessage, body=wire.CreateUserBody))
def create_user(accounts: AccountsOf, _: Administrator, body: CreateUser) -> Document:
    """Add a user."""
    user = accounts.users.add(body.id, body.password, is_admin=body.is_admin)
    return wire.UserMessage.of(user).json_object()


@router.patch("/users/{user_id:id}", name="UpdateUser", **described(wire.UserMessage, body=wire.UpdateUserBody))
def update_user(accounts: AccountsOf, _: Administrator, user_id: str, body: UpdateUser) -> Document:
    """Set the password of a user, disable or enable a user."""
    user = accounts.users.get(user_id)
    if body.password is not None:
        user = accounts.users.set_password(user_id, body.password)
    if body.is_disabled is not None:
        user = accounts.users.set_disabled(user_id, body.is_disabled)
    return wire.UserMessage.of(user).json_object()


@router.post("/setupLinks", name="CreateSetupLink", **described(wire.SetupLinkMessage, body=wire.CreateSetupLinkBody))
def create_setup_link(request: Request, accounts: AccountsOf, _: Administrator, body: CreateSetupLink) -> Document:
    """Create a link that signs a user in once, within 15 minutes."""
    secret = accounts.sessions.new_setup_link(accounts.users.get(body.user).id)
    return wire.SetupLinkMessage(uri=f"{services_of(request).address}/setup?token={secret}").json_object()


@router.get("/groups", name="ListGroups", **described(wire.ListGroupsReply))
def list_groups(accounts: AccountsOf, _: Administrator) -> Document:
    """List the groups."""
    return wire.ListGroupsReply(groups=[wire.GroupMessage.of(group) for group in accounts.users.groups()]).json_object()


@router.put("/groups/{group_id:id}", name="SetGroup", **described(wire.GroupMessage, body=wire.SetGroupBody))
def set_group(accounts: AccountsOf, _: Administrator, group_id: str, body: SetGroup) -> Document:
    """Set the members of a group; create it if it is new."""
    return wire.GroupMessage.of(accounts.users.set_group(group_id, body.members)).json_object()


@router.delete("/groups/{group_id:id}", name="DeleteGroup", **described())
def delete_group(accounts: AccountsOf, _: Administrator, group_id: str) -> Document:
    """Delete a group."""
    accounts.users.remove_group(group_id)
    return {}


@router.get("/keys", name="ListKeys", **described(wire.ListKeysReply))
def list_keys(accounts: AccountsOf, _: Administrator) -> Document:
    """List API keys and key files."""
    return wire.ListKeysReply(keys=[wire.KeyMessage.of(key) for key in accounts.keys.all()]).json_object()


@router.post("/keys", name="CreateKey", **described(wire.KeyMessage, body=wire.CreateKeyBody))
def create_key(accounts: AccountsOf, caller: Administrator, body: CreateKey) -> Document:
    """Create an API key, or add the public half of a key file."""
    if body.public_key is None:
        return wire.KeyMessage.of(*accounts.keys.create(body.label, body.user)).json_object()
    if body.address is None:
        raise InvalidArgument("A key file needs an address: set `address`.")
    owner = body.user or caller.user_id
    assert owner is not None, "an administrator is a user"
    key = accounts.keys.add_key_file(body.address, body.public_key, owner, body.label)
    return wire.KeyMessage.of(key).json_object()


@router.delete("/keys/{key_id:id}", name="DeleteKey", **described())
def delete_key(accounts: AccountsOf, _: Administrator, key_id: str) -> Document:
    """Revoke an API key or a key file."""
    accounts.keys.revoke(key_id)
    return {}


@router.get("/tokens", name="ListTokens", **described(wire.ListTokensReply))
def list_tokens(accounts: AccountsOf, _: Administrator) -> Document:
    """List the plain and refresh tokens."""
    return wire.ListTokensReply(tokens=[wire.TokenMessage.of(token) for token in accounts.tokens.all()]).json_object()


@router.delete("/tokens/{token_id:id}", name="DeleteToken", **described())
def delete_token(accounts: AccountsOf, _: Administrator, token_id: str) -> Document:
    """Revoke a token and all other tokens of its sign-in."""
    accounts.tokens.revoke_by_id(token_id)
    return {}


@router.get("/clients", name="ListClients", **described(wire.ListClientsReply))
def list_clients(accounts: AccountsOf, _: Administrator) -> Document:
    """List the OAuth clients."""
    clients = [wire.ClientMessage.of(client) for client in accounts.clients.all()]
    return wire.ListClientsReply(clients=clients).json_object()


@router.post("/clients", name="CreateClient", **described(wire.ClientMessage, body=wire.CreateClientBody))
def create_client(accounts: AccountsOf, _: Administrator, body: CreateClient) -> Document:
    """Add an OAuth client."""
    if body.is_desktop:
        return wire.ClientMessage.of(*accounts.clients.add_desktop(body.name)).json_object()
    made = accounts.clients.add(body.name, body.redirect_uris, is_public=body.is_public)
    return wire.ClientMessage.of(*made).json_object()


@router.delete("/clients/{client_id:id}", name="DeleteClient", **described())
def delete_client(accounts: AccountsOf, _: Administrator, client_id: str) -> Document:
    """Revoke an OAuth client with all its tokens."""
    accounts.clients.revoke(client_id)
    return {}


@router.post("/logins", name="CreateLogin", **described(wire.LoginMessage, body=wire.CreateLoginBody))
def create_login(request: Request, accounts: AccountsOf, caller: CallerOf, body: CreateLogin) -> Document:
    """Exchange a sign-in for the content of a credentials file."""
    user_id = _signed_in(request, accounts, caller, body.scopes)
    return wire.LoginMessage.of(accounts.create_login(user_id, body.scopes, body.days, body.name)).json_object()


@router.post("/tokens", name="CreateToken", **described(wire.TokenMessage, body=wire.CreateLoginBody))
def create_token(request: Request, accounts: AccountsOf, caller: CallerOf, body: CreateLogin) -> Document:
    """Exchange a sign-in for a token that lives for a number of days."""
    user_id = _signed_in(request, accounts, caller, body.scopes)
    made = accounts.tokens.create_plain(user_id, body.scopes, body.days, body.name)
    return wire.TokenMessage.of(*made).json_object()


def _signed_in(request: Request, accounts: Accounts, caller: Caller, scopes: list[str]) -> str:
    """Use up a sign-in and return its user; raises unless it may be exchanged and has the scopes."""
    token = bearer_token(request)
    if caller.user_id is None or token is None:
        raise Unauthenticated("Sign in with `tunery login`.")
    require_delegable(caller, scopes)
    accounts.spend(token)
    return caller.user_id
