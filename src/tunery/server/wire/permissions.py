"""
Permissions on the wire (google/ai/generativelanguage/v1beta/permission.proto).

Enums come as names or numbers; they go out as names.
"""

from __future__ import annotations

from typing import Annotated

from tunery.server.wire.base import Message, StrictIncoming, enum_name
from tunery.types import GranteeType, Permission, Role

_GRANTEE_TYPES = {1: "USER", 2: "GROUP", 3: "EVERYONE"}
_ROLES = {1: "OWNER", 2: "WRITER", 3: "READER"}


class PermissionIn(StrictIncoming):
    """A permission to be given or changed."""

    name: str | None = None
    grantee_type: Annotated[GranteeType | None, enum_name(_GRANTEE_TYPES)] = None
    email_address: str | None = None
    role: Annotated[Role | None, enum_name(_ROLES)] = None


class TransferIn(StrictIncoming):
    """To whom a tuned model is handed on."""

    name: str | None = None
    email_address: str | None = None


class PermissionOut(Message):
    """A permission."""

    name: str
    grantee_type: GranteeType
    email_address: str | None
    role: Role


class PermissionsPage(Message):
    """A page of permissions."""

    permissions: list[PermissionOut] | None
    next_page_token: str | None


def permission_out(permission: Permission) -> PermissionOut:
    """Return a permission as the API shows it."""
    return PermissionOut(
        name=f"tunedModels/{permission.tuned_model_id}/permissions/{permission.id}",
        grantee_type=permission.grantee_type,
        email_address=permission.email_address,
        role=permission.role,
    )
