"""Contracts, forms of answers, epochs, exports and the card over HTTP."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.chaos.served import wait_until
from tests.live import BASE, TUNED, Live

HEADER = "x-tunery-prompt-contract"


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    """Return a client of the user at this machine."""
    with live.client() as client:
        yield client


def asked(client: httpx2.Client, name: str, text: str, **config: Any) -> httpx2.Response:
    body = {"contents": [{"parts": [{"text": text}]}], "generationConfig": {"maxOutputTokens": 40, **config}}
    return client.post(f"/v1beta/{name}:generateContent", json=body)


def said(reply: httpx2.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["candidates"][0]["content"]["parts"][0]["text"])


def test_an_input_like_the_examples_is_ok(client: httpx2.Client) -> None:
    """The header is ok and the reply has no contract field."""
    reply = asked(client, f"tunedModels/{TUNED}", "3")

    assert reply.headers[HEADER] == "ok"
    assert "promptContract" not in reply.json()


def test_an_input_of_another_form_is_noticed(client: httpx2.Client) -> None:
    """Header and field describe the difference, in streams too, and metrics count it; the call is answered anyway."""
    reply = asked(client, f"tunedModels/{TUNED}", "three")

    assert said(reply) is not None
    assert reply.json()["promptContract"]["differences"][0]["kind"] == "FORM"
    assert "not a number" in reply.headers[HEADER]
    body = {"contents": [{"parts": [{"text": "three"}]}]}
    streamed = client.post(f"/v1beta/tunedModels/{TUNED}:streamGenerateContent?alt=sse", json=body)
    assert "not a number" in streamed.headers[HEADER]
    assert "promptContract" in streamed.text
    assert 'tunery_prompt_differences_total{kind="FORM"}' in client.get("/metrics").text


@pytest.mark.parametrize("is_streamed", [False, True])
def test_other_routes_say_it_in_the_header(client: httpx2.Client, is_streamed: bool) -> None:
    """OpenAI's chat and completions, and generateText of PaLM, check the input of a tuned model as well."""
    chat = {"messages": [{"role": "user", "content": "three"}]}
    asked_of = {
        "/v1beta/openai/chat/completions": {"model": TUNED, "stream": is_streamed, "max_tokens": 2, **chat},
        "/v1beta/openai/completions": {
            "model": TUNED,
            "stream": is_streamed,
            "max_tokens": 2,
            "prompt": ["3", "three"],
        },
        f"/v1beta/tunedModels/{TUNED}:generateText": {"prompt": {"text": "three"}, "maxOutputTokens": 2},
    }
    for path, body in asked_of.items():
        assert "not a number" in client.post(path, json=body).headers[HEADER], path


def test_a_base_has_no_contract(client: httpx2.Client) -> None:
    """There is nothing it was tuned on."""
    assert HEADER not in asked(client, f"models/{BASE}", "three").headers


def test_the_tuned_model_says_its_contracts(client: httpx2.Client) -> None:
    """One sentence for inputs, one for outputs."""
    model = client.get(f"/v1beta/tunedModels/{TUNED}").json()

    assert model["promptContract"].startswith("The inputs are numbers")
    assert model["outputContract"] == "The outputs are numbers."
    assert model["outputForm"] == "NUMBER"


def test_wrapping_is_wanted_and_unwanted_by_update(client: httpx2.Client) -> None:
    """An update of `wrapPlainInputs` is shown by get, with and without a mask."""
    url = f"/v1beta/tunedModels/{TUNED}"

    assert client.patch(url, json={"wrapPlainInputs": True}).json()["wrapPlainInputs"] is True
    assert client.get(url).json()["wrapPlainInputs"] is True
    client.patch(url, params={"updateMask": "wrapPlainInputs"}, json={})
    assert "wrapPlainInputs" not in client.get(url).json()


