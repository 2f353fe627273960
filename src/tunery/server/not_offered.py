"""
Features of these APIs that this server does not offer, and what to use instead.

A plain 404 would look like a wrong URL. docs/clients.md lists the same features.
"""

from __future__ import annotations

import re

_MODEL = r"(?:tunedModels|models)/[^/:]+"
_METHODS = "generateContent, streamGenerateContent, countTokens, generateText, countTextTokens"

# in Google's API: the path after the version, the feature, and what to use instead
_FEATURES: tuple[tuple[str, str, str], ...] = (
    (r"interactions\b.*", "Interactions are", "Use generateContent, with the earlier turns in contents."),
    (r"(?:files|media|generatedFiles)\b.*", "Files are", "Put their text into the prompt."),
    (
        r"cachedContents\b.*",
        "Context caching is",
        "Send the whole prompt; the part it shares with the previous one is not computed again.",
    ),
    (
        rf"{_MODEL}:(?i:(?:async)?(?:batch)?embed(?:content|text)s?)",
        "Embedding is",
        "Run an embedding model alongside this server.",
    ),
    (
        rf"batches\b.*|{_MODEL}:batchGenerateContent",
        "Batch mode is",
        "Call generateContent for each prompt, or run `tunery generate MODEL --input FILE`.",
    ),
    (
        rf"{_MODEL}:predict(?:LongRunning)?",
        "predict, for images and video, is",
        "Answers are text: use generateContent.",
    ),
    (
        rf"(?:corpora|fileSearchStores|ragStores)\b.*|{_MODEL}:generateAnswer",
        "Retrieval is",
        "Search yourself and put what was found into the prompt.",
    ),
    (rf"{_MODEL}:generateMessage", "generateMessage is", "Use generateContent, with the messages as contents."),
    (rf"{_MODEL}:countMessageTokens", "countMessageTokens is", "Use countTokens, with the messages as contents."),
    (rf"(?:auth_?[tT]okens)\b.*|{_MODEL}:bidiGenerateContent", "The Live API is", "Use streamGenerateContent."),
    (r"projects/.*", "Vertex AI is", "Use the paths of the Gemini API: /v1beta/models/ID and /v1beta/tunedModels/ID."),
)
_GOOGLES = re.compile(r"/(?:upload/|download/)?v\d\w*/(?P<path>.*)")
_OTHER_METHOD = re.compile(rf"{_MODEL}:(?P<method>\w+)")
_OPENAIS = re.compile(r"(?:/v1)?/(?:chat/completions|completions|responses|embeddings|engines/.*)")
_OLLAMAS = re.compile(r"/api/(?:chat|generate|tags|show|embed|embeddings|pull)")
_ANTHROPICS = re.compile(r"/v1/(?:messages|complete)\b.*")

_OPENAI_INSTEAD = {
    "responses": "Use chat/completions.",
    "assistants": "Use chat/completions.",
    "threads": "Use chat/completions.",
    "conversations": "Use chat/completions.",
    "realtime": "Use chat/completions with stream.",
    "embeddings": "Run an embedding model alongside this server.",
    "fine_tuning": "Tune with `tunery tune` or POST /v1beta/tunedModels.",
    "batches": "Call chat/completions for each prompt, or run `tunery generate MODEL --input FILE`.",
    "files": "Put their text into the messages.",
    "uploads": "Put their text into the messages.",
    "vector_stores": "Search yourself and put what was found into the messages.",
    "images": "Answers are text.",
    "audio": "Answers are text.",
    "videos": "Answers are text.",
    "moderations": "Tune a model on examples of what you do not want.",
}


def why_not_found(path: str) -> str:
    """Return the message for a path that does not exist."""
    if _OPENAIS.fullmatch(path):
        return "OpenAI's API is not at this path: the client's base_url must end in /openai/v1."
    if _OLLAMAS.fullmatch(path) or _ANTHROPICS.fullmatch(path):
        return "This API is not offered here, but OpenAI's is: use a base_url that ends in /openai/v1."
    found = _GOOGLES.fullmatch(path)
    if found is None:
        return "There is no such path."
    for pattern, feature, instead in _FEATURES:
        if re.fullmatch(pattern, found["path"]):
            return f"{feature} not offered here. {instead}"
    if method := _OTHER_METHOD.fullmatch(found["path"]):
        return f"Models have no method {method['method']} here. They have {_METHODS}."
    return "There is no such path."


def why_not_found_by_openai(path: str) -> str:
    """Return the message for a path, without its leading slash, that may exist in OpenAI's API."""
    available = "Available: chat/completions, completions, models, systemone."
    instead = _OPENAI_INSTEAD.get(path.partition("/")[0])
    return f"There is no /{path} here. {available}" if instead is None else f"/{path} is not offered here. {instead}"
