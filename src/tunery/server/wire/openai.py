"""
Requests and answers in OpenAI's style (platform.openai.com/docs/api-reference: chat, completions, models), and
decisions (api.typesafe.ai/openapi.json: System One).

Names are in snake_case in both directions. Unknown names are ignored; unsupported fields that would change the answer
(tools, images) are refused with an error that names them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from tunery.errors import InvalidArgument
from tunery.server.wire.generation import (
    MAX_CANDIDATES,
    MAX_ITEMS,
    GenerationConfigIn,
    check_length,
    own_form,
    sampling_of,
)
from tunery.server.wire.messages import Incoming, Message, StrictIncoming
from tunery.types import MAX_DATASET_BYTES, MAX_TOP_LOGPROBS, AnswerForm, SamplingSettings, TokenLogprob, Turn

TEXT, JSON_OBJECT, JSON_SCHEMA = "text", "json_object", "json_schema"


class SnakeIncoming(Incoming):
    """A message to receive, with names in snake_case only."""

    max_bytes = MAX_DATASET_BYTES
    model_config = ConfigDict(alias_generator=None)


class JsonSchemaIn(SnakeIncoming):
    """A schema for the answer."""

    name: str = Field(default="", description="Accepted, but has no effect.")
    description: str = Field(default="", description="Accepted, but has no effect.")
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool = Field(default=True, description="Accepted, but has no effect: answers always follow the schema.")


class ResponseFormatIn(SnakeIncoming):
    """The format of the answer: `text`, `json_object` or `json_schema`."""

    type: str = ""
    json_schema: JsonSchemaIn | None = None


def form_of_format(request: ResponseFormatIn | None) -> AnswerForm | None:
    """Return the constraint of a response format, None for any text; raises InvalidArgument with the field."""
    if request is None:
        return None
    if request.type not in (TEXT, JSON_OBJECT, JSON_SCHEMA):
        known = f"{TEXT}, {JSON_OBJECT}, {JSON_SCHEMA}"
        raise InvalidArgument(f"response_format.type must be one of {known}, not {request.type!r}.")
    if request.json_schema is not None and request.type != JSON_SCHEMA:
        raise InvalidArgument(
            f"response_format.json_schema needs response_format.type {JSON_SCHEMA!r}, not {request.type!r}."
        )
    if request.type == TEXT:
        return None
    return AnswerForm(json_schema=json.dumps({"type": "object"} if request.type == JSON_OBJECT else _schema(request)))


def _schema(request: ResponseFormatIn) -> dict[str, Any]:
    if request.json_schema is None or request.json_schema.schema_ is None:
        raise InvalidArgument(f"response_format.json_schema.schema must be set for type {JSON_SCHEMA!r}.")
    return request.json_schema.schema_


MAX_ANSWERS = 32  # prompts times `n`; half of the requests that may wait on the whole server
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_MAX_SEED = 1 << 62  # further answers count up from the seed

_UNSUPPORTED = (
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "logit_bias",
    "audio",
    "prediction",
    "web_search_options",
    "suffix",
    "echo",
)
_NOT_ASKED: tuple[Any, ...] = (None, False, [], {}, "", 0, "none", "auto")  # as `tool_choice: none`
# our names, and the names that these clients use
_NAMES = {"max_output_tokens": "max_tokens", "stop_sequences": "stop"}


class StreamOptionsIn(SnakeIncoming):
    """What a stream sends in addition to the text."""

    include_usage: bool = False


class SettingsIn(SnakeIncoming):
    """Fields of both kinds of requests; ranges are those of `types.SamplingSettings`."""

    model: str = ""
    stream: bool = False
    stream_options: StreamOptionsIn = Field(default_factory=StreamOptionsIn)
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int = 1
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=MAX_ITEMS)] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Any = None
    constrain_to_training_outputs: bool | None = Field(
        default=None,
        description="Extension: False allows any text, even if the outputs of the examples are labels; so does a"
        " response_format of type `text`.",
    )


class ChatMessageIn(SnakeIncoming):
    """A message of a conversation: a text, or parts of text."""

    role: str = ""
    content: str | Annotated[list[dict[str, Any]], Field(max_length=MAX_ITEMS)] | None = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None


class ChatCompletionIn(SettingsIn):
    """A conversation to continue."""

    messages: list[ChatMessageIn] = Field(default_factory=list, max_length=MAX_ITEMS)
    max_completion_tokens: int | None = None
    response_format: ResponseFormatIn | None = None
    modalities: list[str] | None = Field(default=None, max_length=MAX_ITEMS)
    tools: Any = None
    tool_choice: Any = None
    functions: Any = None
    function_call: Any = None
    logprobs: bool | None = Field(
        default=None, description="Return the log probability of each token, of the model before any constraint."
    )
    top_logprobs: int | None = Field(
        default=None, description="Likeliest tokens in the place of each token, 0 to 20; needs `logprobs`."
    )
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None


class CompletionIn(SettingsIn):
    """Prompts; each is treated as a user turn, with the chat template used in tuning."""

    prompt: str | Annotated[list[Any], Field(max_length=MAX_ITEMS)] = ""
    logprobs: bool | int | None = Field(
        default=None,
        description="Return the log probability of each token and of this many likeliest tokens in its place, 0 to 20.",
    )
    best_of: int | None = None
    suffix: Any = None
    echo: Any = None


class _Out(Message):
    model_config = ConfigDict(alias_generator=None)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the message as JSON text; null is written where clients expect it."""
        return self.model_dump_json(indent=indent)


