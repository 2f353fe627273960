"""
Turns rows into examples and finds everything that is wrong or doubtful about them, with row numbers.

Errors make a row unusable; warnings do not stop tuning. Rows too long for a base are found from token counts that the
caller passes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from tunery.data.columns import Mapping
from tunery.data.inputs import plain
from tunery.data.outputs import OutputKind, label_variants, output_kind
from tunery.data.tables import BadCell, Cell, Row, Table, warning
from tunery.errors import DataProblem, Level
from tunery.types import MAX_OUTPUT_CHARACTERS, MAX_TEXT_INPUT_CHARACTERS, RECOMMENDED_EXAMPLES, TuningExample

# More of one kind help nobody, and 4 MiB can hold a hundred thousand bad rows.
MAX_PROBLEMS_PER_KIND = 1_000

_MISSING_WORDS = frozenset({"nan", "null", "none", "n/a", "#n/a", "<na>", "undefined"})


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """Examples that can be used, the rows they come from, and all problems in the order of the rows."""

    examples: tuple[TuningExample, ...]
    rows: tuple[int, ...]
    problems: tuple[DataProblem, ...]


def check_rows(table: Table, mapping: Mapping) -> CheckedRows:
    """Turn rows into examples and collect errors and warnings; errors in unused columns do not count."""
    used = {table.columns[position] for position in (*mapping.inputs, mapping.output)}
    problems = [problem for problem in table.problems if problem.column is None or problem.column in used]
    examples: list[TuningExample] = []
    rows: list[int] = []
    for row in table.rows:
        example, found = _example(row, table.columns, mapping)
        problems += found
        if example is not None:
            examples.append(example)
            rows.append(row.number)
    problems += _few(len(table.rows))
    problems += check_examples(examples, rows, _names(table.columns, mapping))
    return CheckedRows(tuple(examples), tuple(rows), order_problems(problems))


def check_examples(
    examples: Sequence[TuningExample], rows: Sequence[int], columns: tuple[str, str] = ("text_input", "output")
) -> Iterator[DataProblem]:
    """Yield warnings about usable examples; `rows` are their numbers in the file."""
    for row, example in zip(rows, examples, strict=True):
        yield from _doubtful_text(example.text_input, row, columns[0])
        yield from _doubtful_text(example.output, row, columns[1])
    yield from _repeats(examples, rows)
    yield from _near_repeats(examples, rows)
    yield from _spellings(examples, rows, columns[1])
    yield from _labels_seen_once(examples, rows, columns[1])


def long_rows(
    token_counts: Sequence[int], limit: int, rows: Sequence[int] | None = None, without: Collection[int] = ()
) -> tuple[DataProblem, ...]:
    """
    Return a warning for each example of more than `limit` tokens: its input will be cut.

    `token_counts` holds prompt and answer tokens of each example; `rows` their numbers in the file, else 1, 2, 3;
    `without` the places of examples that have an error, see `long_outputs`.
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

    `tokens` of output and template by the place of the example; `rows` as for `long_rows`.
    """
    return tuple(
        DataProblem(
            "output-beyond-window",
            f"{count:,} tokens with the chat template, limit {limit:,}: an output is never cut. Shorten the output.",
            row=place + 1 if rows is None else rows[place],
            column=column,
            limit=limit,
            actual=count,
        )
        for place, count in tokens.items()
    )


def order_problems(problems: Sequence[DataProblem]) -> tuple[DataProblem, ...]:
    """Sort by row, the whole file first, and cut each kind after MAX_PROBLEMS_PER_KIND with a line about the rest."""
    kept: list[DataProblem] = []
    seen: Counter[tuple[str, str | None]] = Counter()
    for problem in sorted(problems, key=lambda problem: problem.row or 0):
        key = (problem.kind, problem.column)
        seen[key] += 1
        if seen[key] <= MAX_PROBLEMS_PER_KIND:
            kept.append(problem)
    for (kind, column), count in seen.items():
        if count > MAX_PROBLEMS_PER_KIND:
            level = next(problem.level for problem in kept if problem.kind == kind)
            message = f"{count - MAX_PROBLEMS_PER_KIND:,} more problems of kind {kind!r} are not listed."
            kept.append(DataProblem(kind, message, level, column=column, limit=MAX_PROBLEMS_PER_KIND, actual=count))
    return tuple(kept)


def _example(row: Row, columns: Sequence[str], mapping: Mapping) -> tuple[TuningExample | None, list[DataProblem]]:
    problems = [
        DataProblem(cell.kind, cell.message, row=row.number, column=columns[position])
        for position in (*mapping.inputs, mapping.output)
        if isinstance(cell := row.cells[position], BadCell)
    ]
    if problems:
        return None, problems
    text_input = _joined(row, columns, mapping.inputs)
    output = _text(row.cells[mapping.output])
    input_name, output_name = _names(columns, mapping)
    problems += _text_problems("input", text_input, row.number, input_name, MAX_TEXT_INPUT_CHARACTERS)
    problems += _text_problems("output", output, row.number, output_name, MAX_OUTPUT_CHARACTERS)
    return (None if problems else TuningExample(text_input, output)), problems


def _names(columns: Sequence[str], mapping: Mapping) -> tuple[str, str]:
    return " and ".join(columns[position] for position in mapping.inputs), columns[mapping.output]


def _joined(row: Row, columns: Sequence[str], inputs: Sequence[int]) -> str:
    """Join input columns: one as its text, several as lines of "name: text" without the empty ones."""
    if len(inputs) == 1:
        return _text(row.cells[inputs[0]])
    filled = [(columns[position], text) for position in inputs if (text := _text(row.cells[position])).strip()]
    return "\n".join(f"{name}: {text}" for name, text in filled)


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
        yield warning("blank-edges", "begins or ends with whitespace.", row=row, column=column)
    if stripped.casefold() in _MISSING_WORDS:
        yield warning("missing-value", f"{stripped!r} looks like a missing value.", row=row, column=column)
    if "\ufffd" in text:
        yield warning(
            "lost-character", "contains U+FFFD: a character was lost before this file was made.", row=row, column=column
        )


def _repeats(examples: Sequence[TuningExample], rows: Sequence[int]) -> Iterator[DataProblem]:
    """Yield duplicates and contradictions, each pointing to the first row it repeats."""
    first_by_example: dict[TuningExample, int] = {}
    first_by_input: dict[str, int] = {}
    for row, example in zip(rows, examples, strict=True):
        if example in first_by_example:
            yield warning("duplicate", f"the same as row {first_by_example[example]}.", row=row)
            continue
        if example.text_input in first_by_input:
            message = f"the same input as row {first_by_input[example.text_input]}, but a different output."
            yield warning("contradiction", message, row=row)
        first_by_example[example] = row
        first_by_input.setdefault(example.text_input, row)


def _near_repeats(examples: Sequence[TuningExample], rows: Sequence[int]) -> Iterator[DataProblem]:
    """Yield inputs that differ from an earlier one in case, blanks and punctuation only."""
    first: dict[str, tuple[str, int]] = {}
    for row, example in zip(rows, examples, strict=True):
        text, other = first.setdefault(plain(example.text_input), (example.text_input, row))
        if text.strip() != example.text_input.strip():
            yield warning(
                "near-duplicate", f"differs from row {other} only in case, whitespace or punctuation.", row=row
            )


def _spellings(examples: Sequence[TuningExample], rows: Sequence[int], column: str) -> Iterator[DataProblem]:
    meant = label_variants([example.output for example in examples])
    for row, example in zip(rows, examples, strict=True):
        label = example.output.strip()
        if label in meant:
            message = f"{label!r} is probably another spelling of {meant[label]!r}."
            yield warning("label-variant", message, row=row, column=column)


def _labels_seen_once(examples: Sequence[TuningExample], rows: Sequence[int], column: str) -> Iterator[DataProblem]:
    if output_kind([example.output for example in examples]) is not OutputKind.LABELS:
        return
    counts = Counter(example.output for example in examples)
    for row, example in zip(rows, examples, strict=True):
        if counts[example.output] == 1:
            yield warning("single-label", f"no other row has the output {example.output!r}.", row=row, column=column)
