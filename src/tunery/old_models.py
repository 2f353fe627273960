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
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlsplit

from tunery.data.json_text import json_line
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

_LINE_START = b'{"row": '

MAX_TOKENS = "MAX_TOKENS"
# How Google, OpenAI, Mistral and Anthropic say that an answer was cut off, or is complete.
_CUT = frozenset({"MAX_TOKENS", "length", "max_tokens", "model_length"})
_WHOLE = frozenset({None, "STOP", "stop", "FINISH_REASON_UNSPECIFIED", "end_turn", "stop_sequence", "eos"})

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
                file.add(number, OldAnswer(""), str(error))
            on_answered(done, total)


def read_recorded(path: Path, rows: Sequence[TuningExample]) -> RecordedAnswers:
    """Return the recorded answers to these rows, matched by input; raises InvalidArgument if some are missing."""
    if not path.exists():
        raise NotFound(f"There is no file {str(path)!r}.")
    lines, _ = _read(path)
    by_input = {line["text_input"]: line for line in lines}
    missing = sum(row.text_input not in by_input for row in rows)
    if missing:
        raise InvalidArgument(f"{path} has no answer to {missing} of {len(rows)} rows. `tunery rescue` resumes it.")
    return _recorded([by_input[row.text_input] for row in rows])


def recorded_in(content: bytes, rows: Sequence[TuningExample]) -> RecordedAnswers | None:
    """Return the recorded answers to these rows if `content` is a complete file of `tunery rescue`, else None."""
    values = [_value(text) for text in content.split(b"\n") if text.strip()]
    lines = [value for value in values if _is_recorded(value)]
    if not rows or len(lines) < len(values):
        return None
    by_input = {line["text_input"]: line for line in lines}
    if any(row.text_input not in by_input for row in rows):
        return None
    return _recorded([by_input[row.text_input] for row in rows])


def _recorded(lines: Sequence[Line]) -> RecordedAnswers:
    from tunery.evaluation.contest import RecordedAnswers

    cut = sum(line.get("finish_reason") == MAX_TOKENS for line in lines)
    title = lines[0]["model"] if lines else "recorded answers"
    if cut:
        title += f" ({cut} of {len(lines)} answers cut off at its token limit)"
    return RecordedAnswers([line["answer"] for line in lines], title, cut)


class AnswerFile:
    """The JSONL file of recorded answers, one line for each row."""

    def __init__(self, path: Path, model: str, rows: Sequence[TuningExample]) -> None:
        """Read existing lines; raises FailedPrecondition for another model or other rows, InvalidArgument."""
        self._path, self._model, self.rows = path, model, rows
        if not os.access(path.absolute().parent, os.W_OK):
            raise InvalidArgument(f"{path.absolute().parent} is not a writable folder.")
        lines, whole_bytes = _read(path) if path.exists() else ([], 0)
        self.lines = {line["row"]: line for line in lines}
        for number, line in self.lines.items():
            if line["model"] != model:
                raise FailedPrecondition(
                    f"{path} contains answers from {line['model']}, not from {model}. Use another --to."
                )
            if not 0 < number <= len(rows) or line["text_input"] != rows[number - 1].text_input:
                raise FailedPrecondition(
                    f"{path} holds answers to other rows (see the line for row {number}). Use another --to."
                )
        if path.exists():
            _end_line(path, whole_bytes)

    @property
    def missing(self) -> list[int]:
        """The numbers, from 1, of the rows without a line."""
        return [number for number in range(1, len(self.rows) + 1) if number not in self.lines]

    @property
    def cut(self) -> list[int]:
        """The numbers of the rows whose answers were cut off at the token limit."""
        return sorted(number for number, line in self.lines.items() if line.get("finish_reason") == MAX_TOKENS)

    def add(self, number: int, answer: OldAnswer, error: str | None = None) -> None:
        """Append the line of a row."""
        row = self.rows[number - 1]
        line: Line = {"row": number, "text_input": row.text_input, "output": row.output, "answer": answer.text}
        line["model"] = self._model
        if answer.finish_reason not in _WHOLE:
            line["finish_reason"] = answer.finish_reason
        if error is not None:
            line["error"] = error
        self.lines[number] = line
        with self._path.open("ab") as file:
            file.write(json_line(line).encode())