class UsageOut(_Out):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatMessageOut(_Out):
    """The model's message."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class LogprobOut(_Out):
    """A token with its bytes and the natural logarithm of its probability."""

    token: str
    bytes: list[int]
    logprob: float


class TokenLogprobOut(LogprobOut):
    """A token of an answer, and the likeliest ones in its place."""

    top_logprobs: list[LogprobOut]


class ChatLogprobsOut(_Out):
    """The tokens of an answer or its next chunk, without the one that ends it."""

    content: list[TokenLogprobOut]
    refusal: None = None


class CompletionLogprobsOut(_Out):
    """The tokens of an answer or its next chunk; `text_offset` is where each begins in the answer."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class ChatChoiceOut(_Out):
    """One answer in a conversation."""

    index: int
    message: ChatMessageOut
    logprobs: ChatLogprobsOut | None = None
    finish_reason: str


class ChatCompletionOut(_Out):
    """Answers in a conversation."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoiceOut]
    usage: UsageOut


class CompletionChoiceOut(_Out):
    """One answer to a prompt, or its next chunk; `finish_reason` comes with the last chunk."""

    index: int
    text: str
    logprobs: CompletionLogprobsOut | None = None
    finish_reason: str | None


class CompletionOut(_Out):
    """Answers to prompts, or the next chunk of one."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoiceOut]
    usage: UsageOut | None


class ChatDeltaOut(_Out):
    """New text; the role comes with the first."""

    role: Literal["assistant"] | None = None
    content: str | None = None

    @model_serializer(mode="wrap")
    def _only_what_is_new(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if value is not None}


class ChatChunkChoiceOut(_Out):
    """The next part of one answer."""

    index: int
    delta: ChatDeltaOut
    logprobs: ChatLogprobsOut | None = None
    finish_reason: str | None = None


class ChatChunkOut(_Out):
    """The next part of a conversation; `usage` comes with the last one, if requested."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChatChunkChoiceOut]
    usage: UsageOut | None = None


class OpenAIModelOut(_Out):
    """A model the caller may use."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class OpenAIModelsOut(_Out):
    """The models the caller may use."""

    object: Literal["list"] = "list"
    data: list[OpenAIModelOut]


