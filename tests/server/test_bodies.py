"""Whose body is read, how much of it, and how many large ones at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from tests.server.api import OWNER, Api, called, error_of
from tunery.errors import InvalidArgument, PermissionDenied
from tunery.server.http import body_of, note_caller, parsed, read_limited
from tunery.server.wire.generation import GenerateContentIn
from tunery.server.wire.messages import Incoming
from tunery.server.wire.protobuf_json import LARGE_BODY_BYTES
from tunery.server.wire.tuning import TunedModelIn
from tunery.types import Caller

PATHS = {"{id}": "none", "{model_id}": "none", "{permission_id}": "p", "{prompt_id}": "p", "{user_id}": "u"}


def sent(api: Api, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, int]:
    """Return the status of a request, and how often the server waited for its body."""
    reply = asyncio.run(called(api.app, method, path, headers))
    return reply.status, reply.waits


def routes_with_bodies(api: Api) -> Iterator[tuple[str, str]]:
    for path, verbs in api.app.openapi()["paths"].items():
        for verb, operation in verbs.items():
            if "requestBody" in operation:
                concrete = "/".join(
                    part if "{" not in part else part.replace("{model_id}", "m") for part in path.split("/")
                )
                for name, value in PATHS.items():
                    concrete = concrete.replace(name, value)
                yield verb.upper(), concrete


@pytest.mark.parametrize("credential", ["nothing", "no such token", "no such key"])
def test_no_body_is_read_before_its_sender_is_known(api: Api, credential: str) -> None:
    """Every route that takes a body refuses such callers without a look at it."""
    headers = {
        "nothing": {},
        "no such token": {"authorization": "Bearer canary"},
        "no such key": {"x-goog-api-key": "canary"},
    }[credential]
    routes = list(routes_with_bodies(api))
    assert len(routes) > 20

    found = {route: sent(api, *route, headers) for route in routes}

    assert {route: reply for route, reply in found.items() if reply[1] or reply[0] not in (400, 401, 403, 429)} == {}


def test_a_key_alone_cannot_send_training_data(api: Api) -> None:
    """The scope is checked before the body, too."""
    _, key = api.accounts.keys.create("a key")

    assert sent(api, "POST", "/v1beta/tunedModels", {"x-goog-api-key": key}) == (403, 0)


def test_who_may_not_use_a_model_sends_it_nothing(api: Api) -> None:
    """The model is looked up before the body."""
    token = api.client("stranger@example.com").headers["authorization"]
    api.active("private")

    assert sent(api, "POST", "/v1beta/tunedModels/private:generateContent", {"authorization": token}) == (403, 0)


def test_a_route_that_forgets_its_caller_reads_nothing() -> None:
    """A body is refused unless the caller was noted before."""

    async def read() -> None:
        async for _ in body_of(Incoming)(request_of([b"{}"])):
            pass

    with pytest.raises(PermissionDenied):
        asyncio.run(read())


def request_of(parts: list[bytes], **headers: str) -> Request:
    """Return a request whose body comes in these parts; asking for more than these fails."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": encoded, "state": {}}, receive)


def test_a_body_is_refused_by_the_part_that_is_too_much() -> None:
    """The rest is not waited for; a declared length is believed at once."""
    endless = [b"12345"] * 3 + [b""] * 10**6
    with pytest.raises(InvalidArgument, match="exceeds the limit: 10 bytes"):
        asyncio.run(read_limited(request_of(endless), 10))
    with pytest.raises(InvalidArgument, match="exceeds the limit: 10 bytes"):
        asyncio.run(read_limited(request_of([], content_length="11"), 10))
    assert asyncio.run(read_limited(request_of([b"1234567890"]), 10)) == b"1234567890"


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/v1beta/tunedModels/m:transferOwnership", 256 * 1024), ("/v1beta/tunedModels", 4 * 1024 * 1024)],
)
def test_routes_without_data_take_less(api: Api, path: str, limit: int) -> None:
    """4 MiB where training data or prompts are sent, a sixteenth elsewhere."""
    body = b'{"name": "' + b"x" * limit + b'"}'

    assert error_of(api.web.post(path, content=body))["message"].startswith(
        f"Request payload size exceeds the limit: {limit} bytes."
    )


