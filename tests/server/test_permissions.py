"""Permissions over HTTP: sharing as the old client does it, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.server.api import OWNER, Api, error_of
from tests.service.samples import tuned
from tunery.service.access import TUNING, TUNING_READONLY
from tunery.service.database import models as rows

PATH = "/v1beta/tunedModels/numbers/permissions"
READER = {"granteeType": "USER", "emailAddress": "r@example.com", "role": "READER"}
EVERYONE = {"granteeType": "EVERYONE", "role": "READER"}


@pytest.fixture
def web(api: Api) -> TestClient:
    """Return the client of the owner of `numbers`."""
    api.active("numbers")
    return api.web


def given(web: TestClient, **permission: Any) -> dict[str, Any]:
    reply = web.post(PATH, json=permission)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def listed(web: TestClient) -> list[tuple[str, str]]:
    permissions = web.get(PATH, params={"pageSize": 1000}).json()["permissions"]
    return [(one.get("emailAddress", "everyone"), one["role"]) for one in permissions]


def test_the_creator_owns(web: TestClient) -> None:
    """The owner's own permission is listed."""
    (own,) = web.get(PATH).json()["permissions"]

    assert own["name"].startswith("tunedModels/numbers/permissions/")
    assert {name: own[name] for name in own if name != "name"} == {
        "granteeType": "USER",
        "emailAddress": OWNER,
        "role": "OWNER",
    }


def test_the_user_of_this_machine_has_an_address(api: Api) -> None:
    """The owner of what the command line tuned is named by an address, by which models can be handed back."""
    api.clear()
    tuned(api.library, id="numbers")
    local, heir = api.client("local"), api.client("heir@example.com")
    address = "local@tunery.localhost"

    assert listed(local) == [(address, "OWNER")]
    for owner, to in ((local, "heir@example.com"), (heir, address.upper())):
        assert owner.post("/v1beta/tunedModels/numbers:transferOwnership", json={"emailAddress": to}).json() == {}
    assert listed(local) == [(address, "OWNER"), ("heir@example.com", "WRITER")]
    assert local.delete("/v1beta/tunedModels/numbers").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"granteeType": "USER", "emailAddress": "r@example.com", "role": "READER"},
        {"granteeType": 1, "emailAddress": "r@example.com", "role": 3},
        {"grantee_type": "1", "email_address": "R@Example.com", "role": "3"},
    ],
)
def test_enums_and_names_in_every_form(web: TestClient, body: dict[str, Any]) -> None:
    """Enums may be numbers, as Google's REST transport sends them, or names; replies have names."""
    made = given(web, **body)

    assert (made["granteeType"], made["emailAddress"], made["role"]) == ("USER", "r@example.com", "READER")


@pytest.mark.parametrize(("number", "kind"), [(1, "USER"), (2, "GROUP")])
@pytest.mark.parametrize(("rank", "role"), [(2, "WRITER"), (3, "READER")])
def test_every_kind_and_role(web: TestClient, number: int, kind: str, rank: int, role: str) -> None:
    """Users and groups can be given both roles."""
    made = given(web, granteeType=number, emailAddress="x@example.com", role=rank)

    assert (made["granteeType"], made["role"]) == (kind, role)


def test_ids_suit_the_old_client(web: TestClient) -> None:
    """The last part of the name is [a-z0-9]+."""
    name = given(web, **EVERYONE)["name"]

    assert re.fullmatch(r"tunedModels/numbers/permissions/[a-z0-9]+", name)
    assert web.get(f"/v1beta/{name}").json()["granteeType"] == "EVERYONE"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"granteeType": "USER", "role": "READER"}, 400),
        ({"granteeType": "GROUP", "role": "READER"}, 400),
        ({"granteeType": "USER", "emailAddress": "nobody", "role": "READER"}, 400),
        ({"granteeType": "EVERYONE", "emailAddress": "r@example.com", "role": "READER"}, 400),
        ({"granteeType": "EVERYONE", "role": "WRITER"}, 400),
        ({"granteeType": "USER", "emailAddress": "r@example.com", "role": "OWNER"}, 400),
        ({"granteeType": "USER", "emailAddress": "r@example.com"}, 400),
        ({"emailAddress": "r@example.com", "role": "READER"}, 400),
        ({"granteeType": "ALIEN", "emailAddress": "r@example.com", "role": "READER"}, 400),
        ({"granteeType": 9, "emailAddress": "r@example.com", "role": "READER"}, 400),
        ({"granteeTyp": "USER", "emailAddress": "r@example.com", "role": "READER"}, 400),
        ({"granteeType": "USER", "emailAddress": OWNER, "role": "READER"}, 409),
    ],
)
def test_a_permission_is_refused(web: TestClient, body: dict[str, Any], code: int) -> None:
    """Bad addresses, kinds, roles and names are 400, a second permission of a grantee is 409."""
    error = error_of(web.post(PATH, json=body))

    assert (error["code"], error["status"]) == (code, {400: "INVALID_ARGUMENT", 409: "ALREADY_EXISTS"}[code])
    assert listed(web) == [(OWNER, "OWNER")]


