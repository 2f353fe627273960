"""
Reads JSON, JSONL and Python records into a table, chat lines included.

Every unreadable line becomes a problem with its number. Numbers and booleans keep the text they were written as.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tunery.data.columns import INPUT_NAMES, OUTPUT_NAMES, plain_name, suggest
from tunery.data.conversations import RecordError, exchange, is_conversation, preference
from tunery.data.headers import name_columns
from tunery.data.json_shapes import kind_of, records_in
from tunery.data.json_text import JsonError, JsonNumber, is_python, is_value, jsonl_lines, loads, values
from tunery.data.prompts import structured_prompt
from tunery.data.tables import (
    BadCell,
    Cell,
    DecodedText,
    Row,
    Table,
    check_extent,
    column_name,
    invalid,
    listed,
    printable,
    warning,
)
from tunery.errors import DataProblem, DatasetInvalid
from tunery.types import TuningExample

_PAIR = ("text_input", "output")
_MAX_FIELDS = 4  # for a record without usual names that is the only one in its file
_MAX_CAUSES = 3  # if all rows of a file fail for at most this many reasons, each is reported once
_VERDICTS = ("accept", "reject", "ignore")
_MAX_BITS = 10_000  # Python converts at most 4,300 digits
_OBJECT = re.compile(r"\s*\{\s*([\"}]|$)")


def looks_like_json(text: str, suffix: str) -> str | None:
    """Return "json", "jsonl" or None for the format of `text`; `suffix` decides only for broken text."""
    if text.lstrip()[:1] not in ("{", "["):
        return {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffix)
    lines = [line for _, line in jsonl_lines(text)]
    if len(lines) == 1:
        return "jsonl" if suffix in (".jsonl", ".ndjson") else "json"
    whole = sum(map(is_value, lines[:20]))
    if is_value(lines[0]) or whole > len(lines[:20]) / 2:
        return "jsonl"
    if suffix in (".jsonl", ".ndjson"):
        return "json" if is_value(text) else "jsonl"
    # a CSV may begin with a bracket too: "[greeting],label"
    is_json = suffix == ".json" or lines[0] == "[" or _OBJECT.match(text) or is_python(text) or is_value(text)
    return "json" if is_json else None


def read_jsonl(decoded: DecodedText) -> Table:
    """
    Return a row for each line, or for each object if objects take several lines or share one.

    A broken line becomes a problem with its number. Raises DatasetInvalid if most lines are broken.
    """
    try:
        found = _all_values(decoded.text)
    except JsonError as error:
        return _with_encoding(_lines(decoded.text, error), decoded)
    if len(found) == 1 and not _is_line(found[0][1]):
        return _with_encoding(_value_table(found[0][1], "jsonl"), decoded)
    if len({number for number, _ in found}) < len(found):  # several in one line
        found = [(place, value) for place, (_, value) in enumerate(found, start=1)]
    return _with_encoding(_table(found, "jsonl"), decoded)


def read_json(decoded: DecodedText) -> Table:
    """
    Return the records in a JSON value, or a structured prompt of AI Studio, as a table.

    Raises DatasetInvalid when the text is not valid JSON or contains something else.
    """
    try:
        value = loads(decoded.text)
    except JsonError as error:
        try:
            _all_values(decoded.text)
        except JsonError:
            raise _broken(decoded.text, error) from error
        return read_jsonl(decoded)  # objects one after another
    return _with_encoding(_value_table(value, "json"), decoded)


def read_records(records: Iterable[object]) -> Table:
    """Return Python records as a table: objects with named fields, pairs, or TuningExamples; counted from 1."""
    return _table(list(enumerate(records, start=1)), "records")


def _all_values(text: str) -> list[tuple[int, object]]:
    found: list[tuple[int, object]] = []
    for numbered in values(text):
        found.append(numbered)
        check_extent(len(found), 0)
    return found


def _is_line(value: object) -> bool:
    """Return whether the only value of a JSONL file is a record, rather than a list or an object of records."""
    if isinstance(value, list):
        return not any(isinstance(cell, (list, dict)) for cell in value)
    if not isinstance(value, dict):
        return True
    if any(isinstance(cell, list) and any(isinstance(part, dict) for part in cell) for cell in value.values()):
        return False
    has_text = any(not isinstance(cell, (list, dict)) for cell in value.values())
    return has_text and (len(value) <= _MAX_FIELDS or any(map(_is_known, value)))


def _is_known(name: object) -> bool:
    return plain_name(str(name)) in (*INPUT_NAMES, *OUTPUT_NAMES)


def _lines(text: str, whole: JsonError) -> Table:
    """Return the table from a file with some broken lines; `whole` says where the first one is."""
    records: list[tuple[int, object]] = []
    problems: list[DataProblem] = []
    broken: dict[int, str] = {}
    for number, line in jsonl_lines(text):
        check_extent(len(records) + len(problems), 0)
        try:
            records += [(number, value) for _, value in _all_values(line)]
        except JsonError as error:
            problems.append(DataProblem("broken-line", f"not valid JSON, {error}.", row=number))
            broken[number] = line
    if len(problems) > max(1, len(records)) or is_python(text):
        raise _broken(text, whole)
    return _table(records, "jsonl", problems, broken)


def _broken(text: str, error: JsonError) -> DatasetInvalid:
    if is_python(text):
        message = "This is how Python prints dictionaries, not JSON. Write each record with json.dumps(record)."
        return invalid("python-records", message)
    return invalid("broken-json", f"Not valid JSON, {error}.", row=error.line)


def _value_table(value: object, form: str) -> Table:
    """Return the table in one JSON value."""
    if (prompt := structured_prompt(value)) is not None:
        return prompt.table()
    found = records_in(value)
    check_extent(len(found.records), 0)
    return _table(list(enumerate(found.records, start=1)), form, found.notes)


def _with_encoding(table: Table, decoded: DecodedText) -> Table:
    return replace(
        table,
        problems=(*decoded.problems, *table.problems),
        encoding=decoded.encoding,
        encoding_is_guessed=decoded.is_guessed,
    )


def _table(
    records: Sequence[tuple[int, object]],
    form: str,
    problems: Iterable[DataProblem] = (),
    broken: Mapping[int, str] | None = None,  # lines by number
) -> Table:
    check_extent(len(records), 0)
    unread = dict(broken or {})
    read = _Read(list(problems))
    for number, record in _under_header(records, read.problems):
        try:
            read.add(number, record)
        except RecordError as error:
            read.problems.append(DataProblem(error.kind, str(error), row=number))
            unread[number] = json.dumps(record, ensure_ascii=False, default=str)
    _align(read)
    columns = tuple(dict.fromkeys(name for _, named in read.rows for name in named))
    check_extent(len(read.rows), len(columns))
    rows = tuple(Row(number, tuple(named.get(name) for name in columns)) for number, named in read.rows)
    refused = tuple(Row(number, (printable(line),)) for number, line in sorted(unread.items()))
    return Table(form, columns, rows, (*_gathered(read), *read.notes()), refused=refused)


def _under_header(records: Sequence[tuple[int, object]], problems: list[DataProblem]) -> Iterable[tuple[int, object]]:
    """Return rows that are lists as objects, if the first row names the columns or there are more than two."""
    lists = [Row(number, tuple(map(_cell, record))) for number, record in records if isinstance(record, (list, tuple))]
    width = len(lists[0].cells) if lists else 0
    if len(lists) < len(records) or width < 2 or any(len(row.cells) != width for row in lists):
        return records
    if any(isinstance(cell, BadCell) for row in lists for cell in row.cells):  # messages, for example
        return records
    first = [plain_name(cell) if isinstance(cell, str) else "" for cell in lists[0].cells]
    has_names = any(name in INPUT_NAMES for name in first) and any(name in OUTPUT_NAMES for name in first)
    if (width == 2 or len(lists) == 1) and not has_names:
        return records
    named = name_columns(lists, header=True if has_names else None)
    problems += named.problems
    if len(set(named.columns)) < len(named.columns):
        raise invalid("double-column", f"Two columns have the same name: {listed(named.columns)}. Rename one.")
    return [(row.number, dict(zip(named.columns, row.cells, strict=True))) for row in named.rows]


@dataclass(slots=True)
class _Read:
    """The records read so far, as cells by name, and what to tell the user about them."""

    problems: list[DataProblem]
    rows: list[tuple[int, dict[str, Cell]]] = field(default_factory=list)
    told: dict[tuple[str, tuple[str, ...]], list[int]] = field(default_factory=dict)  # numbers by kind and fields
    unused: set[str] = field(default_factory=set)  # fields of messages

    def tell(self, kind: str, what: tuple[str, ...], number: int) -> None:
        """Note a fact about a row, to be reported once for all rows."""
        if what:
            self.told.setdefault((kind, what), []).append(number)

    def add(self, number: int, record: object) -> None:
        """Read a record. Raises RecordError if it is not one."""
        if isinstance(record, list) and record and is_conversation({"conversation": record}):
            record = {"conversation": record}
        if isinstance(record, Mapping):
            if isinstance(body := record.get("body"), Mapping) and is_conversation(body):  # a request of a batch
                record = {**{name: value for name, value in record.items() if name != "body"}, **body}
            if isinstance(record.get("kto_tag"), bool):  # LLaMA-Factory's name of TRL's label
                record = {"label" if name == "kto_tag" else name: value for name, value in record.items()}
            read = self._conversation if is_conversation(record) else self._fields
            if named := read(number, record):
                self.rows.append((number, named))
        else:
            self.rows.append((number, _pair(record)))

    def _conversation(self, number: int, record: Mapping[str, Any]) -> dict[str, Cell]:
        found = exchange(record)
        self.tell("thoughts", found.thoughts, number)
        self.tell("preferred", found.chosen, number)
        self.tell("system-text", ("system",) if found.has_system else (), number)
        self.unused |= found.unused
        named: dict[str, Cell] = {"text_input": found.text_input, "output": found.output}
        for name, value in record.items():
            if name not in found.used and not _is_empty(value):
                own = _field_name(name)
                named[f"{own} (beside messages)" if own in _PAIR else own] = _cell(value)
        return named if found.weight is None else named | {"weight": found.weight}

    def _fields(self, number: int, record: Mapping[str, Any]) -> dict[str, Cell]:
        if pair := preference(record):
            record = _preferred(record, *pair)
            self.tell("preferred", pair, number)
        if (
            "_task_hash" in record and record.get("answer") in _VERDICTS
        ):  # Prodigy: a person's decision about the record
            if record["answer"] != "accept":
                self.tell("not-accepted", (record["answer"],), number)
                return {}
            record = {name: value for name, value in record.items() if name != "answer"}
        return {_field_name(name): _cell(value) for name, value in record.items()}

    def notes(self) -> Iterator[DataProblem]:
        """Yield a warning for each fact."""
        for (kind, what), numbers in self.told.items():
            count = len(numbers)
            rows, have, were = (f"{count:,} rows", "have", "were") if count > 1 else ("1 row", "has", "was")
            message = {
                "not-accepted": f"{rows} {were} left out: 'answer' is {what[0]!r}",
                "thoughts": f"{rows} {have} thoughts ({what[0]!r}), which were left out",
                "preferred": f"{rows} {have} {what[0]!r} and {what[-1]!r}; only {what[0]!r} was read",
                "system-text": f"{rows} {have} a system message, which goes before the input after an empty line",
                "other-fields": f"{rows} {have} differently named fields: {what[0]}",
            }[kind]
            yield warning(kind, f"{message} (first: row {numbers[0]}).")
        if self.unused:
            yield warning("ignored-fields", f"Not used, in messages: {listed(sorted(self.unused))}.")


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def _preferred(record: Mapping[str, Any], chosen: str, rejected: str) -> dict[str, Any]:
    """Return a record of texts with its preferred answer as the output."""
    others = {name: value for name, value in record.items() if name not in (chosen, rejected)}
    names = {plain_name(str(name)) for name in others}
    if names.isdisjoint(INPUT_NAMES):
        raise RecordError("conversation", "there is a preferred and a rejected answer, but no prompt.")
    if "output" in names:
        raise RecordError("conversation", f"{chosen!r} and 'output' are both outputs.")
    return {**others, "output": record[chosen]}


def _pair(record: object) -> dict[str, Cell]:
    if isinstance(record, TuningExample):
        return {"text_input": record.text_input, "output": record.output}
    if isinstance(record, (list, tuple)):
        if len(record) != 2:
            raise RecordError("wrong-record", f"{len(record)} values, expected 2: input and output.")
        return dict(zip(_PAIR, map(_cell, record), strict=True))
    raise RecordError("wrong-record", f"{kind_of(record)}, expected an object with an input and an output.")


def _gathered(read: _Read) -> list[DataProblem]:
    """Return the problems; if all rows fail for only a few reasons, each reason once with the number of rows."""
    by_message: dict[tuple[str, str], list[DataProblem]] = {}
    for problem in read.problems:
        by_message.setdefault((problem.kind, problem.message), []).append(problem)
    if read.rows or len(by_message) > _MAX_CAUSES:
        return read.problems
    total = sum(problem.row is not None for problem in read.problems)
    return [_of_all(same, total) for same in by_message.values()]


def _of_all(same: Sequence[DataProblem], total: int) -> DataProblem:
    first, count = same[0], len(same)
    if count == 1:
        return first
    share = f"All {total:,} rows" if count == total else f"{count:,} of {total:,} rows"
    return replace(first, message=f"{share} (first: row {first.row}): {first.message}", row=None, actual=count)


def _align(read: _Read) -> None:
    """Put records of different forms into the same columns: names that differ in case, inputs with different names."""
    _rename(read.rows, _other_letters(read.rows))
    columns = tuple(dict.fromkeys(name for _, named in read.rows for name in named))
    mapping = suggest(columns)
    if mapping is None or mapping.is_guessed or len(mapping.inputs) > 1:
        return
    places = (columns[mapping.inputs[0]], columns[mapping.output])
    moves: dict[tuple[str, str], list[int]] = {}
    for number, named in read.rows:
        for place, own in zip(places, _own_places(tuple(named)), strict=False):
            if own not in places and named.get(place) in (None, ""):
                moves.setdefault((own, place), []).append(number)
    for _, named in read.rows:  # a name next to the one it would replace is another column
        for own, place in [move for move in moves if named.get(move[0]) and named.get(move[1])]:
            del moves[own, place]
    said: dict[tuple[int, ...], list[str]] = {}
    for (own, place), numbers in moves.items():
        _rename(read.rows, {own: place})
        said.setdefault(tuple(numbers), []).append(f"{own!r} as {place!r}")
    for some, renamed in said.items():
        read.told["other-fields", (" and ".join(renamed),)] = list(some)


def _other_letters(rows: Sequence[tuple[int, dict[str, Cell]]]) -> dict[str, str]:
    """Return names that differ from an earlier one only in case ("Prompt", "prompt") and never occur with it."""
    first: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for name in dict.fromkeys(name for _, named in rows for name in named):
        if (earlier := first.setdefault(plain_name(name), name)) != name:
            renamed[name] = earlier
    for _, named in rows if renamed else ():
        for name in [name for name in named if renamed.get(name) in named]:
            del renamed[name]
    return renamed


def _rename(rows: Iterable[tuple[int, dict[str, Cell]]], names: Mapping[str, str]) -> None:
    for _, named in rows if names else ():
        for name in [name for name in named if name in names]:
            named[names[name]] = named.pop(name)


@functools.lru_cache(maxsize=256)
def _own_places(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the input and output of records that have only these fields; empty if this would be a guess."""
    mapping = suggest(columns)
    if mapping is None or mapping.is_guessed or len(mapping.inputs) > 1:
        return ()
    return columns[mapping.inputs[0]], columns[mapping.output]


def _field_name(name: object) -> str:
    return "text_input" if name == "textInput" else column_name(str(name))


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, (str, BadCell)):
        return str(value) if isinstance(value, JsonNumber) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() < _MAX_BITS else BadCell("not-text", "a number with too many digits.")
    if isinstance(value, float):
        return None if value != value else f"{value:.15g}"  # pandas writes missing cells as NaN
    if isinstance(value, Mapping) and len(value) == 1 and isinstance(text := value.get("text"), str):
        return text
    return BadCell("not-text", f"{kind_of(value)}, not text.")
