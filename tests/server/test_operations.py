"""Operations over HTTP: what a client that polls sees from the creation to the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.api import Api, error_of
from tests.service.samples import a_curve
from tunery.errors import OutOfMemory, TuneryError, TuningUnstable
from tunery.service.tuning import Progress, Usage
from tunery.types import Phase, TunedModel

TYPES = "type.googleapis.com/google.ai.generativelanguage"
VERSIONS = {"v1": "v1beta", "v1beta": "v1beta", "v1alpha": "v1alpha", "v1beta3": "v1beta3"}


def polled(api: Api, model: TunedModel, version: str = "v1beta", **query: Any) -> dict[str, Any]:
    reply = api.web.get(f"/{version}/{model.operation_name}", params=query)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_a_create_replies_with_its_operation(api: Api) -> None:
    """The name is under the model's; metadata has type, steps and model; `done` is absent."""
    operation = api.create("numbers").json()

    assert operation["name"].startswith("tunedModels/numbers/operations/")
    assert operation["metadata"] == {
        "@type": f"{TYPES}.v1beta.CreateTunedModelMetadata",
        "totalSteps": 19,
        "completedSteps": 0,
        "tunedModel": "tunedModels/numbers",
    }
    assert not operation.get("done")
    assert not {"response", "error"} & set(operation)


@pytest.mark.parametrize(
    ("epochs", "batch", "steps"), [(5, 2, 38), (5, 4, 19), (100, 4, 375), (50, 4, 188), (1, 16, 1), (3, 100, 1)]
)
def test_steps(api: Api, epochs: int, batch: int, steps: int) -> None:
    """ceil(examples x epochs / batch size), as in the replies of the guides."""
    task = {"hyperparameters": {"epochCount": epochs, "batchSize": batch}}

    assert api.create("numbers", task=task).json()["metadata"]["totalSteps"] == steps


@pytest.mark.parametrize(("version", "family"), VERSIONS.items())
def test_types_by_version(api: Api, version: str, family: str) -> None:
    """The old client knows the types of v1beta, so v1 has them too; the others have their own, `response` as well."""
    operation = polled(api, api.active("numbers"), version)

    assert operation["metadata"]["@type"] == f"{TYPES}.{family}.CreateTunedModelMetadata"
    assert operation["response"]["@type"] == f"{TYPES}.{family}.TunedModel"


def test_while_it_waits(api: Api) -> None:
    """Neither percent nor snapshots: guides print the last snapshot whenever percent is there."""
    metadata = polled(api, api.queued("numbers"))["metadata"]

    assert metadata["completedSteps"] == 0
    assert not {"completedPercent", "snapshots"} & set(metadata)


def test_while_it_runs(api: Api) -> None:
    """Steps, percent from 0 to 100 and a snapshot for each step, the first without epoch."""
    api.running("numbers", steps=7)

    operation = polled(api, api.library.find("numbers"))
    metadata = operation["metadata"]
    assert metadata["completedSteps"] == 7
    assert metadata["completedPercent"] == pytest.approx(100 * 7 / 19)
    assert [snapshot["step"] for snapshot in metadata["snapshots"]] == list(range(1, 8))
    assert set(metadata["snapshots"][0]) == {"step", "meanLoss", "computeTime"}
    assert metadata["snapshots"][-1]["epoch"] == 1
    assert not {"done", "response", "error"} & set(operation)