def test_a_plain_input_is_wrapped(live: Live, client: httpx2.Client) -> None:
    """With the option on, a plain input is wrapped like the examples, and the reply reports it."""
    examples = [{"textInput": f"Say the next number.\nNumber: {n}", "output": str(n + 1)} for n in range(6)]
    task = {"trainingData": {"examples": {"examples": examples}}, "hyperparameters": {"epochCount": 1}}
    body = {"baseModel": f"models/{BASE}", "displayName": "wrapped", "tuningTask": task}
    created = client.post("/v1beta/tunedModels", params={"tunedModelId": "wrapped"}, json=body)
    live.wait_until_done(client, created.json()["name"])
    client.patch("/v1beta/tunedModels/wrapped", json={"wrapPlainInputs": True})

    whole = asked(client, "tunedModels/wrapped", "Say the next number.\nNumber: 3")
    plain = asked(client, "tunedModels/wrapped", "3")

    assert whole.headers[HEADER] == "ok"
    assert plain.json()["promptContract"]["wrapped"] is True
    assert plain.headers[HEADER].startswith("wrapped: ")
    assert said(plain) == said(whole)
    assert plain.json()["usageMetadata"]["promptTokenCount"] == whole.json()["usageMetadata"]["promptTokenCount"]


def test_inputs_unlike_the_examples_are_refused_where_that_is_wanted(client: httpx2.Client) -> None:
    """A model can be strict: 400 says what differs, on all routes; inputs like the examples are answered as before."""
    url, chat = f"/v1beta/tunedModels/{TUNED}", {"messages": [{"role": "user", "content": "three"}]}
    assert client.patch(url, json={"refuseUnlikeInputs": True}).json()["refuseUnlikeInputs"] is True
    try:
        refused = asked(client, f"tunedModels/{TUNED}", "three")
        others = [
            client.post("/v1beta/openai/chat/completions", json={"model": TUNED, **chat}),
            client.post(f"{url}:generateText", json={"prompt": {"text": "three"}}),
        ]
        answered = asked(client, f"tunedModels/{TUNED}", "3")
    finally:
        client.patch(url, json={"refuseUnlikeInputs": False})

    assert refused.status_code == 400
    assert "not a number" in refused.json()["error"]["message"]
    assert [reply.status_code for reply in others] == [400, 400]
    assert said(answered) is not None
    assert said(asked(client, f"tunedModels/{TUNED}", "three")) is not None


def test_a_cancelled_model_says_what_answers(live: Live, client: httpx2.Client) -> None:
    """A field of the model and a header of its answers name the step at which tuning was cancelled, and the epoch."""
    examples = [{"textInput": str(n), "output": str(n + 1)} for n in range(8)]
    task = {"trainingData": {"examples": {"examples": examples}}, "hyperparameters": {"epochCount": 1000}}
    body = {"baseModel": f"models/{BASE}", "displayName": "early", "tuningTask": {**task, "holdOut": "2"}}
    created = client.post("/v1beta/tunedModels", params={"tunedModelId": "ended-early"}, json=body)
    url = "/v1beta/tunedModels/ended-early"
    wait_until(lambda: bool(client.get(url).json()["tuningTask"].get("epochLosses")))
    client.post(f"/v1beta/{created.json()['name']}:cancel")
    live.wait_until_done(client, created.json()["name"])

    model = client.get(url).json()
    answered = asked(client, "tunedModels/ended-early", "3")
    other = asked(client, "tunedModels/ended-early@epoch-1", "3")

    steps = f"cancelled at step {model['tuningTask']['completedSteps']} of {model['tuningTask']['totalSteps']}"
    assert model["cancellation"] == f"{steps}; epoch {model['servedEpoch']} answers"
    assert answered.headers["x-tunery-cancelled"] == model["cancellation"]
    assert "x-tunery-cancelled" not in asked(client, f"tunedModels/{TUNED}", "3").headers
    assert other.headers["x-tunery-cancelled"] == f"{steps}; epoch 1 answers"


