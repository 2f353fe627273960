"""The examples of a tuned model over HTTP: learned, held out, and as the base read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.live import BASE, Live


@pytest.fixture(scope="module")
def held(live: Live) -> Iterator[tuple[httpx2.Client, str]]:
    """Return a client and the address of a tuned model of 12 rows, 3 of them held out."""
    examples = [{"textInput": f"number {n}", "output": str(n + 1)} for n in range(12)]
    task = {
        "trainingData": {"examples": {"examples": examples}},
        "hyperparameters": {"epochCount": 1},
        "holdOut": 3,
    }
    body = {"baseModel": f"models/{BASE}", "displayName": "held", "tuningTask": task}
    with live.client() as client:
        operation = client.post("/v1beta/tunedModels", json=body).json()
        live.wait_until_done(client, operation["name"])
        yield client, f"/v1beta/{operation['metadata']['tunedModel']}"
        client.delete(f"/v1beta/{operation['metadata']['tunedModel']}")


def listed(held: tuple[httpx2.Client, str], **asked: Any) -> dict[str, Any]:
    client, address = held
    reply = client.get(f"{address}/examples", params=asked)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_learned_and_held_out_are_told_apart(held: tuple[httpx2.Client, str]) -> None:
    """Together they are the examples sent, and no row is in both."""
    learned, out = listed(held), listed(held, heldOut="true")

    assert (learned["totalSize"], out["totalSize"]) == (9, 3)
    inputs = [example["textInput"] for example in [*learned["examples"], *out["examples"]]]
    assert sorted(inputs) == sorted(f"number {n}" for n in range(12))


def test_pages_follow_each_other(held: tuple[httpx2.Client, str]) -> None:
    """A page has the requested size; the last has no token."""
    first = listed(held, pageSize=5)
    second = listed(held, pageSize=5, pageToken=first["nextPageToken"])

    assert [len(first["examples"]), len(second["examples"])] == [5, 4]
    assert "nextPageToken" not in second
    assert held[0].get(f"{held[1]}/examples", params={"pageToken": "nonsense"}).status_code == 400


def test_examples_are_shown_as_the_base_read_them(held: tuple[httpx2.Client, str]) -> None:
    """A rendered example is in the chat template of its base, followed by its answer."""
    example = listed(held, pageSize=1, rendered="true")["examples"][0]

    before, _, after = example["rendered"].partition(example["textInput"])
    assert before
    assert example["output"] in after
    assert "rendered" not in listed(held, pageSize=1)["examples"][0]
