"""
The output contract: what the outputs of a tuned model are: one of a few labels, numbers, dates, JSON, or free text.

Learned from the examples. It gives the form within which answers can be kept on request. Knows texts; no tokens.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from tunery.data.likeness import plain
from tunery.errors import FailedPrecondition
from tunery.types import AnswerForm


class OutputShape(StrEnum):
    """What the outputs of a dataset look like; it decides how answers are scored."""

    LABELS = "LABELS"  # one of a closed set of short texts
    SHORT_TEXT = "SHORT_TEXT"  # right if equal
    JSON = "JSON"  # right field by field
    LONG_TEXT = "LONG_TEXT"  # near or far


MIN_ROWS = 5
MAX_LABELS = 100
MIN_ROWS_PER_LABEL = 2.0  # on average; fewer look like names or sentences rather than labels
CONTRACT_MAX_LABEL_CHARACTERS = 100
_SHOWN = 8

_DATES = {  # names as people write them, and what stands for a digit
    "YYYY-MM-DD": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    "DD.MM.YYYY": r"(0[1-9]|[12][0-9]|3[01])\.(0[1-9]|1[0-2])\.[0-9]{4}",
    "MM/DD/YYYY": r"(0[1-9]|1[0-2])/(0[1-9]|[12][0-9]|3[01])/[0-9]{4}",
    "DD/MM/YYYY": r"(0[1-9]|[12][0-9]|3[01])/(0[1-9]|1[0-2])/[0-9]{4}",
}
_INTEGER = r"-?(0|[1-9][0-9]*)"
_DECIMAL = r"-?(0|[1-9][0-9]*)\.[0-9]+"


@dataclass(frozen=True, slots=True)
class OutputContract:
    """
    What the outputs are.

    `kind` LABELS, NUMBER, DATE, JSON or TEXT. `labels` are ordered by how often they occur; `pattern` describes numbers
    and dates, `json_schema` JSON; `name` is the format of a date.
    """

    kind: str
    rows: int
    labels: tuple[str, ...] = ()
    pattern: str | None = None
    json_schema: dict[str, Any] | None = None
    name: str | None = None

    @classmethod
    def learn(cls, outputs: Sequence[str]) -> OutputContract:
        """Return the contract of these outputs; every one of them is within it."""
        rows = len(outputs)
        if rows < MIN_ROWS:
            return cls("TEXT", rows)
        for learned in (_json, _labels, _dates, _numbers):
            found = learned(outputs)
            if found is not None:
                return found
        return cls("TEXT", rows)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> OutputContract:
        """Return the contract that `document` made."""
        return cls(**{**document, "labels": tuple(document["labels"])})

    def document(self) -> dict[str, Any]:
        """Return the contract as plain values."""
        return {**asdict(self), "labels": list(self.labels)}

    def sentence(self) -> str:
        """Return in a sentence what the outputs are."""
        if self.kind == "LABELS":
            more = f" and {len(self.labels) - _SHOWN} more" if len(self.labels) > _SHOWN else ""
            return f"The outputs are one of {len(self.labels)} labels: {', '.join(self.labels[:_SHOWN])}{more}."
        if self.kind == "JSON":
            keys = list((self.json_schema or {}).get("properties", {}))
            return f"The outputs are JSON with {', '.join(keys)}." if keys else "The outputs are JSON."
        words = {"NUMBER": "numbers", "DATE": f"dates as {self.name}", "TEXT": "free text"}
        return f"The outputs are {words[self.kind]}."

    def form(self) -> AnswerForm | None:
        """Return the form within which answers are kept; None for free text."""
        if self.kind == "TEXT":
            return None
        schema = None if self.json_schema is None else json.dumps(self.json_schema)
        return AnswerForm(labels=self.labels, pattern=self.pattern, json_schema=schema)

    def closed_form(self) -> AnswerForm:
        """Return the form within which answers are kept; raises FailedPrecondition for free text."""
        form = self.form()
        if form is None:
            raise FailedPrecondition("The training outputs of this model are free text; there is no form to keep to.")
        return form


def _json(outputs: Sequence[str]) -> OutputContract | None:
    try:
        values = [json.loads(output) for output in outputs]
    except ValueError:
        return None
    if not all(isinstance(value, dict | list) for value in values):
        return None
    schema = shape_of_values(values)
    separators = separators_of(outputs, values)
    return OutputContract("JSON", len(outputs), json_schema={**schema, "x-guidance": separators})


def _labels(outputs: Sequence[str]) -> OutputContract | None:
    counts = Counter(outputs)
    few = len(counts) <= MAX_LABELS and len(outputs) >= MIN_ROWS_PER_LABEL * len(counts)
    if not few or max(map(len, counts)) > CONTRACT_MAX_LABEL_CHARACTERS:
        return None
    return OutputContract("LABELS", len(outputs), labels=tuple(label for label, _ in counts.most_common()))


def _dates(outputs: Sequence[str]) -> OutputContract | None:
    for name, pattern in _DATES.items():
        if all(re.fullmatch(pattern, output) for output in outputs):
            return OutputContract("DATE", len(outputs), pattern=pattern, name=name)
    return None


def _numbers(outputs: Sequence[str]) -> OutputContract | None:
    for pattern in (_INTEGER, _DECIMAL, f"({_INTEGER}|{_DECIMAL})"):
        if all(re.fullmatch(pattern, output) for output in outputs):
            return OutputContract("NUMBER", len(outputs), pattern=pattern)
    return None


MAX_CHOICES = 20
MIN_ROWS_PER_CHOICE = 3.0
_STYLES = ((", ", ": "), (",", ":"))


def shape_of_values(values: Sequence[Any]) -> dict[str, Any]:
    """Return a JSON schema that all these values satisfy; at least one value."""
    kinds = sorted({_kind(value) for value in values})
    if kinds == ["integer", "number"]:
        return {"type": "number"}
    if len(kinds) > 1:
        parts = [[value for value in values if _kind(value) == kind] for kind in kinds]
        return {"anyOf": [shape_of_values(part) for part in parts]}
    if kinds == ["object"]:
        return _object(values)
    if kinds == ["array"]:
        items = [item for value in values for item in value]
        return {"type": "array", "items": shape_of_values(items)} if items else {"type": "array", "maxItems": 0}
    if kinds == ["string"]:
        return _string(values)
    return {"type": kinds[0]}


def separators_of(texts: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Return how these values were written, as llguidance's options: on one line with or without blanks, or freely."""
    for item, key in _STYLES:
        written = [_dumped(value, item, key) for value in values]
        if written == list(texts):
            return {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
    return {"whitespace_flexible": True}


def _dumped(value: Any, item: str, key: str) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(item, key))


