"""
Requests and answers on the wire (google/ai/generativelanguage/v1beta/generative_service.proto, text_service.proto).

Unknown names are ignored, since newer clients send settings that have no meaning here. Fields that request something
unsupported (images, tools) are refused with an error that names them; docs/clients.md has the list.
Output constraints are read here too: Google's Schema is converted to JSON Schema.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tunery.data.outputs import OutputContract
from tunery.errors import InvalidArgument
from tunery.server.wire.messages import Incoming, Int32, Int64, Message, one_or_list
from tunery.types import MAX_DATASET_BYTES, MAX_TOP_LOGPROBS, AnswerForm, SamplingSettings, TokenLogprob, Turn

MAX_TEXT_CHARACTERS = 40_000
MAX_CANDIDATES = 8
MAX_ITEMS = 1000  # turns of a conversation, parts of a turn, and other lists
TEXT_BODY_BYTES = 1 << 20  # a text of maximum length takes half of it if all characters are escaped
DEFAULT_OUTPUT_TOKENS = 1 << 30  # for calls that set no limit: the whole window, which is the outputTokenLimit
_TEXT_MODALITY = ("TEXT", "MODALITY_UNSPECIFIED", 1, 0)
_ROLES = {None: "user", "": "user", "user": "user", "model": "assistant", "function": "user"}


def _one_modality(value: Any) -> Any:
    return [value] if isinstance(value, str | int) else value


class PartIn(Incoming):
    """A part of a content; only text is read, and thoughts of the model are left out."""

    model_config = ConfigDict(extra="allow")  # other kinds of parts are refused with an error that names them

    text: str | None = None
    thought: bool | None = None
    thought_signature: Any = None
    part_metadata: Any = None


class ContentIn(Incoming):
    """One turn of a conversation."""

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
    response_json_schema: Annotated[
        Any, Field(validation_alias=AliasChoices("responseJsonSchema", "response_json_schema", "_responseJsonSchema"))
    ] = None
    response_modalities: Annotated[list[str | int], BeforeValidator(_one_modality)] = Field(
        default_factory=list, max_length=MAX_ITEMS, description="Only TEXT is offered."
    )
    response_logprobs: bool | None = Field(
        default=None, description="Return `logprobsResult` and `avgLogprobs`, of the model before any constraint."
    )
    logprobs: Int32 | None = Field(
        default=None, description="Likeliest tokens in the place of each token, 0 to 20; needs `responseLogprobs`."
    )
    speech_config: Any = Field(default=None, description="Not offered.")
    image_config: Any = Field(default=None, description="Not offered.")
    constrain_to_training_outputs: bool | None = Field(
        default=None,
        description="Extension: allow only answers like the outputs of the examples; the default if these are labels."
        " False: allow any text.",
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
    tools: Any = Field(default=None, description="Not offered.")
    cached_content: str | None = Field(default=None, description="Not offered.")


class CountTokensIn(GenerateContentIn):
    """A prompt whose tokens are counted, in either of the two forms that clients send."""

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
    constrain_to_training_outputs: bool | None = Field(
        default=None, description="Extension: False allows any text, even if the outputs of the examples are labels."
    )


class CountTextTokensIn(Incoming):
    """A prompt whose tokens are counted."""

    max_bytes = TEXT_BODY_BYTES

    prompt: TextPromptIn = Field(default_factory=TextPromptIn)


class PartOut(Message):
    """A text."""

    text: str


class ContentOut(Message):
    """The model's turn."""

    parts: list[PartOut]
    role: str = "model"


class LogprobCandidateOut(Message):
    """A token and the natural logarithm of its probability."""

    token: str
    token_id: int
    log_probability: float


class TopLogprobsOut(Message):
    """The likeliest tokens in one place, the likeliest first."""

    candidates: list[LogprobCandidateOut]


class LogprobsOut(Message):
    """The tokens of an answer or chunk in order, without the one that ends it."""

    top_candidates: list[TopLogprobsOut] | None
    chosen_candidates: list[LogprobCandidateOut]
    log_probability_sum: Annotated[
        float | None, Field(description="Of the whole answer; in a stream, with the last chunk.")
    ]


class CandidateOut(Message):
    """One answer, or its next chunk; `finish_reason` comes with the last chunk."""

    content: ContentOut
    finish_reason: str | None
    index: int
    safety_ratings: Annotated[list[Any], Field(description="Always empty: nothing is rated.")] = Field(
        default_factory=list
    )
    token_count: int | None
    label_probabilities: Annotated[
        dict[str, float] | None,
        Field(description="Extension: the probability of each label in a closed set, most probable first."),
    ] = None
    avg_logprobs: Annotated[
        float | None, Field(description="With `responseLogprobs`; in a stream, with the last chunk.")
    ] = None
    logprobs_result: Annotated[LogprobsOut | None, Field(description="With `responseLogprobs`.")] = None


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
    safety_ratings: Annotated[list[Any], Field(description="Always empty: nothing is rated.")] = Field(
        default_factory=list
    )


