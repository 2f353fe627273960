"""
Turns rows into examples and finds everything that is wrong or doubtful in them, with row numbers.

Errors make a row unusable; warnings do not stop tuning. A problem that most rows share is reported once for the whole
file.
Rows too long for a base are found from token counts that the caller passes in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from tunery.data.columns import (
    Content,
    Mapping,
    column_contents,
    is_system,
    plain_name,
)
from tunery.data.inputs import plain
from tunery.data.outputs import OutputKind, difference, label_variants, output_kind
from tunery.data.tables import BadCell, Cell, Row, Table, warning
from tunery.errors import DataProblem, Level
from tunery.types import MAX_OUTPUT_CHARACTERS, MAX_TEXT_INPUT_CHARACTERS, RECOMMENDED_EXAMPLES, TuningExample

# A longer list would help nobody, and 4 MiB can contain a hundred thousand bad rows.
MAX_PROBLEMS_PER_KIND = 1_000

_MISSING_WORDS = frozenset({"nan", "na", "null", "none", "n/a", "#n/a", "<na>", "undefined"})


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """Examples that can be used, the rows they come from, and all problems in the order of the rows."""

    examples: tuple[TuningExample, ...]
    rows: tuple[int, ...]
    problems: tuple[DataProblem, ...]


def check_rows(table: Table, mapping: Mapping) -> CheckedRows:
    """
    Turn rows into examples and collect errors and warnings; errors in unused columns do not count.

    Rows that are marked as not meant for learning, and column names repeated among the rows, are left out with a
    warning.
    """
    used = {table.columns[position] for position in (*mapping.inputs, mapping.output)}
    problems = [problem for problem in table.problems if problem.column is None or problem.column in used]
    for reason, numbers in _left_out(table, mapping):
        problems.append(_left_out_problem(reason, numbers, len(table.rows)))
        table = table.without(frozenset(numbers))
    examples: list[TuningExample] = []
    rows: list[int] = []
    for row in table.rows:
        example, found = _example(row, table.columns, mapping)
        problems += found
        if example is not None:
            examples.append(example)
            rows.append(row.number)
    problems += _few(len(table.rows))
    doubts = list(check_examples(examples, rows, _names(table.columns, mapping)))
    missed = list(_missed_column(table, mapping, examples, rows))
    if missed:
        doubts = [doubt for doubt in doubts if doubt.kind != "contradiction"]
    problems += [*missed, *doubts]
    count = len(table.rows) + len(table.refused)
    return CheckedRows(tuple(examples), tuple(rows), order_problems(problems, count))


def check_examples(
    examples: Sequence[TuningExample], rows: Sequence[int], columns: tuple[str, str] = ("text_input", "output")
) -> Iterator[DataProblem]:
    """Yield warnings about usable examples; `rows` are their numbers in the file."""
    yield from _all_alike(examples)
    marks = _OldMarks.of(examples)
    if marks.are_found:
        yield warning("old-marks", marks.sentence(len(examples)))
    for row, example in zip(rows, examples, strict=True):
        text_input, output = marks.without(example) if marks.are_found else (example.text_input, example.output)
        yield from _doubtful_text(text_input, row, columns[0])
        yield from _doubtful_text(output, row, columns[1])
    if len(set(examples)) > 1:
        yield from _repeats(examples, rows)
    yield from _near_repeats(examples, rows)
    yield from _spellings(examples, rows, columns[1])
    yield from _labels_seen_once(examples, rows, columns[1])


def long_rows(
    token_counts: Sequence[int], limit: int, rows: Sequence[int] | None = None, without: Collection[int] = ()
) -> tuple[DataProblem, ...]:
    """
    Return a warning for each example of more than `limit` tokens: its input will be cut.

    `token_counts` holds the tokens of prompt and answer of each example, `rows` their row numbers (default 1, 2, 3),
    and `without` the indexes of examples that have an error, see `long_outputs`.
    """
    numbers = rows if rows is not None else range(1, len(token_counts) + 1)
    return tuple(
        DataProblem("long-row", f"{count:,} tokens, limit {limit:,}.", Level.WARNING, row, limit=limit, actual=count)
        for place, (row, count) in enumerate(zip(numbers, token_counts, strict=True))
        if count > limit and place not in without
    )


def long_outputs(
    tokens: dict[int, int], limit: int, rows: Sequence[int] | None = None, column: str = "output"
) -> tuple[DataProblem, ...]:
    """
    Return an error for each example whose output does not fit a base.

    `tokens` maps the index of an example to the tokens of its output and template; `rows` as for `long_rows`.
    """
    return tuple(
        DataProblem(
            "output-beyond-window",
            f"{count:,} tokens with the chat template, limit {limit:,}. Outputs are never cut; shorten this one.",
            row=place + 1 if rows is None else rows[place],
            column=column,
            limit=limit,
            actual=count,
        )
        for place, count in tokens.items()
    )


def order_problems(problems: Sequence[DataProblem], rows: int = 0) -> tuple[DataProblem, ...]:
    """
    Sort by row, the whole file first.

    A warning about most of the `rows`, or an error in all of them, is reported once for the whole file, because its
    cause is not in a single row. Other kinds are listed up to MAX_PROBLEMS_PER_KIND, and a line at the end gives the
    number of the rest.
    """
    groups: dict[tuple[str, str | None, Level], list[DataProblem]] = {}
    for problem in sorted(problems, key=lambda problem: problem.row or 0):
        groups.setdefault((problem.kind, problem.column, problem.level), []).append(problem)
    kept: list[DataProblem] = []
    rest: list[DataProblem] = []
    for group in groups.values():
        if (whole := _of_the_file(group, rows)) is not None:
            kept.append(whole)
            continue
        kept += group[:MAX_PROBLEMS_PER_KIND]
        if len(group) > MAX_PROBLEMS_PER_KIND:
            rest.append(_not_listed(group))
    return (*sorted(kept, key=lambda problem: problem.row or 0), *rest)


# With fewer rows, each problem is listed.
_LEAST_OF_THE_FILE = {Level.ERROR: 3, Level.WARNING: 10}


def _of_the_file(group: Sequence[DataProblem], rows: int) -> DataProblem | None:
    """Return one problem for the whole file if most rows have this problem, else None."""
    first, count = group[0], len({problem.row for problem in group if problem.row is not None})
    is_most = count == rows if first.level is Level.ERROR else 2 * count > rows
    if not (is_most and count >= _LEAST_OF_THE_FILE[first.level] and rows > 0):
        return None
    share = f"All {rows:,} rows" if count == rows else f"{count:,} of {rows:,} rows"
    sentence = _OF_MOST_ROWS.get(first.kind, "{share} (first: row {row}): {message}")
    message = sentence.format(share=share, row=first.row, message=first.message)
    if first.column is not None:
        message = message[0].lower() + message[1:]
    return replace(first, message=message, row=None, actual=count)


# What to say when most rows have the same problem: the likely cause, and what to do.
_OF_MOST_ROWS = {
    "empty-input": "{share} are empty. Is another column the input?",
    "empty-output": "{share} are empty. Is another column the output?",
    "blank-edges": "{share} begin or end with whitespace (first: row {row}). The model learns it too; remove it "
    "from the file unless you want it.",
    "missing-value": "{share} look like missing values (first: row {row}): {message} If nothing is missing there, "
    "ignore this.",
    "lost-character": "{share} contain U+FFFD (first: row {row}): characters were lost before this file was made. "
    "Export it again, as UTF-8.",
    "duplicate": "{share} repeat an earlier row (first: row {row}). They weigh more in tuning and teach nothing new.",
    "near-duplicate": "{share} differ from an earlier row only in case, whitespace or punctuation (first: row {row}).",
    "contradiction": "{share} have the same input as an earlier row but another output (first: row {row}). Is a column "
    "missing from the input?",
    "label-variant": "{share} have a label that is probably a different spelling of another (first: row {row}): "
    "{message}",
}


def _not_listed(group: Sequence[DataProblem]) -> DataProblem:
    first, count = group[0], len(group)
    message = f"{count - MAX_PROBLEMS_PER_KIND:,} more problems of kind {first.kind!r} are not listed."
    return DataProblem(first.kind, message, first.level, column=first.column, limit=MAX_PROBLEMS_PER_KIND, actual=count)


def _left_out(table: Table, mapping: Mapping) -> Iterator[tuple[str, list[int]]]:
    """Yield each reason for leaving out rows, with the row numbers; no row occurs twice."""
    used = {position: table.columns[position] for position in (*mapping.inputs, mapping.output)}
    names = [row.number for row in table.rows if all(_is_name(row.cells[place], name) for place, name in used.items())]
    if names and len(names) < len(table.rows):
        yield "they repeat the column names", names
    unused = {plain_name(table.columns[position]): position for position in mapping.ignored}
    for name, forms in (("weight", _WEIGHTS), ("label", _TRUTHS)):
        if name not in unused:
            continue
        cells = {row.number: _text(row.cells[unused[name]]).strip().casefold() for row in table.rows}
        unwanted = [number for number, cell in cells.items() if forms.get(cell) is False and number not in names]
        if unwanted and all(cell in forms for cell in cells.values() if cell):
            yield f"their {table.columns[unused[name]]!r} is {cells[unwanted[0]]}", unwanted
            names += unwanted


_WEIGHTS = {"0": False, "0.0": False, "1": True, "1.0": True}  # as OpenAI's chat lines have them
_TRUTHS = {"false": False, "true": True}  # good and bad answers, as in files for KTO


def _is_name(cell: Cell, name: str) -> bool:
    """Return whether a cell contains the name of its column, as happens when two files are joined."""
    return isinstance(cell, str) and len(cell) < 2 * len(name) + 8 and plain_name(cell) == plain_name(name)


def _left_out_problem(reason: str, numbers: Sequence[int], rows: int) -> DataProblem:
    if len(numbers) == rows:
        return DataProblem("left-out-rows", f"All rows were left out: {reason}.", actual=rows)
    which = f"Row {numbers[0]} was" if len(numbers) == 1 else f"{len(numbers):,} rows (first: row {numbers[0]}) were"
    return DataProblem("left-out-rows", f"{which} left out: {reason}.", Level.WARNING, actual=len(numbers))


_LEAST_CONTRADICTING_ROWS = 3
_LEAST_CONTRADICTING_SHARE = 0.05


def _missed_column(
    table: Table, mapping: Mapping, examples: Sequence[TuningExample], rows: Sequence[int]
) -> Iterator[DataProblem]:
    """Yield a warning if rows with the same input have different outputs and an unused column explains them."""
    contradicting = _contradicting([example.text_input for example in examples], examples)
    if contradicting < max(_LEAST_CONTRADICTING_ROWS, _LEAST_CONTRADICTING_SHARE * len(examples)):
        return
    contents, by_number = column_contents(table), {row.number: row for row in table.rows}
    for position in mapping.ignored:
        if contents[position] not in (Content.TEXT, Content.LABELS):
            continue
        cells = [_text(by_number[number].cells[position]) for number in rows]
        inputs = [f"{example.text_input}\0{cell}" for example, cell in zip(examples, cells, strict=True)]
        if not _contradicting(inputs, examples):
            message = (
                f"The outputs depend on {table.columns[position]!r}, which is not used: {contradicting:,} rows have "
                "the same input as a row with another output. Make that column an input too."
            )
            yield DataProblem("missed-column", message, Level.WARNING, actual=contradicting, option="input_column")
            return


def _contradicting(inputs: Sequence[str], examples: Sequence[TuningExample]) -> int:
    """Return how many rows have the same input as a row with another output."""
    outputs: dict[str, set[str]] = {}
    for text_input, example in zip(inputs, examples, strict=True):
        outputs.setdefault(text_input, set()).add(example.output)
    return sum(len(outputs[text_input]) > 1 for text_input in inputs)


def _example(row: Row, columns: Sequence[str], mapping: Mapping) -> tuple[TuningExample | None, list[DataProblem]]:
    problems = [
        DataProblem(cell.kind, cell.message, row=row.number, column=columns[position])
        for position in (*mapping.inputs, mapping.output)
        if isinstance(cell := row.cells[position], BadCell)
    ]
    if problems:
        return None, problems
    text_input = joined_input(row, columns, mapping.inputs)
    output = _text(row.cells[mapping.output])
    input_name, output_name = _names(columns, mapping)
    problems += _text_problems("input", text_input, row.number, input_name, MAX_TEXT_INPUT_CHARACTERS)
    problems += _text_problems("output", output, row.number, output_name, MAX_OUTPUT_CHARACTERS)
    return (None if problems else TuningExample(text_input, output)), problems


def _names(columns: Sequence[str], mapping: Mapping) -> tuple[str, str]:
    return " and ".join(columns[position] for position in mapping.inputs), columns[mapping.output]


def joined_input(row: Row, columns: Sequence[str], inputs: Sequence[int]) -> str:
    """
    Join input columns: a single one gives its text, several give lines of "name: text" without the empty ones.

    A system text goes before the others, separated by an empty line, as in chat lines.
    """
    system = [position for position in inputs if is_system(columns[position])] if len(inputs) > 1 else []
    others = [position for position in inputs if position not in system]
    if len(others) == 1:
        question = _text(row.cells[others[0]])
    else:
        filled = [(columns[position], text) for position in others if (text := _text(row.cells[position])).strip()]
        question = "\n".join(f"{name}: {text}" for name, text in filled)
    texts = [_text(row.cells[position]) for position in system]
    return "\n\n".join([*(text for text in texts if text.strip()), question]) if question.strip() else question


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else ""


def _text_problems(part: str, text: str, row: int, column: str, limit: int) -> Iterator[DataProblem]:
    if not text.strip():
        yield DataProblem(f"empty-{part}", "empty.", row=row, column=column)
        return
    if len(text) > limit:
        message = f"{len(text):,} characters, limit {limit:,}."
        yield DataProblem(f"long-{part}", message, row=row, column=column, limit=limit, actual=len(text))
    position = text.find("\0")
    if position >= 0:
        yield DataProblem("nul", f"a NUL at character {position + 1:,}; this is not text.", row=row, column=column)
    if not text.isascii():
        yield from _surrogates(text, row, column)


def _surrogates(text: str, row: int, column: str) -> Iterator[DataProblem]:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"half of a character (U+{ord(text[error.start]):04X}) at character {error.start + 1:,}."
        yield DataProblem("surrogate", message, row=row, column=column)


def _few(rows: int) -> Iterator[DataProblem]:
    """Warn below the recommended number of examples; never refuse, since Google's own quickstart has 15."""
    if rows < RECOMMENDED_EXAMPLES:
        message = (
            f"{'1 example' if rows == 1 else f'{rows} examples'}; most tasks need at least {RECOMMENDED_EXAMPLES}."
        )
        yield DataProblem("few-examples", message, Level.WARNING, limit=RECOMMENDED_EXAMPLES, actual=rows)


