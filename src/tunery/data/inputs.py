"""
The prompt contract: how the inputs of a tuned model look, learned from its examples and checked at each call.

A model that was tuned on "question: ... context: ..." answers worse when the labels are missing, and nobody notices.
The contract says in a sentence what the inputs have in common, and of an input what it lacks. Knows texts; no tokens.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from tunery.data.outputs import OutputContract
from tunery.types import InputCheck, PromptDifference, TuningExample

MIN_ROWS = 5  # fewer have too much in common by chance
LENGTH_FACTOR = 3.0  # an input may be so many times as long as the longest, or shorter than the shortest
SLACK_CHARACTERS = 40
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*\s*")
_SHOWN = 60  # characters of a preamble in a sentence


@dataclass(frozen=True, slots=True)
class PromptContract:
    """
    What the inputs have in common; what they do not have in common is empty.

    `shortest` and `longest` are characters of an input without preamble and ending.
    """

    rows: int
    preamble: str = ""
    ending: str = ""
    labels: tuple[str, ...] = ()
    is_ordered: bool = False
    are_numbers: bool = False
    script: str | None = None
    shortest: int = 0
    longest: int = 0

    @classmethod
    def learn(cls, inputs: Sequence[str]) -> PromptContract:
        """Return the contract of these inputs; of fewer than five rows it demands nothing."""
        rows = len(inputs)
        if rows < MIN_ROWS:
            return cls(rows)
        preamble = _preamble(inputs)
        ending = common_ending([_without(text, preamble, "") for text in inputs])
        bodies = [_without(text, preamble, ending) for text in inputs]
        labels = common_labels(bodies)
        scripts = [script_of(body) for body in bodies]
        script = max(set(scripts), key=scripts.count)
        lengths = [len(body) for body in bodies]
        return cls(
            rows=rows,
            preamble=preamble,
            ending=ending,
            labels=labels,
            is_ordered=len(labels) > 1 and has_order(bodies, labels),
            are_numbers=all(_NUMBER.fullmatch(body) for body in bodies),
            script=script if scripts.count(script) >= needed(rows) else None,
            shortest=min(lengths),
            longest=max(lengths),
        )

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> PromptContract:
        """Return the contract that `document` made."""
        return cls(**{**document, "labels": tuple(document["labels"])})

    def document(self) -> dict[str, Any]:
        """Return the contract as plain values."""
        return {**asdict(self), "labels": list(self.labels)}

    def sentence(self) -> str:
        """Return in a sentence what the inputs have in common."""
        parts = list(self._parts())
        if not parts:
            few = f" There are only {self.rows} rows to learn from." if self.rows < MIN_ROWS else ""
            return f"The inputs have no common form.{few}"
        length = f"; {self.shortest:,} to {self.longest:,} characters"
        return f"The inputs {', '.join(parts)}{length}."

    def differences(self, text: str) -> tuple[PromptDifference, ...]:
        """Return what an input has otherwise than the examples, the most important first; empty if nothing."""
        return tuple(self._differences(text))

    def checked(self, text: str, *, wraps: bool = False) -> tuple[str, InputCheck]:
        """Return the text to ask and what was found of an input; `wraps` adds what a plain input lacks."""
        differences = self.differences(text)
        asked = self.wrapped(text) if wraps and differences else text
        return asked, InputCheck(differences, was_wrapped=asked != text)

    def wrapped(self, text: str) -> str:
        """
        Return a plain input with what it lacks: preamble, ending, and its label if the examples have just one.

        With several labels nobody can know what belongs behind which; such an input gets preamble and ending only if
        it has all its labels.
        """
        body = _without(text, self.preamble, self.ending)
        missing = [label for label in self.labels if label not in labels_in(body)]
        if len(self.labels) > 1 and missing:
            return text
        labelled = f"{missing[0]}: {body.lstrip()}" if missing else body
        return f"{self.preamble}{labelled}{self.ending}"

    def _parts(self) -> Iterator[str]:
        if self.preamble:
            yield f"begin with {_quoted(self.preamble)}"
        if self.labels:
            labels = " and ".join(f"{label}:" for label in self.labels)
            yield f"have {labels}" + (" in this order" if self.is_ordered else "")
        if self.ending:
            yield f"end with {_quoted(self.ending)}"
        if self.are_numbers:
            yield "are numbers"
        if self.script:
            yield f"are in {self.script.capitalize()} script"

    def _differences(self, text: str) -> Iterator[PromptDifference]:
        if self.preamble and not _begins(text, self.preamble):
            yield PromptDifference("PREAMBLE", f"the beginning {_quoted(self.preamble)} is missing")
        if self.ending and not _ends(text, self.ending):
            yield PromptDifference("ENDING", f"the ending {_quoted(self.ending)} is missing")
        body = _without(text, self.preamble, self.ending)
        yield from self._label_differences(body)
        if self.are_numbers and not _NUMBER.fullmatch(body):
            yield PromptDifference("FORM", "it is not a number, as all inputs of the examples are")
        script = script_of(body)
        if self.script and script and script != self.script:
            yield PromptDifference("SCRIPT", f"it is in {script.capitalize()} script, not {self.script.capitalize()}")
        yield from self._length_differences(len(body))

    def _label_differences(self, body: str) -> Iterator[PromptDifference]:
        found = labels_in(body)
        spelled = {label.lower(): label for label in found}
        for label in self.labels:
            if label in found:
                continue
            other = spelled.get(label.lower())
            yield PromptDifference("LABEL", f"{label}: is written {other}:" if other else f"{label}: is missing")
        here = [label for label in found if label in self.labels]
        if self.is_ordered and set(here) == set(self.labels) and here != list(self.labels):
            yield PromptDifference("LABEL_ORDER", f"the labels stand in the order {', '.join(here)}")

    def _length_differences(self, length: int) -> Iterator[PromptDifference]:
        if not self.longest:
            return
        if length > LENGTH_FACTOR * self.longest + SLACK_CHARACTERS:
            text = f"it has {length:,} characters; the longest of the examples has {self.longest:,}"
            yield PromptDifference("TOO_LONG", text)
        elif LENGTH_FACTOR * (length + SLACK_CHARACTERS) < self.shortest:
            text = f"it has {length:,} characters; the shortest of the examples has {self.shortest:,}"
            yield PromptDifference("TOO_SHORT", text)


def _preamble(inputs: Sequence[str]) -> str:
    """Return the common beginning without a label at its end, which is a label of the input and no preamble."""
    shared = common_beginning(inputs)
    label = re.search(r"(?:^|\n)[ \t]*[^\W\d_][\w-]*(?: [\w-]+){0,3}:[ \t]*$", shared)
    beginning = shared[: label.start() + shared[label.start() :].startswith("\n")] if label else shared
    return beginning if len(beginning.strip()) >= MIN_FRAME_CHARACTERS else ""


def _begins(text: str, preamble: str) -> bool:
    return _even(text).startswith(_even(preamble))


def _ends(text: str, ending: str) -> bool:
    return _even(text).endswith(_even(ending))


def _without(text: str, preamble: str, ending: str) -> str:
    if preamble and text.startswith(preamble):
        text = text[len(preamble) :]
    if ending and text.endswith(ending):
        text = text[: -len(ending)]
    return text


def _even(text: str) -> str:
    """Return a text with single blanks, so that a line break more or less is no difference."""
    return " ".join(text.split())


def _quoted(text: str) -> str:
    even = _even(text)
    return f'"{even}"' if len(even) <= _SHOWN else f'"{even[:_SHOWN].rstrip()}..."'


TOLERATED = 0.01  # share of rows that may be otherwise: a stray row shall not hide what 199 others have in common
MIN_FRAME_CHARACTERS = 12  # shorter beginnings are shared by chance ("What is ")

# a word before a colon anywhere, as in "question: ... context: ...", or up to four words at the beginning of a line
_LABEL = re.compile(
    r"(?:(?<=\s)|^)([^\W\d_][\w-]{0,29}):(?=\s|$)|^[ \t]*([^\W\d_][\w-]*(?: [\w-]+){1,3}):(?=\s|$)", re.M
)
_URL = ("http", "https", "ftp", "mailto")


def common_beginning(texts: Sequence[str]) -> str:
    """Return with what nearly all texts begin, cut back to the end of a line, a label or a sentence; may be empty."""
    return _cut(_shared(texts))


def common_ending(texts: Sequence[str]) -> str:
    """Return with what nearly all texts end, from the beginning of a line on; may be empty."""
    shared = _shared([text[::-1] for text in texts])[::-1]
    place = shared.find("\n")
    return shared[place:] if place >= 0 and shared[place:].strip() else ""


def labels_in(text: str) -> list[str]:
    """Return the field labels of a text in their order, each once, without their colons."""
    found = (first or line for first, line in _LABEL.findall(text))
    return list(dict.fromkeys(label for label in found if label.lower() not in _URL))


def common_labels(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that nearly all texts have, in the order of the first text that has all of them."""
    rows = [labels_in(text) for text in texts]
    counts = Counter(label for row in rows for label in row)
    common = {label for label, count in counts.items() if count >= needed(len(texts))}
    whole = next((row for row in rows if common <= set(row)), [])
    return tuple(label for label in whole if label in common)