class GenerateTextOut(Message):
    """Answers of generateText."""

    candidates: list[TextCompletionOut]


class CountTextTokensOut(Message):
    """Tokens of a prompt."""

    token_count: int


def counted_request(request: CountTokensIn) -> GenerateContentIn:
    """Return the prompt to count."""
    return request if request.generate_content_request is None else request.generate_content_request


def turns_of(request: GenerateContentIn) -> tuple[Turn, ...]:
    """
    Return the turns of a conversation, the system turn first; raises InvalidArgument.

    Model turns may be empty, because answers may be, and so may the system turn.
    """
    turns = [Turn(_role(content), _text(content, f"contents[{n}]")) for n, content in enumerate(request.contents)]
    if not turns:
        raise InvalidArgument("contents is empty. Give at least one content with text.")
    check_length(turns)
    system = request.system_instruction
    if system is None:
        return tuple(turns)
    text = system if isinstance(system, str) else _joined(system, "systemInstruction")
    return (Turn("system", text), *turns) if text else tuple(turns)


def prompt_turns(prompt: TextPromptIn) -> tuple[Turn, ...]:
    """Return a prompt as a user turn."""
    if not prompt.text:
        raise InvalidArgument("prompt.text is empty.")
    return tuple(check_length([Turn("user", prompt.text)]))


def sampling_of(given: GenerationConfigIn | GenerateTextIn, defaults: SamplingSettings) -> SamplingSettings:
    """Return sampling settings, with the model's defaults for missing ones; raises InvalidArgument."""
    names = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "max_output_tokens")
    values = {name: value for name in names if (value := getattr(given, name, None)) is not None}
    if values.get("top_k") == 0:  # in the proto 0 means all
        values["top_k"] = None
    if values.get("top_p") == 0:
        values["top_p"] = 1e-9  # only the most probable token
    fields = {name: getattr(defaults, name) for name in SamplingSettings.__slots__}
    stops = tuple(given.stop_sequences or ())
    return SamplingSettings(
        **{**fields, **values, "stop_sequences": stops, "top_logprobs": _top_logprobs(given)},
    )


def _top_logprobs(given: GenerationConfigIn | GenerateTextIn) -> int | None:
    """Return how many tokens to tell for each place, None for no log probabilities; raises InvalidArgument."""
    if not isinstance(given, GenerationConfigIn):
        return None
    count = given.logprobs or 0
    if count and not given.response_logprobs:
        raise InvalidArgument("generationConfig.logprobs needs generationConfig.responseLogprobs.")
    if not 0 <= count <= MAX_TOP_LOGPROBS:
        raise InvalidArgument(
            f"generationConfig.logprobs must be between 0 and {MAX_TOP_LOGPROBS}, not {given.logprobs}."
        )
    return count if given.response_logprobs else None


def logprobs_of(told: Sequence[TokenLogprob], whole: Sequence[TokenLogprob]) -> dict[str, Any]:
    """
    Return the fields of a candidate with the log probabilities `told` now, and those about the `whole` answer, which
    are empty before its end.
    """
    if not (told or whole):
        return {}
    total = sum(each.logprob for each in whole) if whole else None
    tops = [TopLogprobsOut(candidates=[_logprob(token) for token in each.top]) for each in told]
    return {
        "avg_logprobs": None if total is None else total / len(whole),
        "logprobs_result": LogprobsOut(
            top_candidates=tops if any(each.top for each in told) else None,
            chosen_candidates=[_logprob(each) for each in told],
            log_probability_sum=total,
        ),
    }


def _logprob(token: TokenLogprob) -> LogprobCandidateOut:
    text = token.spelling.decode("utf-8", "replace")
    return LogprobCandidateOut(token=text, token_id=token.token_id, log_probability=token.logprob)


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
    """Raise InvalidArgument for unsupported settings that would change the answer."""
    if request.tools:
        raise InvalidArgument("tools are not supported; leave them out.")
    if request.cached_content:
        raise InvalidArgument("cachedContent is not supported; send the contents.")
    config = request.generation_config or GenerationConfigIn()
    other = next((name for name in config.response_modalities if name not in _TEXT_MODALITY), None)
    if other is not None:
        raise InvalidArgument(
            f"generationConfig.responseModalities: only TEXT is supported, not {other}. Leave it out."
        )
    for name in ("speech_config", "image_config"):
        if getattr(config, name):
            raise InvalidArgument(f"generationConfig.{to_camel(name)} is not supported; leave it out.")


def _role(content: ContentIn) -> str:
    if content.role not in _ROLES:
        raise InvalidArgument(f"Please use a valid role: user, model. {content.role!r} was given.")
    return _ROLES[content.role]


def _text(content: ContentIn, place: str) -> str:
    text = _joined(content, place)
    if not text and _role(content) == "user":
        raise InvalidArgument(f"{place} has no text.")
    return text


def _joined(content: ContentIn, place: str) -> str:
    """Return the joined texts of a content without its thoughts; AI Studio split prompts without a separator."""
    for number, part in enumerate(content.parts):
        other = next(iter(part.model_extra or ()), None)
        if other is not None:
            raise InvalidArgument(f"{place}.parts[{number}] has {other}; only text can be read.")
    return "".join(part.text or "" for part in content.parts if not part.thought)


