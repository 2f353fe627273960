"""
What the outputs of a data set are: labels, JSON, numbers or text.

`output_kind` is the only rule for this; warnings, scoring and the output contract follow it. The output contract is the
format to which answers can be constrained on request.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tunery.data.inputs import PromptContract, is_invisible, plain, visible
from tunery.errors import DataProblem, FailedPrecondition, Level
from tunery.types import RECOMMENDED_EXAMPLES, AnswerForm, TuningExample

MIN_ROWS = 5
MAX_LABELS = 100
MAX_LABEL_CHARACTERS = 100
MIN_REPEATED_SHARE = 0.8  # share of the rows; chosen on TREC-6, tickets and headlines
MIN_JSON_SHARE = 0.95  # share of the rows; a model that answers in JSON is scored as such in spite of a broken row

OWN_LABEL_CHARACTERS = 400  # 100 tokens; with the default base half a second of CPU time for an answer

MAX_CHOICES = 20  # different values of a string inside JSON outputs
MIN_ROWS_PER_CHOICE = 3.0
OLD_FILE = "contracts.json"

_SHOWN = 8
_RARE_ROWS = 2
_TIMES_AS_FREQUENT = 4  # a misspelling is much rarer than the label it stands for
_MIN_LETTERS = 4  # in short words, one letter makes a different word: "bill" and "ball", "no" and "so"
_DATES = {
    "YYYY-MM-DD": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    "DD.MM.YYYY": r"(0[1-9]|[12][0-9]|3[01])\.(0[1-9]|1[0-2])\.[0-9]{4}",
    "MM/DD/YYYY": r"(0[1-9]|1[0-2])/(0[1-9]|[12][0-9]|3[01])/[0-9]{4}",
    "DD/MM/YYYY": r"(0[1-9]|[12][0-9]|3[01])/(0[1-9]|1[0-2])/[0-9]{4}",
}
_INTEGER = r"-?(0|[1-9][0-9]*)"
_DECIMAL = r"-?(0|[1-9][0-9]*)\.[0-9]+"
_NUMBERS = (_INTEGER, _DECIMAL, f"({_INTEGER}|{_DECIMAL})")
_JSON_STYLES = ((", ", ": "), (",", ":"))  # the separators between items and after keys
_PROMPT, _OUTPUT = "prompt_contract", "output_contract"


class OutputKind(StrEnum):
    """What the outputs of a data set are."""

    LABELS = "LABELS"  # a closed set of short texts
    JSON = "JSON"  # objects or arrays
    NUMBER = "NUMBER"
    TEXT = "TEXT"


def output_kind(outputs: Sequence[str]) -> OutputKind:
    """
    Return what these outputs are; the more outputs are given, the better the result.

    Labels: at least MIN_ROWS rows, at most MAX_LABELS different texts of at most MAX_LABEL_CHARACTERS, and
    MIN_REPEATED_SHARE of the rows have a label that occurs again, ignoring case and punctuation.
    """
    stripped = [output.strip() for output in outputs]
    if sum(map(_is_json, stripped)) >= MIN_JSON_SHARE * len(stripped) > 0:
        return OutputKind.JSON
    if _are_labels(stripped):
        return OutputKind.LABELS
    if stripped and any(all(re.fullmatch(pattern, output) for output in stripped) for pattern in _NUMBERS):
        return OutputKind.NUMBER
    return OutputKind.TEXT


# From Google's page "Intro to model tuning"
RECOMMENDED_ROWS = {"classification": "100+", "summarization": "100-500+", "document search": "100+"}
_LONG_OUTPUT_CHARACTERS = 80  # of the median output: a summary, not a name


@dataclass(frozen=True, slots=True)
class RowsAndLabels:
    """What tunery says about the rows before tuning, everywhere in the same words."""

    advice: str  # how many rows there are, and how many usually give good results
    labels: tuple[tuple[str, int], ...]  # with their rows, most frequent first; empty if the outputs are not labels
    problems: tuple[DataProblem, ...]  # labels that only one of the two parts has


def rows_and_labels(examples: Sequence[TuningExample], held_out: Sequence[TuningExample] = ()) -> RowsAndLabels:
    """Return what to say about the rows to tune on and those held out."""
    used, kept = (Counter(row.output.strip() for row in rows) for rows in (examples, held_out))
    outputs = list((used + kept).elements())
    kind = output_kind(outputs)
    if kind is not OutputKind.LABELS:
        return RowsAndLabels(_rows_advice(kind, outputs), (), ())
    lacking = [label for label in used if label not in kept] if held_out else []
    unlearned = [label for label in kept if label not in used]
    problems = [
        *_lacking("not-held-out", lacking, "No held-out row has {}, so the verdict says nothing about it."),
        *_lacking("only-held-out", unlearned, "No row to tune on has {}: the rows with it are all held out."),
    ]
    return RowsAndLabels(_rows_advice(kind, outputs), tuple((used + kept).most_common()), tuple(problems))


def _lacking(kind: str, labels: Sequence[str], sentence: str) -> list[DataProblem]:
    if not labels:
        return []
    named = ", ".join(map(repr, labels[:_SHOWN])) + (f" and {len(labels) - _SHOWN} more" * (len(labels) > _SHOWN))
    what = f"the output {named}" if len(labels) == 1 else f"one of the outputs {named}"
    return [DataProblem(kind, sentence.format(what), Level.WARNING, actual=len(labels))]


def _rows_advice(kind: OutputKind, outputs: Sequence[str]) -> str:
    """Return the number of rows, and the number that Google's page recommends for such a task."""
    rows = f"{len(outputs):,} row{'s' * (len(outputs) != 1)}"
    if len(outputs) < RECOMMENDED_EXAMPLES:
        return f"{rows}; results are rarely good with fewer than {RECOMMENDED_EXAMPLES}."
    is_long = kind is OutputKind.TEXT and sorted(map(len, outputs))[len(outputs) // 2] > _LONG_OUTPUT_CHARACTERS
    task = "summarization" if is_long else "classification" if kind is OutputKind.LABELS else ""
    usual = RECOMMENDED_ROWS[task or "document search"]
    return f"{rows}; {usual} usually give good results{f' in {task}' if task else ''}."


def _are_labels(outputs: Sequence[str]) -> bool:
    labels = set(outputs)
    if len(outputs) < MIN_ROWS or len(labels) > MAX_LABELS or max(map(len, labels)) > MAX_LABEL_CHARACTERS:
        return False
    repeated = sum(count for count in Counter(map(_normalized, outputs)).values() if count > 1)
    return repeated >= MIN_REPEATED_SHARE * len(outputs)


def _is_json(text: str) -> bool:
    return text[:1] in ("{", "[") and isinstance(parsed(text), dict | list)


def parsed(text: str) -> Any:
    """Return the JSON value of a text, None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def label_variants(outputs: Sequence[str]) -> dict[str, str]:
    """Map each misspelt or differently written label to its most frequent spelling; empty if these are not labels."""
    if output_kind(outputs) is not OutputKind.LABELS:
        return {}
    counts = Counter(output.strip() for output in outputs)
    found: dict[str, str] = {}
    by_normalized: dict[str, str] = {}
    for label, _ in counts.most_common():
        normalized = _normalized(label)
        if normalized in by_normalized:
            found[label] = by_normalized[normalized]
        else:
            by_normalized[normalized] = label
    remaining = [label for label in counts if label not in found]
    for label in remaining:
        if counts[label] <= _RARE_ROWS and (meant := _meant(label, remaining, counts)) is not None:
            found[label] = meant
    return found


def difference(label: str, meant: str) -> str:
    """Return how a label differs from the intended one, as the end of a sentence."""
    hidden = [letter for letter in label + meant if is_invisible(letter)]
    if visible(label) != visible(meant):
        return f"is probably another spelling of {meant!r}"
    if hidden:
        names = ", ".join(dict.fromkeys(f"U+{ord(letter):04X}" for letter in hidden))
        return f"differs from {meant!r} only in an invisible character ({names})"
    return f"looks like {meant!r} but is written with other characters"


def _normalized(label: str) -> str:
    """Return a label in lower case, without punctuation, spaces and the plural s."""
    letters = plain(label).replace(" ", "") or label
    return letters.removesuffix("s") if len(letters) > _MIN_LETTERS else letters


def _meant(label: str, labels: Sequence[str], counts: Counter[str]) -> str | None:
    near = [
        other
        for other in labels
        if counts[other] >= _TIMES_AS_FREQUENT * counts[label] and is_a_letter_off(plain(label), plain(other))
    ]
    return max(near, key=counts.__getitem__, default=None)


def is_a_letter_off(one: str, other: str) -> bool:
    """Return whether two texts differ in one letter: added, missing, replaced, or two swapped; digits do not count."""
    if one == other or min(len(one), len(other)) < _MIN_LETTERS or abs(len(one) - len(other)) > 1:
        return False
    start = next((at for at, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), None)
    at = min(len(one), len(other)) if start is None else start
    left, right = one[at:], other[at:]
    if any(character.isdigit() for character in (left[:1] + right[:1])):
        return False
    swapped = left[:2] == right[:2][::-1] and left[2:] == right[2:]
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or swapped


@dataclass(frozen=True, slots=True)
class OutputContract:
    """
    The format of the outputs, to which answers can be constrained.

    `kind` is LABELS, NUMBER, DATE, JSON or TEXT. `labels` are ordered by frequency; `pattern` describes numbers and
    dates, `json_schema` JSON; `name` is the format of a date.
    """

    kind: str
    rows: int
    labels: tuple[str, ...] = ()
    pattern: str | None = None
    json_schema: dict[str, Any] | None = None
    name: str | None = None

    @classmethod
    def learn(cls, outputs: Sequence[str]) -> OutputContract:
        """Return the contract of these outputs, which all of them satisfy."""
        rows = len(outputs)
        if rows < MIN_ROWS:
            return cls("TEXT", rows)
        match output_kind(outputs):
            case OutputKind.LABELS:
                return cls("LABELS", rows, labels=tuple(label for label, _ in Counter(outputs).most_common()))
            case OutputKind.JSON if (schema := _json_schema(outputs)) is not None:
                return cls("JSON", rows, json_schema=schema)
        for kind, patterns in (("DATE", _DATES), ("NUMBER", dict.fromkeys(_NUMBERS))):
            for name in patterns:
                pattern = patterns[name] or name
                if all(re.fullmatch(pattern, output) for output in outputs):
                    return cls(kind, rows, pattern=pattern, name=name if kind == "DATE" else None)
        return cls("TEXT", rows)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> OutputContract:
        """Return the contract that `document` wrote."""
        return cls(**{**document, "labels": tuple(document["labels"])})

    def document(self) -> dict[str, Any]:
        """Return the contract as plain values."""
        return {**asdict(self), "labels": list(self.labels)}

    def sentence(self) -> str:
        """Describe the outputs in one sentence."""
        if self.kind == "LABELS":
            more = f" and {len(self.labels) - _SHOWN} more" if len(self.labels) > _SHOWN else ""
            shown = (label if label == label.strip() else repr(label) for label in self.labels[:_SHOWN])
            return f"The outputs are one of {len(self.labels)} labels: {', '.join(shown)}{more}."
        if self.kind == "JSON":
            keys = list((self.json_schema or {}).get("properties", {}))
            return f"The outputs are JSON with {', '.join(keys)}." if keys else "The outputs are JSON."
        words = {"NUMBER": "numbers", "DATE": f"dates as {self.name}", "TEXT": "free text"}
        return f"The outputs are {words[self.kind]}."

    def form(self) -> AnswerForm | None:
        """Return the constraint for answers, None for free text."""
        if self.kind == "TEXT":
            return None
        schema = None if self.json_schema is None else json.dumps(self.json_schema)
        return AnswerForm(labels=self.labels, pattern=self.pattern, json_schema=schema)

    def own_form(self) -> AnswerForm | None:
        """
        Return the default constraint, which is one of the labels; None for other outputs.

        Labels with more than OWN_LABEL_CHARACTERS are drawn token by token instead of scored, which takes as long as
        free text.
        """
        if self.kind != "LABELS" or not all(self.labels):
            return None
        if sum(map(len, self.labels)) > OWN_LABEL_CHARACTERS:
            return AnswerForm(pattern="|".join(map(re.escape, self.labels)), is_own=True)
        return AnswerForm(labels=self.labels, is_own=True)

    def closed_form(self) -> AnswerForm:
        """Return the constraint for answers; raises FailedPrecondition for free text."""
        form = self.form()
        if form is None:
            raise FailedPrecondition("This model was tuned on free text, so its answers cannot be constrained.")
        return form


def _json_schema(outputs: Sequence[str]) -> dict[str, Any] | None:
    """Return a schema that all outputs satisfy; None if one of them is not JSON."""
    values = [parsed(output) for output in outputs]
    if not all(isinstance(value, dict | list) for value in values):
        return None
    return {**shape_of_values(values), "x-guidance": separators_of(outputs, values)}


def shape_of_values(values: Sequence[Any]) -> dict[str, Any]:
    """Return a JSON schema that all these values satisfy; at least one value is needed."""
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
    """Return llguidance's options for the layout of these values: on one line with or without spaces, or any layout."""
    for item, key in _JSON_STYLES:
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


@dataclass(frozen=True, slots=True)
class Contracts:
    """The prompt contract and the output contract of a tuned model."""

    prompt: PromptContract
    output: OutputContract

    @classmethod
    def learn(cls, examples: Sequence[TuningExample]) -> Contracts:
        """Return the contracts of these examples."""
        prompt = PromptContract.learn([example.text_input for example in examples])
        return cls(prompt, OutputContract.learn([example.output for example in examples]))

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Contracts | None:
        """Return the contracts in a document that may contain much else, None if there are none."""
        if document.get(_PROMPT) is None:
            return None
        return cls(PromptContract.read(document[_PROMPT]), OutputContract.read(document[_OUTPUT]))

    def document(self) -> dict[str, Any]:
        """Return both as plain values, each with its description."""
        return {
            _PROMPT: self.prompt.document(),
            "prompt_sentence": self.prompt.sentence(),
            _OUTPUT: self.output.document(),
            "output_sentence": self.output.sentence(),
        }


def read_contracts(folder: Path) -> Contracts | None:
    """Return the contracts that were saved next to an adapter before model cards existed, None if there are none."""
    path = folder / OLD_FILE
    return Contracts.of_document(json.loads(path.read_text("utf-8"))) if path.is_file() else None
