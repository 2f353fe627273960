"""
A model behind somebody's endpoint, in OpenAI's style or Gemini's: one prompt in, one answer out.

Keeps to a rate, waits as long as the endpoint asks, and says in a sentence why it cannot go on. Knows HTTP; nothing of
rows or files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from tunery.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TuneryError,
    Unavailable,
)

TRIES = 6
FIRST_WAIT_SECONDS = 1.0  # doubled with each try
MAX_WAIT_SECONDS = 60.0
TIMEOUT_SECONDS = 120.0
PER_MINUTE = 60.0
MAX_OUTPUT_TOKENS = 256
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SHOWN_CHARACTERS = 200


class Style(StrEnum):
    """Whose API the endpoint speaks."""

    OPENAI = "openai"
    GEMINI = "gemini"

    @classmethod
    def named(cls, name: str) -> Style:
        """Return the style of a name; raises InvalidArgument."""
        if name not in list(cls):
            raise InvalidArgument(f"style must be {' or '.join(cls)}, not {name!r}.")
        return cls(name)


class Blocked(TuneryError):
    """The model gave no answer to this prompt, and would not if it were asked again."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model answers and how it is asked; `is_bearer` sends the key of a Gemini endpoint as a token."""

    address: str
    style: Style
    model: str
    key: str
    key_name: str  # the environment variable, for messages
    is_bearer: bool = False
    max_output_tokens: int = MAX_OUTPUT_TOKENS
    temperature: float = 0.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidArgument(f"The endpoint must begin with http:// or https://, {self.address!r} does not.")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise InvalidArgument(f"{self.address} would get the key unencrypted. Use https://.")

    def request(self, prompt: str) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Return address, headers and body of the question."""
        address = self.address.rstrip("/")
        if self.style is Style.OPENAI:
            body = {
                "model": self.model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": self.max_output_tokens,
                "temperature": self.temperature,
            }
            return f"{address}/chat/completions", {"Authorization": f"Bearer {self.key}"}, body
        name = self.model if "/" in self.model else f"models/{self.model}"
        body = {
            "contents": [{"role": "user", "parts": [{"text": prompt}]}],
            "generationConfig": {"maxOutputTokens": self.max_output_tokens, "temperature": self.temperature},
        }
        headers = {"Authorization": f"Bearer {self.key}"} if self.is_bearer else {"x-goog-api-key": self.key}
        return f"{address}/{name}:generateContent", headers, body

    def answer(self, reply: Mapping[str, Any]) -> str:
        """Return the text of a reply; raises Blocked if it has none."""
        try:
            if self.style is Style.OPENAI:
                text = reply["choices"][0]["message"]["content"]
            else:
                parts = reply["candidates"][0]["content"]["parts"]
                text = "".join(part.get("text", "") for part in parts)
        except (KeyError, IndexError, TypeError, AttributeError):
            text = None
        if not isinstance(text, str):
            raise Blocked("The model gave no text.")
        return text


class OldModel:
    """Asks an endpoint, at most `per_minute` times a minute; a context that closes its connection."""

    def __init__(self, endpoint: Endpoint, per_minute: float, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raise InvalidArgument for a rate that is not above 0."""
        import httpx2

        if per_minute <= 0:
            raise InvalidArgument(f"The requests in a minute must be more than 0, not {per_minute}.")
        self._endpoint, self._sleep = endpoint, sleep
        self._pause_seconds = 60 / per_minute
        self._next = time.monotonic()
        is_here = urlsplit(endpoint.address).hostname in _LOOPBACK
        self._client = httpx2.Client(timeout=TIMEOUT_SECONDS, trust_env=not is_here)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def ask(self, prompt: str) -> str:
        """
        Return the answer to a prompt.

        What may pass is tried again; raises Blocked for a prompt without an answer, another TuneryError when going on
        makes no sense.
        """
        wait = FIRST_WAIT_SECONDS
        for attempt in range(1, TRIES + 1):
            try:
                return self._asked(prompt)
            except (ResourceExhausted, Unavailable, DeadlineExceeded) as error:
                if attempt == TRIES:
                    raise
                self._sleep(min(getattr(error, "retry_after", None) or wait, MAX_WAIT_SECONDS))
                wait *= 2
        raise AssertionError("the last try raises")

    def _asked(self, prompt: str) -> str:
        import httpx2

        self._keep_pace()
        address, headers, body = self._endpoint.request(prompt)
        try:
            reply = self._client.post(address, headers=headers, json=body)
        except httpx2.TimeoutException:
            raise DeadlineExceeded(f"{address} did not answer within {TIMEOUT_SECONDS:.0f} s.") from None
        except httpx2.HTTPError as error:
            raise Unavailable(f"{address} cannot be reached ({error}).") from error
        if reply.status_code != 200:
            raise self._refusal(reply.status_code, reply.text, reply.headers.get("retry-after"))
        try:
            return self._endpoint.answer(reply.json())
        except ValueError:
            raise TuneryError(f"{address} answers with something that is not JSON; is it the right endpoint?") from None

    def _keep_pace(self) -> None:
        now = time.monotonic()
        if self._next > now:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._pause_seconds

    def _refusal(self, status: int, text: str, retry_after: str | None) -> TuneryError:
        endpoint = self._endpoint
        said = " ".join(text.split())[:_SHOWN_CHARACTERS]
        if status in (401, 403):
            return PermissionDenied(f"The endpoint refuses the key in ${endpoint.key_name} ({status}): {said}")
        if status == 404:
            return NotFound(f"There is no model {endpoint.model!r} at {endpoint.address} ({status}): {said}")
        if status == 429:
            limited = ResourceExhausted(f"The endpoint's limit is reached ({status}): {said}")
            return _retry_after(limited, retry_after)
        if status >= 500:
            return _retry_after(Unavailable(f"The endpoint failed ({status}): {said}"), retry_after)
        return InvalidArgument(f"The endpoint does not take the request ({status}): {said}")


def _retry_after(error: TuneryError, seconds: str | None) -> TuneryError:
    error.retry_after = float(seconds) if seconds and seconds.isdecimal() else None  # type: ignore[attr-defined]
    return error
