"""Creation with validateOnly: an estimate, and nothing is created."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live import BASE, Live, make_home, serving


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


def estimated(client: httpx2.Client, rows: list[tuple[str, str]], status: int = 200, **task: Any) -> dict[str, Any]:
    examples = [{"textInput": text, "output": output} for text, output in rows]
    body = {
        "baseModel": f"models/{BASE}",
        "displayName": "only asked",
        "tuningTask": {"trainingData": {"examples": {"examples": examples}}, **task},
    }
    reply = client.post("/v1beta/tunedModels", params={"validateOnly": "true"}, json=body)
    assert reply.status_code == status, reply.text
    return dict(reply.json())


WORDS = ("apple", "boat", "cloud", "door", "egg")
ROWS = [(f"number {n}", str(n + 1)) for n in range(30)]


def test_steps_tokens_time_and_memory(client: httpx2.Client) -> None:
    """Everything that a page shows before it starts is there, and no model was made."""
    before = client.get("/v1beta/tunedModels").json()

    found = estimated(client, ROWS, hyperparameters={"epochCount": 3, "batchSize": 4}, holdOut="10%")

    assert (found["totalSteps"], found["exampleCount"], found["heldOutCount"]) == (21, 27, 3)
    assert found["totalTokens"] == 3 * found["tokensPerEpoch"]
    assert 0 < found["seconds"]["atLeast"] <= found["seconds"]["atMost"]
    assert found["waitingBefore"] == 0
    assert found["memory"]["neededBytes"] > 0
    assert found["memory"]["fits"] is True
    assert "cutRows" not in found
    assert client.get("/v1beta/tunedModels").json() == before


def test_a_row_that_the_window_cuts_is_named(client: httpx2.Client) -> None:
    """Rows that would lose their end are counted from 1."""
    found = estimated(client, [*ROWS, ("x" * 2_000, "y"), ("z", "a")])

    assert found["cutRows"] == [31]
    assert found["longestExampleTokens"] == 512


def test_an_output_beyond_the_window_is_refused_before_anything_is_made(client: httpx2.Client) -> None:
    """Estimate and creation answer 400 with the place of the example, also of one that would be held out."""
    before = client.get("/v1beta/tunedModels").json()
    rows = [*ROWS, ("z", "x" * 600)]
    examples = [{"textInput": text, "output": output} for text, output in rows]
    task = {"trainingData": {"examples": {"examples": examples}}, "holdOut": "30"}
    body = {"baseModel": f"models/{BASE}", "displayName": "too long", "tuningTask": task}

    created = client.post("/v1beta/tunedModels", json=body)

    assert created.status_code == 400
    for error in (created.json()["error"], estimated(client, rows, status=400)["error"]):
        assert "examples[30].output: 6" in error["message"]
        assert "limit 512" in error["message"]
    assert client.get("/v1beta/tunedModels").json() == before


def test_warnings_of_the_data_come_along(client: httpx2.Client) -> None:
    """Warnings come with their rows; errors are the same as on creation."""
    found = estimated(client, [*ROWS, ROWS[0]])
    refused = estimated(client, [*ROWS, ("a", "")], status=400)

    assert {problem["level"] for problem in found["problems"]} == {"warning"}
    assert any(problem.get("row") == 31 for problem in found["problems"])
    assert "[30].output" in refused["error"]["message"]


def test_one_output_for_every_row_is_named_before_the_start(client: httpx2.Client) -> None:
    """The estimate has the sentence that `data check` prints, for the whole data."""
    found = estimated(client, [(text, "same") for text, _ in ROWS])

    kinds = {problem["kind"]: problem for problem in found["problems"]}
    assert "row" not in kinds["one-output"]
    assert kinds["one-output"]["message"].startswith("All 30 rows have the output 'same', so the model")


def test_rows_and_labels_are_told_before_the_start(client: httpx2.Client) -> None:
    """How many rows there are beside how many are usual, the rows of each label, and labels without a held-out row."""
    rows = [(text, "rare" if number < 2 else ("even", "odd")[number % 2]) for number, (text, _) in enumerate(ROWS)]

    found = estimated(client, rows, holdOut="1")

    assert found["rowsAdvice"] == "30 rows; 100+ usually give good results in classification."
    assert {one["label"]: one["rows"] for one in found["outputs"]["labels"]} == {"rare": 2, "even": 14, "odd": 14}
    assert "not-held-out" in {problem["kind"] for problem in found["problems"]}


def test_a_first_guess_becomes_a_measurement(tmp_path: Path) -> None:
    """Before the first task the time is a guess, then it is measured; each further epoch adds the same."""
    with serving(make_home(tmp_path)) as live, live.client() as client:
        live.services.estimates._load = None  # which changes between two estimates, as other tests run meanwhile
        guessed = estimated(client, ROWS)["seconds"]
        live.tune(client, "first", rows=24, batchSize=2)
        found = [estimated(client, ROWS, hyperparameters={"epochCount": n})["seconds"] for n in (100, 200, 300)]
        labels = [(text, "odd" if number % 2 else "even") for number, (text, _) in enumerate(ROWS)]
        plain, shared = (
            estimated(client, labels, hyperparameters={"epochCount": 100, "labelShare": share})["seconds"]
            for share in (0, 0.5)
        )

    assert {guessed["source"], found[0]["source"]} == {"guess", "measured"}
    first, second, third = (one["atMost"] for one in found)
    assert third - second == pytest.approx(second - first, abs=0.15)  # each is rounded to a tenth
    assert shared["atMost"] > plain["atMost"]


def test_what_auto_costs_is_told_before_the_start(client: httpx2.Client) -> None:
    """
    Whether it is asked for or not, the estimate says what `auto` chooses and why, and how many times the steps and the
    time of the page's settings that takes; other data gets the page's settings.
    """
    labels = [(text, "odd" if number % 2 else "even") for number, (text, _) in enumerate(ROWS[:20])]

    page, auto = (estimated(client, labels, hyperparameters={"settings": kind}) for kind in ("page", "auto"))
    named = estimated(client, labels, hyperparameters={"settings": "auto", "epochCount": 5})["autoSettings"]
    plain = estimated(client, ROWS)["autoSettings"]

    found = auto["autoSettings"]
    assert page["autoSettings"] == found
    assert (page["totalSteps"], auto["totalSteps"], found["totalSteps"]) == (25, 100, 100)
    assert found["hyperparameters"] == {"epochCount": 20, "batchSize": 4, "learningRate": 0.001, "labelShare": 0.5}
    assert found["reason"].startswith("Auto chose 20 epochs")
    assert found["timesSteps"] == 4
    assert found["timesTime"] == pytest.approx(4 * named["timesTime"], abs=0.05)
    assert named["timesSteps"] == 1 < named["timesTime"]
    assert (plain["timesSteps"], plain["timesTime"]) == (1, 1)
    assert plain["reason"].startswith("Auto chose nothing of its own")


def test_the_reply_is_described(client: httpx2.Client) -> None:
    """The OpenAPI document has the estimate as a reply of the creation."""
    document = client.get("/openapi.json").json()

    reply = document["paths"]["/v1beta/tunedModels"]["post"]["responses"]["200"]
    assert "EstimateOut" in str(reply)
    assert "atLeast" in document["components"]["schemas"]["SecondsOut"]["properties"]


def test_inputs_and_outputs_are_described(client: httpx2.Client) -> None:
    """The common beginning of the inputs is the preamble with the only label; labels come most frequent first."""
    rows = [(f"Classify this.\nText: {WORDS[n % 5]} {n}", "no" if n % 3 else "yes") for n in range(30)]
    labelled, plain = estimated(client, rows), estimated(client, ROWS)

    assert labelled["inputs"] == {"prefix": "Classify this.\nText: "}
    assert labelled["outputs"] == {
        "kind": "LABELS",
        "labels": [{"label": "no", "rows": 20}, {"label": "yes", "rows": 10}],
    }
    assert plain["outputs"] == {"kind": "NUMBER"}


def test_inputs_without_a_common_beginning_have_no_prefix(client: httpx2.Client) -> None:
    """The prefix is left out."""
    assert estimated(client, [(f"{WORDS[n % 5]} {n}", str(n)) for n in range(30)])["inputs"] == {}


def test_a_rate_that_ruins_is_warned_of(client: httpx2.Client) -> None:
    """Before anything starts; up to three times the default is not, and ten times, which ruined 24 rows, is."""
    found = estimated(client, ROWS, hyperparameters={"learningRate": 0.3})

    assert found["rateWarning"] == (
        "A learning rate of 0.3 is far above the default of 0.001 and will probably ruin the model."
    )
    assert "will probably" in estimated(client, ROWS, hyperparameters={"learningRateMultiplier": 10})["rateWarning"]
    assert "may ruin" in estimated(client, ROWS, hyperparameters={"learningRate": 0.005})["rateWarning"]
    assert "rateWarning" not in estimated(client, ROWS, hyperparameters={"learningRateMultiplier": 3})
