"""
Who may do what: callers, scopes, roles and sharing. Anything that no rule allows is denied.

A user's id is the e-mail address in lower case (or "local", the user of this machine, who needs no sign-in and whom
permissions call `LOCAL_ADDRESS`), so a model can be shared with somebody who signs in for the first time tomorrow.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tunery.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from tunery.service.database import audit, models, tasks
from tunery.service.database.connection import Connection, Database
from tunery.service.tuning import LOCAL_ADDRESS, LOCAL_USER
from tunery.types import Caller, GranteeType, Permission, Phase, Role, TunedModel

_AUTH = "https://www.googleapis.com/auth/"
CLOUD_PLATFORM = f"{_AUTH}cloud-platform"
TUNING = f"{_AUTH}generative-language.tuning"
TUNING_READONLY = f"{_AUTH}generative-language.tuning.readonly"
RETRIEVER = f"{_AUTH}generative-language.retriever"
GENERATIVE_LANGUAGE = f"{_AUTH}generative-language"
SCOPES = (CLOUD_PLATFORM, TUNING, TUNING_READONLY, RETRIEVER, GENERATIVE_LANGUAGE)

MAX_POLLED = 1000  # tuned models kept for polling

_WRITING = frozenset({CLOUD_PLATFORM, TUNING})
_READING = _WRITING | {TUNING_READONLY}

_RANK = {Role.READER: 1, Role.WRITER: 2, Role.OWNER: 3}


class Action(Enum):
    """What a caller does with tuned models: the scopes that allow it, and the role it needs on the model."""

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
        raise _insufficient_scopes()


def require_role(caller: Caller, action: Action, model_name: str, permissions: Iterable[Permission]) -> None:
    """Raise PermissionDenied unless the caller may do this with a tuned model that has these permissions."""
    require_scope(caller, action)
    role = role_of(caller, permissions)
    if action.role is not None and (role is None or _RANK[role] < _RANK[action.role]):
        raise _no_access(model_name)


def require_use(caller: Caller, model_name: str, permissions: Iterable[Permission]) -> None:
    """Raise PermissionDenied unless the caller may generate with a tuned model: its readers, keys if it is public."""
    require_known(caller)
    if role_of(caller, permissions) is None:
        raise _no_access(model_name)


def require_known(caller: Caller) -> None:
    """Raise PermissionDenied for a caller with neither token nor key; all others may generate with base models."""
    if caller.user_id is None and not caller.has_key:
        raise PermissionDenied(
            "Method doesn't allow unregistered callers (callers without established identity)."
            " Please use a token or an API key to call this API.",
            reason="CREDENTIALS_MISSING",
        )


def require_administrator(caller: Caller) -> None:
    """
    Raise Unauthenticated or PermissionDenied unless the caller is an administrator with a token of unlimited scope.
    """
    if caller.user_id is None:
        raise Unauthenticated("Only an administrator with a token may do this.")
    if not caller.is_admin:
        raise PermissionDenied("Only an administrator may do this.")
    if CLOUD_PLATFORM not in caller.scopes:
        raise _insufficient_scopes()


def require_delegable(caller: Caller, scopes: Collection[str]) -> None:
    """Raise InvalidArgument for unknown scopes, PermissionDenied if the caller cannot pass them on to a new token."""
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidArgument(f"Each scope must be one of {', '.join(SCOPES)}.")
    if CLOUD_PLATFORM not in caller.scopes and not set(scopes) <= caller.scopes:
        raise _insufficient_scopes()


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


def _insufficient_scopes() -> PermissionDenied:
    return PermissionDenied("Request had insufficient authentication scopes.", reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT")


def _no_access(model_name: str) -> PermissionDenied:
    return PermissionDenied(f"You do not have permission to access tuned model {model_name}.")


@dataclass(frozen=True, slots=True)
class Share:
    """A caller's role on a tuned model, and the address of its owner."""

    role: Role | None
    owner: str | None


