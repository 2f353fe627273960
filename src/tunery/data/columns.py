"""
Decides which columns are the input and the output, by their names and their content.

A guess that could be wrong becomes a warning; columns named by the caller are never overruled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from statistics import fmean
from typing import TypeVar

from tunery.data.inputs import visible
from tunery.data.outputs import OutputKind, output_kind
from tunery.data.tables import Cell, Row, Table, invalid, listed, warning
from tunery.errors import DataProblem, DatasetInvalid, Level


@dataclass(frozen=True, slots=True)
class Mapping:
    """Positions of the columns used; `is_guessed` if neither their names nor the caller decided."""

    inputs: tuple[int, ...]
    output: int
    ignored: tuple[int, ...]
    is_guessed: bool = False
    is_given: bool = False  # the caller named the inputs


class Content(StrEnum):
    """The kinds of content of a column; the values say why a column is not used."""

    ROW_NUMBERS = "row numbers"
    IDS = "ids"
    ADDRESSES = "addresses"
    NAMES = "names"
    TIMES = "dates"
    CONSTANT = "always the same"
    EMPTY = "empty"
    NUMBERS = "numbers"
    LABELS = "labels"
    TEXT = "text"


def suggest(columns: Sequence[str], rows: Sequence[Row] = ()) -> Mapping | None:
    """Suggest how to use the columns, by name, else by content, else by position; None for fewer than two columns."""
    return None if len(columns) < 2 else _Choice(columns, rows).mapping()


def choose(table: Table, input_column: str | Sequence[str] | None = None, output_column: str | None = None) -> Mapping:
    """
    Return the columns to use: those named by the caller, and the rest from `suggest`.

    Raises DatasetInvalid when there is no row, only one column, or no column of a given name.
    """
    is_broken = any(problem.level is Level.ERROR for problem in table.problems)
    if is_broken and (not table.rows or len(table.columns) < 2):
        raise DatasetInvalid("None of the rows can be read.")  # the problems of the table explain why
    if not table.columns or not table.rows:
        what = "There is only a header and no rows." if table.has_header and table.columns else "There are no rows."
        raise invalid("no-rows", f"{what} Each row needs an input and an output.")
    suggested = _suggested(table)
    if suggested is None:
        raise invalid(
            "one-column", f"There is only one column, {table.columns[0]!r}. An input and an output are needed."
        )
    inputs = None if input_column is None else column_positions(table.columns, input_column)
    output = None if output_column is None else column_positions(table.columns, output_column)[0]
    if inputs is None and output is None:
        mapping = suggested
    else:
        mapping = _complete(table.columns, suggested, inputs, output)
    _refuse_doubles(table.columns, mapping)
    return mapping


def _suggested(table: Table) -> Mapping | None:
    """Suggest how to use the columns that a sheet shows; hidden ones only if fewer than two are visible."""
    shown = [place for place in range(len(table.columns)) if place not in table.hidden]
    if len(shown) < 2:
        return suggest(table.columns, table.rows)
    rows = (
        [Row(row.number, tuple(row.cells[place] for place in shown)) for row in table.rows]
        if table.hidden
        else table.rows
    )
    found = suggest([table.columns[place] for place in shown], rows)
    if found is None:
        return None
    return _mapping(table.columns, tuple(shown[place] for place in found.inputs), shown[found.output], found.is_guessed)


def mapping_notes(table: Table, mapping: Mapping) -> list[DataProblem]:
    """Return warnings about guessed and unused columns."""
    names = table.columns
    hidden = [names[place] for place in (*mapping.inputs, mapping.output) if place in table.hidden]
    notes = [warning("hidden-column", f"{name!r} is hidden in the sheet, but used.", column=name) for name in hidden]
    contents = column_contents(table)
    if systems := [names[place] for place in mapping.inputs if is_system(names[place]) and len(mapping.inputs) > 1]:
        notes.append(warning("system-text", "goes before the input, followed by an empty line.", column=systems[0]))
    notes += _missed_text(table, mapping, contents)
    if not mapping.is_given and {contents[place] for place in mapping.inputs} == {Content.TIMES}:
        message = f"The input {names[mapping.inputs[0]]!r} has only dates, from which a model learns little."
        notes.append(warning("guessed-columns", message, option="input_column"))
    if mapping.is_guessed and (len(names) > 2 or mapping.output < mapping.inputs[0]):
        inputs = " and ".join(repr(names[position]) for position in mapping.inputs)
        message = f"Using column {inputs} as input and {names[mapping.output]!r} as output; this is a guess."
        notes.append(warning("guessed-columns", message, option="input_column"))
    if mapping.ignored:
        ignored = [
            f"{names[place]!r} (hidden)" if place in table.hidden else _with_content(names[place], contents[place])
            for place in mapping.ignored
        ]
        more = len(ignored) - _NAMES_IN_MESSAGE
        rest = f" and {more:,} more" if more > 0 else ""
        notes.append(warning("ignored-columns", f"Not used: {', '.join(ignored[:_NAMES_IN_MESSAGE])}{rest}."))
    return notes


def _missed_text(table: Table, mapping: Mapping, contents: Sequence[Content]) -> Iterator[DataProblem]:
    """
    Yield a warning for the longest unused column of texts, if the columns used contain no texts or far shorter ones.
    """
    if mapping.is_given:
        return
    rows = table.rows[:_ROWS_READ]
    used = (*mapping.inputs, mapping.output)
    lengths = [_mean_length([row.cells[place] for row in rows]) for place in range(len(table.columns))]
    texts = [place for place in mapping.ignored if contents[place] is Content.TEXT and place not in table.hidden]
    longest = max(texts, key=lambda place: lengths[place], default=None)
    read = max(mapping.inputs, key=lambda place: lengths[place])
    if longest is None or _is_inside([(row.cells[read], row.cells[longest]) for row in rows]):  # as Alpaca's `text`
        return
    has_text = any(contents[place] is Content.TEXT for place in mapping.inputs)
    if not has_text or lengths[longest] > _MISSED_TIMES_AS_LONG * max(lengths[place] for place in used):
        inputs = " and ".join(repr(table.columns[place]) for place in mapping.inputs)
        what = "has longer texts than" if has_text else "has texts, unlike"
        message = f"{table.columns[longest]!r} is not used, but {what} the input {inputs}. Should the model read it?"
        yield warning("unused-text", message, column=table.columns[longest], option="input_column")


def _is_inside(pairs: Sequence[tuple[Cell, Cell]]) -> bool:
    """Return whether the first text of most pairs is contained in the second."""
    texts = [(one, other) for one, other in pairs if isinstance(one, str) and isinstance(other, str)]
    return 2 * sum(one in other for one, other in texts) > len(texts)


def is_system(name: str) -> bool:
    """Return whether a column is the system text according to its name; the system text goes before the input."""
    return plain_name(name) in _SYSTEM_NAMES


def content_of(cells: Sequence[Cell]) -> Content:
    """Return what a column contains; with only a few rows, it counts as text."""
    values = [text for cell in cells if isinstance(cell, str) and (text := cell.strip())]
    if not values:
        is_empty = bool(cells) and all(cell is None or isinstance(cell, str) for cell in cells)
        return Content.EMPTY if is_empty else Content.TEXT
    if is_numbering(values):
        return Content.ROW_NUMBERS
    if _share(_TIME, values) >= _NEARLY_ALL:
        return Content.TIMES
    if len(values) < _TELLING_ROWS:
        return Content.TEXT
    if len(set(values)) == 1 and len(values) == len(cells):
        return Content.CONSTANT
    if _share(_NUMBER, values) >= _NEARLY_ALL:
        return Content.NUMBERS
    if output_kind(values) is OutputKind.LABELS:
        return Content.LABELS
    if _share(_ID, values) >= _NEARLY_ALL:
        return Content.IDS
    if _share(_ADDRESS, values) >= _NEARLY_ALL:
        return Content.ADDRESSES
    return Content.NAMES if sum(map(_is_name, values)) >= _NEARLY_ALL * len(values) else Content.TEXT


def is_of_ids(name: str, cells: Sequence[Cell]) -> bool:
    """Return whether a column tells rows apart instead of saying something, by its name or by what is in it."""
    values = [text for cell in cells if isinstance(cell, str) and (text := cell.strip())]
    has_ids = bool(values) and not all(map(_is_whole, values)) and _share(_ID, values) >= _NEARLY_ALL
    return has_ids or _ADMINISTRATIVE.fullmatch(plain_name(name)) is not None


def column_contents(table: Table) -> list[Content]:
    """Return what each column of a table contains."""
    return _contents(table.rows, len(table.columns))


_MOST_PROMISING = 2
_Sheet = TypeVar("_Sheet")


def best_of(first: _Sheet, others: Iterable[_Sheet], promise_of: Callable[[_Sheet], int]) -> _Sheet:
    """Return the first of the most promising sheets, see `promise`."""
    best, most = first, promise_of(first)
    for sheet in others if most < _MOST_PROMISING else ():
        if (found := promise_of(sheet)) > most:
            best, most = sheet, found
        if most == _MOST_PROMISING:
            break
    return best


def promise(rows: Sequence[Row], places: Sequence[int]) -> int:
    """
    Return how promising these columns are: 2 for an input and an output in several rows, 1 for both in a few rows, else
    0.
    """
    contents = [content_of([row.cells[place] for row in rows[:_ROWS_READ]]) for place in places]
    useful = sum(content not in _NO_OUTPUTS and content is not Content.TIMES for content in contents)
    if useful < 2:
        return 0
    return _MOST_PROMISING if len(rows) >= _TELLING_ROWS else 1


def _contents(rows: Sequence[Row], width: int) -> list[Content]:
    return [content_of([row.cells[position] for row in rows[:_ROWS_READ]]) for position in range(width)]


def is_numbering(values: Sequence[str]) -> bool:
    """Return whether the values number the rows from 0 or 1; some rows may be missing."""
    if len(values) < 3 or values[0] not in ("0", "1") or not all(map(_is_whole, values)):
        return False
    numbers = [int(value) for value in values]
    return numbers[-1] <= 2 * len(numbers) and all(one < other for one, other in pairwise(numbers))


def _is_name(text: str) -> bool:
    """Return whether a text looks like the name of a person: two to four words, the first and the last capitalised."""
    words = [word.strip(".,'") for word in text.split()]
    is_all_letters = all(word.replace("-", "").replace("'", "").isalpha() for word in words)
    return 2 <= len(words) <= _MAX_NAME_WORDS and is_all_letters and words[0][0].isupper() and words[-1][0].isupper()


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


class _Choice:
    """The choice of columns for one table: the name decides, unless the content of the column contradicts it."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self.names = [plain_name(name) for name in columns]
        self.rows = rows[:_ROWS_READ]
        self.contents = _contents(rows, len(columns))
        cells = [[row.cells[position] for row in self.rows] for position in range(len(columns))]
        self.lengths = [_mean_length(column) for column in cells]
        self.words = [_mean_words(column) for column in cells]
        texts = [place for place, content in enumerate(self.contents) if content is Content.TEXT]
        self.texts = [place for place in texts if self.names[place] not in _SYSTEM_NAMES]
        self.has_sentences = sum(self.words[place] > 2 * _FEW_WORDS for place in self.texts) > 1

    def mapping(self) -> Mapping:
        output = self._known_output()
        inputs = self._known_inputs(output)
        if output is not None and self._is_no_output(output, inputs or (self._likely_input(output),)):
            output = None
        is_guessed = not inputs or output is None
        if output is None:
            output = self._labels(inputs)
        if not inputs:
            likely = self._likely_input(output)
            inputs = (*self._asked(likely), likely)
        if output is None:
            output = self._likely_output(inputs)
        return _mapping(self.names, (*self._system(output, inputs), *inputs), output, is_guessed)

    def _known_inputs(self, output: int | None) -> tuple[int, ...]:
        """
        Return the inputs with usual names: two that belong together, else the first whose content matches its name.
        """
        for pair in _PAIRS:
            both = tuple(self._of_names(pair))
            if len(both) == 2 < len(self.names) and not any(self.contents[place] is Content.EMPTY for place in both):
                return both
        known = self._of_names(INPUT_NAMES)
        return tuple(next(([place] for place in known if not self._is_no_input(place, output)), []))

    def _asked(self, place: int) -> list[int]:
        """Return the column with a few questions about many texts."""
        asking = [other for other in self._of_names(INPUT_NAMES) if self.names[other] in _QUESTIONS]
        return [other for other in asking if other != place and self.contents[other] is Content.LABELS][:1]

    def _is_no_input(self, place: int, output: int | None) -> bool:
        """Return whether a column named like an input contains something else, while another column contains texts."""
        name, content = self.names[place], self.contents[place]
        others = [other for other in self._texts(output) if other != place and self.names[other] not in OUTPUT_NAMES]
        is_short = any(self.lengths[other] >= _TIMES_AS_LONG * self.lengths[place] for other in others)
        if content is Content.TEXT:
            return name in _ID_LIKE and is_short
        if content is Content.LABELS:
            return bool(others) and (name in _ID_LIKE or is_short)
        return bool(others) and (content in _UNLIKELINESS or name not in _CERTAIN_INPUTS)

    def _texts(self, output: int | None) -> list[int]:
        """Return the columns of texts that could serve as inputs."""
        return [place for place in self.texts if place != output]

    def _known_output(self) -> int | None:
        known = self._of_names(OUTPUT_NAMES)
        telling = [place for place in known if self.contents[place] not in _NO_OUTPUTS]
        return next(iter(telling or known), None)

    def _is_no_output(self, place: int, inputs: tuple[int, ...]) -> bool:
        """Return whether a column named like an output has nothing to learn, while another column has labels."""
        if self.contents[place] not in _NO_OUTPUTS or self.contents[place] is Content.CONSTANT:
            return False
        return self._labels((*inputs, place)) is not None and not self._is_extracted(place, inputs)

    def _is_extracted(self, place: int, inputs: tuple[int, ...]) -> bool:
        """Return whether most cells of a column also occur in the inputs, as in data for extracting order numbers."""
        return _is_inside([(row.cells[place], row.cells[other]) for row in self.rows for other in inputs])

    def _of_names(self, names: Sequence[str]) -> list[int]:
        return [self.names.index(name) for name in names if name in self.names]

    def _labels(self, inputs: tuple[int, ...]) -> int | None:
        """Return the only column of labels, or the first one that is not the first column."""
        found = [place for place, content in enumerate(self.contents) if content is Content.LABELS]
        found = [place for place in found if place not in inputs and self._may_be_labels(self.names[place])]
        return next((place for place in found if place > 0), found[0] if found else None)

    def _may_be_labels(self, name: str) -> bool:
        return not (name in INPUT_NAMES or name in _SYSTEM_NAMES or _ADMINISTRATIVE.fullmatch(name))

    def _likely_input(self, output: int | None) -> int:
        """Return the longest text if the outputs are labels, else the first column that can be an input."""
        free = [place for place in range(len(self.names)) if place != output]
        texts = [place for place in free if self.contents[place] is Content.TEXT]
        if texts and output is not None and self.contents[output] is Content.LABELS:
            return max(texts, key=lambda place: self.lengths[place])
        likely = texts if len(self.names) > 2 and texts else free
        return min(likely, key=self._unlikeliness)

    def _likely_output(self, inputs: tuple[int, ...]) -> int:
        """Return the next column after the inputs that can be an output."""
        count, start = len(self.names), inputs[-1] + 1
        free: list[int] = [place for place in (*range(start, count), *range(start)) if place not in inputs]
        return min(free, key=self._unlikeliness)

    def _unlikeliness(self, place: int) -> int:
        """Return how unlikely a column is to be learned; among equals, `min` takes the first."""
        if len(self.names) == 2:
            return 0
        if self.names[place] in _SYSTEM_NAMES:
            return len(Content)
        least = 3 if _ADMINISTRATIVE.fullmatch(self.names[place]) else int(self._is_short(place))
        return _UNLIKELINESS.get(self.contents[place], least)

    def _is_short(self, place: int) -> bool:
        """Return whether a column contains a word or two, next to at least two columns of sentences."""
        return self.has_sentences and self.words[place] <= _FEW_WORDS

    def _system(self, output: int, inputs: tuple[int, ...]) -> list[int]:
        found = [place for place, name in enumerate(self.names) if name in _SYSTEM_NAMES]
        used = (output, *inputs)
        return [place for place in found if place not in used and self.contents[place] is not Content.EMPTY][:1]


