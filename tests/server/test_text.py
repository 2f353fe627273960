"""generateText and countTextTokens of PaLM's days: on bases and tuned models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.live import BASE, TUNED, Live
from tests.server.api import error_of

TARGETS = [f"tunedModels/{TUNED}", f"models/{BASE}", "models/text-bison-001"]
SETTINGS = {"temperature": 0, "maxOutputTokens": 12}


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


@pytest.mark.parametrize("version", ["v1beta2", "v1beta3", "v1beta", "v1"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_prompt_is_answered(client: httpx2.Client, version: str, target: str) -> None:
    """The text is that of generateContent, in the older form."""
    reply = client.post(f"/{version}/{target}:generateText", json={"prompt": {"text": "7"}, **SETTINGS})
    newer = client.post(
        f"/v1beta/{target}:generateContent", json={"contents": {"parts": {"text": "7"}}, "generationConfig": SETTINGS}
    )

    text = newer.json()["candidates"][0]["content"]["parts"][0]["text"]
    assert reply.json() == {"candidates": [{"output": text, "safetyRatings": []}]}


def test_every_setting(client: httpx2.Client) -> None:
    """Candidates, stop texts, topP, topK and safety settings with the old categories."""
    body = {
        "prompt": {"text": "7"},
        "temperature": 1.0,
        "candidateCount": 3,
        "maxOutputTokens": "5",
        "topP": 0.9,
        "topK": 40,
        "stopSequences": ["#"],
        "safetySettings": [{"category": 1, "threshold": 4}, {"category": "HARM_CATEGORY_TOXICITY", "threshold": 1}],
    }

    assert len(client.post(f"/v1beta3/{TARGETS[0]}:generateText", json=body).json()["candidates"]) == 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "prompt.text is empty"),
        ({"prompt": {"text": ""}}, "prompt.text is empty"),
        ({"prompt": {"text": "7"}, "temperature": 3}, "temperature"),
        ({"prompt": {"text": "7"}, "candidateCount": 9}, "candidateCount"),
        ({"prompt": {"text": "7" * 40_001}}, "40,000"),
    ],
)
def test_a_prompt_is_refused(client: httpx2.Client, body: dict[str, Any], words: str) -> None:
    """Without a text, out of range, too long: 400."""
    error = error_of(client.post(f"/v1beta3/{TARGETS[0]}:generateText", json=body))

    assert error["code"] == 400
    assert words in error["message"]


def test_tokens_of_a_prompt(client: httpx2.Client) -> None:
    """countTextTokens counts what countTokens counts."""
    older = client.post("/v1beta3/models/text-bison-001:countTextTokens", json={"prompt": {"text": "one two"}})
    newer = client.post(f"/v1beta/models/{BASE}:countTokens", json={"contents": {"parts": {"text": "one two"}}})

    assert older.json() == {"tokenCount": newer.json()["totalTokens"]}
