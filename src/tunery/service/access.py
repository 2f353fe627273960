"""
Who may do what: rules about callers, scopes and roles, default deny. No HTTP, no SQL.

A user's id is the address in lower case (or "local", who works on this machine without signing in), so that a model can
be shared with somebody who signs in for the first time tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from tunery.errors import PermissionDenied
from tunery.types import Caller, GranteeType, Permission, Role

_AUTH = "https://www.googleapis.com/auth/"
CLOUD_PLATFORM = f"{_AUTH}cloud-platform"
TUNING = f"{_AUTH}generative-language.tuning"
TUNING_READONLY = f"{_AUTH}generative-language.tuning.readonly"
RETRIEVER = f"{_AUTH}generative-language.retriever"
GENERATIVE_LANGUAGE = f"{_AUTH}generative-language"
SCOPES = (CLOUD_PLATFORM, TUNING, TUNING_READONLY, RETRIEVER, GENERATIVE_LANGUAGE)

_WRITING = frozenset({CLOUD_PLATFORM, TUNING})
_READING = _WRITING | {TUNING_READONLY}

_RANK = {Role.READER: 1, Role.WRITER: 2, Role.OWNER: 3}


class Action(Enum):
    """What a caller wants with tuned models: the scopes that allow it, and the role it takes on the model."""

    LIST = "list", _READING, None
    CREATE = "create", _WRITING, None
    READ = "read", _READING, Role.READER
    WRITE = "write", _WRITING, Role.WRITER
    OWN = "own", _WRITING, Role.OWNER

    def __init__(self, _name: str, scopes: frozenset[str], role: Role | None) -> None:
        self.scopes, self.role = scopes, role


def require_scope(caller: Caller, action: Action) -> None:
    """Raise PermissionDenied unless the caller's credentials allow an action on any tuned model at all."""
    require_known(caller)
    if caller.user_id is None or not caller.scopes & action.scopes:
        raise PermissionDenied(
            "Request had insufficient authentication scopes.", reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT"
        )


def require_role(caller: Caller, action: Action, model_name: str, permissions: Iterable[Permission]) -> None:
    """Raise PermissionDenied unless the caller may do this with a tuned model that has these permissions."""
    require_scope(caller, action)
    role = role_of(caller, permissions)
    if action.role is not None and (role is None or _RANK[role] < _RANK[action.role]):
        raise _no_access(model_name)


def require_use(caller: Caller, model_name: str, permissions: Iterable[Permission]) -> None:
    """Raise PermissionDenied unless the caller may ask a tuned model: a reader, or a key if everyone is one."""
    require_known(caller)
    if role_of(caller, permissions) is None:
        raise _no_access(model_name)


def require_known(caller: Caller) -> None:
    """Raise PermissionDenied for a caller with neither a token nor a key; all others may ask base models."""
    if caller.user_id is None and not caller.has_key:
        raise PermissionDenied(
            "Method doesn't allow unregistered callers (callers without established identity)."
            " Please use a token or an API key to call this API."
        )


def role_of(caller: Caller, permissions: Iterable[Permission]) -> Role | None:
    """Return the highest role that the permissions of a tuned model give a caller, None for none."""
    roles = [permission.role for permission in permissions if _is_given_to(permission, caller)]
    return max(roles, key=_RANK.__getitem__, default=None)


def _is_given_to(permission: Permission, caller: Caller) -> bool:
    match permission.grantee_type:
        case GranteeType.EVERYONE:
            return True
        case GranteeType.GROUP:
            return permission.email_address in caller.groups
        case GranteeType.USER:
            return caller.user_id is not None and permission.email_address == caller.user_id


def _no_access(model_name: str) -> PermissionDenied:
    return PermissionDenied(f"You do not have permission to access tuned model {model_name}.")
