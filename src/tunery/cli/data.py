"""`tunery data`: preview, check and clean a file of examples, and estimate how much more rows would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunery import config
from tunery.cli import output, terminal
from tunery.cli.output import column_facts, file_facts
from tunery.cli.terminal import DataFile, Json, Reading, option, reads_file
from tunery.cli.workplace import Here, fetched
from tunery.errors import DataProblem, DatasetInvalid, InvalidArgument, Level
from tunery.progress import LiveLine, doing
from tunery.types import DEFAULT_BASE_MODEL, Hyperparameters, TuningExample

if TYPE_CHECKING:
    from tunery.data.cleaning import Finding
    from tunery.data.dataset import Dataset, Preview
    from tunery.data.outputs import RowsAndLabels

_SIZES = 3


@reads_file
def curve(
    file: DataFile,
    base_model: Annotated[str, option("Base to tune.", DEFAULT_BASE_MODEL, metavar="NAME")] = DEFAULT_BASE_MODEL,
    sizes: Annotated[int, option("Number of sizes, each twice the one before.", _SIZES, metavar="N")] = _SIZES,
    repeats: Annotated[int, option("Tuning runs per size, on different rows.", 1, metavar="N")] = 1,
    epochs: Annotated[
        int, option("Passes over the examples.", Hyperparameters().epoch_count, metavar="N")
    ] = Hyperparameters().epoch_count,
    seed: Annotated[int, option("Seed for sampling rows.", 0, metavar="N")] = 0,
    json: Json = False,
    *,
    reading: Reading,
) -> None:
    """
    Estimate how much more rows would help.

    Tunes on parts of the file and evaluates on the other rows. Nothing is kept in My Library.
    """
    from tunery.data.outputs import RECOMMENDED_ROWS
    from tunery.data.sandbox import read_guarded
    from tunery.evaluation.scores import TITLES
    from tunery.resampling import Repeated, data_curve

    if sizes < _SIZES or repeats < 1:
        raise InvalidArgument(f"--sizes must be at least {_SIZES} and --repeats at least 1.")
    settings = Hyperparameters(epoch_count=epochs)
    doing(f"Reading {file.name}")
    dataset = read_guarded(file, **reading)
    output.say_how_read(dataset.problems)
    fetched(base_model)
    with LiveLine() as live:
        show = output.tuning_progress(live, sizes * repeats)
        shares = [0.5**step for step in range(sizes)]
        found = data_curve(dataset, shares=shares, repeats=repeats, repeated=Repeated(base_model, settings, seed, show))
    if json:
        terminal.result(output.dumped(asdict(found) | {"recommended_rows": RECOMMENDED_ROWS}))
        return
    rows = [(str(one.rows), output.percent(one.score), str(one.tested)) for one in found.measured]
    terminal.table(("ROWS", TITLES[found.metric].upper(), "TESTED ON"), rows, right=(0, 1, 2))
    terminal.result("")
    for promise in found.promises:
        terminal.result(promise.text)
    terminal.result(found.advice)
    usual = ", ".join(f"{task} {count}" for task, count in RECOMMENDED_ROWS.items())
    terminal.result(f"Rows that usually give good results: {usual}.")


_SHOWN = 10  # of each kind
_TITLES = {
    "duplicate": "Duplicates",
    "near-duplicate": "Near duplicates",
    "contradiction": "Contradictions",
    "held-out-copy": "Copies of held-out rows",
    "label-variant": "Other spellings of a label",
    "cut-row": "Rows that are cut off",
    "likely-mislabelled": "Likely mislabelled",
    "still-wrong": "Still wrong after tuning on them",
}


@reads_file
def surgery(
    file: DataFile,
    model: Annotated[
        str | None, option("Tuned model to take the base, settings and held-out rows from.", "none", metavar="MODEL")
    ] = None,
    folds: Annotated[
        int | None, option("Find wrong labels by K-fold cross-validation (tunes K times).", "do not tune", metavar="K")
    ] = None,
    fix: Annotated[Path | None, option("New CSV file for the fixed copy.", "none", metavar="FILE")] = None,
    drop_mislabelled: Annotated[
        bool, option("Leave likely mislabelled rows out of the copy.", "keep them", "--drop-mislabelled")
    ] = False,
    base_model: Annotated[
        str, option("Base to tune with --folds.", DEFAULT_BASE_MODEL, metavar="NAME")
    ] = DEFAULT_BASE_MODEL,
    json: Json = False,
    *,
    reading: Reading,
) -> None:
    """
    Find suspicious rows, and write a fixed copy with --fix.

    Fixes duplicates and variant spellings of labels; contradictions and wrong labels are left for you to decide.
    """
    from tunery.data.cleaning import fixed
    from tunery.data.sandbox import read_guarded

    if fix is not None and fix.exists():
        raise InvalidArgument(f"{fix} already exists; --fix writes a new file.")
    doing(f"Reading {file.name}")
    dataset = read_guarded(file, **reading)
    output.say_how_read(dataset.problems)
    found = _examined(dataset, model, folds, base_model)
    kept = fixed(dataset.examples, [*found, *_dropped(found)] if drop_mislabelled else found)
    if fix is not None:
        _write(fix, kept)
    if json:
        findings = [finding.document(partial(_row, dataset)) for finding in found]
        document = {"rows": len(dataset.examples), "findings": findings, "kept_rows": len(kept)}
        terminal.result(output.dumped(document | {"fixed": None if fix is None else str(fix)}))
        return
    for line in _lines(found, dataset):
        terminal.result(line)
    if fix is not None:
        terminal.say(f"Wrote {len(kept)} of {len(dataset.examples)} rows to {fix}. Next: tunery tune {fix}")
    elif any(finding.drops or finding.new_output is not None for finding in found):
        terminal.say(f"Next: tunery data surgery {file} --fix {file.stem}-fixed.csv")


def _examined(dataset: Dataset, name: str | None, folds: int | None, base_model: str) -> list[Finding]:
    """Return the suspicious rows; the model's held-out rows are not reported as copies of themselves."""
    from tunery.data.cleaning import Kind, examine

    place = Here()
    model = place.get(name) if name else None
    used, held_out = place.rows_of(model) if model else ((), ())
    base_name = model.base_model if model is not None else base_model
    counts, window = _tokens_and_window(dataset.examples, base_name)
    if folds is None and name is None:
        found = examine(dataset.examples, token_counts=counts, window_tokens=window)
    else:
        from tunery.resampling import Repeated
        from tunery.resampling import surgery as examined

        settings = Hyperparameters() if model is None else model.task.hyperparameters
        if folds is not None:
            fetched(base_name)
        elif name is not None:
            terminal.say("A model has memorized the rows it was tuned on; --folds 5 finds wrong labels among them too.")
        with LiveLine() as live:
            found = examined(
                dataset,
                folds=folds,
                model=place.model(name) if name is not None and folds is None else None,
                held_out=held_out,
                repeated=Repeated(base_name, settings, on_step=output.tuning_progress(live, folds or 0)),
                token_counts=counts,
                window_tokens=window,
                learned=used,
            )
    own = set(held_out)
    return [f for f in found if f.kind is not Kind.HELD_OUT_COPY or dataset.examples[f.place] not in own]


