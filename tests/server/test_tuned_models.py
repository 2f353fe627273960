"""tunedModels over HTTP: replies, lists, updates and deletions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.api import BASE, EXAMPLES, OWNER, Api, error_of, names
from tunery.service.database import models as rows
from tunery.types import GranteeType, Role, TuningExample

# get


def test_a_queued_model(api: Api) -> None:
    """Every field that is always there, and none that is not known yet."""
    api.queued("numbers")

    shown = api.web.get("/v1beta/tunedModels/numbers").json()
    assert shown["name"] == "tunedModels/numbers"
    assert (shown["displayName"], shown["state"]) == ("Next number", "CREATING")
    assert (shown["temperature"], shown["topP"], shown["topK"]) == (0.0, 0.95, 64)
    assert shown["createTime"].endswith("Z")
    assert "T" in shown["updateTime"]
    assert shown["tuningTask"]["hyperparameters"] == {"epochCount": 5, "batchSize": 4, "learningRate": 0.001}
    assert "startTime" not in shown["tuningTask"]
    assert "snapshots" not in shown["tuningTask"]


def test_an_active_model_has_its_whole_curve(api: Api) -> None:
    """A snapshot for each step, times in RFC 3339, no epoch while it is 0."""
    api.active("numbers")

    task = api.web.get("/v1beta/tunedModels/numbers").json()["tuningTask"]
    assert [snapshot["step"] for snapshot in task["snapshots"]] == list(range(1, 20))
    assert "epoch" not in task["snapshots"][0]
    assert task["snapshots"][-1]["epoch"] == 5
    assert task["snapshots"][0]["computeTime"] == "2026-01-02T03:04:06.678901Z"
    assert task["startTime"].endswith("Z")
    assert task["completeTime"].endswith("Z")


@pytest.mark.parametrize("path", ["tunedModels/numbers", "tunedModels", "tunedModels/numbers/operations"])
def test_training_data_never_goes_out(api: Api, path: str) -> None:
    """No reply has the examples: the old client fails on one, and on a whole list with one."""
    api.active("numbers")

    assert "trainingData" not in api.web.get(f"/v1beta/{path}").text


def test_the_multiplier_never_goes_out(api: Api) -> None:
    """Not even in a list."""
    api.create("numbers", task={"hyperparameters": {"learningRateMultiplier": 2.0}})

    assert "ultiplier" not in api.web.get("/v1beta/tunedModels").text


def test_replies_are_indented(api: Api) -> None:
    """Guides do `curl ... | grep state`: one field a line, two spaces."""
    api.active("numbers")

    reply = api.web.get("/v1beta/tunedModels/numbers")
    assert reply.headers["content-type"] == "application/json; charset=UTF-8"
    assert '\n  "state": "ACTIVE",\n' in reply.text


def test_numbers_of_64_bits_are_texts(api: Api) -> None:
    """readerProjectNumbers come back as strings, given as strings or numbers."""
    api.create("numbers", readerProjectNumbers=["9007199254740993", 7])

    assert api.web.get("/v1beta/tunedModels/numbers").json()["readerProjectNumbers"] == ["9007199254740993", "7"]


def test_a_missing_model(api: Api) -> None:
    """404 with the original's sentence, for each verb on the resource."""
    for reply in (
        api.web.get("/v1beta/tunedModels/missing"),
        api.web.patch("/v1beta/tunedModels/missing", json={"description": "x"}),
        api.web.delete("/v1beta/tunedModels/missing"),
    ):
        error = error_of(reply)
        assert (error["code"], error["status"]) == (404, "NOT_FOUND")
        assert error["message"] == "Tuned model tunedModels/missing does not exist."


# list


def test_an_empty_list(api: Api) -> None:
    """An empty list is an empty object."""
    assert api.web.get("/v1beta/tunedModels").json() == {}


def test_the_newest_come_first_page_by_page(api: Api) -> None:
    """Pages of any size hold the same models in the same order, the last one without a token."""
    for number in range(5):
        api.queued(f"m{number}")

    wanted = [f"m{number}" for number in reversed(range(5))]
    assert names(api) == wanted
    assert names(api, pageSize=2) == wanted
    assert names(api, page_size=1) == wanted