def test_what_its_process_takes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor and memory of the process, for those who ask for extensions, while a task is worked on."""
    task = api.running("numbers", steps=3)
    monkeypatch.setattr(api.services.worker, "usage_of", {task.id: Usage(1.5, 10**9, 2 * 10**9)}.get)
    model = api.library.find("numbers")

    usage = polled(api, model, extensions="true")["metadata"]["usage"]
    assert usage == {"processorCores": 1.5, "memoryBytes": 10**9, "peakMemoryBytes": 2 * 10**9}
    assert "usage" not in polled(api, model)["metadata"]


def test_a_poll_sees_the_next_step(api: Api) -> None:
    """What was kept for the polls before is not shown any more once a step is written."""
    task = api.running("numbers", steps=3)
    model = api.library.find("numbers")
    before = polled(api, model)["metadata"]["completedSteps"]

    api.library.heartbeat(task, Phase.RUNNING, Progress(step=4))
    assert (before, polled(api, model)["metadata"]["completedSteps"]) == (3, 4)


def test_success(api: Api) -> None:
    """Done, 100 percent, all steps, and the whole tuned model with its snapshots; no error beside it."""
    operation = polled(api, api.active("numbers"))

    assert operation["done"] is True
    assert (operation["metadata"]["completedPercent"], operation["metadata"]["completedSteps"]) == (100.0, 19)
    assert "error" not in operation
    response = operation["response"]
    assert (response["name"], response["state"]) == ("tunedModels/numbers", "ACTIVE")
    assert len(response["tuningTask"]["snapshots"]) == 19
    assert "trainingData" not in response["tuningTask"]


@pytest.mark.parametrize(
    "error", [TuningUnstable(3), OutOfMemory(), TuneryError("worker lost")], ids=lambda e: e.status
)
def test_failure(api: Api, error: TuneryError) -> None:
    """Done, a google.rpc code, not one of HTTP, and the sentence; the model is FAILED and stays in the list."""
    operation = polled(api, api.failed("numbers", error))

    assert operation["done"] is True
    assert operation["error"] == {"code": error.code, "message": str(error)}
    assert error.code in (3, 8, 13)
    assert "response" not in operation
    listed = api.web.get("/v1beta/tunedModels").json()["tunedModels"]
    assert [model["state"] for model in listed] == ["FAILED"]
    assert listed[0]["error"] == {"code": error.code, "status": error.status, "message": str(error)}


@pytest.mark.parametrize("path", ["{model}:cancel", "{operation}:cancel"])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_cancel_while_it_waits(api: Api, path: str, body: bytes) -> None:
    """By model or operation, with `{}` or nothing: `{}` at once, then done with code 1, and the model FAILED."""
    model = api.queued("numbers")
    place = path.format(model=model.name, operation=model.operation_name)

    reply = api.web.post(f"/v1beta/{place}", content=body, headers={"content-type": "application/json"})

    assert (reply.status_code, reply.json()) == (200, {})
    operation = polled(api, model)
    assert operation["done"] is True
    assert operation["error"]["code"] == 1
    assert "response" not in operation
    assert api.web.get(f"/v1beta/{model.name}").json()["state"] == "FAILED"


def test_cancel_while_it_runs(api: Api) -> None:
    """The reply comes at once; the task has not ended yet, but cancellation is recorded."""
    task = api.running("numbers")
    model = api.library.find("numbers")

    assert api.web.post(f"/v1beta/{model.operation_name}:cancel").json() == {}

    assert "done" not in polled(api, model)
    assert api.library.heartbeat(task, Phase.RUNNING) is True


def test_a_cancelled_model_that_was_tuned_is_active(api: Api) -> None:
    """After at least one step: error code 1, no response, and a model that can be used, marked as cancelled."""
    model = api.cancelled("numbers")

    operation = polled(api, model)
    assert (operation["done"], operation["error"]["code"]) == (True, 1)
    assert "response" not in operation
    shown = api.web.get("/v1beta/tunedModels/numbers").json()
    assert (shown["state"], shown["cancelled"]) == ("ACTIVE", True)


def test_cancelling_what_has_ended_changes_nothing(api: Api) -> None:
    """`{}`, and the operation is as it was."""
    model = api.active("numbers")
    before = polled(api, model)

    assert api.web.post(f"/v1beta/{model.operation_name}:cancel", json={}).json() == {}
    assert polled(api, model) == before


def test_extensions_only_for_those_who_ask(api: Api) -> None:
    """The old client's parser fails on fields it does not know; `extensions=true` has them."""
    model = api.active("numbers")
    known = {"@type", "totalSteps", "completedSteps", "completedPercent", "snapshots", "tunedModel"}

    assert set(polled(api, model)["metadata"]) == known
    assert "baseDigest" not in polled(api, model)["response"]
    assert polled(api, model, extensions="true")["metadata"]["phase"] == "SUCCEEDED"