@pytest.mark.parametrize("name", [f"models/{BASE}", f"tunedModels/{TUNED}"])
def test_json_mode_follows_the_schema(client: httpx2.Client, name: str) -> None:
    """Google's Schema, types in capitals, on base and tuned models alike."""
    schema = {
        "type": "OBJECT",
        "properties": {"ok": {"type": "BOOLEAN"}, "kind": {"type": "STRING", "enum": ["a", "b"]}},
        "required": ["ok", "kind"],
        "propertyOrdering": ["kind", "ok"],
    }

    reply = asked(client, name, "3", responseMimeType="application/json", responseSchema=schema)

    value = json.loads(said(reply))
    assert list(value) == ["kind", "ok"]
    assert value["kind"] in ("a", "b")


def test_an_enum_comes_with_probabilities(client: httpx2.Client) -> None:
    """One of the labels, and how probable each is; below a threshold none of them."""
    config = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["yes", "no"]}}

    sure = asked(client, f"tunedModels/{TUNED}", "3", **config)
    unsure = asked(client, f"tunedModels/{TUNED}", "3", **config, noneBelow=1.0, noneLabel="neither")

    probabilities = sure.json()["candidates"][0]["labelProbabilities"]
    assert said(sure) == max(probabilities, key=probabilities.__getitem__)
    assert sum(probabilities.values()) == pytest.approx(1)
    assert said(unsure) == "neither"


def test_answers_keep_to_the_training_outputs(client: httpx2.Client) -> None:
    """The outputs were numbers, so the answer begins as one; a base has no training outputs."""
    bound = asked(client, f"tunedModels/{TUNED}", "3", constrainToTrainingOutputs=True)
    base = asked(client, f"models/{BASE}", "3", constrainToTrainingOutputs=True)

    assert re.fullmatch(r"-?[0-9]+", said(bound))
    assert base.status_code == 400


@pytest.fixture(scope="module")
def labelled(live: Live) -> str:
    """Return the name of a model tuned on two labels; at this temperature it hardly ever says one of them by itself."""
    examples = [{"textInput": str(n), "output": "odd one" if n % 2 else "even one"} for n in range(12)]
    task = {"trainingData": {"examples": {"examples": examples}}, "hyperparameters": {"epochCount": 1}}
    body = {"baseModel": f"models/{BASE}", "displayName": "odd", "temperature": 2.0, "topK": 0, "topP": 1.0}
    with live.client() as client:
        created = client.post("/v1beta/tunedModels", params={"tunedModelId": "odd"}, json={**body, "tuningTask": task})
        live.wait_until_done(client, created.json()["name"])
    return "tunedModels/odd"


LABELS = ("odd one", "even one")


def test_labels_are_the_default_of_a_model_tuned_on_them(client: httpx2.Client, labelled: str) -> None:
    """Google's routes and OpenAI's answer with a label where the call asks for nothing else, streamed and whole."""
    contents = {"contents": [{"parts": [{"text": "3"}]}]}
    whole = client.post(f"/v1beta/{labelled}:generateContent", json=contents).json()
    streamed = client.post(f"/v1beta/{labelled}:streamGenerateContent", json=contents).json()
    older = client.post(f"/v1beta/{labelled}:generateText", json={"prompt": {"text": "3"}}).json()
    chat = {"model": labelled, "messages": [{"role": "user", "content": "3"}]}
    chosen = client.post("/openai/v1/chat/completions", json=chat).json()
    completed = client.post("/openai/v1/completions", json={"model": labelled, "prompt": "3", "n": 2}).json()

    assert whole["candidates"][0]["content"]["parts"][0]["text"] in LABELS
    assert set(whole["candidates"][0]["labelProbabilities"]) == set(LABELS)
    assert "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in streamed) in LABELS
    assert len(streamed) > 1
    assert older["candidates"][0]["output"] in LABELS
    assert chosen["choices"][0]["message"]["content"] in LABELS
    assert all(choice["text"] in LABELS for choice in completed["choices"])