def _is_recorded(line: object) -> TypeGuard[Line]:
    if not isinstance(line, dict) or not isinstance(line.get("row", 0), int):
        return False
    return all(isinstance(line.get(name), str) for name in ("text_input", "answer", "model"))


def _read(path: Path) -> tuple[list[Line], int]:
    """Return the lines of a file and the number of bytes they take; a last line that was cut off is not among them."""
    found: list[Line] = []
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    texts = content.split(b"\n")
    for number, text in enumerate(texts, start=1):
        line = _value(text)
        if not text.strip():
            continue
        if _is_recorded(line) and "row" in line:
            found.append(line)
        elif number == len(texts) and _LINE_START.startswith(text[: len(_LINE_START)]):
            return found, len(content) - len(
                text
            )  # this line was cut off when the command was killed, so that answer is requested again
        else:
            raise InvalidArgument(f"Line {number} of {path} was not written by `tunery rescue`.")
    return found, len(content)


def _value(text: bytes) -> object:
    try:
        return json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _end_line(path: Path, whole_bytes: int) -> None:
    """Truncate the file after its last complete line, so that lines can be appended."""
    with path.open("r+b") as file:
        file.truncate(whole_bytes)
        file.seek(max(0, whole_bytes - 1))
        if file.read() not in (b"", b"\n"):
            file.write(b"\n")


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
    """The model refused to answer a prompt; trying again would not help."""


@dataclass(frozen=True, slots=True)
class OldAnswer:
    """
    The text of an answer without thoughts; `finish_reason` is MAX_TOKENS if it was cut off, None if it is unknown.
    """

    text: str
    finish_reason: str | None = None


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

    def answer(self, reply: object) -> OldAnswer:
        """Return the text of a reply and why it ended; raises Blocked if there is no text."""
        choice = _first(reply, "choices" if self.style is Style.OPENAI else "candidates")
        reason = choice.get("finish_reason", choice.get("finishReason"))
        reason = MAX_TOKENS if reason in _CUT else str(reason) if reason else None
        message = choice.get("message" if self.style is Style.OPENAI else "content")
        content = message.get("content", message.get("parts")) if isinstance(message, Mapping) else None
        text = _text(content)
        if text is None:
            why = "" if reason in _WHOLE else f" (finish reason {reason})"
            raise Blocked(f"The model returned no text{why}.")
        return OldAnswer(text, reason)


def _first(reply: object, name: str) -> Mapping[str, Any]:
    found = reply.get(name) if isinstance(reply, Mapping) else None
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, Mapping) else {}


def _text(content: object) -> str | None:
    """Return a text, or the texts of parts without thoughts; None if there is none."""
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str) and part.get("thought") is not True]
    return "".join(texts) if texts else None


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

    def ask(self, prompt: str) -> OldAnswer:
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

    def _answer(self, prompt: str) -> OldAnswer:
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
        except (ValueError, RecursionError):
            raise TuneryError(f"{address} did not answer with JSON. Is it the right endpoint?") from None

    def _keep_pace(self) -> None:
        now = time.monotonic()
        if self._next > now:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._pause_seconds

    def _refusal(self, status: int, text: str, retry_after: str | None) -> TuneryError:
        endpoint = self._endpoint
        said = " ".join(text.split())[:_SHOWN_CHARACTERS]
        if status in (401, 403):
            return PermissionDenied(f"The endpoint refused the key in ${endpoint.key_name} ({status}): {said}")
        if status == 404:
            return NotFound(f"There is no model {endpoint.model!r} at {endpoint.address} ({status}): {said}")
        if status == 429:
            limited = ResourceExhausted(f"The endpoint's limit is reached ({status}): {said}")
            return _retry_after(limited, retry_after)
        if status >= 500:
            return _retry_after(Unavailable(f"The endpoint failed ({status}): {said}"), retry_after)
        return InvalidArgument(f"The endpoint did not accept the request ({status}): {said}")


def _retry_after(error: TuneryError, seconds: str | None) -> TuneryError:
    error.retry_after = float(seconds) if seconds and seconds.isdecimal() else None  # type: ignore[attr-defined]
    return error
