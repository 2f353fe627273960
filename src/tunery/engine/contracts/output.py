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
from typing import Any

from tunery.engine.contracts.json_shapes import separators_of, shape_of_values
from tunery.errors import FailedPrecondition
from tunery.types import AnswerForm

MIN_ROWS = 5
MAX_LABELS = 100
MIN_ROWS_PER_LABEL = 2.0  # on average; fewer look like names or sentences rather than labels
MAX_LABEL_CHARACTERS = 100
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
    if not few or max(map(len, counts)) > MAX_LABEL_CHARACTERS:
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