def _tokens_and_window(examples: Sequence[TuningExample], base_name: str) -> tuple[list[int], int | None]:
    """
    Return the number of tokens of each example and the window of the base, nothing if the base is not on this machine.
    """
    from tunery.engine.catalog import Catalog

    entry = Catalog(config.data_folder(), config.default_base_model()).resolve(base_name)
    if not entry.is_present:
        return [], None
    from tunery.engine.encoding import token_counts

    return token_counts(entry, config.data_folder(), examples), entry.input_token_limit


def _outputs_beyond_window(examples: Sequence[TuningExample], base_name: str) -> dict[int, int]:
    from tunery.engine.catalog import Catalog
    from tunery.engine.encoding import outputs_beyond_window

    entry = Catalog(config.data_folder(), config.default_base_model()).resolve(base_name)
    return outputs_beyond_window(entry, config.data_folder(), examples)


def _dropped(found: Sequence[Finding]) -> Iterator[Finding]:
    from tunery.data.cleaning import Kind

    return (replace(finding, drops=True) for finding in found if finding.kind is Kind.MISLABELLED)


def _lines(found: Sequence[Finding], dataset: Dataset) -> Iterator[str]:
    counts = Counter(finding.kind for finding in found)
    if not found:
        yield f"Found nothing doubtful in {len(dataset.examples)} rows."
    for kind, title in _TITLES.items():
        those = [finding for finding in found if finding.kind == kind]
        those.sort(key=lambda finding: -(finding.score or 0.0))
        if those:
            yield f"{title}: {counts[those[0].kind]}"
        for finding in those[:_SHOWN]:
            yield f"  row {_row(dataset, finding.place)}: {finding.sentence(partial(_row, dataset))}"
        if len(those) > _SHOWN:
            yield f"  and {len(those) - _SHOWN} more; --json lists all."