def _kind(value: Any) -> str:
    names: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "null" if value is None else names.get(type(value), "object")


def _object(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for value in values for key in value))
    properties = {key: shape_of_values([value[key] for value in values if key in value]) for key in keys}
    required = [key for key in keys if all(key in value for value in values)]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _string(values: Sequence[str]) -> dict[str, Any]:
    choices = list(dict.fromkeys(values))
    is_closed = len(choices) <= MAX_CHOICES and len(values) >= MIN_ROWS_PER_CHOICE * len(choices)
    return {"type": "string", "enum": choices} if is_closed else {"type": "string"}


MAX_LABEL_CHARACTERS = 60
_LEAST_ROWS = 10
_LEAST_SHARE_OF_REPEATED = 0.6  # variants make labels rarer than those of a clean file
_RARE_ROWS = 2
_TIMES_AS_FREQUENT = 4  # a misspelling is much rarer than what it stands for
_LEAST_LETTERS = 4  # in short words a letter is a difference: "bill", "ball" is a risk, "no", "so" a certainty


def label_variants(outputs: Sequence[str]) -> dict[str, str]:
    """Return for each variant the label it stands for, the most frequent spelling; empty if outputs are no labels."""
    if not are_labels(outputs):
        return {}
    counts = Counter(output.strip() for output in outputs)
    found: dict[str, str] = {}
    by_form: dict[str, str] = {}
    for label, _ in counts.most_common():
        form = _form(label)
        if form in by_form:
            found[label] = by_form[form]
        else:
            by_form[form] = label
    remaining = [label for label in counts if label not in found]
    for label in remaining:
        if counts[label] <= _RARE_ROWS and (meant := _meant(label, remaining, counts)) is not None:
            found[label] = meant
    return found


def _form(label: str) -> str:
    form = plain(label).replace(" ", "")
    return form.removesuffix("s") if len(form) > _LEAST_LETTERS else form


