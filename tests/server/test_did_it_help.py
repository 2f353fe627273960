"""The way from examples to a verdict that nobody has to ask for, and the choice of the epoch that answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.live import BASE, MAX_WAIT_SECONDS, Live, make_home, serving

EPOCHS = 3


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server that evaluates by itself, with a model on 24 rows that was created with the automatic check."""
    home = make_home(tmp_path_factory.mktemp("helped"))
    with serving(home) as live, live.client() as client:
        live.tune(client, "few", rows=24, hold_out="auto", epochCount=EPOCHS)
        yield live


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


def evaluation(client: httpx2.Client, model_id: str) -> dict[str, Any]:
    """Return the evaluation of a model once it has ended."""
    give_up = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        found = client.get(f"/v1beta/tunedModels/{model_id}/evaluations").json().get("evaluations")
        if found and found[0]["state"] != "RUNNING":
            return dict(found[0])
        assert time.monotonic() < give_up, found
        time.sleep(0.05)


def test_few_rows_are_all_tuned_on_and_folds_give_the_verdict(client: httpx2.Client) -> None:
    """24 rows: none is held out, and each is answered by a model that was tuned without it."""
    model = client.get("/v1beta/tunedModels/few").json()
    found = evaluation(client, "few")

    assert "heldOutRows" not in model["tuningTask"]
    assert model["foldCount"] == 3
    assert found["state"] == "SUCCEEDED", found
    report = found["report"]
    assert (report["rows"], report["folds"], report["source"]) == (24, 3, "3 folds of 24 rows")
    assert report["verdict"]["kind"] in ("HELPED", "PROMPT_ENOUGH", "NO_BETTER", "TOO_FEW_ROWS")
    assert report["servedEpoch"] == EPOCHS
    assert {"tuned", "base"} <= {one["name"] for one in report["contenders"]}


def test_the_estimate_says_what_the_check_takes(client: httpx2.Client) -> None:
    """Folds with their time for few rows, held-out rows for many, neither unless it was asked for."""

    def estimated(rows: int, **task: Any) -> dict[str, Any]:
        numbers = [{"textInput": f"number {n}", "output": str(n + 1)} for n in range(rows)]
        data = {"trainingData": {"examples": {"examples": numbers}}, **task}
        body = {"baseModel": f"models/{BASE}", "displayName": "x", "tuningTask": data}
        return dict(client.post("/v1beta/tunedModels", params={"validateOnly": True}, json=body).json())

    few, many, plain = estimated(30, holdOut="auto"), estimated(120, holdOut="auto"), estimated(30)

    assert (few["foldCount"], few["heldOutCount"], few["exampleCount"]) == (3, 0, 30)
    assert few["foldSeconds"]["atMost"] == pytest.approx(2 * few["seconds"]["atMost"], abs=0.2)
    assert (many["heldOutCount"], many["exampleCount"]) == (20, 100)
    for one in (many, plain):
        assert "foldCount" not in one
        assert "foldSeconds" not in one
    assert plain["heldOutCount"] == 0


def test_an_epoch_is_chosen_and_answers_at_once(live: Live, client: httpx2.Client) -> None:
    """The model answers as `@epoch-1` does; 0 undoes the choice; an epoch that was not kept is refused by name."""
    evaluation(client, "few")
    asked = {"contents": [{"parts": [{"text": "7"}]}], "generationConfig": {"maxOutputTokens": 8, "topK": 1}}

    def answer(name: str) -> str:
        reply = client.post(f"/v1beta/tunedModels/{name}:generateContent", json=asked)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["candidates"][0]["content"])

    def use(epoch: int) -> httpx2.Response:
        return client.patch(
            "/v1beta/tunedModels/few", params={"updateMask": "servedEpoch"}, json={"servedEpoch": epoch}
        )

    first, last = answer("few@epoch-1"), answer(f"few@epoch-{EPOCHS}")
    assert answer("few") == last

    assert use(1).json()["servedEpoch"] == 1
    assert answer("few") == first
    exported = client.get("/v1beta/tunedModels/few:export").content
    card = client.get("/v1beta/tunedModels/few:card").json()
    assert card["curve"]["served_epoch"] == 1
    assert exported != client.get(f"/v1beta/tunedModels/few@epoch-{EPOCHS}:export").content
    assert live.services.library.find("few").served_epoch == 1
    refused = use(9)
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        404,
        "Epoch 9 of this tuned model was not kept. Kept epochs: 1, 2, 3.",
    )
    assert use(0).json()["servedEpoch"] == EPOCHS
    assert answer("few") == last


def test_tuning_continues_from_the_chosen_epoch(live: Live, client: httpx2.Client) -> None:
    """A model that is tuned further begins with the weights that answer."""
    client.patch("/v1beta/tunedModels/few", params={"updateMask": "servedEpoch"}, json={"servedEpoch": 1})
    source = live.services.library.find("few")
    child = live.services.library.find("few")

    folder = live.services.library.adapter_folder(child)
    tuned_from = live.services.library.source_adapter(_from(source))

    assert tuned_from == folder / "epochs" / "1"


def _from(source: Any) -> Any:
    from dataclasses import replace

    return replace(source, id="child", source_tuned_model=source.id)


def test_a_verdict_that_was_not_reached_is_made_up_for(live: Live, client: httpx2.Client) -> None:
    """A server that ended before the evaluation starts it at the next start, unless it was cancelled."""
    library, evaluations = live.services.library, live.services.evaluations
    evaluation(client, "few")
    with library.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM reports WHERE kind = 'EVALUATION'")

    evaluations.resume()
    assert evaluations.progress(library.find("few")) is not None
    client.post("/v1beta/tunedModels/few:cancelEvaluation")
    evaluations.resume()

    assert evaluations.progress(library.find("few")) is None


def test_folds_are_asked_for_by_name(client: httpx2.Client) -> None:
    """Within their limits, and not together with other rows."""
    for body, message in (
        ({"foldCount": 1}, "fold_count must be 2 to 10, not 1."),
        ({"foldCount": 11}, "fold_count must be 2 to 10, not 11."),
        ({"compareSettings": "auto"}, "compareSettings needs foldCount: each fold is tuned with both settings."),
        (
            {"foldCount": 3, "examples": {"examples": [{"textInput": "1", "output": "2"}]}},
            "foldCount evaluates on the model's own rows; leave out examples.",
        ),
    ):
        reply = client.post("/v1beta/tunedModels/few:evaluate", json=body)
        assert (reply.status_code, reply.json()["error"]["message"]) == (400, message)