def _row(dataset: Dataset, place: int) -> int:
    return dataset.rows[place] if dataset.rows else place + 1


def _write(path: Path, examples: Sequence[TuningExample]) -> None:
    from tunery.data.tables import csv_text
    from tunery.files import write_whole

    rows = ((example.text_input, example.output) for example in examples)
    write_whole(path.absolute(), csv_text(("text_input", "output"), rows).encode())


data = typer.Typer(name="data", help="Preview, check and clean files of examples.", no_args_is_help=True)

data.command()(surgery)
data.command()(curve)

_LEAST_CELL_COLUMNS = 8
_LEAST_SHARED_CHARACTERS = 40


@data.command("preview")
@reads_file
def show_preview(
    file: DataFile,
    json: Json = False,
    *,
    reading: Reading,
) -> None:
    """Show how a file is read, and its first rows."""
    from tunery.data.sandbox import preview_guarded

    doing(f"Reading {file.name}")
    found = preview_guarded(file, **reading)
    if json:
        terminal.result(output.dumped(asdict(found)))
        return
    for line in (*_facts(found), ""):
        terminal.result(line)
    if found.columns:
        _print_sample(found)
    for line in output.problem_lines(found.problems):
        terminal.say(line)


@data.command()
@reads_file
def check(
    file: DataFile,
    base_model: Annotated[
        str, option("Base to count tokens for, if it is on this machine.", DEFAULT_BASE_MODEL, metavar="NAME")
    ] = DEFAULT_BASE_MODEL,
    json: Json = False,
    *,
    reading: Reading,
) -> None:
    """Check a file of examples; exit status 13 if it cannot be used."""
    from tunery.data.checks import long_outputs, long_rows
    from tunery.data.outputs import rows_and_labels
    from tunery.data.sandbox import preview_guarded, read_guarded
    from tunery.evaluation.contest import AUTOMATIC, set_aside

    doing(f"Reading {file.name}")
    found = preview_guarded(file, **reading)
    all_problems = found.problems
    tokens: list[int] = []
    facts = None  # an unusable file is not counted
    if not any(problem.level is Level.ERROR for problem in all_problems):
        dataset = read_guarded(file, **reading)
        doing("Counting tokens")
        tokens, window = _tokens_and_window(dataset.examples, base_model)
        examples, held_out, _ = set_aside(dataset.examples, AUTOMATIC)  # as `tunery tune` will
        facts = rows_and_labels(examples, held_out)
        all_problems += facts.problems
        if window:
            beyond = _outputs_beyond_window(dataset.examples, base_model)
            found = replace(found, example_count=found.example_count - len(beyond))
            rows = dataset.rows or None
            all_problems += long_outputs(beyond, window, rows, found.output_column or "output")
            all_problems += long_rows(tokens, window, rows, beyond)
    if json:
        terminal.result(output.dumped(_document(found, all_problems, tokens, facts)))
    else:
        for line in _facts(found, facts, _token_facts(tokens, base_model) if facts else ""):
            terminal.result(line)
    if any(problem.level is Level.ERROR for problem in all_problems):
        raise DatasetInvalid("", all_problems)
    for line in output.problem_lines(all_problems):
        terminal.say(line)
    if not json:
        terminal.result(f"The data can be used: {output.problem_counts(all_problems)}.")