class Sharing:
    """The permissions of the tuned models of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def require(self, caller: Caller, action: Action, model_id: str) -> tuple[Permission, ...]:
        """Raise unless a caller may take an action on a tuned model; return the permissions of the model."""
        require_scope(caller, action)  # first: a caller without access must not learn which models exist
        with self._database.reading() as connection:
            return _checked(connection, caller, action, model_id)

    def allows(self, caller: Caller, action: Action, model_id: str) -> bool:
        """Return whether a caller may take an action on a tuned model; raises NotFound."""
        try:
            self.require(caller, action, model_id)
        except PermissionDenied:
            return False
        return True

    def may_see_examples(self, caller: Caller, model: TunedModel) -> bool:
        """
        Return whether a caller may see the examples of a tuned model: as a writer, or as a reader if the owner shares
        them.
        """
        try:
            role = role_of(caller, self.require(caller, Action.READ, model.id))
        except PermissionDenied:
            return False
        return model.examples_shared or role in (Role.WRITER, Role.OWNER)

    def of_model(self, model_id: str) -> tuple[Permission, ...]:
        """Return the permissions of a tuned model, none if there is no such model."""
        with self._database.reading() as connection:
            return models.list_permissions(connection, model_id)

    def shares(self, caller: Caller, model_ids: Sequence[str]) -> dict[str, Share]:
        """Return a caller's share in each of these tuned models, which the caller must be allowed to read."""
        with self._database.reading() as connection:
            known = models.list_permissions_of(connection, model_ids)
        found = {}
        for model_id in model_ids:
            own = [permission for permission in known if permission.tuned_model_id == model_id]
            owners = [permission.email_address for permission in own if permission.role is Role.OWNER]
            found[model_id] = Share(role_of(caller, own), next(iter(owners), None))
        return found

    def get(self, caller: Caller, model_id: str, permission_id: str) -> Permission:
        """Return a permission of a tuned model; raises NotFound."""
        return _found(self.require(caller, Action.READ, model_id), permission_id)

    def create(
        self, caller: Caller, model_id: str, grantee_type: GranteeType, address: str | None, role: Role
    ) -> Permission:
        """Add a permission; raises AlreadyExists if the grantee has one, InvalidArgument for an impossible one."""
        grantee = _grantee(grantee_type, address, role)
        with self._changing(caller, Action.WRITE, model_id) as (connection, _):
            permission_id = models.add_permission(connection, model_id, grantee_type, grantee, role)
            _record(connection, "CreatePermission", caller, model_id, grantee or grantee_type, role)
            return _found(models.list_permissions(connection, model_id), permission_id)

    def change_role(self, caller: Caller, model_id: str, permission_id: str, role: Role) -> Permission:
        """Change the role of a permission; ownership changes only by `transfer`."""
        with self._changing(caller, Action.WRITE, model_id) as (connection, known):
            permission = _found(known, permission_id)
            if role == permission.role:
                return permission
            _refuse_owner(permission.role, role)
            models.change_role(connection, permission_id, role)
            grantee = permission.email_address or permission.grantee_type
            _record(connection, "UpdatePermission", caller, model_id, grantee, role)
            return _found(models.list_permissions(connection, model_id), permission_id)

    def delete(self, caller: Caller, model_id: str, permission_id: str) -> None:
        """Delete a permission, except the owner's."""
        with self._changing(caller, Action.WRITE, model_id) as (connection, known):
            permission = _found(known, permission_id)
            _refuse_owner(permission.role)
            models.remove_permission(connection, permission_id)
            grantee = permission.email_address or permission.grantee_type
            _record(connection, "DeletePermission", caller, model_id, grantee, permission.role)

    def transfer(self, caller: Caller, model_id: str, address: str) -> None:
        """Make another user the owner; the old owner becomes a writer."""
        new_owner = _grantee(GranteeType.USER, address, Role.READER)
        with self._changing(caller, Action.OWN, model_id) as (connection, known):
            if any(p.email_address == new_owner and p.role == Role.OWNER for p in known):
                raise FailedPrecondition(f"{new_owner} already owns tunedModels/{model_id}.")
            models.transfer_ownership(connection, model_id, str(new_owner))
            _record(connection, "TransferOwnership", caller, model_id, str(new_owner), Role.OWNER)

    @contextmanager
    def _changing(
        self, caller: Caller, action: Action, model_id: str
    ) -> Iterator[tuple[Connection, tuple[Permission, ...]]]:
        require_scope(caller, action)
        with self._database.writing() as connection:
            yield connection, _checked(connection, caller, action, model_id)