def _mean_length(cells: Sequence[Cell]) -> float:
    return fmean(len(cell) if isinstance(cell, str) else 0 for cell in cells) if cells else 0.0


def _mean_words(cells: Sequence[Cell]) -> float:
    return fmean(len(_WORD.findall(cell)) if isinstance(cell, str) else 0 for cell in cells) if cells else 0.0


def _with_content(name: str, content: Content) -> str:
    return f"{name!r} ({content.value})" if content in _UNLIKELINESS else repr(name)


def _mapping(columns: Sequence[str], inputs: tuple[int, ...], output: int, is_guessed: bool) -> Mapping:
    used = {*inputs, output}
    ignored = tuple(position for position in range(len(columns)) if position not in used)
    return Mapping(inputs, output, ignored, is_guessed)


def _complete(
    columns: Sequence[str], suggested: Mapping, inputs: tuple[int, ...] | None, output: int | None
) -> Mapping:
    """Fill in what the caller left open, without using a column twice."""
    is_given = inputs is not None
    if inputs is None:
        free = [position for position in suggested.inputs if position != output]
        inputs = tuple(free) or (next(position for position in range(len(columns)) if position != output),)
    if output is None:
        free = [position for position in (suggested.output, *range(len(columns))) if position not in inputs]
        if not free:
            raise invalid("no-output-column", "All columns are inputs; one must be the output.")
        output = free[0]
    if output in inputs:
        raise invalid("same-column", f"Column {columns[output]!r} cannot be both input and output.")
    return replace(_mapping(columns, inputs, output, is_guessed=False), is_given=is_given)


