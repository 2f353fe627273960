"""
Permissions of tuned models, and the transfer of ownership.

The rules are in `service/sharing.py`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tunery.errors import InvalidArgument
from tunery.server.auth import CallerOf
from tunery.server.body import body_of
from tunery.server.parameters import described, int_parameter, text_parameter
from tunery.server.replies import JsonReply
from tunery.server.services import services_of
from tunery.server.wire.permissions import PermissionIn, PermissionOut, PermissionsPage, TransferIn, permission_out
from tunery.service.access import Action
from tunery.service.requests import page_size, page_token, read_page_token

router = APIRouter(tags=["permissions"])

DEFAULT_PAGE_SIZE = 10
_PERMISSIONS = "/tunedModels/{model_id:id}/permissions"
_PERMISSION = f"{_PERMISSIONS}/{{permission_id:id}}"


@router.post(_PERMISSIONS, name="CreatePermission", **described(PermissionOut, body=PermissionIn))
def create(
    request: Request, caller: CallerOf, model_id: str, body: Annotated[PermissionIn, Depends(body_of(PermissionIn))]
) -> Response:
    """Share a tuned model with a user, a group or everyone."""
    sharing = services_of(request).library.sharing
    sharing.require(caller, Action.WRITE, model_id)  # who may not is not told what else is wrong
    if body.grantee_type is None or body.role is None:
        raise InvalidArgument("grantee_type and role must be set.")
    permission = sharing.create(caller, model_id, body.grantee_type, body.email_address, body.role)
    return JsonReply(permission_out(permission).json_object())


@router.get(_PERMISSIONS, name="ListPermissions", **described(PermissionsPage, query=("page_size", "page_token")))
def list_(request: Request, caller: CallerOf, model_id: str) -> Response:
    """List the permissions of a tuned model, the oldest first."""
    known = services_of(request).library.sharing.require(caller, Action.READ, model_id)
    size = page_size(int_parameter(request, "page_size"), DEFAULT_PAGE_SIZE)
    start = read_page_token(text_parameter(request, "page_token"), "permissions", model_id) or 0
    shown = known[start : start + size]
    page = PermissionsPage(
        permissions=[permission_out(permission) for permission in shown] or None,
        next_page_token=page_token(start + size, "permissions", model_id) if len(known) > start + size else None,
    )
    return JsonReply(page.json_object())


@router.get(_PERMISSION, name="GetPermission", **described(PermissionOut))
def get(request: Request, caller: CallerOf, model_id: str, permission_id: str) -> Response:
    """Return a permission."""
    permission = services_of(request).library.sharing.get(caller, model_id, permission_id)
    return JsonReply(permission_out(permission).json_object())


@router.patch(
    _PERMISSION, name="UpdatePermission", **described(PermissionOut, body=PermissionIn, query=("update_mask",))
)
def update(
    request: Request,
    caller: CallerOf,
    model_id: str,
    permission_id: str,
    body: Annotated[PermissionIn, Depends(body_of(PermissionIn))],
) -> Response:
    """Change the role of a permission; nothing else of it can change."""
    sharing = services_of(request).library.sharing
    sharing.require(caller, Action.WRITE, model_id)
    if (text_parameter(request, "update_mask") or "role") not in ("role", "*"):
        raise InvalidArgument("updateMask: only role can be updated.")
    if body.role is None:
        raise InvalidArgument("role must be set.")
    permission = sharing.change_role(caller, model_id, permission_id, body.role)
    return JsonReply(permission_out(permission).json_object())


@router.delete(_PERMISSION, name="DeletePermission", **described())
def delete(request: Request, caller: CallerOf, model_id: str, permission_id: str) -> Response:
    """Take a permission back."""
    services_of(request).library.sharing.delete(caller, model_id, permission_id)
    return JsonReply({})


@router.post("/tunedModels/{model_id:id}:transferOwnership", name="TransferOwnership", **described(body=TransferIn))
def transfer(
    request: Request, caller: CallerOf, model_id: str, body: Annotated[TransferIn, Depends(body_of(TransferIn))]
) -> Response:
    """Make another user the owner; the old owner stays a writer."""
    sharing = services_of(request).library.sharing
    sharing.require(caller, Action.OWN, model_id)
    if not body.email_address:
        raise InvalidArgument("email_address must be set.")
    sharing.transfer(caller, model_id, body.email_address)
    return JsonReply({})
