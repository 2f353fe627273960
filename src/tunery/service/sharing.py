"""
Sharing of tuned models: permissions given, changed, taken back, and ownership handed on.

Each call checks and writes in one transaction, so that two calls at once cannot undo each other's checks. Knows the
rules of `access.py` and the statements of `database/permissions.py`; no HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from tunery.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tunery.service.access import Action, require_role, require_scope
from tunery.service.database import models, permissions
from tunery.service.database.connection import Database
from tunery.types import Caller, GranteeType, Permission, Role


class Sharing:
    """The permissions of the tuned models of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def require(self, caller: Caller, action: Action, model_id: str) -> tuple[Permission, ...]:
        """Raise unless a caller may do something with a tuned model; return the permissions of the model."""
        require_scope(caller, action)  # first: who may not ask at all does not learn which models there are
        with self._database.reading() as connection:
            return _checked(connection, caller, action, model_id)

    def allows(self, caller: Caller, action: Action, model_id: str) -> bool:
        """Say whether a caller may do something with a tuned model; raises NotFound."""
        try:
            self.require(caller, action, model_id)
        except PermissionDenied:
            return False
        return True

    def of_model(self, model_id: str) -> tuple[Permission, ...]:
        """Return the permissions of a tuned model, none if there is no such model."""
        with self._database.reading() as connection:
            return permissions.of_model(connection, model_id)

    def get(self, caller: Caller, model_id: str, permission_id: str) -> Permission:
        """Return a permission of a tuned model; raises NotFound."""
        return _found(self.require(caller, Action.READ, model_id), permission_id)

    def create(
        self, caller: Caller, model_id: str, grantee_type: GranteeType, address: str | None, role: Role
    ) -> Permission:
        """Give a permission; raises AlreadyExists if the grantee has one, InvalidArgument if it makes no sense."""
        grantee = _grantee(grantee_type, address, role)
        with self._changing(caller, Action.WRITE, model_id) as (connection, _):
            permission_id = permissions.give(connection, model_id, grantee_type, grantee, role)
            return _found(permissions.of_model(connection, model_id), permission_id)

    def change_role(self, caller: Caller, model_id: str, permission_id: str, role: Role) -> Permission:
        """Set the role of a permission; ownership changes by `transfer` only."""
        with self._changing(caller, Action.WRITE, model_id) as (connection, known):
            permission = _found(known, permission_id)
            if role == permission.role:
                return permission
            _refuse_owner(permission.role, role)
            permissions.change_role(connection, permission_id, role)
            return _found(permissions.of_model(connection, model_id), permission_id)

    def delete(self, caller: Caller, model_id: str, permission_id: str) -> None:
        """Take a permission back; that of the owner stays."""
        with self._changing(caller, Action.WRITE, model_id) as (connection, known):
            _refuse_owner(_found(known, permission_id).role)
            permissions.take(connection, permission_id)

    def transfer(self, caller: Caller, model_id: str, address: str) -> None:
        """Make another user the owner; the old owner stays a writer."""
        new_owner = _grantee(GranteeType.USER, address, Role.READER)
        with self._changing(caller, Action.OWN, model_id) as (connection, known):
            if any(p.email_address == new_owner and p.role == Role.OWNER for p in known):
                raise FailedPrecondition(f"{new_owner} owns tunedModels/{model_id} already.")
            permissions.transfer(connection, model_id, str(new_owner))

    @contextmanager
    def _changing(
        self, caller: Caller, action: Action, model_id: str
    ) -> Iterator[tuple[Connection, tuple[Permission, ...]]]:
        require_scope(caller, action)
        with self._database.writing() as connection:
            yield connection, _checked(connection, caller, action, model_id)


def _checked(connection: Connection, caller: Caller, action: Action, model_id: str) -> tuple[Permission, ...]:
    if not models.exists(connection, model_id):
        raise NotFound(f"Tuned model tunedModels/{model_id} does not exist.")
    known = permissions.of_model(connection, model_id)
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
            raise InvalidArgument("EVERYONE can be given the role READER only.")
        return None
    if not address or "@" not in address.strip("@") or any(character.isspace() for character in address.strip()):
        raise InvalidArgument(f"email_address must be the address of a {grantee_type.lower()}, not {address!r}.")
    _refuse_owner(role)
    return address.strip().lower()


def _refuse_owner(*roles: Role) -> None:
    if Role.OWNER in roles:
        raise InvalidArgument("The role OWNER is handed on with transferOwnership; it cannot be given or taken.")
