"""
The prompt contract: how the inputs of a tuned model look, learned from its examples and checked at each call.

A model that was tuned on "question: ... context: ..." answers worse when the labels are missing, and nobody notices.
The contract says in a sentence what the inputs have in common, and of an input what it lacks. Knows texts; no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tunery.engine.contracts import commons
from tunery.types import InputCheck, PromptDifference

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
        ending = commons.common_ending([_without(text, preamble, "") for text in inputs])
        bodies = [_without(text, preamble, ending) for text in inputs]
        labels = commons.common_labels(bodies)
        scripts = [commons.script_of(body) for body in bodies]
        script = max(set(scripts), key=scripts.count)
        lengths = [len(body) for body in bodies]
        return cls(
            rows=rows,
            preamble=preamble,
            ending=ending,
            labels=labels,
            is_ordered=len(labels) > 1 and commons.has_order(bodies, labels),
            are_numbers=all(_NUMBER.fullmatch(body) for body in bodies),
            script=script if scripts.count(script) >= commons.needed(rows) else None,
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
        missing = [label for label in self.labels if label not in commons.labels_in(body)]
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
        script = commons.script_of(body)
        if self.script and script and script != self.script:
            yield PromptDifference("SCRIPT", f"it is in {script.capitalize()} script, not {self.script.capitalize()}")
        yield from self._length_differences(len(body))

    def _label_differences(self, body: str) -> Iterator[PromptDifference]:
        found = commons.labels_in(body)
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
    shared = commons.common_beginning(inputs)
    label = re.search(r"(?:^|\n)[ \t]*[^\W\d_][\w-]*(?: [\w-]+){0,3}:[ \t]*$", shared)
    beginning = shared[: label.start() + shared[label.start() :].startswith("\n")] if label else shared
    return beginning if len(beginning.strip()) >= commons.MIN_FRAME_CHARACTERS else ""


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
