"""
Constrains answers: before each draw, the tokens that would break a JSON schema or a pattern are ruled out. llguidance
does the work with grammars.

A guide belongs to one answer and is told each token that is drawn, so guessed tokens are checked against it in order.
It makes sure that the answer is complete when its tokens are used up.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tunery.engine.answers.endings import Endings, allowed_tokens
from tunery.engine.encoding import Encoder
from tunery.errors import InvalidArgument
from tunery.types import AnswerForm

MAX_SCHEMA_DEPTH = 64
# llguidance enforces these keywords and ignores all that it does not know, so an answer could violate those
_PARTS = ("items", "additionalProperties", "additionalItems")  # one schema each
_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf")  # lists of schemas
_NAMED = ("properties", "patternProperties", "$defs", "definitions")  # schemas by name
_VALUES = ("type", "enum", "const", "format", "pattern", "minLength", "maxLength", "minItems", "maxItems")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_OBJECTS = ("required", "minProperties", "maxProperties", "propertyOrdering")
_NAMES = ("$ref", "$id", "$anchor", "$schema")
_WITHOUT_EFFECT = ("title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly")
_KEYWORDS = frozenset(
    {*_PARTS, *_LISTS, *_NAMED, *_VALUES, *_NUMBERS, *_OBJECTS, *_NAMES, *_WITHOUT_EFFECT, "$comment"}
)

# on one line, as Python writes it, because small models get lost in free whitespace
_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


_CHARACTERS_OF_TOKEN = 4  # characters of a schema per token, since an answer may have to contain its names and enums
_BRACKETS = 8  # that one token may open, each of which has to be closed again
_REPEATS, _REPEATED_TOKENS, _LONGEST_PERIOD = (
    4,
    48,
    32,
)  # a string that repeats the same text this many times, in this many tokens


class Guide:
    """
    The constraint on one answer: call `draw` for each token, then `push`.

    `endings` finds out how the answer can be completed, ending with `end_token`; each token makes the shortest ending
    longer by at most `growth`.
    """

    def __init__(self, matcher: Any, endings: Endings, end_token: int, growth: int, *, is_json: bool) -> None:
        self._matcher, self._endings, self._end_token = matcher, endings, end_token
        self._growth, self._is_json = growth, is_json
        self._ending: list[int] = []  # the ending found at the last search
        self._unseen = 0  # tokens that may be drawn before the ending has to be searched for again
        self._tokens: list[int] = []
        self.was_hurried = False  # whether a token was chosen so that the answer ends in time

    def draw(self, logits: Tensor, left: int, draw: Callable[[Tensor], int]) -> int:
        """
        Return the next of `left` tokens, drawn from logits `[V]` or, if the answer could otherwise not be completed,
        chosen.
        """
        if self._is_json and self._repeats_itself() and (token := self._way_out(left)) is not None:
            return token
        token = draw(self._allowed(logits))
        if self._unseen > 0:
            self._unseen -= 1
            return token
        ahead = self._matcher.deep_copy()
        if not ahead.consume_token(token) or ahead.is_stopped() or self._can_end(ahead, left - 1):
            return token
        if not self._can_end(self._matcher, left):  # there is no way to complete it, or none was found
            return token
        self.was_hurried = True
        return self._ending[0] if self._ending else self._end_token

    def push(self, token: int) -> None:
        """Accept a token that was drawn."""
        self._matcher.consume_token(token)
        self._tokens.append(token)

    def _allowed(self, logits: Tensor) -> Tensor:
        """Return logits `[V]` with minus infinity for the tokens that would break the constraint."""
        mask = torch.from_numpy(allowed_tokens(self._matcher)[: len(logits)])
        if len(mask) < len(logits):  # rows of the head that do not belong to a token
            mask = torch.cat([mask, torch.zeros(len(logits) - len(mask), dtype=torch.bool)])
        return logits.masked_fill(~mask.to(logits.device), float("-inf"))

    def _can_end(self, matcher: Any, left: int) -> bool:
        """Return whether the answer can be completed with `left` tokens, and remember how."""
        for known in (self._ending, self._ending[1:]):
            ahead = matcher.deep_copy()
            if known and len(known) <= left and ahead.try_consume_tokens(known) == len(known) and ahead.is_accepting():
                break
        else:
            found = [] if matcher.is_accepting() else self._endings.shortest(matcher, left)
            if found is None:
                return False
            known = found
        self._ending, self._unseen = known, (left - len(known)) // (1 + self._growth)
        return True

    def _way_out(self, left: int) -> int | None:
        """Return the token that ends a string, or anything else that could go on forever."""
        if self._endings.quote is not None and allowed_tokens(self._matcher)[self._endings.quote]:
            return self._endings.quote
        ending = self._endings.shortest(self._matcher, left)
        return ending[0] if ending else None

    def _repeats_itself(self) -> bool:
        """Return whether the last tokens, within one string or number, keep repeating the same few."""
        for period in range(1, _LONGEST_PERIOD + 1):
            length = max(_REPEATED_TOKENS, _REPEATS * period)
            last = self._tokens[-length:]
            if len(last) == length and last[period:] == last[:-period]:
                return not self._endings.have_quotes(last[:period])
        return False


class Guides:
    """Makes guides for the tokenizer of one base and knows its tokens; the first guide takes a second."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._tokenizer: Any = None
        self._endings: Endings | None = None

    def of(self, form: AnswerForm) -> Guide:
        """Return the guide for a schema or a pattern; raises InvalidArgument if it cannot be read."""
        from llguidance import LLMatcher

        grammar = _grammar(form)
        problem = LLMatcher.validate_grammar(grammar, self._known_tokenizer())
        if problem and not problem.startswith("WARNING"):
            raise InvalidArgument(f"The answer cannot be constrained to this form: {problem.splitlines()[0]}")
        if self._endings is None:
            self._endings = Endings(self._known_tokenizer())
        growth = _BRACKETS + len(form.json_schema or "") // _CHARACTERS_OF_TOKEN
        matcher = LLMatcher(self._known_tokenizer(), grammar, log_level=0)
        return Guide(matcher, self._endings, self._encoder.end_token_id, growth, is_json=form.pattern is None)

    def spelling(self, token: int) -> bytes:
        """Return the bytes that a token stands for; none for an id that has no token."""
        known = self._known_tokenizer()
        return bytes(known.decode_bytes([token])) if token < known.vocab_size else b""

    def _known_tokenizer(self) -> Any:
        if self._tokenizer is None:
            from llguidance import LLTokenizer

            description = self._encoder.tokenizer.backend.to_str()
            self._tokenizer = LLTokenizer(description, eos_token=self._encoder.end_token_id)
        return self._tokenizer


def _grammar(form: AnswerForm) -> str:
    from llguidance import LLMatcher

    if form.pattern is not None:
        return str(LLMatcher.grammar_from_regex(form.pattern))
    schema = read_schema(form)
    try:
        return str(LLMatcher.grammar_from_json_schema(schema, defaults=_STYLE))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"The JSON schema cannot be read: {error}.") from error


def read_schema(form: AnswerForm) -> Any:
    """Return the JSON schema of a form; raises InvalidArgument if it cannot be enforced."""
    try:
        return _checked(json.loads(form.json_schema or "{}"))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"The JSON schema cannot be read: {error}.") from error


def _checked(schema: Any, place: str = "", depth: int = 0) -> Any:
    """
    Return a schema with its properties in the order of `propertyOrdering`.

    Raises InvalidArgument for a keyword that cannot be enforced, with its place, and for a schema that is nested too
    deeply.
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
            raise InvalidArgument(f"The JSON schema cannot be enforced: the keyword {key!r} is not supported{where}.")
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