JSON, ENUM = "application/json", "text/x.enum"
_ANY_JSON: dict[str, Any] = {"anyOf": [{"type": "object"}, {"type": "array"}]}
_PLAIN = ("", "text/plain")
_TYPES = {1: "string", 2: "number", 3: "integer", 4: "boolean", 5: "array", 6: "object", 7: "null"}
_LIMITS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minimum", "maximum")
_INT64_DIGITS = 19
_KEPT = ("description", "enum", "pattern", *_LIMITS)  # keywords with the same meaning in JSON Schema
_CONVERTED = ("type", "format", "nullable", "anyOf", "items", "properties", "required", "propertyOrdering")
_WITHOUT_EFFECT = ("title", "default", "example")
_KEYWORDS = frozenset({*_KEPT, *_CONVERTED, *_WITHOUT_EFFECT, "additionalProperties"})
_NUMBER_FORMATS = ("int32", "int64", "float", "double")


def form_of(
    config: GenerationConfigIn, outputs: OutputContract | None, own: AnswerForm | None = None
) -> AnswerForm | None:
    """
    Return the constraint on the answer, None for any text; `outputs` is the contract of a tuned model.

    `own` is the model's form, for calls that ask for nothing else. Raises InvalidArgument for contradictory settings,
    FailedPrecondition if the outputs of the examples are free text.
    """
    try:
        form = _requested_form(config, outputs) or own_form(config, own)
    except RecursionError:
        raise InvalidArgument("The schema is nested too deeply.") from None
    if config.none_below and not (form and form.labels):
        raise InvalidArgument(
            "noneBelow needs labels: constrainToTrainingOutputs for those of the examples, or an enum."
        )
    if form is None:
        return None
    given = {"none_below": config.none_below, "none_label": config.none_label}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(form, **changes)


def own_form(given: GenerationConfigIn | GenerateTextIn, own: AnswerForm | None) -> AnswerForm | None:
    """Return a model's own constraint if it applies to a call without one; penalties are about tokens, not labels."""
    penalties = getattr(given, "presence_penalty", None) or getattr(given, "frequency_penalty", None)
    return None if given.constrain_to_training_outputs is False or penalties else own


def json_schema(schema: Any, place: str = "responseSchema") -> dict[str, Any]:
    """Return Google's Schema (OpenAPI with types in capitals) as JSON Schema; raises InvalidArgument with the place."""
    if not isinstance(schema, dict):
        raise InvalidArgument(f"{place} must be an object.")
    given = {_camel(key): value for key, value in schema.items() if value is not None}
    for key in given:
        if key not in _KEYWORDS:
            raise InvalidArgument(
                f"{place}: the keyword {key!r} is not part of Google's Schema; responseJsonSchema supports more."
            )
    found = {key: _number(value) for key, value in given.items() if key in _KEPT}
    if "anyOf" in given:
        parts = _listed(given["anyOf"], f"{place}.anyOf")
        found["anyOf"] = [json_schema(part, f"{place}.anyOf[{n}]") for n, part in enumerate(parts)]
    if (kind := given.get("type")) is not None:
        found["type"] = _type(kind, place)
    if given.get("format", "enum") not in ("enum", *_NUMBER_FORMATS):  # these add nothing to type and enum
        found["format"] = given["format"]
    if "items" in given:
        found["items"] = json_schema(given["items"], f"{place}.items")
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
    """Return the keywords about properties; an object that names some may have no others, unless it allows them."""
    found: dict[str, Any] = {}
    if "properties" in given:
        properties = given["properties"]
        if not isinstance(properties, dict):
            raise InvalidArgument(f"{place}.properties must be an object.")
        order = _listed(given.get("propertyOrdering", []), f"{place}.propertyOrdering")
        keys = sorted(properties, key=lambda key: order.index(key) if key in order else len(order))
        found["properties"] = {key: json_schema(properties[key], f"{place}.properties.{key}") for key in keys}
        found["additionalProperties"] = False
    if "required" in given:
        found["required"] = _listed(given["required"], f"{place}.required")
    others = given.get("additionalProperties")
    if others is not None:
        is_schema = isinstance(others, dict)
        found["additionalProperties"] = json_schema(others, f"{place}.additionalProperties") if is_schema else others
    return found


def _listed(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidArgument(f"{place} must be a list.")
    return value


def _type(kind: Any, place: str) -> str:
    name = _TYPES.get(kind, "") if isinstance(kind, int) else str(kind).lower()
    if name not in _TYPES.values():
        raise InvalidArgument(f"{place}.type is {kind!r}; it must be one of {', '.join(_TYPES.values())}.")
    return name


def _number(value: Any) -> Any:
    """Return an int64 as a number; the proto sends it as a text."""
    is_int64 = isinstance(value, str) and value.isdecimal() and len(value) <= _INT64_DIGITS
    return int(value) if is_int64 else value


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(part.capitalize() for part in rest)