class DecisionIn(StrictIncoming):
    """Typed questions about a state, as in the System One API."""

    max_bytes = MAX_DATASET_BYTES
    model_config = ConfigDict(alias_generator=None)

    model: str
    state: str | dict[str, Any] | list[Any]
    questions: dict[str, Any] = Field(
        description="By name: `type` choice, score or noul, `instructions`, and `criteria` with the options."
    )
    assets: dict[str, Any] = Field(default_factory=dict, max_length=0, description="Images are not read.")


class DecisionUsageOut(_Out):
    """Tokens read; nothing is written."""

    input_tokens: int
    output_tokens: int = 0


class DecisionOut(_Out):
    """The answers by the names of the questions."""

    model: str
    answers: dict[str, dict[str, Any]]
    usage: DecisionUsageOut


class UnprocessableOut(_Out):
    """Fields that cannot be used: for each `loc`, the path to it, `msg` and `type`."""

    detail: list[dict[str, Any]]


class OpenAIErrorOut(_Out):
    """An error: a message for people, `type` and `code` for programs."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


def chat_turns(request: ChatCompletionIn) -> tuple[Turn, ...]:
    """Return the turns of a conversation, all system texts joined as the first; raises InvalidArgument."""
    turns = [_turn(message, f"messages[{number}]") for number, message in enumerate(request.messages)]
    spoken = [turn for turn in turns if turn.role != "system"]
    if not spoken:
        raise InvalidArgument("messages must have at least one user message.")
    system = "\n\n".join(turn.text for turn in turns if turn.role == "system" and turn.text)
    return tuple(check_length([*([Turn("system", system)] if system else []), *spoken]))


def prompts_turns(request: CompletionIn) -> list[tuple[Turn, ...]]:
    """Return each prompt as a user turn; raises InvalidArgument."""
    prompts = request.prompt if isinstance(request.prompt, list) else [request.prompt]
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise InvalidArgument("prompt must be a string or a list of strings; token ids are not supported.")
        if not prompt:
            raise InvalidArgument(f"prompt[{number}] is empty.")
    if not prompts:
        raise InvalidArgument("prompt is empty.")
    return [tuple(check_length([Turn("user", prompt)])) for prompt in prompts]


def settings_of(
    request: ChatCompletionIn | CompletionIn, defaults: SamplingSettings, own: AnswerForm | None = None
) -> SamplingSettings:
    """
    Return sampling settings, with the model's own for missing ones, such as its constraint `own`.

    Raises InvalidArgument with this API's names.
    """
    stop = [request.stop] if isinstance(request.stop, str) else request.stop
    longest = getattr(request, "max_completion_tokens", None)
    config = GenerationConfigIn(
        temperature=request.temperature,
        top_p=request.top_p,
        seed=None if request.seed is None else request.seed % _MAX_SEED,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        max_output_tokens=request.max_tokens if longest is None else longest,
        stop_sequences=stop,
        constrain_to_training_outputs=request.constrain_to_training_outputs,
    )
    asked = getattr(request, "response_format", None)
    form = own_form(config, own) if asked is None else form_of_format(asked)
    try:
        return replace(sampling_of(config, defaults), form=form, top_logprobs=top_logprobs(request))
    except InvalidArgument as error:
        raise InvalidArgument(_in_their_words(str(error))) from error


def check_supported(request: ChatCompletionIn | CompletionIn, prompts: int = 1) -> None:
    """Raise InvalidArgument for unsupported fields that would change the answer, and for too many answers."""
    for name in _UNSUPPORTED:
        if getattr(request, name, None) not in _NOT_ASKED:
            raise InvalidArgument(f"{name} is not supported; leave it out.")
    if set(getattr(request, "modalities", None) or ("text",)) != {"text"}:
        raise InvalidArgument("modalities other than 'text' are not supported.")
    if getattr(request, "best_of", None) not in (None, 1, request.n):
        raise InvalidArgument("best_of is not supported; leave it out.")
    if not 1 <= request.n <= MAX_CANDIDATES:
        raise InvalidArgument(f"n must be between 1 and {MAX_CANDIDATES}, not {request.n}.")
    if prompts * request.n > MAX_ANSWERS:
        raise InvalidArgument(f"{prompts * request.n} answers were requested at once; the limit is {MAX_ANSWERS}.")


def top_logprobs(request: ChatCompletionIn | CompletionIn) -> int | None:
    """Return how many tokens to tell for each place, None for no log probabilities; raises InvalidArgument."""
    if isinstance(request, CompletionIn):
        name, count = "logprobs", request.logprobs
        if count is True:
            raise InvalidArgument(f"logprobs must be a number between 0 and {MAX_TOP_LOGPROBS}.")
        count = None if count is False else count
    else:
        name, count = "top_logprobs", request.top_logprobs
        if count and not request.logprobs:
            raise InvalidArgument("top_logprobs needs logprobs: true.")
        count = (count or 0) if request.logprobs else None
    if count is not None and not 0 <= count <= MAX_TOP_LOGPROBS:
        raise InvalidArgument(f"{name} must be between 0 and {MAX_TOP_LOGPROBS}, not {count}.")
    return count


def chat_logprobs(told: Sequence[TokenLogprob]) -> ChatLogprobsOut:
    """Return the log probabilities of tokens as chat/completions has them."""
    return ChatLogprobsOut(
        content=[
            TokenLogprobOut(**_logprob(each), top_logprobs=[LogprobOut(**_logprob(top)) for top in each.top])
            for each in told
        ]
    )


def completion_logprobs(told: Sequence[TokenLogprob], before: bytes) -> CompletionLogprobsOut:
    """Return the log probabilities of tokens as completions have them; `before` are the bytes of the tokens before."""
    offsets = []
    for each in told:
        offsets.append(len(before.decode("utf-8", "ignore")))
        before += each.spelling
    return CompletionLogprobsOut(
        tokens=[_named(each, "bytes:") for each in told],
        token_logprobs=[each.logprob for each in told],
        # the token itself is always among them, so there may be one more than was asked for
        top_logprobs=[{_named(top, "bytes:"): top.logprob for top in (*each.top, each)} for each in told],
        text_offset=offsets,
    )


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    return {"token": _named(token), "bytes": list(token.spelling), "logprob": token.logprob}


def _named(token: TokenLogprob, prefix: str = "") -> str:
    """Return a token's text, or its bytes in hexadecimal if it is a part of a character."""
    try:
        return token.spelling.decode()
    except UnicodeDecodeError:
        return prefix + "".join(f"\\x{byte:02x}" for byte in token.spelling)


