"""An answer that ends inside a character leaves the half out, over every stream; characters at its end stay whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.chaos.served import Served, creation_body, proof, wait_until
from tests.chaos.template import in_a_home_with
from tests.needs import NO_DEFAULT_BASE, missing
from tunery import config
from tunery.engine.catalog import Catalog
from tunery.types import DEFAULT_BASE_MODEL

CASE = Path(__file__).parents[1] / "fixtures" / "cases" / "15-cut-character"
MOST_TOKENS = 30  # more than any output of the two files has

pytestmark = pytest.mark.base


def rows(name: str) -> list[tuple[str, str]]:
    """Return two rows of a file, the one that is asked included: each more takes the default base seconds to learn."""
    with (CASE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text_input"], row["output"]) for row in csv.DictReader(file)][1:3]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    """Serve the default base, tuned on two rows of each of the two files, a batch."""
    home = config.data_folder()
    if not Catalog(home).resolve(DEFAULT_BASE_MODEL).is_present:
        missing(NO_DEFAULT_BASE)
    with in_a_home_with(home / "bases") as folder, Served.real(folder) as server:
        for name in ("emoji", "chinese"):
            body = creation_body(rows(name), epochs=25, base=DEFAULT_BASE_MODEL)
            status, reply = server.ask("POST", f"tunedModels?tuned_model_id={name}", body)
            assert status == 200, reply
        for name in ("emoji", "chinese"):
            wait_until(lambda name=name: server.operation(name).get("done"), pause=0.5)
        with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}/v1beta", headers=proof(folder)) as client:
            yield client


def whole(client: httpx2.Client, model: str, text: str, tokens: int) -> list[str]:
    reply = client.post(f"/tunedModels/{model}:generateContent", json=said(text, tokens)).raise_for_status()
    return [part_of(reply.json())]


def server_sent(client: httpx2.Client, model: str, text: str, tokens: int) -> list[str]:
    path = f"/tunedModels/{model}:streamGenerateContent?alt=sse"
    reply = client.post(path, json=said(text, tokens)).raise_for_status()
    return [part_of(event) for event in events(reply.text)]


def array(client: httpx2.Client, model: str, text: str, tokens: int) -> list[str]:
    reply = client.post(f"/tunedModels/{model}:streamGenerateContent", json=said(text, tokens)).raise_for_status()
    return [part_of(chunk) for chunk in reply.json()]


def openai(client: httpx2.Client, model: str, text: str, tokens: int) -> list[str]:
    messages = [{"role": "user", "content": text}]
    body = {"model": f"tunedModels/{model}", "messages": messages, "max_tokens": tokens, "temperature": 0}
    reply = client.post("/openai/chat/completions", json={**body, "stream": True}).raise_for_status()
    return [each["choices"][0]["delta"].get("content") or "" for each in events(reply.text) if each["choices"]]


def said(text: str, tokens: int) -> dict[str, Any]:
    settings = {"maxOutputTokens": tokens, "temperature": 0}
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": settings}


def part_of(reply: dict[str, Any]) -> str:
    return str(reply["candidates"][0]["content"]["parts"][0]["text"])


def events(text: str) -> list[dict[str, Any]]:
    lines = (line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {"))
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("model", ["emoji", "chinese"])
def test_no_piece_has_half_a_character(client: httpx2.Client, model: str) -> None:
    """
    Of 1 to 8 tokens and of all, each way to stream gives the same text in whole characters.

    The full answer is the learned one, its last character, joined of several, included. At least one limit falls
    inside a character: it adds nothing to the text of the limit before.
    """
    text, output = next(row for row in rows(model) if "camera" in row[0])
    texts = []
    for tokens in (*range(1, 9), MOST_TOKENS):
        ways = [way(client, model, text, tokens) for way in (whole, server_sent, array, openai)]
        assert not any("\ufffd" in piece for pieces in ways for piece in pieces)
        (joined,) = {"".join(pieces) for pieces in ways}
        texts.append(joined)

    assert texts[-1] == output
    assert all(output.startswith(part) for part in texts)
    assert any(part == longer != output for part, longer in pairwise(texts))