def _doubtful_text(text: str, row: int, column: str) -> Iterator[DataProblem]:
    stripped = text.strip()
    if text != stripped:
        unusual = sorted(set(text.removeprefix(text.rstrip()) + text.removesuffix(text.lstrip())) - set(" \t\r\n"))
        which = f" ({', '.join(f'U+{ord(letter):04X}' for letter in unusual)})" if unusual else ""
        yield warning("blank-edges", f"begins or ends with whitespace{which}.", row=row, column=column)
    if stripped.casefold() in _MISSING_WORDS:
        yield warning("missing-value", f"{stripped!r} looks like a missing value.", row=row, column=column)
    if "\ufffd" in text:
        yield warning(
            "lost-character", "contains U+FFFD: a character was lost before this file was made.", row=row, column=column
        )


_LEAST_ALIKE = 3  # with fewer rows, repetition means nothing
_SHOWN_OUTPUT = 40


def _all_alike(examples: Sequence[TuningExample]) -> Iterator[DataProblem]:
    """Warn about data that teaches only one answer: a single row many times, or one output for every input."""
    count, different = len(examples), len(set(examples))
    outputs = {example.output.strip() for example in examples}
    if count < _LEAST_ALIKE or len(outputs) > 1:
        return
    if different == 1:
        message = f"All {count:,} rows are the same. There is nothing to learn but this one answer; add other rows."
        yield DataProblem("one-row", message, Level.WARNING, actual=count)
        return
    output = outputs.pop()
    shown = repr(output if len(output) <= _SHOWN_OUTPUT else f"{output[:_SHOWN_OUTPUT]}…")
    message = f"All {count:,} rows have the output {shown}, so the model will give that answer to any input."
    yield DataProblem("one-output", f"{message} Add rows with other outputs.", Level.WARNING, actual=count)


