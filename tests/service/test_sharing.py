"""Permissions of tuned models: created, changed, deleted and transferred by those who may."""

from __future__ import annotations

import pytest

from tests.service.samples import a_request
from tunery.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tunery.service.access import CLOUD_PLATFORM, TUNING_READONLY, Action, Share
from tunery.service.library import Library
from tunery.types import Caller, GranteeType, Role

OWNER = Caller("local", frozenset({CLOUD_PLATFORM}))
OTHER = Caller("other@example.com", frozenset({CLOUD_PLATFORM}))


@pytest.fixture(autouse=True)
def model(library: Library) -> None:
    library.create(a_request(id="numbers"))


def give(library: Library, role: Role, address: str = "other@example.com", caller: Caller = OWNER) -> str:
    return library.sharing.create(caller, "numbers", GranteeType.USER, address, role).id


def test_who_has_no_role_may_nothing(library: Library) -> None:
    """A stranger is refused; a reader may read but not write."""
    with pytest.raises(PermissionDenied):
        library.sharing.require(OTHER, Action.READ, "numbers")

    give(library, Role.READER, " Other@Example.com ")

    library.sharing.require(OTHER, Action.READ, "numbers")
    with pytest.raises(PermissionDenied):
        give(library, Role.READER, "third@example.com", caller=OTHER)


def test_scopes_come_before_existence(library: Library) -> None:
    """Without the scope, a missing model is refused like an existing one; with it, it is not found."""
    caller = Caller("local", frozenset({TUNING_READONLY}))
    for model_id in ("numbers", "none"):
        with pytest.raises(PermissionDenied):
            library.sharing.require(caller, Action.WRITE, model_id)
    with pytest.raises(NotFound):
        library.sharing.require(OWNER, Action.READ, "none")


def test_a_grantee_has_one_permission(library: Library) -> None:
    """A second permission for the same address is refused; the role can be changed and the permission deleted."""
    permission_id = give(library, Role.READER)
    with pytest.raises(AlreadyExists):
        give(library, Role.WRITER)

    assert library.sharing.change_role(OWNER, "numbers", permission_id, Role.WRITER).role is Role.WRITER
    library.sharing.delete(OWNER, "numbers", permission_id)
    with pytest.raises(NotFound):
        library.sharing.get(OWNER, "numbers", permission_id)


@pytest.mark.parametrize(
    ("kind", "address", "role"),
    [
        (GranteeType.EVERYONE, None, Role.WRITER),
        (GranteeType.EVERYONE, "a@b.c", Role.READER),
        (GranteeType.USER, None, Role.READER),
        (GranteeType.USER, "nobody", Role.READER),
        (GranteeType.GROUP, "a b@c.d", Role.READER),
        (GranteeType.USER, "a@b.c", Role.OWNER),
    ],
)
def test_permissions_that_make_no_sense(library: Library, kind: GranteeType, address: str | None, role: Role) -> None:
    """EVERYONE has no address and only reads, others need one, and OWNER cannot be granted."""
    with pytest.raises(InvalidArgument):
        library.sharing.create(OWNER, "numbers", kind, address, role)


def test_the_owner_stays_until_handed_on(library: Library) -> None:
    """The owner's permission can be neither changed nor deleted; after a transfer the old owner is a writer."""
    [owner] = library.sharing.of_model("numbers")
    with pytest.raises(InvalidArgument):
        library.sharing.delete(OWNER, "numbers", owner.id)
    with pytest.raises(InvalidArgument):
        library.sharing.change_role(OWNER, "numbers", owner.id, Role.WRITER)

    library.sharing.transfer(OWNER, "numbers", "other@example.com")

    roles = {permission.email_address: permission.role for permission in library.sharing.of_model("numbers")}
    assert roles == {"local": Role.WRITER, "other@example.com": Role.OWNER}
    with pytest.raises(FailedPrecondition, match="already owns tunedModels/numbers"):
        library.sharing.transfer(OTHER, "numbers", "other@example.com")


def test_a_share_is_the_highest_role_and_the_owner(library: Library) -> None:
    """A member of a group has the group's role; someone without a role has none; each model is looked at by itself."""
    library.create(a_request(id="letters"))
    library.sharing.create(OWNER, "numbers", GranteeType.GROUP, "team@example.com", Role.WRITER)
    give(library, Role.READER)
    member = Caller("other@example.com", frozenset({CLOUD_PLATFORM}), frozenset({"team@example.com"}))

    shares = library.sharing.shares(member, ["numbers", "letters"])

    assert shares == {"numbers": Share(Role.WRITER, "local"), "letters": Share(None, "local")}
