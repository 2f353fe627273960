"""The routes in OpenAI's style: both models, both kinds of answers, errors in that API's shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live import BASE, TUNED, Live
from tests.server.api import Api
from tunery.server.openai import OPENAI_PATHS
from tunery.types import GranteeType, Role

CASES = Path(__file__).parents[1] / "fixtures/cases"
CHAT: dict[str, Any] = {
    "model": TUNED,
    "messages": [{"role": "user", "content": "7"}],
    "max_tokens": 12,
    "temperature": 0,
}
SCHEMA: dict[str, Any] = {  # as pydantic writes it: with titles, references and null as a choice
    "$defs": {"Kind": {"enum": ["bug", "login"], "title": "Kind", "type": "string"}},
    "title": "Ticket",
    "type": "object",
    "properties": {
        "kind": {"$ref": "#/$defs/Kind"},
        "urgency": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "null"}]},
        "is_open": {"type": "boolean"},
    },
    "required": ["kind", "urgency", "is_open"],
    "additionalProperties": False,
}


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    """Return a client of the user at this machine."""
    with live.client() as client:
        client.base_url = live.address + OPENAI_PATHS[0]
        yield client


@pytest.fixture
def keyed(live: Live) -> Iterator[httpx2.Client]:
    """Return a client that has an API key only, and shows it as these clients do: as a bearer."""
    with live.client(live.key) as client:
        client.base_url = live.address + OPENAI_PATHS[0]
        yield client


def chat(client: httpx2.Client, **changes: Any) -> httpx2.Response:
    return client.post("/chat/completions", json={**CHAT, **changes})


def check_ticket(text: str) -> None:
    """Make sure that an answer is JSON of SCHEMA."""
    ticket = json.loads(text)
    assert list(ticket) == ["kind", "urgency", "is_open"]
    assert ticket["kind"] in ("bug", "login")
    assert ticket["urgency"] in (None, *range(10))
    assert isinstance(ticket["is_open"], bool)


def error(reply: httpx2.Response) -> dict[str, Any]:
    found = reply.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return dict(found)


def events(reply: httpx2.Response) -> list[dict[str, Any]]:
    """Return the chunks of a stream; its format is checked."""
    assert reply.headers["content-type"].startswith("text/event-stream")
    *lines, done, end = reply.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_conversation_is_answered(client: httpx2.Client) -> None:
    """A whole answer has text, reason and usage as these clients read them."""
    reply = chat(client).json()

    (choice,) = reply["choices"]
    assert reply["object"] == "chat.completion"
    assert reply["id"].startswith("chatcmpl-")
    assert reply["model"] == f"tunedModels/{TUNED}"
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 12
    assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + 12


@pytest.mark.parametrize("prefix", OPENAI_PATHS)
@pytest.mark.parametrize("name", [TUNED, f"tunedModels/{TUNED}", BASE, f"models/{BASE}", "gemini-1.5-flash-001-tuning"])
def test_names_with_and_without_their_kind(live: Live, prefix: str, name: str) -> None:
    """Base and tuned models answer under both addresses, by their full or their plain name."""
    with live.client() as client:
        reply = client.post(f"{prefix}/chat/completions", json={**CHAT, "model": name})

    assert reply.status_code == 200


def test_the_answer_is_the_one_of_the_other_api(live: Live, client: httpx2.Client) -> None:
    """Greedy text is the same here and from generateContent."""
    body = {
        "contents": [{"parts": [{"text": "7"}]}],
        "generationConfig": {"maxOutputTokens": 12, "temperature": 0},
    }
    with live.client() as other:
        theirs = other.post(f"/v1beta/tunedModels/{TUNED}:generateContent", json=body).json()

    ours = chat(client).json()["choices"][0]["message"]["content"]

    assert ours == theirs["candidates"][0]["content"]["parts"][0]["text"]


def test_a_stream_has_the_same_text(client: httpx2.Client) -> None:
    """Role first, then text, then the reason, then usage if requested; together the text of the unstreamed answer."""
    chunks = events(chat(client, stream=True, stream_options={"include_usage": True}))

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[-1] == {}
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 12
    whole = chat(client).json()["choices"][0]["message"]["content"]
    assert "".join(delta.get("content", "") for delta in deltas) == whole


def test_a_stream_without_usage(client: httpx2.Client) -> None:
    """Usage comes only if requested."""
    assert all(chunk["choices"] for chunk in events(chat(client, stream=True)))


def test_several_answers(client: httpx2.Client) -> None:
    """`n` answers have places of their own, whole and streamed; the prompt is counted once."""
    settings = {"n": 3, "temperature": 1.5, "seed": 5}

    whole = chat(client, **settings).json()
    chunks = events(chat(client, stream=True, **settings))

    texts = ["", "", ""]
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
    assert [choice["message"]["content"] for choice in whole["choices"]] == texts
    assert len(set(texts)) == 3
    assert whole["usage"]["prompt_tokens"] == chat(client).json()["usage"]["prompt_tokens"]


def test_equal_seeds_draw_equal_answers(client: httpx2.Client) -> None:
    """A seed fixes the answer, also one beyond 64 bits."""
    drawn = [chat(client, temperature=1, seed=2**70 + 3).json()["choices"][0]["message"]["content"] for _ in range(2)]

    assert drawn[0] == drawn[1]


def test_the_newer_name_of_the_longest_answer(client: httpx2.Client) -> None:
    """max_completion_tokens does what max_tokens does."""
    body = {**CHAT, "max_completion_tokens": 3}
    del body["max_tokens"]

    assert client.post("/chat/completions", json=body).json()["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("stop", ["text", ["text"]])
def test_stop_texts_end_an_answer(client: httpx2.Client, stop: str | list[str]) -> None:
    """A stop text, alone or in a list, is cut off and the reason is stop."""
    whole = chat(client).json()["choices"][0]["message"]["content"]
    cut = whole[2:4]

    choice = chat(client, stop=cut if isinstance(stop, str) else [cut]).json()["choices"][0]

    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == whole[: whole.index(cut)]


def test_what_a_system_says_counts(client: httpx2.Client) -> None:
    """System and developer messages are read, and texts in parts are joined."""
    plain = chat(client).json()["usage"]["prompt_tokens"]
    parts = [{"type": "text", "text": "Count "}, {"type": "text", "text": "on."}]
    messages = [{"role": "system", "content": "Be"}, {"role": "developer", "content": parts}, *CHAT["messages"]]

    said = chat(client, messages=messages).json()["usage"]["prompt_tokens"]

    assert said - plain > len("Be\n\nCount on.") // 2


def test_prompts_are_answered(client: httpx2.Client) -> None:
    """A list of prompts with `n` each gives all answers in their order, each as if it had come alone."""
    body = {"model": TUNED, "prompt": ["7", "8"], "n": 2, "max_tokens": 5, "temperature": 0}

    reply = client.post("/completions", json=body).json()

    texts = [choice["text"] for choice in reply["choices"]]
    alone = client.post("/completions", json={**body, "prompt": "8", "n": 1}).json()
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    assert texts[0] == texts[1]
    assert texts[2] == texts[3] == alone["choices"][0]["text"]
    assert reply["usage"]["completion_tokens"] == 20
    assert reply["object"] == "text_completion"


def test_a_prompt_is_streamed(client: httpx2.Client) -> None:
    """The stream of a prompt has its text, its finish reason and, if requested, its usage."""
    body = {"model": BASE, "prompt": "7", "max_tokens": 5, "temperature": 0}

    chunks = events(client.post("/completions", json={**body, "stream": True, "stream_options": {"include_usage": 1}}))

    text = "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])
    assert text == client.post("/completions", json=body).json()["choices"][0]["text"]
    assert chunks[-1]["usage"]["completion_tokens"] == 5
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tools": [{"type": "function"}]}, "tools is not supported"),
        ({"functions": [{}]}, "functions is not supported"),
        (
            {"response_format": {"type": "grammar"}},
            "response_format.type must be one of text, json_object, json_schema",
        ),
        ({"response_format": {}}, "json_schema, not ''"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema must be set"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": 5}}},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "text", "json_schema": {"schema": {}}}},
            "needs response_format.type 'json_schema'",
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"strict": "often"}}}, "json_schema.strict"),
        ({"top_logprobs": 3}, "top_logprobs needs logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs must be between 0 and 20, not 21"),
        ({"logit_bias": {"7": 1}}, "logit_bias is not supported"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tool_choice": "required"}, "tool_choice is not supported"),
        ({"function_call": {"name": "f"}}, "function_call is not supported"),
        ({"messages": [{"role": "assistant", "content": "x", "function_call": {"name": "f"}}]}, "[0].function_call"),
        ({"n": 0}, "n must be between 1 and 8"),
        ({"n": 9}, "n must be between 1 and 8"),
        ({"temperature": 3}, "temperature must be between 0 and 2"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"stop": [""]}, "stop takes up to 5"),
        ({"temperature": "hot"}, "temperature"),
        ({"messages": []}, "messages must have"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages must have"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content is empty"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "only text"),
        ({"messages": [{"role": "user", "content": "x" * 40_001}]}, "limit is 40,000"),
        ({"messages": [{"role": "user", "content": "x" * 600}]}, "prompt has"),
        ({"model": ""}, "model must be set"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_done_is_refused(client: httpx2.Client, changes: dict[str, Any], words: str) -> None:
    """Unsupported settings that would change the answer are 400 and named."""
    reply = chat(client, **changes)

    assert reply.status_code == 400
    assert words in error(reply)["message"]
    assert error(reply)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": ""}, "prompt[0] is empty"),
        ({"prompt": []}, "prompt is empty"),
        ({"prompt": [1, 2]}, "token ids are not supported"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 21}, "logprobs must be between 0 and 20, not 21"),
        ({"logprobs": True}, "logprobs must be a number"),
        ({"prompt": ["x"] * 33}, "33 answers"),
    ],
)
def test_what_cannot_be_done_with_prompts(client: httpx2.Client, changes: dict[str, Any], words: str) -> None:
    """The same holds for prompts."""
    reply = client.post("/completions", json={"model": TUNED, "prompt": "7", **changes})

    assert reply.status_code == 400
    assert words in error(reply)["message"]


@pytest.mark.parametrize("strict", [{}, {"strict": True}, {"strict": False}, {"strict": None}])
@pytest.mark.parametrize("name", [BASE, TUNED])
def test_an_answer_keeps_to_a_schema(client: httpx2.Client, name: str, strict: dict[str, Any]) -> None:
    """JSON of the schema, on base and tuned models alike, with or without `strict`."""
    asked = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": SCHEMA, **strict}}

    choice = chat(client, model=name, max_tokens=60, response_format=asked).json()["choices"][0]

    check_ticket(choice["message"]["content"])
    assert choice["finish_reason"] == "stop"


def test_a_stream_keeps_to_a_schema(client: httpx2.Client) -> None:
    """Drawn with chance and streamed, each of several answers is JSON of the schema."""
    asked = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": SCHEMA}}

    reply = chat(client, max_tokens=60, response_format=asked, stream=True, n=3, temperature=1.5, seed=5)

    texts = ["", "", ""]
    for chunk in events(reply):
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
    for text in texts:
        check_ticket(text)


def test_an_answer_is_any_json_object(client: httpx2.Client) -> None:
    """Without a schema the answer is some object, where free text of the same model is no JSON."""
    free = chat(client).json()["choices"][0]["message"]["content"]
    bound = chat(client, response_format={"type": "json_object"}).json()["choices"][0]["message"]["content"]

    assert not free.startswith("{")
    assert isinstance(json.loads(bound), dict)


def test_a_schema_that_cannot_be_kept_is_refused_as_on_the_other_api(live: Live, client: httpx2.Client) -> None:
    """A keyword that no grammar can keep is status 400 in the words of generateContent, streamed or not."""
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    config = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    body = {"contents": [{"parts": [{"text": "7"}]}], "generationConfig": config}
    with live.client() as other:
        theirs = other.post(f"/v1beta/tunedModels/{TUNED}:generateContent", json=body).json()["error"]["message"]

    replies = [chat(client, response_format=asked, stream=streams) for streams in (False, True)]

    assert [(reply.status_code, error(reply)["message"]) for reply in replies] == [(400, theirs)] * 2
    assert "uniqueItems" in theirs


@pytest.mark.parametrize("name", [BASE, TUNED])
def test_log_probabilities(client: httpx2.Client, name: str) -> None:
    """Chat and prompts have those of the other API, whole and streamed; without them the field is null."""
    chat_reply = chat(client, model=name, logprobs=True, top_logprobs=2).json()["choices"][0]
    chunks = events(chat(client, model=name, logprobs=True, top_logprobs=2, stream=True))
    prompt = {"model": name, "prompt": "7", "max_tokens": 12, "temperature": 0, "logprobs": 2}
    completed = client.post("/completions", json=prompt).json()["choices"][0]["logprobs"]
    pieces = events(client.post("/completions", json={**prompt, "stream": True}))
    plain = chat(client, model=name).json()["choices"][0]

    content = chat_reply["logprobs"]["content"]
    assert len(content) == 12
    for each in content:
        assert {key: each[key] for key in ("token", "bytes", "logprob")} == each["top_logprobs"][0]  # greedy
        assert each["top_logprobs"][0]["logprob"] >= each["top_logprobs"][1]["logprob"]
    parts = [choice["logprobs"] for chunk in chunks for choice in chunk["choices"] if choice["logprobs"]]
    told = [each for part in parts for each in part["content"]]
    assert [each["bytes"] for each in told] == [each["bytes"] for each in content]
    assert completed["token_logprobs"] == pytest.approx([each["logprob"] for each in content], abs=1e-4)
    assert all(token in top for token, top in zip(completed["tokens"], completed["top_logprobs"], strict=True))
    assert completed["text_offset"][0] == 0
    assert completed["text_offset"] == sorted(completed["text_offset"])
    for field in ("tokens", "text_offset"):
        assert [value for piece in pieces for value in piece["choices"][0]["logprobs"][field]] == completed[field]
    assert plain["logprobs"] is None


def test_what_asks_for_nothing_is_not_refused(client: httpx2.Client) -> None:
    """Fields that newer clients send at their default, and unknown ones, are read over."""
    settings = {"tools": [], "logprobs": False, "response_format": {"type": "text"}, "store": True, "user": "x"}

    assert chat(client, **settings).status_code == 200


def test_an_own_tuned_model_goes_before_the_names_of_google(api: Api) -> None:
    """One that is shared with everyone does not: it could take the place of a name that others use."""
    api.clear()
    api.active("gemini-faq")
    everyone = {"granteeType": "EVERYONE", "role": "READER"}
    assert api.web.post("/v1beta/tunedModels/gemini-faq/permissions", json=everyone).status_code == 200

    found = [user.get("/openai/v1/models/gemini-faq").json()["id"] for user in (api.web, api.client("x@example.com"))]

    assert found == ["tunedModels/gemini-faq", "gemini-faq"]


@pytest.mark.parametrize("case", ["14-empty-turn", "41-aistudio-settings", "43-null-fields"])
def test_what_clients_send(client: httpx2.Client, case: str) -> None:
    """An empty answer in the history, more tokens than the window has, fields that are null."""
    body = json.loads((CASES / case / "openai.json").read_text())

    reply = client.post("/chat/completions", json=body | {"model": TUNED})

    assert reply.status_code == 200, reply.text


def test_models_are_listed(client: httpx2.Client) -> None:
    """Bases with weights on this machine and tuned models are listed, and each can be fetched by name."""
    listed = {model["id"]: model for model in client.get("/models").json()["data"]}

    assert {BASE, f"tunedModels/{TUNED}"} <= listed.keys()
    assert "smollm2-135m-instruct" not in listed
    assert all(set(model) == {"id", "object", "created", "owned_by"} for model in listed.values())
    for name in (BASE, f"tunedModels/{TUNED}"):
        assert client.get(f"/models/{name}").json() == listed[name]
    assert client.get(f"/models/{TUNED}").json()["id"] == f"tunedModels/{TUNED}"


@pytest.mark.parametrize("name", ["gemini-2.5-flash", "models/gemma-3-1b-it", TUNED, f"models/tunedModels/{TUNED}"])
def test_a_header_says_which_base_answered(client: httpx2.Client, name: str) -> None:
    """Names that Google has given stand for the default base; one prefix too many does no harm."""
    reply = chat(client, model=name)

    assert reply.status_code == 200, reply.text
    assert reply.headers["x-tunery-base-model"] == BASE


@pytest.mark.parametrize("name", ["nothing", "tunedModels/nothing", "models/nothing", "a/b/c"])
def test_a_model_that_is_not_there(client: httpx2.Client, name: str) -> None:
    """An unknown name is 404 with the code that these clients know."""
    replies = (chat(client, model=name), client.get(f"/models/{name}"))

    assert [reply.status_code for reply in replies] == [404, 404]
    assert {error(reply)["code"] for reply in replies} == {"model_not_found"}
    assert all("Bases here: smollm2-135m-instruct" in error(reply)["message"] for reply in replies)


def test_unknown_paths_are_of_the_same_shape(client: httpx2.Client) -> None:
    """Other paths are 404 with a list of those offered."""
    reply = client.post("/chat/answers", json={})

    assert reply.status_code == 404
    assert "chat/completions" in error(reply)["message"]
    assert "not offered" in error(client.post("/embeddings", json={}))["message"]


def test_a_key_is_taken_as_bearer(live: Live, keyed: httpx2.Client) -> None:
    """With a key alone, bases answer; tuned models are 403 until everyone may use them, and are listed then only."""
    live_model = f"tunedModels/{TUNED}"
    before = chat(keyed)
    with live.client() as owner:
        shared = {"granteeType": GranteeType.EVERYONE, "role": Role.READER}
        permission = owner.post(f"/v1beta/{live_model}/permissions", json=shared).json()["name"]
        try:
            after = chat(keyed)
            listed = [model["id"] for model in keyed.get("/models").json()["data"]]
        finally:
            owner.delete(f"/v1beta/{permission}")

    assert chat(keyed, model=BASE).status_code == 200
    assert (before.status_code, error(before)["code"]) == (403, "permission_denied")
    assert after.status_code == 200
    assert live_model in listed
    assert live_model not in [model["id"] for model in keyed.get("/models").json()["data"]]


def test_a_bearer_that_is_neither(live: Live) -> None:
    """A bearer that is neither a token nor a key is 401 with the code that these clients know."""
    with live.client("sk-wrong") as client:
        reply = client.post(f"{OPENAI_PATHS[1]}/chat/completions", json=CHAT)

    assert (reply.status_code, error(reply)["code"]) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"


def test_nobody_is_refused(live: Live) -> None:
    """Without credentials nothing is answered or listed."""
    with httpx2.Client(base_url=live.address + OPENAI_PATHS[0], trust_env=False) as client:
        assert chat(client).status_code == 403
        assert client.get("/models").status_code == 403


def test_routes_are_described(live: Live) -> None:
    """The OpenAPI document has the routes with their bodies in snake_case."""
    with live.client() as client:
        document = client.get("/openapi.json").json()

    assert f"{OPENAI_PATHS[0]}/chat/completions" in document["paths"]
    assert "max_completion_tokens" in document["components"]["schemas"]["ChatCompletionIn"]["properties"]