def test_the_default_of_labels_can_be_switched_off(client: httpx2.Client, labelled: str) -> None:
    """By a call, by a call that asks for something else, and for the model; then a call can switch it on."""
    chat = {"model": labelled, "messages": [{"role": "user", "content": "3"}], "max_tokens": 12, "seed": 1}
    system = {"systemInstruction": {"parts": [{"text": "Be brief."}]}}
    body = {"contents": [{"parts": [{"text": "3"}]}], "generationConfig": {"maxOutputTokens": 12, "seed": 1}}

    def chatted(**more: Any) -> str:
        return str(
            client.post("/openai/v1/chat/completions", json=chat | more).json()["choices"][0]["message"]["content"]
        )

    free = said(asked(client, labelled, "3", maxOutputTokens=12, seed=1, constrainToTrainingOutputs=False))
    assert free not in LABELS
    assert chatted(constrain_to_training_outputs=False) == free
    assert chatted(response_format={"type": "text"}) == free
    assert said(asked(client, labelled, "3", maxOutputTokens=12, seed=1, presencePenalty=0.001)) not in LABELS
    assert said(client.post(f"/v1beta/{labelled}:generateContent", json=body | system)) not in LABELS

    shown = client.patch(f"/v1beta/{labelled}", json={"constrainToTrainingOutputs": False}).json()
    try:
        assert shown["constrainToTrainingOutputs"] is False
        assert said(asked(client, labelled, "3", maxOutputTokens=12, seed=1)) == free
        assert said(asked(client, labelled, "3", constrainToTrainingOutputs=True)) in LABELS
        wrapped = client.patch(f"/v1beta/{labelled}", json={"wrapPlainInputs": True}).json()
        assert wrapped["constrainToTrainingOutputs"] is False
    finally:
        client.patch(f"/v1beta/{labelled}", json={"constrainToTrainingOutputs": True, "wrapPlainInputs": False})
    assert "constrainToTrainingOutputs" not in client.get(f"/v1beta/tunedModels/{TUNED}").json()


def test_a_threshold_without_labels_is_refused(client: httpx2.Client) -> None:
    """400 says so; it was silently ignored."""
    assert asked(client, f"models/{BASE}", "3", noneBelow=0.5).status_code == 400