def test_everyone_only_once(web: TestClient) -> None:
    """A second permission for EVERYONE is 409, too."""
    given(web, **EVERYONE)

    assert error_of(web.post(PATH, json=EVERYONE))["status"] == "ALREADY_EXISTS"


def test_pages(web: TestClient) -> None:
    """The default page has ten; all pages together list each permission once."""
    for number in range(12):
        given(web, **READER | {"emailAddress": f"r{number}@example.com"})

    first = web.get(PATH).json()
    second = web.get(PATH, params={"pageToken": first["nextPageToken"]}).json()

    assert [len(page["permissions"]) for page in (first, second)] == [10, 3]
    assert "nextPageToken" not in second
    assert len({one["name"] for page in (first, second) for one in page["permissions"]}) == 13
    assert error_of(web.get(PATH, params={"pageToken": "x"}))["code"] == 400
    assert error_of(web.get(PATH, params={"pageSize": "-1"}))["code"] == 400


@pytest.mark.parametrize("query", [{}, {"updateMask": "role"}, {"update_mask": "role"}, {"updateMask": "*"}])
def test_a_role_changes(web: TestClient, query: dict[str, str]) -> None:
    """The mask is `role` or missing; other fields of the body are ignored."""
    name = given(web, **READER)["name"]

    changed = web.patch(f"/v1beta/{name}", params=query, json=READER | {"role": 2}).json()
    assert (changed["role"], changed["emailAddress"]) == ("WRITER", "r@example.com")
    assert ("r@example.com", "WRITER") in listed(web)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({"updateMask": "emailAddress"}, {"emailAddress": "x@example.com"}),
        ({"updateMask": "role,emailAddress"}, {"role": "WRITER"}),
        ({}, {}),
        ({}, {"role": "OWNER"}),
    ],
)
def test_nothing_else_changes(web: TestClient, query: dict[str, str], body: dict[str, Any]) -> None:
    """Other masks, a missing role and the role OWNER are 400."""
    name = given(web, **READER)["name"]

    assert error_of(web.patch(f"/v1beta/{name}", params=query, json=body))["code"] == 400
    assert ("r@example.com", "READER") in listed(web)


def test_a_permission_is_deleted(web: TestClient) -> None:
    """The reply is `{}`; then the permission is 404 and its grantee is refused."""
    name = given(web, **READER)["name"]

    assert web.delete(f"/v1beta/{name}").json() == {}
    for reply in (web.get(f"/v1beta/{name}"), web.delete(f"/v1beta/{name}"), web.patch(f"/v1beta/{name}", json=READER)):
        error = error_of(reply)
        assert (error["code"], error["status"]) == (404, "NOT_FOUND")


def test_the_owners_permission_stays(web: TestClient) -> None:
    """It can be neither changed nor deleted."""
    (own,) = web.get(PATH).json()["permissions"]

    assert error_of(web.delete(f"/v1beta/{own['name']}"))["code"] == 400
    assert error_of(web.patch(f"/v1beta/{own['name']}", json={"role": "READER"}))["code"] == 400


def test_roles(api: Api, web: TestClient) -> None:
    """A reader reads, a writer edits and shares, and neither deletes."""
    given(web, **READER)
    given(web, granteeType="USER", emailAddress="w@example.com", role="WRITER")
    reader, writer, stranger = (api.client(f"{name}@example.com") for name in "rwx")
    share = READER | {"emailAddress": "new@example.com"}

    def statuses(client: TestClient) -> list[int]:
        return [
            client.get("/v1beta/tunedModels/numbers").status_code,
            client.patch("/v1beta/tunedModels/numbers", json={"description": "x"}).status_code,
            client.post(PATH, json=share).status_code,
            client.delete("/v1beta/tunedModels/numbers").status_code,
        ]

    assert statuses(stranger) == [403] * 4
    assert statuses(reader) == [200, 403, 403, 403]
    assert statuses(writer) == [200, 200, 200, 403]


