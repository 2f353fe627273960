"""
Answers kept within a form: before each draw, the tokens that would leave a JSON schema or a pattern are ruled out.

The grammar work is llguidance's. A guide belongs to one answer and hears of each token that is drawn, so guesses ahead
are checked against it in the order in which they count. Knows logits and tokenizers; no models.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunery.engine.encoding import Encoder
from tunery.errors import InvalidArgument
from tunery.types import AnswerForm

MAX_SCHEMA_DEPTH = 64
# llguidance keeps these keywords, and passes over all that it does not know, which an answer would then break
_PARTS = ("items", "additionalProperties", "additionalItems")  # a schema each
_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf")  # of schemas
_NAMED = ("properties", "patternProperties", "$defs", "definitions")  # schemas by name
_VALUES = ("type", "enum", "const", "format", "pattern", "minLength", "maxLength", "minItems", "maxItems")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_OBJECTS = ("required", "minProperties", "maxProperties", "propertyOrdering")
_NAMES = ("$ref", "$id", "$anchor", "$schema")
_WITHOUT_EFFECT = ("title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly")
_KEYWORDS = frozenset(
    {*_PARTS, *_LISTS, *_NAMED, *_VALUES, *_NUMBERS, *_OBJECTS, *_NAMES, *_WITHOUT_EFFECT, "$comment"}
)

# on one line, as Python writes it: small models lose themselves in free blanks
_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Guide:
    """The form of one answer: `allowed` before a draw, `push` after it."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def allowed(self, logits: Tensor) -> Tensor:
        """Return logits `[V]` with minus infinity for the tokens that would leave the form."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        mask = torch.from_numpy(np.unpackbits(bits, bitorder="little")[: len(logits)].astype(bool))
        if len(mask) < len(logits):  # rows of the head that stand for no token
            mask = torch.cat([mask, torch.zeros(len(logits) - len(mask), dtype=torch.bool)])
        return logits.masked_fill(~mask.to(logits.device), float("-inf"))

    def push(self, token: int) -> None:
        """Take a token that was drawn."""
        self._matcher.consume_token(token)


class Guides:
    """Makes guides for the tokenizer of one base, which takes a second the first time."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._tokenizer: Any = None

    def of(self, form: AnswerForm) -> Guide:
        """Return the guide of a form with a schema or a pattern; raises InvalidArgument if it cannot be read."""
        from llguidance import LLMatcher

        grammar = _grammar(form)
        problem = LLMatcher.validate_grammar(grammar, self._known_tokenizer())
        if problem and not problem.startswith("WARNING"):
            raise InvalidArgument(f"The answer cannot be kept in this form: {problem.splitlines()[0]}")
        return Guide(LLMatcher(self._known_tokenizer(), grammar, log_level=0))

    def _known_tokenizer(self) -> Any:
        if self._tokenizer is None:
            from llguidance import LLTokenizer

            description = self._encoder.tokenizer.backend_tokenizer.to_str()
            self._tokenizer = LLTokenizer(description, eos_token=self._encoder.end_token_id)
        return self._tokenizer


def _grammar(form: AnswerForm) -> str:
    from llguidance import LLMatcher

    if form.pattern is not None:
        return str(LLMatcher.grammar_from_regex(form.pattern))
    try:
        schema = _checked(json.loads(form.json_schema or "{}"))
        return str(LLMatcher.grammar_from_json_schema(schema, defaults=_STYLE))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"The JSON schema cannot be read: {error}.") from error


def _checked(schema: Any, place: str = "", depth: int = 0) -> Any:
    """
    Return a schema with its properties in the order of `propertyOrdering`.

    Raises InvalidArgument for a keyword that could not be kept, with its place, and for a schema that is too deep.
    """
    if depth > MAX_SCHEMA_DEPTH:
        raise InvalidArgument(f"The JSON schema is nested too deeply; the limit is {MAX_SCHEMA_DEPTH}.")
    if isinstance(schema, list):
        return [_checked(part, f"{place}[{number}]", depth + 1) for number, part in enumerate(schema)]
    if not isinstance(schema, dict):
        return schema
    for key in schema:
        if key not in _KEYWORDS and not key.startswith("x-"):
            where = f" (at {place.removeprefix('.')})" if place else ""
            raise InvalidArgument(
                f"The answer cannot be kept in this form: the keyword {key!r} is not supported{where}."
            )
    found = {key: value for key, value in schema.items() if key != "propertyOrdering"}
    for key in (*_PARTS, *_LISTS):
        if key in found:
            found[key] = _checked(found[key], f"{place}.{key}", depth + 1)
    for key in _NAMED:
        if isinstance(found.get(key), dict):
            found[key] = {name: _checked(part, f"{place}.{key}.{name}", depth + 1) for name, part in found[key].items()}
    return _in_order(found, schema.get("propertyOrdering"))


def _in_order(schema: dict[str, Any], names: Any) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(names, list) or not isinstance(properties, dict):
        return schema
    ordered = sorted(properties, key=lambda name: names.index(name) if name in names else len(names))
    return schema | {"properties": {name: properties[name] for name in ordered}}
