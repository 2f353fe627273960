"""
Records an old model's answers to the rows of a dataset, in a file that an interrupted run can resume.

The rows are sent only to the endpoint that the caller names.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tunery.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TuneryError,
    Unauthenticated,
    Unavailable,
)
from tunery.types import TuningExample

if TYPE_CHECKING:
    from tunery.data.dataset import Dataset
    from tunery.evaluation.contest import RecordedAnswers

KEY_NAME = "RESCUE_API_KEY"
TRIES = 6
FIRST_WAIT_SECONDS = 1.0  # doubled with each try
MAX_WAIT_SECONDS = 60.0
TIMEOUT_SECONDS = 120.0
PER_MINUTE = 60.0
MAX_OUTPUT_TOKENS = 256
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SHOWN_CHARACTERS = 200

Line = dict[str, Any]


def rescue(
    dataset: Dataset | Iterable[TuningExample],
    *,
    endpoint: str,
    model: str,
    to: str | Path,
    style: str = "openai",
    key_variable: str = KEY_NAME,
    is_bearer: bool = False,
    per_minute: float = PER_MINUTE,
    max_output_tokens: int = MAX_OUTPUT_TOKENS,
    temperature: float = 0.0,
    on_answered: Callable[[int, int], None] = lambda _done, _total: None,
) -> RecordedAnswers:
    """
    Record an old model's answers to the inputs of a dataset in the JSONL file `to`, and return them.

    Compare them with `model.evaluate(dataset, recorded=answers)`. After an interruption, the same call resumes. The key
    is read from the environment variable `key_variable`, so that notebooks do not contain it; `style` is "openai" or
    "gemini", and `is_bearer` sends a Gemini key as an access token. `on_answered` is called with the number of recorded
    rows and of all rows.

    Raises Unauthenticated without a key, InvalidArgument for an invalid endpoint or setting, FailedPrecondition if `to`
    has other answers, and the endpoint's error if it refuses permanently.
    """
    from tunery.data.dataset import as_dataset

    rows = as_dataset(dataset).examples
    kind, key = Style.named(style), key_in(key_variable)
    how = Endpoint(endpoint, kind, model, key, key_variable, is_bearer, max_output_tokens, temperature)
    file = AnswerFile(Path(to), model, rows)
    record(file, OldModel(how, per_minute), on_answered)
    return read_recorded(Path(to), rows)


def key_in(variable: str) -> str:
    """Return the key in an environment variable; raises Unauthenticated if it is not set."""
    key = os.environ.get(variable, "")
    if not key:
        raise Unauthenticated(f"Set ${variable} to the key of the endpoint.")
    return key


def record(file: AnswerFile, old: OldModel, on_answered: Callable[[int, int], None]) -> None:
    """Get the missing answers from an old model, write each as it arrives, and close the connection."""
    missing, total = file.missing, len(file.rows)
    with closing(old):
        for done, number in enumerate(missing, start=total - len(missing) + 1):
            try:
                file.add(number, old.ask(file.rows[number - 1].text_input))
            except Blocked as error:
                file.add(number, "", str(error))
            on_answered(done, total)


def read_recorded(path: Path, rows: Sequence[TuningExample]) -> RecordedAnswers:
    """Return the recorded answers to these rows, matched by input; raises InvalidArgument if some are missing."""
    from tunery.evaluation.contest import RecordedAnswers

    if not path.exists():
        raise NotFound(f"There is no file {str(path)!r}.")
    lines = _read(path)
    by_input = {line["text_input"]: line["answer"] for line in lines}
    missing = sum(row.text_input not in by_input for row in rows)
    if missing:
        raise InvalidArgument(f"{path} has no answer to {missing} of {len(rows)} rows. `tunery rescue` resumes it.")
    return RecordedAnswers([by_input[row.text_input] for row in rows], lines[0]["model"])


def recorded_in(content: bytes, rows: Sequence[TuningExample]) -> RecordedAnswers | None:
    """Return the recorded answers to these rows if `content` is a whole file of `tunery rescue`, else None."""
    from tunery.evaluation.contest import RecordedAnswers

    try:
        lines = [json.loads(text) for text in content.decode().split("\n") if text.strip()]
    except (ValueError, RecursionError):
        return None
    if not rows or not all(_is_recorded(line) for line in lines):
        return None
    by_input = {line["text_input"]: line["answer"] for line in lines}
    if any(row.text_input not in by_input for row in rows):
        return None
    return RecordedAnswers([by_input[row.text_input] for row in rows], lines[0]["model"])


class AnswerFile:
    """The JSONL file of recorded answers, one line for each row."""

    def __init__(self, path: Path, model: str, rows: Sequence[TuningExample]) -> None:
        """Read existing lines; raises FailedPrecondition if they are of another model or other rows."""
        self._path, self._model, self.rows = path, model, rows
        self.lines = {line["row"]: line for line in _read(path)} if path.exists() else {}
        for number, line in self.lines.items():
            if line["model"] != model:
                raise FailedPrecondition(
                    f"{path} contains answers from {line['model']}, not from {model}. Use another --to."
                )
            if number > len(rows) or line["text_input"] != rows[number - 1].text_input:
                raise FailedPrecondition(
                    f"{path} holds answers to other rows (see the line for row {number}). Use another --to."
                )

    @property
    def missing(self) -> list[int]:
        """The numbers, from 1, of the rows without a line."""
        return [number for number in range(1, len(self.rows) + 1) if number not in self.lines]

    def add(self, number: int, answer: str, error: str | None = None) -> None:
        """Append the line of a row."""
        row = self.rows[number - 1]
        line: Line = {"row": number, "text_input": row.text_input, "output": row.output, "answer": answer}
        line["model"] = self._model
        if error is not None:
            line["error"] = error
        self.lines[number] = line
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _is_recorded(line: object) -> bool:
    if not isinstance(line, dict) or not isinstance(line.get("row", 0), int):
        return False
    return all(isinstance(line.get(name), str) for name in ("text_input", "answer", "model"))


def _is_whole(line: object) -> bool:
    return isinstance(line, dict) and "row" in line and _is_recorded(line)


def _read(path: Path) -> list[Line]:
    found: list[Line] = []
    texts = path.read_text("utf-8").splitlines()
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if _is_whole(line):
            found.append(line)
        elif number == len(texts):  # cut off when the command was killed: get that answer again
            _drop_last_line(path, text)
        else:
            raise InvalidArgument(f"Line {number} of {path} was not written by `tunery rescue`.")
    return found


def _drop_last_line(path: Path, text: str) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(text.encode())])


class Style(StrEnum):
    """The kind of API at the endpoint."""

    OPENAI = "openai"
    GEMINI = "gemini"

    @classmethod
    def named(cls, name: str) -> Style:
        """Return the style with this name; raises InvalidArgument."""
        if name not in list(cls):
            raise InvalidArgument(f"style must be {' or '.join(cls)}, not {name!r}.")
        return cls(name)


class Blocked(TuneryError):
    """The model gave no answer to a prompt; trying again would not help."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint and its settings; `is_bearer` sends the key of a Gemini endpoint as an access token."""

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
            raise InvalidArgument(f"The endpoint must begin with http:// or https://; {self.address!r} does not.")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise InvalidArgument(f"{self.address} would get the key unencrypted. Use https://.")

    def request(self, prompt: str) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Return the address, headers and body of a request."""
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
        """Return the text of a reply; raises Blocked if there is none."""
        try:
            if self.style is Style.OPENAI:
                text = reply["choices"][0]["message"]["content"]
            else:
                parts = reply["candidates"][0]["content"]["parts"]
                text = "".join(part.get("text", "") for part in parts)
        except (KeyError, IndexError, TypeError, AttributeError):
            text = None
        if not isinstance(text, str):
            raise Blocked("The model returned no text.")
        return text


class OldModel:
    """Sends prompts to an endpoint, at most `per_minute` a minute. Close it after use."""

    def __init__(self, endpoint: Endpoint, per_minute: float, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raise InvalidArgument unless the rate is above 0."""
        import httpx2

        if per_minute <= 0:
            raise InvalidArgument(f"The number of requests per minute must be greater than 0, not {per_minute}.")
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
        Return the answer to a prompt; limits and temporary failures are retried.

        Raises Blocked for a prompt without an answer, another TuneryError if the run cannot continue.
        """
        wait = FIRST_WAIT_SECONDS
        for attempt in range(1, TRIES + 1):
            try:
                return self._answer(prompt)
            except (ResourceExhausted, Unavailable, DeadlineExceeded) as error:
                if attempt == TRIES:
                    raise
                self._sleep(min(getattr(error, "retry_after", None) or wait, MAX_WAIT_SECONDS))
                wait *= 2
        raise AssertionError("the last try raises")

    def _answer(self, prompt: str) -> str:
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
