"""
The base of all messages on the wire: names, enums, numbers, null.

The rules are Google's JSON mapping of protocol buffers, as far as its clients use it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticOmit

M = TypeVar("M", bound="Message")

MAX_PROBLEMS = 20  # per body; checking stops there, since each problem of a hostile body takes a kilobyte
SMALL_BODY_BYTES = 256 * 1024  # for a request that has neither examples nor prompts


class Message(BaseModel):
    """A message to send: camelCase names; None means not set and is left out."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, ser_json_inf_nan="strings"
    )

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the message as JSON text; NaN and infinity become texts, since JSON has no such numbers."""
        return self.model_dump_json(exclude_none=True, indent=indent)

    def json_object(self) -> dict[str, Any]:
        """Return the message as plain JSON values, for the command line; replies are written by `to_json`."""
        values: dict[str, Any] = json.loads(self.to_json())
        return values


@dataclass(slots=True)
class Problems:
    """The number of problems found while checking one body; this is the pydantic context."""

    found: int = 0


class Incoming(Message):
    """
    A message to receive: names in camelCase or snake_case, even mixed; null means not set.

    Unknown names are ignored, since newer clients send new ones; `StrictIncoming` refuses them. `max_bytes` is the
    limit for a body with this message.
    """

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)
    max_bytes: ClassVar[int] = SMALL_BODY_BYTES

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, data: Any, check: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Check a message without its nulls; after `MAX_PROBLEMS` problems in the body, skip it without checking."""
        problems = info.context
        if isinstance(problems, Problems) and problems.found >= MAX_PROBLEMS:
            raise PydanticOmit
        try:
            return check(cls._given(data) if isinstance(data, dict) else data)
        except ValidationError as error:
            if isinstance(problems, Problems):
                problems.found += error.error_count()
            raise

    @classmethod
    def _given(cls, data: dict[Any, Any]) -> dict[Any, Any]:
        return {key: value for key, value in data.items() if value is not None}


class StrictIncoming(Incoming):
    """A message in which an unknown name is an error, for bodies that create or change something."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def _given(cls, data: dict[Any, Any]) -> dict[Any, Any]:
        given = super()._given(data)
        # each field has two names, and any other name is a problem anyway
        most = 2 * len(cls.model_fields) + MAX_PROBLEMS
        return given if len(given) <= most else dict(islice(given.items(), most))


def without_extensions(message: M) -> M:
    """Return a copy without the fields described as extensions, including those in nested messages but not in lists."""
    changes: dict[str, Any] = {}
    for name, field in type(message).model_fields.items():
        if (field.description or "").startswith("Extension"):
            changes[name] = None
        elif isinstance(value := getattr(message, name), Message):
            changes[name] = without_extensions(value)
    return message.model_copy(update=changes)


def one_or_list(value: Any) -> Any:
    """Return a list, even for a single object, which published guides send."""
    return [value] if isinstance(value, dict) else value


def enum_name(names: dict[int, str]) -> BeforeValidator:
    """Return the validator of an enum given as its number or its name."""

    def convert(value: Any) -> Any:
        number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 9 else value
        return names.get(number, value) if isinstance(number, int) and not isinstance(number, bool) else value

    return BeforeValidator(convert)


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("true and false are not numbers")
    return value


def _rfc3339(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # Google's old client needs the T and the Z


def _int64_text(numbers: list[int]) -> list[str]:
    return [str(number) for number in numbers]


Timestamp = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]
# integers of the proto; texts and integral floats are accepted too
Int32 = Annotated[int, BeforeValidator(_no_bool), Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, BeforeValidator(_no_bool), Field(ge=-(2**63), lt=2**63)]
Int64List = Annotated[list[Int64], PlainSerializer(_int64_text, return_type=list[str], when_used="json")]