def finish_reason(reason: str) -> str:
    """Return this API's name for our finish reason."""
    return "length" if reason == "MAX_TOKENS" else "stop"


def usage_out(prompt_tokens: int, output_tokens: int) -> UsageOut:
    """Return the tokens read and written, and their sum."""
    return UsageOut(
        prompt_tokens=prompt_tokens, completion_tokens=output_tokens, total_tokens=prompt_tokens + output_tokens
    )


def _turn(message: ChatMessageIn, place: str) -> Turn:
    if message.role not in _ROLES:
        known = ", ".join(_ROLES)
        raise InvalidArgument(f"{place}.role must be one of {known}, not {message.role!r}.")
    for name in ("tool_calls", "function_call", "audio"):
        if getattr(message, name):
            raise InvalidArgument(f"{place}.{name} is not supported; leave it out.")
    text = _text(message.content, place)
    if not text and message.role == "user":
        raise InvalidArgument(f"{place}.content is empty.")
    return Turn(_ROLES[message.role], text)


def _text(content: str | list[dict[str, Any]] | None, place: str) -> str:
    if not isinstance(content, list):
        return content or ""
    for number, part in enumerate(content):
        if part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            raise InvalidArgument(f"{place}.content[{number}] is {part.get('type')}; only text can be read.")
    return "".join(part["text"] for part in content)


def _in_their_words(text: str) -> str:
    for ours, theirs in _NAMES.items():
        text = text.replace(ours, theirs)
    return text