def test_the_place_in_the_queue(api: Api) -> None:
    """Extension: how many wait before it; none once it runs."""
    api.queued("first")
    second = api.queued("second")

    assert polled(api, second, extensions="true")["metadata"]["waitingBefore"] == 1


def test_a_poll_that_knows_it_already_is_304(api: Api) -> None:
    """With the tag of the last reply nothing is sent again until something changes."""
    task = api.running("numbers")
    path = f"/v1beta/{api.library.find('numbers').operation_name}"
    tag = api.web.get(path).headers["etag"]

    same = api.web.get(path, headers={"If-None-Match": tag})
    api.library.heartbeat(task, Phase.RUNNING, Progress(step=4))
    changed = api.web.get(path, headers={"If-None-Match": tag})

    assert (same.status_code, same.content) == (304, b"")
    assert changed.status_code == 200


def test_the_list_has_the_one_operation(api: Api) -> None:
    """A model's operations are one; the pages end there."""
    model = api.active("numbers")

    page = api.web.get("/v1beta/tunedModels/numbers/operations", params={"pageSize": 5, "filter": "x"}).json()
    assert page == {"operations": [polled(api, model)]}


@pytest.mark.parametrize("query", [{"pageSize": -1}, {"pageToken": "x"}])
def test_a_list_is_refused(api: Api, query: dict[str, Any]) -> None:
    """Negative sizes and foreign tokens are 400."""
    api.active("numbers")

    assert error_of(api.web.get("/v1beta/tunedModels/numbers/operations", params=query))["code"] == 400


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "tunedModels/numbers/operations/missing"),
        ("POST", "tunedModels/numbers/operations/missing:cancel"),
        ("DELETE", "tunedModels/numbers/operations/missing"),
        ("GET", "tunedModels/missing/operations/x"),
        ("GET", "tunedModels/missing/operations"),
        ("POST", "tunedModels/missing:cancel"),
    ],
)
def test_what_is_missing(api: Api, verb: str, path: str) -> None:
    """Another operation, another model: 404 that names it."""
    api.active("numbers")

    error = error_of(api.web.request(verb, f"/v1beta/{path}"))
    assert (error["code"], error["status"]) == (404, "NOT_FOUND")
    assert error["message"].endswith("does not exist.")


def test_operations_are_not_deleted(api: Api) -> None:
    """501 UNIMPLEMENTED: an operation lives as long as its model."""
    error = error_of(api.web.delete(f"/v1beta/{api.active('numbers').operation_name}"))

    assert (error["code"], error["status"]) == (501, "UNIMPLEMENTED")


def test_the_error_names_the_rpc_of_operations(api: Api) -> None:
    """With a key alone, the detail names google.longrunning's method."""
    model = api.active("numbers")
    keyed = api.client(key=api.accounts.keys.create("a key")[1])

    (detail,) = error_of(keyed.get(f"/v1beta/{model.operation_name}"))["details"]
    assert detail["metadata"]["method"] == "google.longrunning.Operations.GetOperation"


def test_a_running_task_has_its_curve_in_words_and_the_time_left(api: Api) -> None:
    """Ten steps of a second each: nine are left, in the third epoch; no epoch has been averaged yet."""
    model = api.library.find(api.running("numbers", steps=10).tuned_model_id)
    api.library.heartbeat(model.task, Phase.RUNNING, Progress(step=10, snapshots=a_curve(10)))

    metadata = polled(api, model, extensions="true")["metadata"]

    assert metadata["curve"] == {"summary": "Loss is 0.32 at step 10.", "epoch": 3}
    assert metadata["secondsLeft"] == 9.0
    assert not {"curve", "secondsLeft"} & set(polled(api, model)["metadata"])


def test_neither_curve_nor_time_before_the_first_step_and_no_time_at_the_end(api: Api) -> None:
    """A waiting task has neither; a finished one has its curve."""
    waiting = polled(api, api.queued("waiting"), extensions="true")["metadata"]
    finished = polled(api, api.active("finished"), extensions="true")["metadata"]

    assert not {"curve", "secondsLeft"} & set(waiting)
    assert finished["curve"]["epoch"] == 5
    assert "secondsLeft" not in finished
