"""
What the test of OpenAI's client runs in an environment of its own: calls against a server, results as JSON.

    python openai_calls.py ADDRESS KEY MODEL
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import openai

MESSAGES: Any = [{"role": "user", "content": "7"}]
SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["bug", "login"]}, "is_open": {"type": "boolean"}},
    "required": ["kind", "is_open"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": SCHEMA, "strict": True}}
SETTINGS: dict[str, Any] = {"temperature": 0, "max_tokens": 12}


def main(address: str, key: str, model: str) -> dict[str, Any]:
    client = openai.OpenAI(base_url=address, api_key=key, max_retries=0)
    whole = client.chat.completions.create(model=model, messages=MESSAGES, **SETTINGS)
    chunks = list(
        client.chat.completions.create(
            model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **SETTINGS
        )
    )
    text = client.completions.create(model=model, prompt="7", **SETTINGS)
    pieces = list(client.completions.create(model=model, prompt="7", stream=True, **SETTINGS))
    likely = client.chat.completions.create(
        model=model, messages=MESSAGES, logprobs=True, top_logprobs=2, **SETTINGS
    ).choices[0]
    older = client.completions.create(model=model, prompt="7", logprobs=2, **SETTINGS).choices[0]
    assert likely.logprobs
    assert likely.logprobs.content
    assert older.logprobs
    formed = client.chat.completions.create(
        model=model, messages=MESSAGES, temperature=0, max_tokens=60, response_format=FORMAT
    )
    assert whole.usage
    assert chunks[-1].usage
    return {
        "text": whole.choices[0].message.content,
        "finish_reason": whole.choices[0].finish_reason,
        "tokens": [whole.usage.completion_tokens, chunks[-1].usage.completion_tokens],
        "streamed": "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices),
        "completed": text.choices[0].text,
        "streamed_completion": "".join(choice.text for piece in pieces for choice in piece.choices),
        "asynchronous": asyncio.run(asked_asynchronously(address, key, model)),
        "logprobs": [[each.logprob, *(top.logprob for top in each.top_logprobs)] for each in likely.logprobs.content],
        "token_logprobs": older.logprobs.token_logprobs,
        "formed": formed.choices[0].message.content,
        "models": [found.id for found in client.models.list()],
        "retrieved": client.models.retrieve(model).id,
        "errors": errors(client, address, model),
    }


async def asked_asynchronously(address: str, key: str, model: str) -> str | None:
    async with openai.AsyncOpenAI(base_url=address, api_key=key) as client:
        reply = await client.chat.completions.create(model=model, messages=MESSAGES, **SETTINGS)
    return reply.choices[0].message.content


def errors(client: openai.OpenAI, address: str, model: str) -> dict[str, list[Any]]:
    """Return class and code of what the client raises."""
    stranger = openai.OpenAI(base_url=address, api_key="sk-wrong", max_retries=0)
    calls = {
        "unknown model": lambda: client.chat.completions.create(model="nothing", messages=MESSAGES),
        "bad value": lambda: client.chat.completions.create(model=model, messages=MESSAGES, temperature=7),
        "tools": lambda: client.chat.completions.create(
            model=model, messages=MESSAGES, tools=[{"type": "function", "function": {"name": "f"}}]
        ),
        "bad key": lambda: stranger.models.list(),
    }
    found: dict[str, list[Any]] = {}
    for name, call in calls.items():
        try:
            call()
        except openai.APIStatusError as error:
            found[name] = [type(error).__name__, error.code]
    return found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201