def _repeats(examples: Sequence[TuningExample], rows: Sequence[int]) -> Iterator[DataProblem]:
    """Yield duplicates and contradictions, each pointing to the first row it repeats."""
    first_by_example: dict[TuningExample, int] = {}
    first_by_input: dict[str, int] = {}
    for row, example in zip(rows, examples, strict=True):
        if example in first_by_example:
            first = first_by_example[example]
            yield warning("duplicate", f"the same as row {first}.", row=row, other_row=first)
            continue
        if example.text_input in first_by_input:
            first = first_by_input[example.text_input]
            message = f"the same input as row {first}, but a different output."
            yield warning("contradiction", message, row=row, other_row=first)
        first_by_example[example] = row
        first_by_input.setdefault(example.text_input, row)


def _near_repeats(examples: Sequence[TuningExample], rows: Sequence[int]) -> Iterator[DataProblem]:
    """Yield inputs that differ from an earlier one only in case, whitespace and punctuation."""
    first: dict[str, tuple[str, int]] = {}
    for row, example in zip(rows, examples, strict=True):
        text, other = first.setdefault(plain(example.text_input), (example.text_input, row))
        if text.strip() != example.text_input.strip():
            message = f"differs from row {other} only in case, whitespace or punctuation."
            yield warning("near-duplicate", message, row=row, other_row=other)