def _meant(label: str, labels: Sequence[str], counts: Counter[str]) -> str | None:
    near = [
        other
        for other in labels
        if counts[other] >= _TIMES_AS_FREQUENT * counts[label] and is_a_letter_off(plain(label), plain(other))
    ]
    return max(near, key=counts.__getitem__, default=None)


def are_labels(outputs: Sequence[str]) -> bool:
    """Say whether outputs are a closed set of labels, some of them misspelt perhaps."""
    counts = Counter(output.strip() for output in outputs)
    if len(outputs) < _LEAST_ROWS or max(map(len, counts)) > MAX_LABEL_CHARACTERS:
        return False
    return sum(count for count in counts.values() if count > 1) >= _LEAST_SHARE_OF_REPEATED * len(outputs)


def is_a_letter_off(one: str, other: str) -> bool:
    """Say whether two texts differ in one letter: more, less, exchanged, or swapped with its neighbour; no digit."""
    if one == other or min(len(one), len(other)) < _LEAST_LETTERS or abs(len(one) - len(other)) > 1:
        return False
    start = next((at for at, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), None)
    at = min(len(one), len(other)) if start is None else start
    left, right = one[at:], other[at:]
    if any(character.isdigit() for character in (left[:1] + right[:1])):
        return False
    swapped = left[:2] == right[:2][::-1] and left[2:] == right[2:]
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped


# A closed set of labels: short texts, nearly all seen again; the rule of `engine.data.checks`
SHAPE_MAX_LABEL_CHARACTERS = 60
_SHAPE_LEAST_ROWS = 10
_SHAPE_LEAST_SHARE_OF_REPEATED = 0.8
_LEAST_SHARE_OF_JSON = 0.95
_SHORT_CHARACTERS = 80  # of the outputs in the middle; a title, a name, a number, not a summary
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of some outputs, and the labels if they are a closed set."""

    kind: OutputShape
    labels: tuple[str, ...] = ()

    def exact(self, answer: str) -> str:
        """Return what counts of an answer: all of it but blanks at the edges."""
        return answer.strip()

    def generous(self, answer: str) -> str:
        """Return what a patient reader takes from an answer: the first label named, the first line, the JSON in it."""
        match self.kind:
            case OutputShape.LABELS:
                return self._first_label(answer)
            case OutputShape.JSON:
                return _json_in(answer)
            case OutputShape.SHORT_TEXT:
                lines = answer.strip().splitlines() or [""]
                return lines[0].strip().removesuffix(".")
        return answer.strip()

    def _first_label(self, answer: str) -> str:
        by_folded = {label.casefold(): label for label in self.labels}
        longest_first = sorted(by_folded, key=len, reverse=True)
        pattern = "|".join(rf"(?<!\w){re.escape(label)}(?!\w)" for label in longest_first if label)
        found = re.search(pattern, answer.casefold()) if pattern else None
        return by_folded[found.group()] if found else answer.strip()


def shape_of(outputs: Sequence[str]) -> Shape:
    """Return the shape of outputs, best given all that are known."""
    stripped = [output.strip() for output in outputs]
    if sum(_is_object(output) for output in stripped) >= _LEAST_SHARE_OF_JSON * len(stripped) > 0:
        return Shape(OutputShape.JSON)
    if _are_labels(stripped):
        return Shape(OutputShape.LABELS, tuple(sorted(set(stripped))))
    lengths = sorted(map(len, stripped))
    if lengths and lengths[len(lengths) // 2] > _SHORT_CHARACTERS:
        return Shape(OutputShape.LONG_TEXT)
    return Shape(OutputShape.SHORT_TEXT)


def parsed(text: str) -> Any:
    """Return the JSON value of a text, None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _are_labels(outputs: Sequence[str]) -> bool:
    if len(outputs) < _SHAPE_LEAST_ROWS or max(map(len, outputs)) > SHAPE_MAX_LABEL_CHARACTERS:
        return False
    repeated = sum(count for count in Counter(outputs).values() if count > 1)
    return repeated >= _SHAPE_LEAST_SHARE_OF_REPEATED * len(outputs)


def _is_object(text: str) -> bool:
    return text[:1] in ("{", "[") and isinstance(parsed(text), dict | list)


def _json_in(answer: str) -> str:
    fenced = _FENCE.search(answer)
    text = fenced.group(1) if fenced else answer
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text.strip()
