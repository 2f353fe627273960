"""
`tunery data surgery`: the doubtful rows of a file, and a fixed copy of it.

The file itself is never changed. Tunes only if it is asked to (`--folds`). What is doubtful is `engine.data.surgery`.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tunery import config
from tunery.cli import documents, terminal, verdict
from tunery.cli.bases import fetched
from tunery.cli.options import DataFile, InputColumn, Json, OutputColumn, option
from tunery.cli.progress import LiveLine
from tunery.errors import InvalidArgument
from tunery.types import DEFAULT_BASE_MODEL, TuningExample

if TYPE_CHECKING:
    from tunery.data.cleaning import Finding
    from tunery.data.dataset import Dataset
    from tunery.resampling import Repeated
    from tunery.types import TunedModel

_SHOWN = 10  # of each kind
_TITLES = {
    "duplicate": "Duplicates",
    "near-duplicate": "Near duplicates",
    "contradiction": "Contradictions",
    "held-out-copy": "Copies of held-out rows",
    "label-variant": "Other spellings of a label",
    "cut-row": "Rows that are cut",
    "likely-mislabelled": "Likely mislabelled",
    "still-wrong": "Still wrong after tuning on them",
}


def surgery(
    file: DataFile,
    model: Annotated[
        str | None, option("Tuned model: its base, settings and held-out rows.", "none", metavar="MODEL")
    ] = None,
    folds: Annotated[int | None, option("Tune so many times to find wrong labels.", "do not tune", metavar="K")] = None,
    fix: Annotated[Path | None, option("CSV file for a fixed copy.", "none", metavar="FILE")] = None,
    drop_mislabelled: Annotated[
        bool, option("Leave out of the copy what is likely mislabelled.", "keep it", "--drop-mislabelled")
    ] = False,
    base_model: Annotated[
        str, option("Base to tune with --folds.", DEFAULT_BASE_MODEL, metavar="NAME")
    ] = DEFAULT_BASE_MODEL,
    input_column: InputColumn = None,
    output_column: OutputColumn = None,
    json: Json = False,
) -> None:
    """
    Find doubtful rows, and write a fixed copy if asked to.

    Copies and other spellings of a label are fixed; contradictions and wrong labels are for you to decide.
    """
    from tunery.data.cleaning import fixed
    from tunery.data.sandbox import read_guarded

    if fix is not None and fix.exists():
        raise InvalidArgument(f"{fix} is there already; --fix writes a new file.")
    dataset = read_guarded(file, input_column=input_column or None, output_column=output_column)
    found = _examined(dataset, model, folds, base_model)
    kept = fixed(dataset.examples, [*found, *_dropped(found)] if drop_mislabelled else found)
    if fix is not None:
        _write(fix, kept)
    if json:
        findings = [finding.document(partial(_row, dataset)) for finding in found]
        document = {"rows": len(dataset.examples), "findings": findings, "kept_rows": len(kept)}
        terminal.result(documents.dumped(document | {"fixed": None if fix is None else str(fix)}))
        return
    for line in _lines(found, dataset):
        terminal.result(line)
    if fix is not None:
        terminal.say(f"{len(kept)} of {len(dataset.examples)} rows are in {fix}. Next: tunery tune {fix}")
    elif any(finding.drops or finding.new_output is not None for finding in found):
        terminal.say(f"Next: tunery data surgery {file} --fix {file.stem}-fixed.csv")


def _examined(dataset: Dataset, name: str | None, folds: int | None, base_model: str) -> list[Finding]:
    """Examine all rows; those that a model has held out are not copies of themselves."""
    from tunery.data.cleaning import Kind, examine

    model, used, held_out = _of_library(name)
    base_name = model.base_model if model is not None else base_model
    counts, window = _tokens(dataset.examples, base_name)
    losses = _losses(dataset, name, model, folds, base_name)
    found = examine(
        dataset.examples,
        held_out=held_out,
        token_counts=counts,
        window_tokens=window,
        losses=losses,
        learned=() if folds is not None else used,
    )
    own = set(held_out)
    return [f for f in found if f.kind is not Kind.HELD_OUT_COPY or dataset.examples[f.place] not in own]


def _of_library(
    name: str | None,
) -> tuple[TunedModel | None, tuple[TuningExample, ...], tuple[TuningExample, ...]]:
    """Return a tuned model with what it was tuned on and what was held out."""
    if name is None:
        return None, (), ()
    from tunery.service.library import Library

    with Library.open(config.data_folder()) as library:
        model = library.get(name)
        return model, *library.examples(model)


def _tokens(examples: Sequence[TuningExample], base_name: str) -> tuple[list[int], int | None]:
    """Return the tokens of each example and the window, nothing if the base is not here."""
    from tunery.engine.catalog import Catalog

    entry = Catalog(config.data_folder(), config.default_base_model()).resolve(base_name)
    if not entry.is_present:
        return [], None
    from tunery.engine.encoding import token_counts

    return token_counts(entry, config.data_folder(), examples), entry.input_token_limit


def _losses(
    dataset: Dataset, name: str | None, model: TunedModel | None, folds: int | None, base_name: str
) -> list[float]:
    if folds is not None:
        from tunery.resampling import cross_validated_losses

        fetched(base_name)
        with LiveLine() as live:
            return cross_validated_losses(dataset, folds, repeated=_repeated(base_name, model, folds, live))
    if name is None:
        return []
    from tunery.cli.generate import loaded

    terminal.say("A model has learned its own rows by heart; --folds 5 finds wrong labels among them too.")
    return loaded(name).losses(dataset, are_whole=True)


def _repeated(base_name: str, model: TunedModel | None, folds: int, live: LiveLine) -> Repeated:
    from tunery.resampling import DOUBTING, Repeated

    settings = DOUBTING if model is None else model.task.hyperparameters
    return Repeated(base_name, settings, on_step=verdict.tuning_progress(live, folds))


def _dropped(found: Sequence[Finding]) -> Iterator[Finding]:
    from dataclasses import replace

    from tunery.data.cleaning import Kind

    return (replace(finding, drops=True) for finding in found if finding.kind is Kind.MISLABELLED)


def _lines(found: Sequence[Finding], dataset: Dataset) -> Iterator[str]:
    counts = Counter(finding.kind for finding in found)
    if not found:
        yield f"Nothing is doubtful about {len(dataset.examples)} rows."
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
    from tunery.files import write_whole

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("text_input", "output"))
    writer.writerows((example.text_input, example.output) for example in examples)
    write_whole(path.absolute(), text.getvalue().encode())
