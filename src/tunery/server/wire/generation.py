"""
Requests and answers on the wire (google/ai/generativelanguage/v1beta/generative_service.proto, text_service.proto).

Unknown names are ignored, since newer clients send settings that have no meaning here. What would change the answer
(images, tools) is refused by name. Also output constraints: Google's Schema becomes JSON Schema here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tunery.data.outputs import OutputContract
from tunery.errors import InvalidArgument
from tunery.server.wire.messages import Incoming, Int32, Int64, Message, one_or_list
from tunery.types import MAX_DATASET_BYTES, AnswerForm, SamplingSettings, Turn

MAX_TEXT_CHARACTERS = 40_000
MAX_CANDIDATES = 8
MAX_ITEMS = 1000  # turns of a conversation, parts of a turn, and other lists
TEXT_BODY_BYTES = 1 << 20  # a text of the most characters takes half of it, if all of them are escaped
DEFAULT_OUTPUT_TOKENS = 1024  # for calls that set no limit; the original's limits were 2,048 and 8,192
_ROLES = {None: "user", "": "user", "user": "user", "model": "assistant", "function": "user"}


class PartIn(Incoming):
    """A part of a content; only text is supported."""

    text: str | None = None
    inline_data: Any = None
    file_data: Any = None
    function_call: Any = None
    function_response: Any = None


class ContentIn(Incoming):
    """What one side of a conversation said."""

    role: str | None = None
    parts: Annotated[list[PartIn], BeforeValidator(one_or_list)] = Field(default_factory=list, max_length=MAX_ITEMS)


Contents = Annotated[list[ContentIn], BeforeValidator(one_or_list)]


class GenerationConfigIn(Incoming):
    """How to sample an answer; ranges are those of `types.SamplingSettings`."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: Int32 | None = None
    seed: Int64 | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    candidate_count: Int32 | None = None
    max_output_tokens: Int32 | None = None
    stop_sequences: list[str] | None = Field(default=None, max_length=MAX_ITEMS)
    response_mime_type: str | None = None
    response_schema: Any = None
    response_json_schema: Any = None
    constrain_to_training_outputs: bool | None = Field(
        default=None, description="Extension: allow only answers like the outputs of the examples."
    )
    none_below: float | None = Field(
        default=None, description="Extension: answer `noneLabel` if no label is at least this probable."
    )
    none_label: str | None = Field(
        default=None,
        description='Extension: the answer given if no label is probable enough; "none of these" by default.',
    )


class GenerateContentIn(Incoming):
    """A request for an answer."""

    max_bytes = MAX_DATASET_BYTES

    model: str | None = None
    contents: Contents = Field(default_factory=list, max_length=MAX_ITEMS)
    system_instruction: ContentIn | str | None = None
    generation_config: GenerationConfigIn | None = None
    safety_settings: Any = Field(default=None, description="Accepted, without effect.")
    tools: Any = None
    cached_content: str | None = None


class CountTokensIn(Incoming):
    """A prompt to count, in either of the two ways that clients send it."""

    max_bytes = MAX_DATASET_BYTES

    contents: Contents = Field(default_factory=list, max_length=MAX_ITEMS)
    generate_content_request: GenerateContentIn | None = None


class TextPromptIn(Incoming):
    """The prompt of the older text methods."""

    text: str = ""


class GenerateTextIn(Incoming):
    """A request of the older method generateText."""

    max_bytes = TEXT_BODY_BYTES

    prompt: TextPromptIn = Field(default_factory=TextPromptIn)
    temperature: float | None = None
    top_p: float | None = None
    top_k: Int32 | None = None
    candidate_count: Int32 | None = None
    max_output_tokens: Int32 | None = None
    stop_sequences: list[str] | None = Field(default=None, max_length=MAX_ITEMS)
    safety_settings: Any = Field(default=None, description="Accepted, without effect.")


class CountTextTokensIn(Incoming):
    """A prompt to count."""

    max_bytes = TEXT_BODY_BYTES

    prompt: TextPromptIn = Field(default_factory=TextPromptIn)


class PartOut(Message):
    """A text."""

    text: str


class ContentOut(Message):
    """What the model said."""

    parts: list[PartOut]
    role: str = "model"


class CandidateOut(Message):
    """One answer, or its next chunk; `finish_reason` comes with the last chunk."""

    content: ContentOut
    finish_reason: str | None
    index: int
    token_count: int | None
    label_probabilities: Annotated[
        dict[str, float] | None,
        Field(description="Extension: the probability of each label in a closed set, most probable first."),
    ] = None