def test_a_hostile_body_makes_few_problems() -> None:
    """Checking stops at twenty, whatever is wrong, so that their number does not depend on the body's size."""
    items = [1] * 99_999
    names = {f"a{number}": 1 for number in range(50_000)}
    bodies: list[tuple[type[Incoming], Any]] = [
        (TunedModelIn, {"tuningTask": {"trainingData": {"examples": {"examples": items}}}}),
        (TunedModelIn, {"tuningTask": {"trainingData": {"examples": {"examples": [{"textInput": 1}] * 30_000}}}}),
        (TunedModelIn, {"tuningTask": names}),
        (TunedModelIn, {"readerProjectNumbers": ["x"] * 99_999}),
        (GenerateContentIn, {"contents": [{"parts": items}] * 10}),
        (GenerateContentIn, {"contents": [[]] * 99_999}),
    ]
    for message, body in bodies:
        with pytest.raises(InvalidArgument) as raised:
            parsed(message, json.dumps(body).encode())
        assert len(str(raised.value)) < 20_000
        assert str(raised.value).count("Invalid value") + str(raised.value).count("Unknown name") <= 20


def test_lists_have_limits() -> None:
    """A list that no request needs is refused by its length, before its items are looked at."""
    body = b'{"safetySettings": [' + b"1," * 100_000 + b"1]}"

    with pytest.raises(InvalidArgument, match=r"A list in the body has 100,001 items; the limit is 100,000\."):
        parsed(GenerateContentIn, body)


@pytest.mark.parametrize("value", [b"1,", b'"",', b'"",1,', b'"\\\\","\\"",1,'])
def test_a_large_body_of_short_values_is_refused(value: bytes) -> None:
    """Parsing millions of values would keep everybody waiting; they are counted instead."""
    body = b'{"contents": [' + value * (4_000_000 // len(value)) + b"1]}"

    with pytest.raises(InvalidArgument, match=r"The body has [0-9,]+ values in 4,000,0.. bytes; the limit is 666,6"):
        parsed(GenerateContentIn, body)


@pytest.mark.parametrize("text", [",", '"', "\\", '",', '\\","', "a"])
def test_large_bodies_of_texts_are_read(text: str) -> None:
    """Commas and quotes in texts are no values, and rows of single letters are not too many."""
    rows = [{"textInput": text * 300_000, "output": text}, *({"textInput": text, "output": "b"} for _ in range(30_000))]
    examples = {"tuningTask": {"trainingData": {"examples": {"examples": rows}}}}

    model = parsed(TunedModelIn, json.dumps(examples, separators=(",", ":")).encode())
    assert model.tuning_task.training_data.examples.examples[0].text_input == text * 300_000


def test_large_bodies_may_have_texts_in_single_quotes() -> None:
    """Google's parser takes them; their commas are no values either."""
    body = b"{'displayName': 'a', 'description': '" + 200_000 * b"1," + b"'}"

    assert parsed(TunedModelIn, body).description == 200_000 * "1,"


@pytest.mark.parametrize("depth", [100, 101, 900])
def test_nesting_has_a_limit(depth: int) -> None:
    """A hundred levels, as in Google's parser; the body itself is one."""
    body = b'{"safetySettings": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    if depth <= 100:
        parsed(GenerateContentIn, body)
        return

    with pytest.raises(InvalidArgument, match="nested too deeply; the limit is 100 levels"):
        parsed(GenerateContentIn, body)


def test_what_one_alternative_refused_is_not_left_out() -> None:
    """Twenty fields that are right only as their second alternative are all read."""

    class Either(Incoming):
        value: GenerateContentIn | int

    class Many(Incoming):
        values: list[Either]

    body = json.dumps({"values": [{"value": 7}] * 50}).encode()

    assert len(parsed(Many, body).values) == 50


def test_large_bodies_take_turns() -> None:
    """One caller has at most half of the places for large bodies, until the requests are answered."""
    body = b'{"name": "' + b"x" * LARGE_BODY_BYTES + b'"}'
    handled: list[int] = []
    most = 0

    async def one(number: int) -> None:
        nonlocal most
        request = request_of([body])
        note_caller(request, Caller(OWNER))
        async for _ in body_of(TunedModelIn)(request):
            handled.append(number)
            most = max(most, len(handled))
            await asyncio.sleep(0.01)
            handled.remove(number)

    async def all_at_once() -> None:
        await asyncio.gather(*map(one, range(10)))

    asyncio.run(all_at_once())
    assert most == 2
