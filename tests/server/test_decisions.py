"""Decisions over HTTP: answers of bases and tuned models, refusals with their detail, access, queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.live import BASE, TUNED, Live
from tests.server.api import Api
from tunery.evaluation.calibration import scaled
from tunery.server.decisions import QUESTIONS_AT_ONCE

PATHS = ("/v1/systemone", "/openai/v1/systemone", "/v1beta/openai/systemone")
CHOICE: dict[str, Any] = {"type": "choice", "instructions": "Which?", "criteria": {"calm": None, "pushy": "Presses"}}
BODY: dict[str, Any] = {"model": BASE, "state": {"message": "WIN!"}, "questions": {"tone": CHOICE}}
LABELLED = "sorted"


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    """Return a client of the user at this machine."""
    with live.client() as client:
        yield client


@pytest.fixture(scope="module")
def labelled(live: Live) -> str:
    """Return the name of a model tuned on labels."""
    rows = [{"textInput": f"message {n}", "output": ("bug", "billing")[n % 2]} for n in range(24)]
    with live.client() as client:
        live.tune(client, LABELLED, rows)
    return f"tunedModels/{LABELLED}"


def decided(client: httpx2.Client, path: str = PATHS[0], **changes: Any) -> dict[str, Any]:
    reply = client.post(path, json={**BODY, **changes})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


@pytest.mark.parametrize("path", PATHS)
def test_a_base_decides(client: httpx2.Client, path: str) -> None:
    """Under every address, with usage and the header that names the base."""
    reply = client.post(path, json=BODY)

    found = reply.json()
    answer = found["answers"]["tone"]
    assert (found["model"], set(found)) == (BASE, {"model", "answers", "usage"})
    assert answer["choice"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert found["usage"]["input_tokens"] > 20
    assert found["usage"]["output_tokens"] == 0
    assert reply.headers["x-tunery-base-model"] == BASE


def test_a_tuned_model_decides_as_it_answers(client: httpx2.Client, labelled: str) -> None:
    """The probabilities of its labels are those of generateContent, and the input is checked against its examples."""
    body = {"contents": [{"parts": [{"text": "message 7"}]}]}
    (candidate,) = client.post(f"/v1beta/{labelled}:generateContent", json=body).json()["candidates"]
    question = {"type": "choice", "criteria": {"billing": None, "bug": None}}

    reply = client.post(PATHS[0], json={"model": labelled, "state": "message 7", "questions": {"label": question}})

    answer = reply.json()["answers"]["label"]
    assert answer["probabilities"] == pytest.approx(candidate["labelProbabilities"])
    assert answer["choice"] == candidate["content"]["parts"][0]["text"]
    assert reply.headers["x-tunery-prompt-contract"] == "ok"


def test_more_questions_than_fit_the_queue_are_answered(client: httpx2.Client) -> None:
    """All 64, a portion at a time, in their order."""
    kinds = [CHOICE, {"type": "score", "criteria": ["low", "mid", "high"]}, {"type": "noul", "instructions": "Spam?"}]
    questions = {f"q{number}": kinds[number % 3] for number in range(64)}

    found = decided(client, questions=questions)

    assert list(found["answers"]) == list(questions)
    assert len(questions) > 3 * QUESTIONS_AT_ONCE
    first, last = (found["answers"][name]["probabilities"] for name in ("q1", "q61"))
    assert first == pytest.approx(last, rel=0.05)


def test_many_requests_at_once(live: Live) -> None:
    """Sixteen clients that ask the same at the same time get the same."""

    async def ask_all() -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {live.token}"}
        async with httpx2.AsyncClient(base_url=live.address, headers=headers, timeout=60, trust_env=False) as client:
            replies = await asyncio.gather(*(client.post(PATHS[0], json=BODY) for _ in range(16)))
        return [reply.json()["answers"]["tone"]["probabilities"] for reply in replies]

    first, *others = asyncio.run(ask_all())

    assert all(other == pytest.approx(first, rel=0.05) for other in others)


@pytest.mark.parametrize("path", PATHS[:2])
@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"model": None}, ["model"]),
        ({"model": ""}, []),
        ({"state": 7}, ["state"]),
        ({"questions": None}, ["questions"]),
        ({"questions": {}}, ["questions"]),
        ({"questions": {"a": {"type": "rank"}}}, ["questions", "a", "type"]),
        (
            {"questions": {"a": CHOICE | {"criteria": dict.fromkeys(map(str, range(27)))}}},
            ["questions", "a", "criteria"],
        ),
        ({"assets": {"img-1": {"data_base64": ""}}}, ["assets"]),
        ({"temperature": 1}, ["temperature"]),
        ({"state": "x" * 50_000}, []),
        ({"state": "é " * 5_000}, []),
    ],
)
def test_bad_requests_are_422_with_their_places(
    client: httpx2.Client, path: str, changes: dict[str, Any], place: list[str]
) -> None:
    """Each entry of the detail has the path to a field, a message and a type."""
    reply = client.post(path, json={**BODY, **changes})

    assert reply.status_code == 422, reply.text
    assert set(reply.json()) == {"detail"}
    for problem in reply.json()["detail"]:
        assert problem["loc"][: len(place) + 1] == ["body", *place]
        assert problem["msg"]
        assert problem["type"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"model": NaN}', b"7"])
def test_what_is_no_json_object_is_422(client: httpx2.Client, body: bytes) -> None:
    """So is a body that cannot be read at all."""
    reply = client.post(PATHS[0], content=body)

    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["body"]


def test_a_label_of_another_model_is_422(client: httpx2.Client, labelled: str) -> None:
    """The message names the labels that there are."""
    reply = client.post(PATHS[0], json={**BODY, "model": labelled})

    assert reply.status_code == 422
    assert reply.json()["detail"] == [
        {
            "loc": ["body", "questions", "tone", "criteria"],
            "msg": "'calm' is not a label of this model. Its labels are 'bug', 'billing'.",
            "type": "value_error",
        }
    ]


def test_other_errors_keep_the_shape_of_their_api(client: httpx2.Client) -> None:
    """An unknown model is Google's 404 at /v1, OpenAI's under /openai/v1."""
    googles, openais = (client.post(path, json={**BODY, "model": "tunedModels/none"}) for path in PATHS[:2])

    assert (googles.status_code, openais.status_code) == (404, 404)
    assert googles.json()["error"]["status"] == "NOT_FOUND"
    assert openais.json()["error"]["code"] == "model_not_found"


def test_an_api_key_may_come_as_a_bearer(live: Live) -> None:
    """As clients of this API send it; a bearer that is neither token nor key is 401."""
    with live.client(live.key) as keyed, live.client("nonsense") as unknown:
        assert decided(keyed)["answers"]
        assert unknown.post(PATHS[0], json=BODY).status_code == 401


def test_a_model_of_numbers_may_be_asked_for_any(client: httpx2.Client) -> None:
    """Its outputs are no closed set, so the options are."""
    question = {"type": "score", "criteria": ["8", "9"]}

    found = decided(client, model=TUNED, state="7", questions={"next": question})

    assert found["answers"]["next"]["legend"] == {"0": "8", "1": "9"}


def test_nothing_is_read_from_strangers(api: Api) -> None:
    """A caller without credentials is refused whatever the body says."""
    reply = api.client().post(PATHS[0], content=b"{")

    assert reply.status_code == 403


def test_the_description_has_both_addresses(api: Api) -> None:
    """With the 422 that other operations do not have."""
    paths = api.app.openapi()["paths"]

    for path in (PATHS[0], PATHS[2]):
        responses = paths[path]["post"]["responses"]
        assert responses["422"]["content"]["application/json"]["schema"]["$ref"].endswith("UnprocessableOut")
    assert not any("422" in each["responses"] for each in paths["/v1beta/openai/chat/completions"].values())


def test_an_evaluation_makes_the_probabilities_true(client: httpx2.Client, live: Live, labelled: str) -> None:
    """From then on all routes divide by the temperature in the report; answers stay as they are."""
    question = {"label": {"type": "choice", "criteria": {"bug": None, "billing": None}}}
    asked = {"model": labelled, "state": "message 7", "questions": question}
    before = decided(client, **asked)["answers"]["label"]
    rows = [{"textInput": f"letter {n}", "output": ("bug", "billing")[n % 2]} for n in range(20)]

    found = live.found_out(client, LABELLED, "evaluate", "evaluation", examples={"examples": rows})

    calibration = found["report"]["calibration"]
    after = decided(client, **asked)["answers"]["label"]
    expected = scaled(before["probabilities"], calibration["temperature"])
    assert calibration["rows"] == 20
    assert [each["probability"] for each in calibration["thresholds"]] == [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    assert after["choice"] == before["choice"]
    assert after["probabilities"] == pytest.approx(expected, rel=0.05)
    assert after["probabilities"] != pytest.approx(before["probabilities"], rel=1e-3)
    body = {"contents": [{"parts": [{"text": "message 7"}]}]}
    (candidate,) = client.post(f"/v1beta/{labelled}:generateContent", json=body).json()["candidates"]
    assert candidate["labelProbabilities"] == pytest.approx(after["probabilities"], rel=0.05)