def test_a_page_of_long_curves_is_short(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends before its curves take too much, but has one model at least; all pages together have all."""
    for number in range(4):
        api.running(f"m{number}", steps=3)
    monkeypatch.setattr(rows, "PAGE_SNAPSHOT_BYTES", 24 * 7)

    first = api.web.get("/v1beta/tunedModels").json()

    assert [len(model["tuningTask"]["snapshots"]) for model in first["tunedModels"]] == [3, 3]
    monkeypatch.setattr(rows, "PAGE_SNAPSHOT_BYTES", 1)
    assert names(api) == ["m3", "m2", "m1", "m0"]


@pytest.mark.parametrize(("size", "shown"), [("0", 10), ("", 10), ("5000", 12), ("12", 12), ("11", 11)])
def test_the_size_of_a_page(api: Api, size: str, shown: int) -> None:
    """0 or nothing is the default of 10, more than the limit is the limit."""
    for number in range(12):
        api.queued(f"m{number}")

    assert len(api.web.get("/v1beta/tunedModels", params={"pageSize": size}).json()["tunedModels"]) == shown


@pytest.mark.parametrize(
    "query", [{"pageSize": "-1"}, {"pageSize": "x"}, {"pageToken": "x"}, {"pageToken": "ä"}, {"filter": "owner:you"}]
)
def test_a_list_is_refused(api: Api, query: dict[str, str]) -> None:
    """Negative sizes, broken tokens and filters that are not known are 400."""
    error = error_of(api.web.get("/v1beta/tunedModels", params=query))

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")


def test_a_token_of_another_list_is_refused(api: Api) -> None:
    """A page token is good for the list, the filter and the user it was given for."""
    for number in range(3):
        api.queued(f"m{number}")
    token = api.web.get("/v1beta/tunedModels", params={"pageSize": 1}).json()["nextPageToken"]

    elsewhere = api.web.get("/v1beta/tunedModels", params={"pageToken": token, "filter": "owner:me"})
    others = api.client("x@example.com").get("/v1beta/tunedModels", params={"pageToken": token})
    bases = api.web.get("/v1beta/models", params={"pageToken": token})

    assert {error_of(reply)["code"] for reply in (elsewhere, others, bases)} == {400}


def test_filters(api: Api) -> None:
    """Words in names and descriptions, in any case; roles that include the higher ones; what everyone may read."""
    api.queued("mine", display_name="Ticket router")
    api.queued("also-mine", display_name="numbers", description="routes TICKETS")
    theirs = api.client("x@example.com")
    for model_id in ("lent", "written", "open", "hidden"):
        body = {
            "baseModel": f"models/{BASE}",
            "displayName": model_id,
            "tuningTask": {"trainingData": {"examples": {"examples": EXAMPLES}}},
        }
        assert theirs.post(f"/v1beta/tunedModels?tunedModelId={model_id}", json=body).status_code == 200
    for model_id, permission in {
        "lent": {"granteeType": "USER", "emailAddress": OWNER, "role": "READER"},
        "written": {"granteeType": "USER", "emailAddress": OWNER, "role": "WRITER"},
        "open": {"granteeType": "EVERYONE", "role": "READER"},
    }.items():
        reply = theirs.post(f"/v1beta/tunedModels/{model_id}/permissions", json=permission)
        assert reply.status_code == 200, reply.text

    assert names(api) == ["written", "lent", "also-mine", "mine"]  # what is shared with everyone only is left out
    assert names(api, filter="ticket") == ["also-mine", "mine"]
    assert names(api, filter="router ticket") == ["mine"]
    assert names(api, filter="owner:me") == ["also-mine", "mine"]
    assert names(api, filter="writers:me") == ["written", "also-mine", "mine"]
    assert names(api, filter="readers:me") == ["written", "lent", "also-mine", "mine"]
    assert names(api, filter="readers:everyone") == ["open"]


# update


def patched(api: Api, body: dict[str, Any], mask: str | None = None, name: str = "updateMask") -> dict[str, Any]:
    reply = api.web.patch("/v1beta/tunedModels/numbers", json=body, params={} if mask is None else {name: mask})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_without_a_mask_what_is_there_changes(api: Api) -> None:
    """Newer clients send none: fields of the body change, the others stay."""
    api.active("numbers", description="old")

    changed = patched(api, {"displayName": "new"})
    assert (changed["displayName"], changed["description"]) == ("new", "old")


@pytest.mark.parametrize("name", ["updateMask", "update_mask"])
@pytest.mark.parametrize("mask", ["displayName,topK", "display_name,top_k", " display_name , topK"])
def test_with_a_mask_only_its_fields_change(api: Api, name: str, mask: str) -> None:
    """Masks in either case; fields outside the mask stay, even if the body has them."""
    api.active("numbers", description="old")

    changed = patched(api, {"displayName": "new", "topK": 5, "description": "no"}, mask, name)
    assert (changed["displayName"], changed["topK"], changed["description"]) == ("new", 5, "old")


def test_a_masked_field_that_is_missing_is_cleared(api: Api) -> None:
    """A field in the mask but not in the body is reset to its default."""
    api.active("numbers", description="old", temperature=0.7, top_k=3)

    changed = patched(api, {}, "description,temperature,topK")
    assert "description" not in changed
    assert changed["topK"] == 64
    assert changed["temperature"] == 0.0


def test_the_whole_resource_may_come_back(api: Api) -> None:
    """The old client sends back what it read, with a mask; output-only fields are ignored."""
    api.active("numbers")
    whole = api.web.get("/v1beta/tunedModels/numbers").json() | {"state": 2, "description": "This is my model."}

    assert patched(api, whole, "description")["description"] == "This is my model."
    assert api.library.find("numbers").state == "ACTIVE"


def test_every_updatable_field(api: Api) -> None:
    """Name, description, answer defaults and project numbers can be changed."""
    api.active("numbers")
    wanted: dict[str, Any] = {"displayName": "n", "description": "d", "temperature": 1.5, "topP": 0.5, "topK": 7}
    wanted["readerProjectNumbers"] = ["1"]

    assert wanted.items() <= patched(api, wanted).items()
    assert wanted.items() <= api.web.get("/v1beta/tunedModels/numbers").json().items()


@pytest.mark.parametrize(
    ("body", "mask", "words"),
    [
        ({"baseModel": "models/x"}, "baseModel", "base_model cannot be updated"),
        ({"state": "FAILED"}, "state", "state cannot be updated"),
        ({}, "nothing", "nothing cannot be updated"),
        ({"temperature": 5}, None, "temperature"),
        ({"topP": 0}, "topP", "top_p"),
        ({"displayName": "x" * 41}, None, "40"),
        ({"discription": "x"}, None, 'Unknown name "discription"'),
        ({}, "displayName", "display"),
    ],
)
def test_an_update_is_refused(api: Api, body: dict[str, Any], mask: str | None, words: str) -> None:
    """Other fields, values out of range and misspelt names are 400, and nothing changes."""
    api.active("numbers")
    before = api.web.get("/v1beta/tunedModels/numbers").json()

    query = {} if mask is None else {"updateMask": mask}
    error = error_of(api.web.patch("/v1beta/tunedModels/numbers", json=body, params=query))

    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert words in error["message"]
    assert api.web.get("/v1beta/tunedModels/numbers").json() == before


# delete


def test_delete(api: Api) -> None:
    """An empty object; afterwards model and operation are 404 and the files are gone."""
    model = api.active("numbers")
    folder = api.library.adapter_folder(model)

    assert api.web.delete("/v1beta/tunedModels/numbers").json() == {}
    assert error_of(api.web.get("/v1beta/tunedModels/numbers"))["code"] == 404
    assert error_of(api.web.get(f"/v1beta/{model.operation_name}"))["code"] == 404
    assert not folder.exists()


def test_a_writer_does_not_delete(api: Api) -> None:
    """Only the owner may delete; others get the message that they have no access."""
    model = api.active("numbers")
    owner = api.accounts.caller_of_token(api.web.headers["authorization"].removeprefix("Bearer "))
    api.library.sharing.create(owner, model.id, GranteeType.USER, "w@example.com", Role.WRITER)

    error = error_of(api.client("w@example.com").delete("/v1beta/tunedModels/numbers"))
    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
    assert error["message"].startswith("You do not have permission to access tuned model tunedModels/numbers")


def test_a_model_names_the_beginning_of_its_inputs(api: Api) -> None:
    """With a common beginning it is shown by get and update; without one it is left out."""
    words = ("apple", "boat", "cloud", "door", "egg")
    rows = tuple(TuningExample(f"Classify this.\nText: {words[n % 5]} {n}", "no") for n in range(30))
    api.active("numbers")
    api.active("labels", examples=rows)

    address = "/v1beta/tunedModels/labels"
    assert api.web.get(address).json()["inputPrefix"] == "Classify this.\nText: "
    assert api.web.patch(address, json={"description": "x"}).json()["inputPrefix"] == "Classify this.\nText: "
    assert "inputPrefix" not in api.web.get("/v1beta/tunedModels/numbers").json()


def test_a_task_has_its_curve_in_words(api: Api) -> None:
    """A sentence and the epoch of the last step; absent before the first step."""
    api.active("numbers")
    api.queued("waiting")

    curve = api.web.get("/v1beta/tunedModels/numbers").json()["tuningTask"]["curve"]

    assert curve == {"summary": "Loss is 0.17 at step 19.", "epoch": 5}
    assert "curve" not in api.web.get("/v1beta/tunedModels/waiting").json()["tuningTask"]