@pytest.mark.parametrize(
    "config",
    [
        {"responseMimeType": "text/x.poem"},
        {"responseSchema": {"type": "OBJECT"}},
        {"responseMimeType": "application/json", "responseSchema": {"type": "POEM"}},
        {"responseMimeType": "text/x.enum"},
        {"responseMimeType": "text/x.enum", "responseSchema": {"enum": ["a"]}, "noneBelow": 2},
    ],
)
def test_forms_that_make_no_sense_are_refused(client: httpx2.Client, config: dict[str, Any]) -> None:
    """400 with a message, before anything is answered."""
    reply = asked(client, f"models/{BASE}", "3", **config)

    assert (reply.status_code, reply.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_kept_epoch_answers_under_its_own_name(client: httpx2.Client) -> None:
    """`@epoch-1` is the only epoch, so it answers as the model does; one that was not kept is 404."""
    chosen = asked(client, f"tunedModels/{TUNED}", "3")
    epoch = asked(client, f"tunedModels/{TUNED}@epoch-1", "3")

    assert said(epoch) == said(chosen)
    assert epoch.json()["modelVersion"] == f"tunedModels/{TUNED}@epoch-1"
    missing = asked(client, f"tunedModels/{TUNED}@epoch-7", "3")
    assert missing.status_code == 404
    assert "Kept epochs: 1" in missing.json()["error"]["message"]


def test_an_export_comes_as_a_tar_file(live: Live, client: httpx2.Client) -> None:
    """Merged weights with the card beside them; nothing is left behind on the server."""
    reply = client.get(f"/v1beta/tunedModels/{TUNED}:export", params={"format": "merged"})

    assert reply.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
        assert {"model.safetensors", "config.json", "model-card.md"} <= set(archive.getnames())
    wait_until(lambda: not list(live.home.glob("checkpoints/export-*")))  # it goes once the last byte was sent


def test_the_adapter_is_that_of_one_epoch(client: httpx2.Client) -> None:
    """The chosen epoch is all there is in it, and the length is said before it is sent."""
    reply = client.get(f"/v1beta/tunedModels/{TUNED}:export")

    assert int(reply.headers["content-length"]) == len(reply.content)
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
        names = archive.getnames()
    assert "adapter_model.safetensors" in names
    assert [name for name in names if "epochs" in name or "manifest" in name] == []


def test_a_weight_in_gguf_has_the_chosen_bits(client: httpx2.Client) -> None:
    """One file instead of two; other bits, and bits for another format, are refused."""
    path = f"/v1beta/tunedModels/{TUNED}:export"
    reply = client.get(path, params={"format": "gguf", "bits": 8})

    with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
        names, modelfile = archive.getnames(), archive.extractfile("Modelfile")
        assert {name for name in names if name.startswith(("model-q", "model-f"))} == {"model-q8_0.gguf"}
        assert modelfile is not None
        assert modelfile.read().startswith(b"FROM ./model-q8_0.gguf\n")
    for wrong in ({"format": "gguf", "bits": 4}, {"format": "merged", "bits": 8}):
        refused = client.get(path, params=wrong)
        assert (refused.status_code, "16 or 8" in refused.text) == (400, True)


def test_sizes_are_said_before_an_export_is_made(client: httpx2.Client) -> None:
    """Each is within a tenth of what is sent, beside the cards and, in GGUF, the names of the tokens."""
    formats = client.get(f"/v1beta/tunedModels/{TUNED}/exportFormats").json()["exportFormats"]

    assert [(one["format"], one.get("bits")) for one in formats] == [
        ("adapter", None),
        ("merged", None),
        ("gguf", 16),
        ("gguf", 8),
    ]
    for said in formats[:3]:
        query = {name: value for name, value in said.items() if name in ("format", "bits")}
        reply = client.get(f"/v1beta/tunedModels/{TUNED}:export", params=query)
        with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
            size = sum(file.size for file in archive if "card" not in file.name)
        assert said["sizeBytes"] == pytest.approx(size, rel=0.1, abs=20_000), query


def test_an_unknown_format_is_refused(client: httpx2.Client) -> None:
    """400, and the formats that there are."""
    reply = client.get(f"/v1beta/tunedModels/{TUNED}:export", params={"format": "onnx"})

    assert reply.status_code == 400
    assert "adapter, merged, gguf" in reply.json()["error"]["message"]


def test_an_export_is_for_readers(live: Live) -> None:
    """A key without a user gets 403 for export and card."""
    with httpx2.Client(base_url=live.address, headers={"x-goog-api-key": live.key}, trust_env=False) as stranger:
        for path in (":export", ":card", "/exportFormats"):
            assert stranger.get(f"/v1beta/tunedModels/{TUNED}{path}").status_code == 403


def test_the_card_is_a_document(client: httpx2.Client) -> None:
    """Base, data, settings, curve and contracts; no text of an example."""
    url = f"/v1beta/tunedModels/{TUNED}:card"
    card = client.get(url).json()

    assert card["name"] == f"tunedModels/{TUNED}"
    assert card["base"]["licence"]
    assert card["curve"]["kept_epochs"] == [1]
    assert "examples" not in json.dumps(card["data"])


def test_the_card_is_a_page(client: httpx2.Client) -> None:
    """With `format=markdown`; another format is refused."""
    url = f"/v1beta/tunedModels/{TUNED}:card"
    page = client.get(url, params={"format": "markdown"})

    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    assert page.text.startswith("# ")
    assert "## Base" in page.text
    assert client.get(url, params={"format": "pdf"}).status_code == 400