def column_positions(columns: Sequence[str], names: str | Sequence[str]) -> tuple[int, ...]:
    wanted = (names,) if isinstance(names, str) else tuple(names)
    missing = [name for name in wanted if _find(columns, name) is None]
    if missing or not wanted:
        asked = listed(missing) or "without a name"
        raise invalid("no-such-column", f"There is no column {asked}. Columns: {listed(columns)}.")
    return tuple(dict.fromkeys(position for name in wanted if (position := _find(columns, name)) is not None))


def _find(columns: Sequence[str], name: str) -> int | None:
    if name in columns:
        return columns.index(name)
    plain = [plain_name(column) for column in columns]
    return plain.index(plain_name(name)) if plain.count(plain_name(name)) == 1 else None


def _refuse_doubles(columns: Sequence[str], mapping: Mapping) -> None:
    for position in (*mapping.inputs, mapping.output):
        if columns.count(columns[position]) > 1:
            where = " and ".join(str(index) for index, name in enumerate(columns, start=1) if name == columns[position])
            raise invalid("double-column", f"Columns {where} are both named {columns[position]!r}. Rename one.")


# Names used by APIs and common data sets; earlier names win.
# fmt: off
INPUT_NAMES = (
    "text_input", "textinput", "input_text", "inputs", "input", "prompt", "question", "query", "user",
    "instruction", "instructions", "text", "message", "sentence", "utterance", "review", "comment", "ticket",
    "content", "document", "body", "premise", "sentence1", "frage", "eingabe", "nachricht", "anfrage", "kommentar",
    "pregunta", "entrada", "mensaje", "texto", "texte", "commentaire", "вопрос",
    "问题", "問題", "輸入", "输入", "質問", "入力", "title", "source",
)
OUTPUT_NAMES = (
    "output", "output_text", "outputs", "completion", "answer", "response", "reply", "assistant", "label",
    "labels", "target", "category", "class", "intent", "team", "department", "sentiment", "tag", "topic", "result",
    "summary", "headline", "translation", "expected", "expected_output", "antwort", "ausgabe", "kategorie",
    "abteilung", "thema", "klasse", "stimmung", "rubrik", "respuesta", "categoría", "catégorie", "réponse",
    "salida", "ответ", "答案", "回答", "輸出", "输出", "标签", "出力",
)
# Pairs of inputs that are read together, in this order.
_PAIRS = (
    ("instruction", "input"), ("instruction", "context"), ("instructions", "input"), ("instructions", "context"),
    ("question", "context"), ("question", "passage"), ("question", "paragraph"), ("question", "article"),
    ("question", "document"), ("query", "context"), ("query", "passage"), ("query", "document"),
    ("prompt", "context"), ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"),
)
_CERTAIN_INPUTS = frozenset(("text_input", "textinput", "input_text", "inputs", "input"))  # also of numbers
_QUESTIONS = frozenset(("prompt", "question", "query", "instruction", "instructions", "frage", "pregunta", "вопрос"))
_ID_LIKE = frozenset(("user", "ticket", "title", "source", "document", "message", "query"))  # hold ids or texts
_ADMINISTRATIVE = re.compile(
    r"unnamed:_\d+|index|idx|(.+_)?(id|uuid|guid)|row(_number)?|nr\.?|no\.?|#|(time_?stamp|date(time)?|time|datum)"
    r"|(created|updated|submitted)(_at|_on)?|zeitstempel|split"
)
_SYSTEM_NAMES = frozenset(("system", "system_prompt", "system_message", "system_instruction", "systeminstruction"))
# fmt: on

