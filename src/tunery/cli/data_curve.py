"""
`tunery data curve`: what more rows would bring, from short tunings on parts of a file.

Knows the file and the lines; tuning and fit are the engine's.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from tunery.cli import documents, terminal, verdict
from tunery.cli.bases import fetched
from tunery.cli.options import DataFile, InputColumn, Json, OutputColumn, option
from tunery.cli.progress import LiveLine
from tunery.errors import InvalidArgument
from tunery.types import DEFAULT_BASE_MODEL, Hyperparameters

_SIZES = 3


def curve(
    file: DataFile,
    base_model: Annotated[str, option("Base to tune.", DEFAULT_BASE_MODEL, metavar="NAME")] = DEFAULT_BASE_MODEL,
    sizes: Annotated[int, option("Parts of the file, each twice the one before.", _SIZES, metavar="N")] = _SIZES,
    repeats: Annotated[int, option("Times that each size is tuned, on other rows.", 1, metavar="N")] = 1,
    epochs: Annotated[
        int, option("Passes over the examples.", Hyperparameters().epoch_count, metavar="N")
    ] = Hyperparameters().epoch_count,
    seed: Annotated[int, option("Fixes which rows are drawn.", 0, metavar="N")] = 0,
    input_column: InputColumn = None,
    output_column: OutputColumn = None,
    json: Json = False,
) -> None:
    """
    Say what more rows would bring.

    Tunes on parts of the file and measures on rows that no part holds; nothing is kept in My Library.
    """
    from tunery.data.sandbox import read_guarded
    from tunery.evaluation.growth import RECOMMENDED_ROWS
    from tunery.evaluation.scores import TITLES
    from tunery.resampling import Repeated, data_curve

    if sizes < _SIZES or repeats < 1:
        raise InvalidArgument(f"--sizes must be at least {_SIZES} and --repeats at least 1.")
    settings = Hyperparameters(epoch_count=epochs)
    dataset = read_guarded(file, input_column=input_column or None, output_column=output_column)
    fetched(base_model)
    with LiveLine() as live:
        told = verdict.tuning_progress(live, sizes * repeats)
        shares = [0.5**step for step in range(sizes)]
        found = data_curve(dataset, shares=shares, repeats=repeats, repeated=Repeated(base_model, settings, seed, told))
    if json:
        terminal.result(documents.dumped(asdict(found) | {"recommended_rows": RECOMMENDED_ROWS}))
        return
    rows = [(str(one.rows), verdict.share(one.score), str(one.tested)) for one in found.measured]
    for line in terminal.table(("ROWS", TITLES[found.metric].upper(), "TESTED ON"), rows, right=(0, 1, 2)):
        terminal.result(line)
    terminal.result("")
    for promise in found.promises:
        terminal.result(promise.text)
    terminal.result(found.advice)
    usual = ", ".join(f"{task} {count}" for task, count in RECOMMENDED_ROWS.items())
    terminal.result(f"Usual for good results: {usual}.")
