"""What is not offered: the reply names it and says what to use instead; names with one prefix too many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.api import BASE, Api, error_of

BODY = (Path(__file__).parents[1] / "fixtures/cases/31-model-path/body.json").read_bytes()
GOOGLES = [
    ("v1beta/interactions", "Interactions are not offered here. Use generateContent"),
    ("upload/v1beta/files", "Files are not offered here. Put their text"),
    ("v1beta/files/abc", "Files are not"),
    ("v1beta/cachedContents", "Context caching is not offered here. Send the whole prompt"),
    ("v1beta/models/embedding-001:embedContent", "Embedding is not offered here. Run"),
    ("v1/models/gemini-embedding-001:batchEmbedContents", "Embedding is not"),
    ("v1beta/models/gemini-embedding-001:asyncBatchEmbedContent", "Embedding is not"),
    ("v1beta2/models/embedding-gecko-001:embedText", "Embedding is not"),
    ("v1beta3/models/embedding-gecko-001:batchEmbedText", "Embedding is not"),
    ("v1beta/models/gemini-2.5-flash:batchGenerateContent", "Batch mode is not offered here. Call generateContent"),
    ("v1beta/batches/1:cancel", "Batch mode is not"),
    ("v1beta/models/imagen-4.0-generate-001:predict", "for images and video, is not offered here. Answers are text"),
    ("v1beta/models/veo-3.0:predictLongRunning", "for images and video, is not"),
    ("v1beta/corpora/x:query", "Retrieval is not offered here. Search yourself"),
    ("v1beta/fileSearchStores", "Retrieval is not"),
    ("v1beta/models/aqa:generateAnswer", "Retrieval is not"),
    ("v1beta2/models/chat-bison-001:generateMessage", "generateMessage is not offered here. Use generateContent"),
    ("v1beta3/models/chat-bison-001:countMessageTokens", "countMessageTokens is not offered here. Use countTokens"),
    ("v1beta/models/gemini-live:bidiGenerateContent", "The Live API is not offered here. Use streamGenerateContent"),
    ("v1beta1/projects/p/locations/l/publishers/google/models/gemini-pro:generateContent", "Vertex AI is not offered"),
    ("v1beta/models/gemini-pro:sing", "Models have no method sing here. They have generateContent,"),
    ("v1/chat/completions", "OpenAI's API is not at this path: the client's base_url must end in /openai/v1."),
    ("v1/responses", "OpenAI's API is not at this path: the client's base_url must end in /openai/v1."),
    ("api/chat", "This API is not offered here, but OpenAI's is: use"),
    ("v1/messages", "This API is not offered here, but OpenAI's is: use"),
    ("v1beta/nothing", "There is no such path."),
    ("nothing", "There is no such path."),
]


@pytest.mark.parametrize(("path", "words"), GOOGLES)
def test_what_is_not_offered_is_named(api: Api, path: str, words: str) -> None:
    """404 in the envelope, whatever is posted."""
    error = error_of(api.web.post(f"/{path}", json={"contents": []}))

    assert (error["code"], error["status"]) == (404, "NOT_FOUND")
    assert words in error["message"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("embeddings", "/embeddings is not offered here. Run an embedding model"),
        ("images/generations", "/images/generations is not offered here. Answers are text."),
        ("fine_tuning/jobs", "Tune with `tunery tune`"),
        ("responses", "Use chat/completions."),
        ("nothing", "There is no /nothing here. Available: chat/completions"),
    ],
)
def test_what_openais_clients_call_is_named(api: Api, path: str, words: str) -> None:
    """The same holds in the shape of that API."""
    reply = api.web.post(f"/openai/v1/{path}", json={})

    assert reply.status_code == 404
    assert words in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "models/tunedModels/numbers",
        "models%2FtunedModels%2Fnumbers",
        "tunedModels/tunedModels/numbers",
        "models/models/tunedModels/numbers",
    ],
)
def test_a_prefix_too_many(api: Api, path: str) -> None:
    """Older LangChain puts `models/` before the name of a tuned model."""
    api.clear()
    api.active("numbers")

    assert api.web.get(f"/v1beta/{path}").json()["name"] == "tunedModels/numbers"
    assert api.web.get(f"/v1/models/models/{BASE}").json()["name"] == f"models/{BASE}"
    assert api.web.post(f"/v1beta/{path}:generateContent", content=BODY).status_code == 503  # nobody answers here


def test_a_model_may_be_called_models(api: Api) -> None:
    """What only looks like a prefix too many is a name."""
    api.clear()
    model = api.active("models")

    assert api.web.get(f"/v1beta/{model.operation_name}").json()["name"] == model.operation_name


def test_a_tuned_model_among_the_bases(api: Api) -> None:
    """The message says how tuned models are named."""
    error = error_of(api.web.post("/v1beta/models/tickets:generateContent", content=BODY))

    assert error["code"] == 404
    assert "A tuned model is named tunedModels/ID." in error["message"]