def _record(connection: Connection, action: str, caller: Caller, model_id: str, grantee: str, role: Role) -> None:
    details = {"grantee": grantee, "role": role.name}
    audit.record(connection, action, f"tunedModels/{model_id}", actor=caller.name, **details)


def _checked(connection: Connection, caller: Caller, action: Action, model_id: str) -> tuple[Permission, ...]:
    if not models.has_model(connection, model_id):
        raise NotFound(f"Tuned model tunedModels/{model_id} does not exist.")
    known = models.list_permissions(connection, model_id)
    require_role(caller, action, f"tunedModels/{model_id}", known)
    return known


def _found(known: tuple[Permission, ...], permission_id: str) -> Permission:
    for permission in known:
        if permission.id == permission_id:
            return permission
    raise NotFound(f"There is no permission {permission_id}.")


def _grantee(grantee_type: GranteeType, address: str | None, role: Role) -> str | None:
    if grantee_type == GranteeType.EVERYONE:
        if address:
            raise InvalidArgument("email_address must be empty for EVERYONE.")
        if role != Role.READER:
            raise InvalidArgument("EVERYONE can only be given the role READER.")
        return None
    if not address or "@" not in address.strip("@") or any(character.isspace() for character in address.strip()):
        raise InvalidArgument(f"email_address must be the address of a {grantee_type.lower()}, not {address!r}.")
    _refuse_owner(role)
    grantee = address.strip().lower()
    return LOCAL_USER if grantee == LOCAL_ADDRESS else grantee


def _refuse_owner(*roles: Role) -> None:
    if Role.OWNER in roles:
        raise InvalidArgument(
            "The role OWNER can be passed on only with transferOwnership; it cannot be given or taken away."
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A tuned model as of the last write; `made` caches what readers derive from it."""

    model: TunedModel
    permissions: tuple[Permission, ...]
    waiting_before: int | None  # tasks before it in the queue, None if it is not in the queue
    seconds_to_start: float | None  # about how long it waits, None if that is not known
    made: dict[Any, Any] = field(default_factory=dict, repr=False)


class Polling:
    """
    The tuned models that clients poll, kept in memory until the next write or, in a shared database, the next write to
    the same model.

    Fifty clients polling an operation in a bare loop would otherwise read and encode the same curve a thousand times a
    second, at the cost of the task they wait for.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[object, Seen]] = {}  # with the state of the database in which it was read

    def get(self, caller: Caller, action: Action, model_id: str) -> Seen:
        """Return a tuned model; raise NotFound, or PermissionDenied unless the caller may do `action` with it."""
        require_scope(caller, action)  # first, so that a caller without the scope does not learn which models exist
        state = self._state(model_id)  # taken before reading, so that a write in between invalidates the entry
        with self._lock:
            known = self._kept.get(model_id)
        seen = known[1] if known is not None and known[0] == state else self._read(model_id)
        if known is None or known[1] is not seen:
            self._keep(seen, state)
        require_role(caller, action, seen.model.name, seen.permissions)
        return seen

    def _state(self, model_id: str) -> object:
        if not self._database.is_shared:
            return self._database.changes
        with self._database.reading() as connection:
            return models.row_versions(connection, model_id) or object()

    def _read(self, model_id: str) -> Seen:
        with self._database.reading() as connection:
            model = models.get_model(connection, model_id)
            if model is None:
                raise NotFound(f"Tuned model tunedModels/{model_id} does not exist.")
            is_waiting = model.task.phase is Phase.QUEUED
            place = tasks.places(connection).get(model.task.id) if is_waiting else None
            start = tasks.seconds_to_start(connection, model.task.id) if is_waiting else None
            return Seen(model, models.list_permissions(connection, model_id), place, start)

    def _keep(self, seen: Seen, state: object) -> None:
        with self._lock:
            if len(self._kept) >= MAX_POLLED:
                self._kept = {}
            self._kept[seen.model.id] = state, seen
