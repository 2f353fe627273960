"""
What the inputs of a data set have in common, and which inputs are nearly the same.

A model tuned on "question: ... context: ..." answers worse when a caller leaves the labels out, and nobody notices.
`PromptContract` learns the format from the examples and reports how an input differs from it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from tunery.types import InputCheck, PromptDifference

MIN_ROWS = 5  # with fewer rows, too much is shared by chance
MIN_PREAMBLE_CHARACTERS = 12  # shorter beginnings are shared by chance ("What is ")
MIN_OPEN_CHARACTERS = 20  # for a preamble that ends within a sentence
TOLERATED = 0.01  # share of rows that may differ, so that one stray row does not hide what 199 others have in common
LENGTH_FACTOR = 3.0  # an input may be three times the longest, or a third of the shortest
SLACK_CHARACTERS = 40
LEAST_LIKENESS = 0.85  # two texts of 20 words that differ in one word share 0.86 of their words and word pairs
MAX_COMPARED = 4_000  # comparing 4,000 takes 1 s and 130 MB; with more, only `plain` forms are compared

_SHOWN_CHARACTERS = 60
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*\s*")
# a word before a colon anywhere, as in "question: ... context: ...", or up to four words at the beginning of a line
_LABEL = re.compile(
    r"(?:(?<=\s)|^)([^\W\d_][\w-]{0,29}):(?=\s|$)|^[ \t]*([^\W\d_][\w-]*(?: [\w-]+){1,3}):(?=\s|$)", re.M
)
_LAST_LABEL = re.compile(r"(?:^|\n)[ \t]*[^\W\d_][\w-]*(?: [\w-]+){0,3}:[ \t]*$")
_URL = ("http", "https", "ftp", "mailto")
_JOINERS = "\u200c\u200d"
_SELECTORS = "\ufe0e\ufe0f"  # selects the text or emoji form of the character before it
# characters that do not change the meaning; a sign before a digit, a decimal point and + * / = % do change it
_SOFT = re.compile(r"""(?:[\s_!?;:'"()\[\]{}…–—«»„“”‘’]|[.,](?!\d)|-(?!\d))+""")


@dataclass(frozen=True, slots=True)
class PromptContract:
    """
    What the inputs have in common; a field is empty if they have nothing of that kind in common.

    `shortest` and `longest` count characters without preamble and ending.
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
        """Return the contract of these inputs; it is empty for fewer than MIN_ROWS."""
        rows = len(inputs)
        if rows < MIN_ROWS:
            return cls(rows)
        preamble = common_preamble(inputs)
        ending = _common_ending([_without(text, preamble, "") for text in inputs])
        bodies = [_without(text, preamble, ending) for text in inputs]
        labels = _common_labels(bodies)
        scripts = [_script_of(body) for body in bodies]
        script = max(set(scripts), key=scripts.count)
        lengths = [len(body) for body in bodies]
        return cls(
            rows=rows,
            preamble=preamble,
            ending=ending,
            labels=labels,
            is_ordered=len(labels) > 1 and _has_order(bodies, labels),
            are_numbers=all(_NUMBER.fullmatch(body) for body in bodies),
            script=script if scripts.count(script) >= _nearly_all(rows) else None,
            shortest=min(lengths),
            longest=max(lengths),
        )

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> PromptContract:
        """Return the contract from what `document` returned."""
        return cls(**{**document, "labels": tuple(document["labels"])})

    def document(self) -> dict[str, Any]:
        """Return the contract as plain values."""
        return {**asdict(self), "labels": list(self.labels)}

    @property
    def beginning(self) -> str:
        """
        The text to put before a plain input so that it looks like the examples; empty if they have no common beginning.
        """
        return self.wrapped("").removesuffix(self.ending) or self.preamble

    def sentence(self) -> str:
        """Describe in one sentence what the inputs have in common."""
        parts = list(self._parts())
        if not parts:
            few = f" There are only {self.rows} rows to learn from." if self.rows < MIN_ROWS else ""
            return f"The inputs have no common format.{few}"
        length = f"; {self.shortest:,} to {self.longest:,} characters"
        return f"The inputs {', '.join(parts)}{length}."

    def differences(self, text: str) -> tuple[PromptDifference, ...]:
        """Return how an input differs from the examples, the most important difference first."""
        return tuple(self._differences(text))

    def checked(self, text: str, *, wraps: bool = False) -> tuple[str, InputCheck]:
        """
        Return the text to send to the model and the check of the input; with `wraps`, missing parts of a plain input
        are added.
        """
        differences = self.differences(text)
        prompt = self.wrapped(text) if wraps and differences else text
        return prompt, InputCheck(differences, was_wrapped=prompt != text)

    def wrapped(self, text: str) -> str:
        """
        Return a plain input with the preamble, the ending, and the label if the examples have exactly one.

        With several labels, there is no way to tell which text belongs after which, so such an input gets the preamble
        and the ending only if it has all its labels.
        """
        body = _without(text, self.preamble, self.ending)
        missing = [label for label in self.labels if label not in _labels_in(body)]
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
        if self.preamble and not _even(text).startswith(_even(self.preamble)):
            yield PromptDifference("PREAMBLE", f"the beginning {_quoted(self.preamble)} is missing")
        if self.ending and not _even(text).endswith(_even(self.ending)):
            yield PromptDifference("ENDING", f"the ending {_quoted(self.ending)} is missing")
        body = _without(text, self.preamble, self.ending)
        yield from self._label_differences(body)
        if self.are_numbers and not _NUMBER.fullmatch(body):
            yield PromptDifference("FORM", "it is not a number; all example inputs are")
        script = _script_of(body)
        if self.script and script and script != self.script:
            yield PromptDifference("SCRIPT", f"it is in {script.capitalize()} script, not {self.script.capitalize()}")
        yield from self._length_differences(len(body))

    def _label_differences(self, body: str) -> Iterator[PromptDifference]:
        found = _labels_in(body)
        spelled = {label.lower(): label for label in found}
        for label in self.labels:
            if label in found:
                continue
            other = spelled.get(label.lower())
            yield PromptDifference("LABEL", f"{label}: is written {other}:" if other else f"{label}: is missing")
        here = [label for label in found if label in self.labels]
        if self.is_ordered and set(here) == set(self.labels) and here != list(self.labels):
            yield PromptDifference("LABEL_ORDER", f"the labels come in the order {', '.join(here)}")

    def _length_differences(self, length: int) -> Iterator[PromptDifference]:
        if not self.longest:
            return
        if length > LENGTH_FACTOR * self.longest + SLACK_CHARACTERS:
            text = f"it has {length:,} characters; the longest example has {self.longest:,}"
            yield PromptDifference("TOO_LONG", text)
        elif LENGTH_FACTOR * (length + SLACK_CHARACTERS) < self.shortest:
            text = f"it has {length:,} characters; the shortest example has {self.shortest:,}"
            yield PromptDifference("TOO_SHORT", text)


def common_preamble(texts: Sequence[str]) -> str:
    """
    Return the instructions that nearly all texts begin with; empty if there are none.

    They are cut back to the end of a line, a label or a sentence, or, if there is none and they are long, to the last
    space. A label
    at the end belongs to the input, not to the preamble.
    """
    shared = _cut(_shared(texts))
    label = _LAST_LABEL.search(shared)
    preamble = shared[: label.start() + shared[label.start() :].startswith("\n")] if label else shared
    return preamble if len(preamble.strip()) >= MIN_PREAMBLE_CHARACTERS else ""


def plain(text: str) -> str:
    """Return the visible text in lower case, with single spaces for whitespace and meaningless punctuation."""
    return _SOFT.sub(" ", visible(text).casefold()).strip()


def visible(text: str) -> str:
    """
    Return a text without invisible characters, and with a single form for characters that look alike.

    That is Unicode's composed form, ordinary letters for full-width ones, and spaces for no-break spaces.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", text.translate(_SEEN))


def is_invisible(character: str) -> bool:
    """
    Return whether a character is invisible; joiners of letters and emoji are not, because they change how these look.
    """
    return character in _SELECTORS or (unicodedata.category(character) == "Cf" and character not in _JOINERS)


class _Seen(dict[int, str]):
    """The visible form of each character; the first two planes are cached."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        form = unicodedata.decomposition(character).split(" ", 1)[0]
        if form in ("<wide>", "<narrow>", "<noBreak>"):
            seen = unicodedata.normalize("NFKC", character)
        else:
            seen = "" if is_invisible(character) else character
        if code < 0x20000:
            self[code] = seen
        return seen


_SEEN = _Seen()


def alike(texts: Sequence[str], among: int | None = None) -> Iterator[tuple[int, int, float]]:
    """
    Yield (later index, earlier index, likeness 0.85 to 1) for nearly equal texts, with the nearest earlier text.

    With `among` only the first `among` texts count as earlier ones. A common preamble is ignored.
    """
    preamble = common_preamble(texts)
    forms = [plain(text.removeprefix(preamble) or text) for text in texts]
    first: dict[str, int] = {}
    nearest: dict[int, tuple[int, float]] = {}
    different: list[int] = []
    for index, form in enumerate(forms):
        if form and form in first:
            nearest[index] = (first[form], 1.0)
        elif form:
            different.append(index)
            if among is None or index < among:
                first[form] = index
    if len(different) <= MAX_COMPARED:
        known = None if among is None else sum(index < among for index in different)
        for later, earlier, likeness in _sharing_words([forms[index] for index in different], known):
            nearest[different[later]] = (different[earlier], likeness)
    for index in sorted(nearest):
        yield index, *nearest[index]


def _sharing_words(forms: Sequence[str], among: int | None) -> Iterator[tuple[int, int, float]]:
    import numpy as np

    table = _words_and_pairs(forms)  # (texts, words and word pairs), 0 or 1
    if table is None:
        return
    sizes = np.asarray(table.sum(axis=1)).ravel()
    shared = (table @ table.T).tocoo()
    later, earlier = shared.row, shared.col
    likeness = shared.data / np.maximum(sizes[later] + sizes[earlier] - shared.data, 1)
    chosen = (later > earlier) & (likeness >= LEAST_LIKENESS)
    if among is not None:
        chosen &= (earlier < among) & (later >= among)
    numbers = [sorted(word for word in form.split() if any(map(str.isdigit, word))) for form in forms]
    best: dict[int, tuple[float, int]] = {}
    for row, column, value in zip(later[chosen], earlier[chosen], likeness[chosen], strict=True):
        if numbers[row] == numbers[column]:  # a different number makes it a different question
            best[int(row)] = max(best.get(int(row), (0.0, 0)), (float(value), int(column)))
    for row in sorted(best):
        yield row, best[row][1], best[row][0]


def _words_and_pairs(forms: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        return CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=r"\S+").fit_transform(forms)
    except ValueError:  # there is no word in any text
        return None


def _without(text: str, preamble: str, ending: str) -> str:
    return text.removeprefix(preamble).removesuffix(ending)


def _even(text: str) -> str:
    """Return a text with single spaces, so that an extra line break makes no difference."""
    return " ".join(text.split())


def _quoted(text: str) -> str:
    even = _even(text)
    return f'"{even}"' if len(even) <= _SHOWN_CHARACTERS else f'"{even[:_SHOWN_CHARACTERS].rstrip()}..."'


def _common_ending(texts: Sequence[str]) -> str:
    """Return the ending of nearly all texts, starting at the beginning of a line."""
    shared = _shared([text[::-1] for text in texts])[::-1]
    start = shared.find("\n")
    return shared[start:] if start >= 0 and shared[start:].strip() else ""


def _labels_in(text: str) -> list[str]:
    """Return the field labels of a text in order, each once, without colons."""
    found = (first or line for first, line in _LABEL.findall(text))
    return list(dict.fromkeys(label for label in found if label.lower() not in _URL))


def _common_labels(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that nearly all texts have, in the order of the first text that has them all."""
    rows = [_labels_in(text) for text in texts]
    counts = Counter(label for row in rows for label in row)
    common = {label for label, count in counts.items() if count >= _nearly_all(len(texts))}
    complete = next((row for row in rows if common <= set(row)), [])
    return tuple(label for label in complete if label in common)


def _has_order(texts: Sequence[str], labels: Sequence[str]) -> bool:
    orders = [[label for label in _labels_in(text) if label in labels] for text in texts]
    return sum(order == list(labels) for order in orders) >= _nearly_all(len(texts))


def _script_of(text: str) -> str | None:
    """Return the Unicode name of the script of most letters ("LATIN"), None if there are no letters."""
    names = (unicodedata.name(letter, "UNKNOWN").split(" ", 1)[0] for letter in text if letter.isalpha())
    counts = Counter(names)
    return counts.most_common(1)[0][0] if counts else None


def _nearly_all(rows: int) -> int:
    return rows - int(rows * TOLERATED)


def _shared(texts: Sequence[str]) -> str:
    """Return the longest beginning that nearly all texts share; in sorted order, neighbours share the most."""
    ordered, many = sorted(texts), _nearly_all(len(texts))
    windows = range(len(ordered) - many + 1) if ordered else ()
    return max((_beginning(ordered[at], ordered[at + many - 1]) for at in windows), key=len, default="")


def _beginning(one: str, other: str) -> str:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return one[: sum(1 for _ in same)]


def _cut(beginning: str) -> str:
    ends = [match.end() for match in re.finditer(r"\n+|:[ \t]*|[.!?;][ \t]+", beginning)]
    if ends:
        return beginning[: ends[-1]]
    last_blank = beginning.rfind(" ") + 1
    return beginning[:last_blank] if last_blank >= MIN_OPEN_CHARACTERS else ""
