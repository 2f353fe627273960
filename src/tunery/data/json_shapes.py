"""
Finds the records in a JSON value: in a list, in an object around one list, in the shapes pandas writes.

A value that can be read in only one way is read, with a warning that names what was left out; other values are refused
with an error that names the lists to choose from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tunery.data.columns import INPUT_NAMES, OUTPUT_NAMES, plain_name
from tunery.data.conversations import is_conversation, preference
from tunery.data.json_text import JsonNumber
from tunery.data.tables import BadCell, column_name, invalid, listed, warning
from tunery.errors import DataProblem

_MAX_DEPTH = 6  # levels of objects around a list; the body of a create call has four
_MIN_PAIRS, _MANY_PAIRS = 5, 20  # an object with fewer texts is settings or a record, unless its names are sentences
_OWN_WRAPPER = "examples"  # the body of a create call: {"examples": {"examples": [...]}}


@dataclass(frozen=True, slots=True)
class Found:
    """The records of a JSON value in order, with warnings about what was left out."""

    records: Sequence[object]
    notes: tuple[DataProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    path: tuple[str, ...]
    found: Found

    @property
    def name(self) -> str:
        return ".".join(map(column_name, self.path))


def records_in(value: object) -> Found:
    """Return the records; raises DatasetInvalid if there are none, or if several lists could be meant."""
    if isinstance(value, list):
        return Found(value)
    if value == {}:
        return Found([])
    if not isinstance(value, Mapping):
        raise invalid("wrong-json", f"The JSON is {kind_of(value)}; a list of examples is needed.")
    candidates = list(_candidates(value, ()))
    if len(candidates) > 1:
        sure = [candidate for candidate in candidates if _are_examples(candidate.found.records)]
        candidates = sure or candidates
    if len(candidates) > 1:
        lists = ", ".join(f"{found.name!r} ({len(found.found.records):,})" for found in candidates[:10])
        message = f"The file holds several lists of records: {lists}. Save the one you want in a separate file."
        raise invalid("several-lists", message)
    if not candidates:
        message = f"The JSON is one object with the fields {listed(list(value))}; a list of examples is needed."
        raise invalid("wrong-json", message)
    path, found = candidates[0].path, candidates[0].found
    return Found(found.records, (*_wrapper_note(value, path), *found.notes))


def is_record(value: object) -> bool:
    """Return whether an object is an example: a conversation, or an object with usual names for input and output."""
    if not isinstance(value, Mapping):
        return False
    if is_conversation(value) or preference(value):
        return True
    names = {plain_name(str(name)) for name, cell in value.items() if not isinstance(cell, (list, dict))}
    return len(names) > 1 and not names.isdisjoint(INPUT_NAMES) and not names.isdisjoint(OUTPUT_NAMES)


def kind_of(value: object) -> str:
    """Return a description of a value for messages."""
    names = {
        JsonNumber: "a number",
        dict: "an object",
        list: "a list",
        tuple: "a list",
        str: "a text",
        type(None): "null",
        bool: "a boolean",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _candidates(value: object, path: tuple[str, ...]) -> Iterator[_Candidate]:
    """Yield each place where records are found."""
    found = _listed(value) if isinstance(value, list) else _shaped(value) if isinstance(value, Mapping) else None
    inner: list[_Candidate] = []
    if isinstance(value, Mapping) and len(path) < _MAX_DEPTH and (found is None or _is_plain_record(value)):
        inner = [deeper for name, part in value.items() for deeper in _candidates(part, (*path, name))]
    if found is not None and not any(_are_examples(deeper.found.records) for deeper in inner):
        yield _Candidate(path, found)
    else:  # texts such as "title" and "summary" next to a list of examples describe the list
        yield from inner


def _is_plain_record(value: Mapping[str, object]) -> bool:
    return is_record(value) and not is_conversation(value)


def _are_examples(records: Sequence[object]) -> bool:
    return bool(records) and is_record(records[0])


def _wrapper_note(value: Mapping[str, object], path: Sequence[str]) -> Iterator[DataProblem]:
    """Say under which name the records were found, and what else is in the object."""
    beside: list[str] = []
    inner: object = value
    for name in path:
        if isinstance(inner, Mapping):
            beside += [other for other in inner if other != name]
            inner = inner[name]
    if beside or any(name != _OWN_WRAPPER for name in path):
        was = "was" if len(beside) == 1 else "were"
        rest = f"; {listed(beside)} {was} left out" if beside else ""
        yield warning("wrapped-records", f"The records under {'.'.join(path)!r} were read{rest}.")


def _listed(value: list[object]) -> Found | None:
    """Return a list of objects or rows, None for a list of anything else."""
    is_list = bool(value) and (
        all(isinstance(record, Mapping) for record in value)
        or all(isinstance(record, list) and len(record) > 1 for record in value)
    )
    return Found(value) if is_list else None


def _shaped(value: Mapping[str, object]) -> Found | None:
    """Return the records of an object in one of the known shapes."""
    if not value:
        return None
    if is_record(value):
        return Found([value])
    for shape in (_viewer_rows, _pandas_table, _pandas_split, _columns, _by_key, _pairs):
        if (found := shape(value)) is not None:
            return found
    return None


def _viewer_rows(value: Mapping[str, object]) -> Found | None:
    """{"rows": [{"row": {...}}]}, as the Hugging Face dataset viewer returns it."""
    rows = value.get("rows")
    if not isinstance(rows, list) or not rows:
        return None
    if not all(isinstance(row, Mapping) and isinstance(row.get("row"), Mapping) for row in rows):
        return None
    total = value.get("num_rows_total")
    notes = []
    if isinstance(total, JsonNumber) and total.isdecimal() and len(total) < 15 and int(total) > len(rows):
        message = f"The file holds {len(rows):,} of the dataset's {int(total):,} rows."
        notes.append(warning("part-of-rows", message))
    return Found([_without_cut_cells(row) for row in rows], tuple(notes))


def _without_cut_cells(row: Mapping[str, object]) -> dict[str, object]:
    cut = row.get("truncated_cells")
    bad = BadCell("cut-cell", "cut by the dataset viewer. Download the dataset's own file instead.")
    inner = row["row"]
    assert isinstance(inner, Mapping)
    return {name: bad if isinstance(cut, list) and name in cut else cell for name, cell in inner.items()}


def _pandas_table(value: Mapping[str, object]) -> Found | None:
    """
    {"schema": {"fields": ...}, "data": [{...}]}: orient "table"; the index is left out if it only numbers the rows.
    """
    schema, data = value.get("schema"), value.get("data")
    if not isinstance(schema, Mapping) or "fields" not in schema or not isinstance(data, list):
        return None
    if not all(isinstance(record, Mapping) for record in data):
        return None
    if all(isinstance(record.get("index"), JsonNumber) for record in data):
        return Found([{name: cell for name, cell in record.items() if name != "index"} for record in data])
    return Found(data)


def _pandas_split(value: Mapping[str, object]) -> Found | None:
    """{"columns": [...], "index": [...], "data": [[...]]}: orients "split" and "tight"."""
    columns, data = value.get("columns"), value.get("data")
    if not isinstance(columns, list) or not isinstance(data, list) or not set(value) <= _SPLIT_NAMES:
        return None
    if not all(isinstance(row, list) for row in data):
        return None
    for number, row in enumerate(data, start=1):
        if len(row) != len(columns):
            message = f"{len(row)} values, but 'columns' names {len(columns)}."
            raise invalid("ragged-columns", message, row=number)
    names = [name if isinstance(name, str) else " ".join(map(str, name)) for name in columns if _is_name(name)]
    if len(set(names)) < len(columns):
        raise invalid("double-column", "The names under 'columns' must be texts, each different.")
    records = [dict(zip(names, row, strict=True)) for row in data]
    index = value.get("index")
    if isinstance(index, list) and len(index) == len(data) and not all(isinstance(key, JsonNumber) for key in index):
        records = [{"index": key, **record} for key, record in zip(index, records, strict=True)]
    return Found(records)


_SPLIT_NAMES = frozenset({"columns", "index", "data", "index_names", "column_names"})


def _is_name(name: object) -> bool:
    return isinstance(name, str) or (isinstance(name, list) and all(isinstance(part, str) for part in name))


def _columns(value: Mapping[str, object]) -> Found | None:
    """{"question": [...], "answer": [...]}: a list of cells, or of conversations, under each name."""
    lists = {name: column for name, column in value.items() if isinstance(column, list)}
    cells = [cell for column in lists.values() for cell in column]
    first = {name: column[0] for name, column in lists.items() if column}
    if len(lists) < len(value) or (any(isinstance(cell, Mapping) for cell in cells) and not is_record(first)):
        return None  # lists of records under names
    if cells and all(isinstance(cell, list) for cell in cells) and not _are_turns(lists):
        return None  # rows under a name
    heights = {name: len(column) for name, column in lists.items()}
    if len(set(heights.values())) > 1:
        shortest, longest = min(heights, key=heights.__getitem__), max(heights, key=heights.__getitem__)
        message = f"Column {column_name(shortest)!r} has {heights[shortest]:,} values, "
        raise invalid("ragged-columns", f"{message}{column_name(longest)!r} has {heights[longest]:,}.")
    return Found([dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)])


def _are_turns(lists: Mapping[str, list[object]]) -> bool:
    return any(is_conversation({name: column[0]}) for name, column in lists.items() if column and column[0])


def _by_key(value: Mapping[str, object]) -> Found | None:
    """Objects under names: pandas' orients "columns" (one column each) and "index" (one record each)."""
    objects = {name: inner for name, inner in value.items() if isinstance(inner, Mapping)}
    if len(objects) < len(value) or not all(objects.values()):
        return None
    if all(is_record(inner) for inner in objects.values()):
        note = warning("ignored-names", f"Each record has a name, which is not used: {listed(list(objects))}.")
        return Found(list(objects.values()), () if _all_count(objects) else (note,))
    keys = list(next(iter(objects.values())))
    is_known = any(plain_name(str(name)) in (*INPUT_NAMES, *OUTPUT_NAMES) for name in objects)
    if not (is_known or _all_count(keys)) or any(column.keys() != set(keys) for column in objects.values()):
        return None
    return Found([{name: column[key] for name, column in objects.items()} for key in keys])


def _all_count(names: Iterable[object]) -> bool:
    return all(str(name).isdecimal() for name in names)


def _pairs(value: Mapping[str, object]) -> Found | None:
    """{"an input": "its output"}: an object of texts whose names are not field names."""
    if not all(isinstance(text, str) and not isinstance(text, JsonNumber) for text in value.values()):
        return None
    is_many = len(value) >= _MANY_PAIRS or (
        len(value) >= _MIN_PAIRS and sum(" " in name for name in value) * 2 > len(value)
    )
    if not is_many or any(plain_name(name) in (*INPUT_NAMES, *OUTPUT_NAMES) for name in value):
        return None
    message = f"Read as {len(value):,} pairs: each name is an input, and its text the output."
    return Found([list(pair) for pair in value.items()], (warning("pairs", message),))