def has_order(texts: Sequence[str], labels: Sequence[str]) -> bool:
    """Say whether nearly all texts have these labels in this order."""
    orders = [[label for label in labels_in(text) if label in labels] for text in texts]
    return sum(order == list(labels) for order in orders) >= needed(len(texts))


def script_of(text: str) -> str | None:
    """Return the script of most letters of a text, as Unicode names it ("LATIN"); None without letters."""
    counts = Counter(_script(character) for character in text if character.isalpha())
    return counts.most_common(1)[0][0] if counts else None


def needed(rows: int) -> int:
    """Return how many of so many rows are nearly all."""
    return rows - int(rows * TOLERATED)


def _script(character: str) -> str:
    return unicodedata.name(character, "UNKNOWN").split(" ", 1)[0]


def _shared(texts: Sequence[str]) -> str:
    """Return the longest beginning that nearly all texts share: neighbours in order share most."""
    ordered, many = sorted(texts), needed(len(texts))
    windows = range(len(ordered) - many + 1)
    return max((_beginning(ordered[at], ordered[at + many - 1]) for at in windows), key=len, default="")


def _beginning(one: str, other: str) -> str:
    """Return with what two texts begin alike."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return one[: sum(1 for _ in same)]


def _cut(beginning: str) -> str:
    ends = [match.end() for match in re.finditer(r"\n+|:[ \t]*|[.!?;][ \t]+", beginning)]
    return beginning[: ends[-1]] if ends else ""


OLD_FILE = "contracts.json"
_PROMPT, _OUTPUT = "prompt_contract", "output_contract"


@dataclass(frozen=True, slots=True)
class Contracts:
    """How the inputs of a tuned model look, and what its outputs are."""

    prompt: PromptContract
    output: OutputContract

    @classmethod
    def learn(cls, examples: Sequence[TuningExample]) -> Contracts:
        """Return the contracts of these examples."""
        prompt = PromptContract.learn([example.text_input for example in examples])
        return cls(prompt, OutputContract.learn([example.output for example in examples]))

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Contracts | None:
        """Return the contracts in a document that may hold much else, None if there are none in it."""
        if document.get(_PROMPT) is None:
            return None
        return cls(PromptContract.read(document[_PROMPT]), OutputContract.read(document[_OUTPUT]))

    def document(self) -> dict[str, Any]:
        """Return both as plain values, each with its sentence."""
        return {
            _PROMPT: self.prompt.document(),
            "prompt_sentence": self.prompt.sentence(),
            _OUTPUT: self.output.document(),
            "output_sentence": self.output.sentence(),
        }


def read_contracts(folder: Path) -> Contracts | None:
    """Return the contracts beside an adapter that was saved before there were cards, None if there are none."""
    path = folder / OLD_FILE
    return Contracts.of_document(json.loads(path.read_text("utf-8"))) if path.is_file() else None