class PromptDifferenceOut(Message):
    """Extension: one difference between an input and the examples."""

    kind: str
    text: str


class PromptContractOut(Message):
    """Extension: how an input differs from the examples; left out when nothing differs."""

    differences: list[PromptDifferenceOut]
    wrapped: bool | None


class UsageOut(Message):
    """Tokens read and written."""

    prompt_token_count: int
    candidates_token_count: int
    total_token_count: int


class GenerateContentOut(Message):
    """Answers, or the next chunk of one."""

    candidates: list[CandidateOut]
    usage_metadata: UsageOut | None
    model_version: str
    prompt_contract: Annotated[
        PromptContractOut | None, Field(description="Extension: what differs from the examples of a tuned model.")
    ] = None


class CountTokensOut(Message):
    """Tokens of a text."""

    total_tokens: int


class TextCompletionOut(Message):
    """One answer of generateText."""

    output: str


class GenerateTextOut(Message):
    """Answers of generateText."""

    candidates: list[TextCompletionOut]


class CountTextTokensOut(Message):
    """Tokens of a prompt."""

    token_count: int


def turns_of(request: GenerateContentIn | CountTokensIn) -> tuple[Turn, ...]:
    """Return the turns of a conversation, the system's first; raises InvalidArgument."""
    if isinstance(request, CountTokensIn):
        inner = request.generate_content_request
        request = inner if inner is not None else GenerateContentIn(contents=request.contents)
    turns = [Turn(_role(content), _text(content, f"contents[{n}]")) for n, content in enumerate(request.contents)]
    if not turns:
        raise InvalidArgument("contents is empty. Give at least one content with text.")
    check_length(turns)
    system = request.system_instruction
    if system is None:
        return tuple(turns)
    text = system if isinstance(system, str) else _text(system, "systemInstruction")
    return (Turn("system", text), *turns) if text else tuple(turns)


def prompt_turns(prompt: TextPromptIn) -> tuple[Turn, ...]:
    """Return a prompt as a turn of the user."""
    if not prompt.text:
        raise InvalidArgument("prompt.text is empty.")
    return tuple(check_length([Turn("user", prompt.text)]))


def sampling_of(given: GenerationConfigIn | GenerateTextIn, defaults: SamplingSettings) -> SamplingSettings:
    """Return sampling settings, with the model's defaults for those not given; raises InvalidArgument."""
    names = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "max_output_tokens")
    values = {name: value for name in names if (value := getattr(given, name, None)) is not None}
    if values.get("top_k") == 0:  # in the proto 0 means all
        values["top_k"] = None
    if values.get("top_p") == 0:
        values["top_p"] = 1e-9  # only the most probable token
    fields = {name: getattr(defaults, name) for name in SamplingSettings.__slots__}
    stops = tuple(given.stop_sequences or ())
    return SamplingSettings(**{**fields, **values, "stop_sequences": stops})


def candidate_count(given: GenerationConfigIn | GenerateTextIn) -> int:
    """Return the number of answers to give; raises InvalidArgument unless 1 to 8."""
    count = 1 if given.candidate_count is None else given.candidate_count
    if not 1 <= count <= MAX_CANDIDATES:
        raise InvalidArgument(f"candidateCount must be between 1 and {MAX_CANDIDATES}, not {count}.")
    return count


