"""
What a server says about models, as JSON, back to the values that the commands work with.

The inverse of `server/wire/` for what the commands need; the rest of a reply is not looked at. Knows no HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tunery.types import (
    Advice,
    CatalogEntry,
    DataFacts,
    EpochLoss,
    Hyperparameters,
    InputCheck,
    Phase,
    PromptDifference,
    State,
    TunedModel,
    TuningSnapshot,
    TuningTask,
)

if TYPE_CHECKING:
    from tunery.evaluation.report import Evaluation

Reply = Mapping[str, Any]


def tuned_model(reply: Reply) -> TunedModel:
    """Return a tuned model; where its adapter lies only the server knows."""
    created = datetime.fromisoformat(reply["createTime"])
    model_id = reply["name"].removeprefix("tunedModels/")
    return TunedModel(
        id=model_id,
        display_name=reply.get("displayName", ""),
        description=reply.get("description", ""),
        base_model=reply["baseWeights"],
        base_digest=reply["baseDigest"],
        state=State(reply["state"]),
        task=_task(reply, model_id, created),
        create_time=created,
        update_time=datetime.fromisoformat(reply["updateTime"]),
    )


def base_model(reply: Reply) -> CatalogEntry:
    """Return a base model of the server's catalog."""
    return CatalogEntry(
        name=reply["name"].removeprefix("models/"),
        display_name=reply["displayName"],
        description=reply["description"],
        source="",
        licence="",
        input_token_limit=reply["inputTokenLimit"],
        output_token_limit=reply["outputTokenLimit"],
        is_present=True,
    )


def evaluation(report: Reply) -> Evaluation:
    """Return a report about a tuned model."""
    from tunery.evaluation.report import from_document

    return from_document(_snake(report))


def input_check(reply: Reply) -> InputCheck:
    """Return what the reply to a question says of its input; a reply that says nothing found nothing."""
    found = reply.get("promptContract", {})
    differences = tuple(PromptDifference(each["kind"], each["text"]) for each in found.get("differences", ()))
    return InputCheck(differences, was_wrapped=found.get("wrapped", False))


def snapshots(replies: list[Reply]) -> tuple[TuningSnapshot, ...]:
    """Return a curve; an epoch that is not there is 0."""
    return tuple(
        TuningSnapshot(
            reply["step"], reply.get("epoch", 0), float(reply["meanLoss"]), datetime.fromisoformat(reply["computeTime"])
        )
        for reply in replies
    )


def _task(reply: Reply, model_id: str, created: datetime) -> TuningTask:
    task, error, data = reply["tuningTask"], reply.get("error", {}), reply["tuningTask"]["data"]
    advice, settings = task.get("advice"), task["hyperparameters"]
    return TuningTask(
        id="",
        tuned_model_id=model_id,
        phase=Phase(task["phase"]),
        hyperparameters=Hyperparameters(settings["epochCount"], settings["batchSize"], settings["learningRate"]),
        seed=task["seed"],
        data=DataFacts(data["rows"], data["sha256"], data["source"]),
        held_out_rows=task.get("heldOutRows", 0),
        total_steps=task["totalSteps"],
        completed_steps=task["completedSteps"],
        create_time=created,
        start_time=_time(task.get("startTime")),
        complete_time=_time(task.get("completeTime")),
        error_code=error.get("code"),
        error_message=error.get("message"),
        operation_id=reply["operation"].rpartition("/")[2],
        snapshots=snapshots(task.get("snapshots", [])),
        epoch_losses=tuple(
            EpochLoss(loss["epoch"], float(loss["meanLoss"]), loss.get("heldOutLoss"))
            for loss in task.get("epochLosses", ())
        ),
        advice=Advice(advice["kind"], advice["text"], advice.get("epochCount")) if advice else None,
        settings=task.get("settings", {}),
        versions=task.get("versions", {}),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _snake(value: Any) -> Any:
    """Return a report with our own field names; keys of answers are names already."""
    if isinstance(value, list):
        return [_snake(item) for item in value]
    if isinstance(value, dict):
        return {
            re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): _snake(inner) for name, inner in value.items()
        }
    return value
