"""
`tunery data`: look at a file before tuning on it, and check it as a whole.

Shows what `engine.data.preview` finds; stores nothing. Tokens are counted only when the base is on this machine.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tunery import config
from tunery.cli import documents, problems, terminal
from tunery.cli.data_curve import curve
from tunery.cli.options import DataFile, InputColumn, Json, OutputColumn, option
from tunery.cli.report import column_facts, file_facts
from tunery.cli.surgery import surgery
from tunery.errors import DataProblem, DatasetInvalid, Level
from tunery.types import DEFAULT_BASE_MODEL

if TYPE_CHECKING:
    from tunery.data.dataset import Dataset, Preview

data = typer.Typer(help="Look at and check files of examples.", no_args_is_help=True)

data.command()(surgery)
data.command()(curve)

_LEAST_CELL_COLUMNS = 8
_LEAST_SHARED_CHARACTERS = 40


@data.command("preview")
def show_preview(
    file: DataFile, input_column: InputColumn = None, output_column: OutputColumn = None, json: Json = False
) -> None:
    """Show how a file is understood, and its first rows."""
    from tunery.data.sandbox import preview_guarded

    found = preview_guarded(file, input_column=input_column or None, output_column=output_column)
    if json:
        terminal.result(documents.dumped(asdict(found)))
        return
    for line in (*_facts(found), "", *_sample(found)):
        terminal.result(line)
    for line in problems.lines(found.problems):
        terminal.say(line)


@data.command()
def check(
    file: DataFile,
    base_model: Annotated[
        str, option("Base whose tokens are counted, if it is on this machine.", DEFAULT_BASE_MODEL, metavar="NAME")
    ] = DEFAULT_BASE_MODEL,
    input_column: InputColumn = None,
    output_column: OutputColumn = None,
    json: Json = False,
) -> None:
    """Check a file as tuning would; exit status 13 if it cannot be used."""
    from tunery.data.sandbox import preview_guarded, read_guarded

    found = preview_guarded(file, input_column=input_column or None, output_column=output_column)
    all_problems = found.problems
    tokens: list[int] = []
    token_facts = ""  # an unusable file is not counted
    if not any(problem.level is Level.ERROR for problem in all_problems):
        dataset = read_guarded(file, input_column=input_column or None, output_column=output_column)
        tokens, too_long = _tokens(dataset, base_model)
        token_facts = _token_facts(tokens, base_model)
        all_problems = (*all_problems, *too_long)
    if json:
        terminal.result(documents.dumped(_document(found, all_problems, tokens)))
    else:
        for line in _facts(found, token_facts):
            terminal.result(line)
    if any(problem.level is Level.ERROR for problem in all_problems):
        raise DatasetInvalid("", all_problems)
    for line in problems.lines(all_problems):
        terminal.say(line)
    if not json:
        terminal.result(f"The data can be used: {problems.counted(all_problems)}.")


def _tokens(dataset: Dataset, base_model: str) -> tuple[list[int], tuple[DataProblem, ...]]:
    """Return the tokens of each example and the rows that are too long; nothing if the base is not here."""
    from tunery.data.checks import long_rows
    from tunery.engine.catalog import Catalog

    entry = Catalog(config.data_folder(), config.default_base_model()).resolve(base_model)
    if not entry.is_present:
        return [], ()
    from tunery.engine.encoding import token_counts

    counts = token_counts(entry, config.data_folder(), dataset.examples)
    return counts, long_rows(counts, entry.input_token_limit, dataset.rows or None)


def _facts(found: Preview, tokens: str = "") -> list[str]:
    usable = f"{found.example_count:,} of {found.row_count:,} rows can be used"
    return terminal.facts(
        (("File", file_facts(found)), ("Columns", column_facts(found)), ("Examples", usable), ("Tokens", tokens))
    )


def _token_facts(tokens: list[int], base_model: str) -> str:
    if not tokens:
        return f"not counted: {base_model} is not on this machine"
    return f"{sum(tokens):,} in all, {sum(tokens) / len(tokens):.0f} per row, longest {max(tokens):,} ({base_model})"


def _sample(found: Preview) -> list[str]:
    """Return the first rows as a table that fits the terminal; what does not fit is cut with dots."""
    header = ("ROW", *found.columns)
    columns = [_told_apart([row.cells[c] or "" for row in found.sample]) for c in range(len(found.columns))]
    rows = [(str(row.number), *(column[i] for column in columns)) for i, row in enumerate(found.sample)]
    number_width = max(len(line[0]) for line in (header, *rows))
    room = terminal.columns() - number_width
    shown = max(min(len(found.columns), room // (_LEAST_CELL_COLUMNS + 2)), 1)
    widths = _shared_out([max(len(line[c + 1]) for line in (header, *rows)) for c in range(shown)], room - 2 * shown)
    lines = [(line[0], *(terminal.shortened(line[c + 1], widths[c]) for c in range(shown))) for line in (header, *rows)]
    drawn = terminal.table(lines[0], lines[1:], right=(0,))
    hidden = len(found.columns) - shown
    return [*drawn, *([f"{hidden} more columns are not shown."] if hidden else [])]


def _told_apart(cells: list[str]) -> list[str]:
    """Leave out the instructions with which all cells of a column begin: what differs would be cut off."""
    first, last = min(cells, default=""), max(cells, default="")
    shared = next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), 0)
    start = first.rfind(" ", 0, shared) + 1
    if start < _LEAST_SHARED_CHARACTERS:
        return cells
    return [f"... {cell[start:]}" for cell in cells]


def _shared_out(wanted: list[int], room: int) -> list[int]:
    """Give narrow columns what they want and share the rest out among the wide ones."""
    widths = [0] * len(wanted)
    for left, column in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        widths[column] = min(wanted[column], (room - sum(widths)) // (len(wanted) - left))
    return widths


def _document(found: Preview, all_problems: tuple[DataProblem, ...], tokens: list[int]) -> dict[str, object]:
    return {
        "source": found.source,
        "format": found.format,
        "rows": found.row_count,
        "examples": found.example_count,
        "input_columns": found.input_columns,
        "output_column": found.output_column,
        "tokens": {"total": sum(tokens), "longest": max(tokens)} if tokens else None,
        "problems": problems.as_json(all_problems),
    }
