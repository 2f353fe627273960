"""
Permissions as rows: who may do what with a tuned model.

The caller holds the transaction; whether somebody may change them is said in `service/access.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from tunery.errors import AlreadyExists
from tunery.service.database.tables import permissions
from tunery.service.names import random_id
from tunery.types import Caller, GranteeType, Permission, Role

_table = permissions.c


def of_model(connection: Connection, model_id: str) -> tuple[Permission, ...]:
    """Return the permissions of a tuned model, the oldest first: its first owner."""
    statement = select(permissions).where(_table.tuned_model_id == model_id).order_by(_table.create_time, _table.id)
    return tuple(_permission(row) for row in connection.execute(statement).mappings())


def give(connection: Connection, model_id: str, grantee_type: GranteeType, grantee: str | None, role: Role) -> str:
    """Write a permission and return its id; raises AlreadyExists if the grantee has one."""
    same = and_(*(_table[name] == value for name, value in _key(model_id, grantee_type, grantee).items()))
    if connection.scalar(select(_table.id).where(same)) is not None:
        who = grantee or "Everyone"
        raise AlreadyExists(f"{who} has a permission on tunedModels/{model_id} already. Change its role instead.")
    row = {"id": random_id(), "role": role, "create_time": datetime.now(UTC)}
    connection.execute(insert(permissions).values(row | _key(model_id, grantee_type, grantee)))
    return str(row["id"])


def change_role(connection: Connection, permission_id: str, role: Role) -> None:
    """Set the role of a permission."""
    connection.execute(update(permissions).where(_table.id == permission_id).values(role=role))


def take(connection: Connection, permission_id: str) -> None:
    """Delete a permission."""
    connection.execute(delete(permissions).where(_table.id == permission_id))


def transfer(connection: Connection, model_id: str, new_owner: str) -> None:
    """Make a user the owner of a tuned model; those who owned it stay its writers."""
    mine = _table.tuned_model_id == model_id
    connection.execute(update(permissions).where(mine, _table.role == Role.OWNER).values(role=Role.WRITER))
    his = and_(mine, _table.grantee_type == GranteeType.USER, _table.grantee == new_owner)
    if connection.execute(update(permissions).where(his).values(role=Role.OWNER)).rowcount == 0:
        give(connection, model_id, GranteeType.USER, new_owner, Role.OWNER)


def given_to(caller: Caller, roles: Iterable[Role]) -> Any:
    """Return the select of ids of tuned models on which a caller has one of these roles in person or by a group."""
    user = and_(_table.grantee_type == GranteeType.USER, _table.grantee == caller.user_id)
    group = and_(_table.grantee_type == GranteeType.GROUP, _table.grantee.in_(sorted(caller.groups)))
    return _models_where(or_(user, group) & _table.role.in_(list(roles)))


def given_to_everyone() -> Any:
    """Return the select of ids of tuned models that everyone may use."""
    return _models_where(_table.grantee_type == GranteeType.EVERYONE)


def _models_where(condition: ColumnElement[bool]) -> Any:
    return select(_table.tuned_model_id).where(condition)


def _key(model_id: str, grantee_type: GranteeType, grantee: str | None) -> dict[str, str]:
    return {"tuned_model_id": model_id, "grantee_type": grantee_type, "grantee": grantee or ""}


def _permission(row: Any) -> Permission:
    return Permission(
        id=row["id"],
        tuned_model_id=row["tuned_model_id"],
        grantee_type=GranteeType(row["grantee_type"]),
        email_address=row["grantee"] or None,
        role=Role(row["role"]),
    )