def test_a_model_is_not_shared_with_too_many(web: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit another permission is refused with the figure."""
    monkeypatch.setattr(rows, "MAX_PERMISSIONS", 1)
    body = {"granteeType": "USER", "emailAddress": "more@example.com", "role": "READER"}

    error = error_of(web.post(PATH, json=body))

    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert "has 1 permissions, which is the limit" in error["message"]


def test_ownership_is_transferred(api: Api, web: TestClient) -> None:
    """The new owner owns the model; the old one writes and cannot transfer it again."""
    path = "/v1beta/tunedModels/numbers:transferOwnership"

    assert web.post(path, json={"email_address": "heir@example.com"}).json() == {}

    assert sorted(listed(web)) == [("heir@example.com", "OWNER"), (OWNER, "WRITER")]
    assert error_of(web.post(path, json={"emailAddress": OWNER}))["code"] == 403
    assert api.client("heir@example.com").delete("/v1beta/tunedModels/numbers").json() == {}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, "INVALID_ARGUMENT"),
        ({"emailAddress": "nobody"}, "INVALID_ARGUMENT"),
        ({"emailAddress": OWNER}, "FAILED_PRECONDITION"),
    ],
)
def test_a_transfer_is_refused(web: TestClient, body: dict[str, str], status: str) -> None:
    """A missing or malformed address, or that of the owner, is 400."""
    error = error_of(web.post("/v1beta/tunedModels/numbers:transferOwnership", json=body))

    assert (error["code"], error["status"]) == (400, status)


def test_the_error_names_the_rpc_of_permissions(api: Api) -> None:
    """The error detail names the permission service."""
    keyed = api.client(key=api.accounts.keys.create("a key")[1])

    (detail,) = error_of(keyed.get(PATH))["details"]
    assert detail["metadata"]["method"] == "google.ai.generativelanguage.v1beta.PermissionService.ListPermissions"


@pytest.mark.parametrize(("role", "scope"), [("READER", TUNING_READONLY), ("WRITER", TUNING)])
def test_a_model_shows_the_role_of_the_caller_and_its_owner(api: Api, web: TestClient, role: str, scope: str) -> None:
    """Each caller sees their own role, alone and in lists; the owner is who the permissions name."""
    given(web, granteeType="USER", emailAddress="r@example.com", role=role)
    other = api.client("r@example.com", scope)

    for client, expected in ((web, "OWNER"), (other, role)):
        shown = client.get("/v1beta/tunedModels/numbers").json()
        (listed,) = client.get("/v1beta/tunedModels").json()["tunedModels"]
        assert (shown["role"], shown["owner"]) == (listed["role"], listed["owner"]) == (expected, OWNER)


def test_an_update_keeps_role_and_owner_and_cannot_set_them(api: Api, web: TestClient) -> None:
    """A model sent back as it was read changes nothing about its permissions."""
    given(web, granteeType="USER", emailAddress="w@example.com", role="WRITER")
    writer = api.client("w@example.com")
    body = {"description": "new", "role": "OWNER", "owner": "w@example.com"}

    shown = writer.patch("/v1beta/tunedModels/numbers", params={"updateMask": "description"}, json=body).json()

    assert (shown["description"], shown["role"], shown["owner"]) == ("new", "WRITER", OWNER)
    assert listed(web) == [(OWNER, "OWNER"), ("w@example.com", "WRITER")]


def test_everyone_is_a_reader_of_a_public_model(api: Api, web: TestClient) -> None:
    """A caller without a permission of their own has the role that everyone has."""
    given(web, **EVERYONE)

    assert api.client("x@example.com").get("/v1beta/tunedModels/numbers").json()["role"] == "READER"


def test_an_operation_shows_no_role(web: TestClient) -> None:
    """Its reply is the same for all callers who may read it."""
    operation = web.get("/v1beta/tunedModels/numbers").json()["operation"]

    done = web.get(f"/v1beta/{operation}", params={"extensions": "true"}).json()["response"]

    assert not {"role", "owner"} & set(done)