def _facts(found: Preview, facts: RowsAndLabels | None = None, tokens: str = "") -> list[str]:
    usable = f"{found.example_count:,} of {found.row_count:,} rows can be used"
    return terminal.facts(
        (
            ("File", file_facts(found)),
            ("Columns", column_facts(found)),
            ("Examples", usable),
            ("Rows", facts.advice if facts else ""),
            ("Labels", output.label_facts(facts) if facts else ""),
            ("Tokens", tokens),
        )
    )


def _token_facts(tokens: list[int], base_model: str) -> str:
    if not tokens:
        return f"not counted: {base_model} is not on this machine"
    return f"{sum(tokens):,} in total, {sum(tokens) / len(tokens):.0f} per row, at most {max(tokens):,} ({base_model})"


def _print_sample(found: Preview) -> None:
    """Print the first rows as a table that fits the terminal; long cells are cut."""
    header = ("ROW", *found.columns)
    columns = [_without_shared_start([row.cells[c] or "" for row in found.sample]) for c in range(len(found.columns))]
    rows = [(str(row.number), *(column[i] for column in columns)) for i, row in enumerate(found.sample)]
    wanted = [max(len(line[c]) for line in (header, *rows)) for c in range(len(header))]
    widths = _widths(found, wanted[1:], terminal.columns() - wanted[0])
    lines = [
        (line[0], *(terminal.shortened(line[c + 1], width) for c, width in widths.items())) for line in (header, *rows)
    ]
    terminal.table(lines[0], lines[1:], right=(0,))
    if hidden := len(found.columns) - len(widths):
        terminal.result(f"{hidden} more column{'s are' if hidden > 1 else ' is'} not shown.")


def _widths(found: Preview, wanted: list[int], room: int) -> dict[int, int]:
    """Return the columns to show, in their order, with their widths: those in use first, others if they still fit."""
    used = [c for c, name in enumerate(found.columns) if name in (*found.input_columns, found.output_column)]
    first = (used or list(range(len(wanted))))[: max(room // (_LEAST_CELL_COLUMNS + 2), 1)]
    widths = dict(zip(first, _shared_out([wanted[c] for c in first], room - 2 * len(first)), strict=True))
    for column in set(range(len(wanted))) - set(first):
        if sum(widths.values()) + 2 * len(widths) + wanted[column] + 2 <= room:
            widths[column] = wanted[column]
    return dict(sorted(widths.items()))


def _without_shared_start(cells: list[str]) -> list[str]:
    """Cut the instructions that all cells of a column share, so that the differences are visible."""
    first, last = min(cells, default=""), max(cells, default="")
    shared = next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), 0)
    start = first.rfind(" ", 0, shared) + 1
    if start < _LEAST_SHARED_CHARACTERS:
        return cells
    return [f"... {cell[start:]}" for cell in cells]


def _shared_out(wanted: list[int], room: int) -> list[int]:
    """Give narrow columns their full width and divide the rest among the wide ones."""
    widths = [0] * len(wanted)
    for left, column in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        widths[column] = min(wanted[column], (room - sum(widths)) // (len(wanted) - left))
    return widths


def _document(
    found: Preview, all_problems: tuple[DataProblem, ...], tokens: list[int], facts: RowsAndLabels | None
) -> dict[str, object]:
    return {
        "source": found.source,
        "format": found.format,
        "rows": found.row_count,
        "examples": found.example_count,
        "input_columns": found.input_columns,
        "output_column": found.output_column,
        "tokens": {"total": sum(tokens), "longest": max(tokens)} if tokens else None,
        "rows_advice": facts.advice if facts else None,
        "labels": dict(facts.labels) if facts and facts.labels else None,
        "problems": output.problem_document(all_problems),
    }