def _spellings(examples: Sequence[TuningExample], rows: Sequence[int], column: str) -> Iterator[DataProblem]:
    meant = label_variants([example.output for example in examples])
    for row, example in zip(rows, examples, strict=True):
        label = example.output.strip()
        if label in meant:
            yield warning("label-variant", f"{label!r} {difference(label, meant[label])}.", row=row, column=column)


def _labels_seen_once(examples: Sequence[TuningExample], rows: Sequence[int], column: str) -> Iterator[DataProblem]:
    if output_kind([example.output for example in examples]) is not OutputKind.LABELS:
        return
    counts = Counter(example.output for example in examples)
    for row, example in zip(rows, examples, strict=True):
        if counts[example.output] == 1:
            yield warning("single-label", f"no other row has the output {example.output!r}.", row=row, column=column)


_LEAST_MARKED_ROWS = 5
_MARKED_SHARE = 0.95
_SEPARATOR = re.compile(r"(?:\n+(?:#{2,}|={3,}|-{3,})|\s*[-=]>)\s*\Z")
_END = re.compile(r"(?:\s*(?:END|STOP|#{2,}|\[END\]|<END>|<\|endoftext\|>)|(?<=\S)\n)\s*\Z")


@dataclass(frozen=True, slots=True)
class _OldMarks:
    """What OpenAI's old tool added to the texts of nearly all rows; empty strings where it added nothing."""

    blank: str = ""  # before each output
    end: str = ""  # after each output
    separator: str = ""  # after each input

    @classmethod
    def of(cls, examples: Sequence[TuningExample]) -> _OldMarks:
        if len(examples) < _LEAST_MARKED_ROWS:
            return cls()
        inputs, outputs = [example.text_input for example in examples], [example.output for example in examples]
        blanks = sum(output[:1] == " " and output[1:2].strip() != "" for output in outputs)
        blank = " " if blanks >= _MARKED_SHARE * len(outputs) else ""
        return cls(blank, _common_end(_END, outputs), _common_end(_SEPARATOR, inputs))

    @property
    def are_found(self) -> bool:
        """Whether there are two marks, or a word at the end; a single space or line break can have many causes."""
        return bool(self.end.strip()) or sum(map(bool, (self.blank, self.end, self.separator))) > 1

    def without(self, example: TuningExample) -> tuple[str, str]:
        output = example.output.removesuffix(self.end).removeprefix(self.blank)
        return example.text_input.removesuffix(self.separator), output

    def sentence(self, rows: int) -> str:
        """Return what the marks are and what they mean for later calls."""
        outputs = [*(["begin with a space"] if self.blank else []), *([f"end in {self.end!r}"] if self.end else [])]
        inputs = f", and the inputs end in {self.separator!r}" if self.separator else ""
        later = f", and later inputs must end in {self.separator!r} too" if self.separator else ""
        return (
            f"The outputs of all {rows:,} rows {' and '.join(outputs)}{inputs}, as in files for OpenAI's old models. "
            f"The model learns this: its answers will {' and '.join(outputs)} too{later}. "
            "Remove these marks from the file unless your programs expect them."
        )


def _common_end(pattern: re.Pattern[str], texts: Sequence[str]) -> str:
    """Return the ending matching this pattern that nearly all texts share, else an empty string."""
    found = Counter(match[0] for text in texts if (match := pattern.search(text)))
    end, count = max(found.items(), key=lambda item: item[1], default=("", 0))
    return end if count >= _MARKED_SHARE * len(texts) else ""