def check_length(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Return the turns; raises InvalidArgument if their texts are too long."""
    length = sum(len(turn.text) for turn in turns)
    if length > MAX_TEXT_CHARACTERS:
        raise InvalidArgument(f"The text has {length:,} characters; the limit is {MAX_TEXT_CHARACTERS:,}.")
    return turns


def refuse_unsupported(request: GenerateContentIn) -> None:
    """Raise InvalidArgument for what would change the answer and is not supported."""
    if request.tools:
        raise InvalidArgument("tools are not supported; leave them out.")
    if request.cached_content:
        raise InvalidArgument("cachedContent is not supported; send the contents.")


def _role(content: ContentIn) -> str:
    if content.role not in _ROLES:
        raise InvalidArgument(f"Please use a valid role: user, model. {content.role!r} was given.")
    return _ROLES[content.role]


def _text(content: ContentIn, place: str) -> str:
    for number, part in enumerate(content.parts):
        other = [name for name in PartIn.model_fields if name != "text" and getattr(part, name) is not None]
        if other:
            raise InvalidArgument(f"{place}.parts[{number}] is {other[0]}; only text can be read.")
    text = "".join(part.text or "" for part in content.parts)  # the original's studio split prompts without a separator
    if not text:
        raise InvalidArgument(f"{place} has no text.")
    return text


JSON, ENUM = "application/json", "text/x.enum"
_ANY_JSON: dict[str, Any] = {"anyOf": [{"type": "object"}, {"type": "array"}]}
_PLAIN = ("", "text/plain")
_TYPES = {1: "string", 2: "number", 3: "integer", 4: "boolean", 5: "array", 6: "object", 7: "null"}
_LIMITS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minimum", "maximum")
_KEPT = ("description", "enum", "pattern", *_LIMITS)  # keywords with the same meaning in JSON Schema
_FORMATS = ("date", "date-time", "time")


def form_of(config: GenerationConfigIn, outputs: OutputContract | None) -> AnswerForm | None:
    """
    Return what the answer must be, None for any text; `outputs` is the contract of a tuned model.

    Raises InvalidArgument for contradictory settings, FailedPrecondition if the outputs of the examples are free text.
    """
    form = _requested_form(config, outputs)
    if form is None:
        return None
    given = {"none_below": config.none_below, "none_label": config.none_label}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(form, **changes)


def json_schema(schema: Any, place: str = "responseSchema") -> dict[str, Any]:
    """Return Google's Schema (OpenAPI with types in capitals) as JSON Schema; raises InvalidArgument with the place."""
    if not isinstance(schema, dict):
        raise InvalidArgument(f"{place} must be an object.")
    given = {_camel(key): value for key, value in schema.items() if value is not None}
    found = {key: _number(value) for key, value in given.items() if key in _KEPT}
    if "anyOf" in given:
        found["anyOf"] = [json_schema(part, f"{place}.anyOf[{n}]") for n, part in enumerate(given["anyOf"])]
    if (kind := given.get("type")) is not None:
        found["type"] = _type(kind, place)
    if given.get("format") in _FORMATS:
        found["format"] = given["format"]
    if "items" in given:
        found["items"] = json_schema(given["items"], f"{place}.items")
    if "properties" in given:
        found |= _properties(given, place)
    return {"anyOf": [found, {"type": "null"}]} if given.get("nullable") else found


def _requested_form(config: GenerationConfigIn, outputs: OutputContract | None) -> AnswerForm | None:
    kind = config.response_mime_type or ""
    if config.constrain_to_training_outputs:
        return _training_form(outputs)
    schema = config.response_json_schema
    if schema is None and config.response_schema is not None:
        schema = json_schema(config.response_schema)
    if kind == ENUM:
        return AnswerForm(labels=_choices(schema))
    if kind == JSON:
        return AnswerForm(json_schema=json.dumps(_ANY_JSON if schema is None else schema))
    if kind not in _PLAIN:
        raise InvalidArgument(f"responseMimeType must be text/plain, {JSON} or {ENUM}, not {kind!r}.")
    if schema is not None:
        raise InvalidArgument(f"responseSchema needs responseMimeType {JSON} or {ENUM}.")
    return None


def _training_form(outputs: OutputContract | None) -> AnswerForm:
    if outputs is None:
        raise InvalidArgument("constrainToTrainingOutputs is for tuned models; a base has no training outputs.")
    return outputs.closed_form()


def _choices(schema: Any) -> tuple[str, ...]:
    choices = schema.get("enum") if isinstance(schema, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, str) for choice in choices):
        raise InvalidArgument(f"{ENUM} needs a responseSchema with an enum of strings.")
    return tuple(choices)


def _properties(given: dict[str, Any], place: str) -> dict[str, Any]:
    properties = given["properties"]
    if not isinstance(properties, dict):
        raise InvalidArgument(f"{place}.properties must be an object.")
    order = [key for key in given.get("propertyOrdering", ()) if key in properties]
    keys = [*order, *(key for key in properties if key not in order)]
    return {
        "properties": {key: json_schema(properties[key], f"{place}.properties.{key}") for key in keys},
        "required": list(given.get("required", ())),
        "additionalProperties": False,
    }


def _type(kind: Any, place: str) -> str:
    name = _TYPES.get(kind, "") if isinstance(kind, int) else str(kind).lower()
    if name not in _TYPES.values():
        raise InvalidArgument(f"{place}.type is {kind!r}; it must be one of {', '.join(_TYPES.values())}.")
    return name


def _number(value: Any) -> Any:
    """Return an int64 as a number; the proto sends it as a text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(part.capitalize() for part in rest)