_NO_OUTPUTS = (Content.ROW_NUMBERS, Content.EMPTY, Content.IDS, Content.ADDRESSES, Content.CONSTANT)
_UNLIKELINESS: dict[Content, int] = {
    Content.NAMES: 1,
    Content.TIMES: 2,
    Content.ADDRESSES: 3,
    Content.CONSTANT: 3,
    Content.IDS: 4,
    Content.ROW_NUMBERS: 5,
    Content.EMPTY: 6,
}
_MISSED_TIMES_AS_LONG = 1.5
_TIMES_AS_LONG = 2  # texts under such names are more likely the input than ids
_FEW_WORDS = 3
_MAX_NAME_WORDS = 4
_TELLING_ROWS = 5
_ROWS_READ = 5_000  # rows read to find out what a column contains; 100,000 took 2 s
_NEARLY_ALL = 0.9
_NAMES_IN_MESSAGE = 10
_NUMBER = re.compile(r"[-+]?[\d.,]+%?")
# a date, a time or both: 2026/05/01 9:00:00 AM, 12.05.2026, 2026-05-01T09:00:00Z
_TIME = re.compile(
    r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3\d{2,4}|\d{1,2}:\d{2}(?=[: ]|$))"
    r"([T ,]*\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?)?(:\d{2})?( ?[AaPp]\.?[Mm]\.?)?"
    r"( ?(Z|[A-Z]{3,4}|(GMT|UTC)?[-+]\d{1,2}:?\d{0,2}))?"
)
# a word with a number, or a long number in hex, without spaces: T-1001, 3f2a9c7e, a UUID
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]{1,2}|[^\W\u2e80-\u9fff\uac00-\ud7af]+")
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.\w+|(https?://|www\.)\S+|\+?[\d()][\d ()/.-]{6,}")
_ID = re.compile(r"(?=.*\d)[A-Za-z]{0,8}[-_#]?[\dA-Fa-f]+([-_][\dA-Za-z]+)*")


def _share(pattern: re.Pattern[str], values: Sequence[str]) -> float:
    return sum(pattern.fullmatch(value) is not None for value in values) / len(values)


def is_known_name(name: Cell) -> bool:
    """Return whether a header cell is a usual name for an input or an output."""
    return isinstance(name, str) and plain_name(name) in _KNOWN


def plain_name(name: str) -> str:
    """Normalise a name for comparison: "Text input:" becomes "text_input"."""
    return re.sub(r"[\s\-]+", "_", visible(name).strip().rstrip(":").casefold())


_KNOWN = frozenset((*INPUT_NAMES, *OUTPUT_NAMES))
