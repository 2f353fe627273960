"""
`tunery evaluate`: whether tuning helped, on held-out rows or on a file, beside simple baselines and the prompted base.

Works on the library here or through the server that holds it; the newest report about a tuned model is kept there. The
work is `engine.evaluation`, the lines are `verdict.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tunery import config
from tunery.cli import output, terminal
from tunery.cli.client import Server, asked_server, holding_server
from tunery.cli.generate import loaded
from tunery.cli.terminal import (
    DataFile,
    InputColumn,
    Json,
    LiveLine,
    OutputColumn,
    ServerAddress,
    argument,
    count_progress,
    option,
)
from tunery.errors import FolderLocked, InvalidArgument, NotFound, TuneryError
from tunery.old_models import (
    KEY_NAME,
    MAX_OUTPUT_TOKENS,
    PER_MINUTE,
    Endpoint,
    OldModel,
    Records,
    Style,
    key_in,
    record,
)
from tunery.types import TunedModel, TuningExample

if TYPE_CHECKING:
    from tunery.evaluation.contest import Recorded
    from tunery.evaluation.report import Evaluation

MAX_ROWS = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What shall be evaluated: rows of a file, None for those that were held out, and answers to compare with."""

    rows: tuple[TuningExample, ...] | None
    source: str
    recorded: Recorded | None
    max_rows: int
    seed: int


def evaluate(
    model: Annotated[str, argument("Tuned model of My Library, or a base model.", "MODEL")],
    file: Annotated[Path | None, argument("Rows to evaluate on; without it the held-out rows.", "FILE")] = None,
    against: Annotated[
        Path | None, option("JSONL that `tunery rescue` made of FILE, to compare with.", "none", metavar="ANSWERS")
    ] = None,
    folds: Annotated[
        int | None, option("Tune so many times, each without the rows that it answers.", "do not tune", metavar="K")
    ] = None,
    rows: Annotated[int, option("Rows at most, drawn from all.", MAX_ROWS, metavar="N")] = MAX_ROWS,
    seed: Annotated[int, option("Fixes which rows are drawn.", 0, metavar="N")] = 0,
    input_column: InputColumn = None,
    output_column: OutputColumn = None,
    server: ServerAddress = None,
    json: Json = False,
) -> None:
    """
    Say whether tuning helped.

    The rows are answered by the tuned model, by its base with the plain prompt and with examples in it, and by two
    simple baselines.
    """
    if rows < 1:
        raise InvalidArgument("--rows must be at least 1.")
    asked = _asked(file, against, {"input_column": input_column or None, "output_column": output_column}, rows, seed)
    at_work = asked_server(server) or holding_server(config.data_folder())
    if folds is not None:
        if at_work is not None and not at_work.is_here:
            raise InvalidArgument("--folds tunes on this machine; leave --server out.")
        found = _folded(model, asked, folds)
    elif at_work is not None:
        found = evaluated_there(at_work, model, asked)
    else:
        found = evaluated_here(model, asked)
    if json:
        terminal.result(output.dumped(found.document()))
        return
    for line in output.verdict_lines(found):
        terminal.result(line)


def after_tuning(model: TunedModel, server: Server | None) -> dict[str, object]:
    """Evaluate a model that was just tuned on its held-out rows, say the sentence and return it for the JSON."""
    asked = Asked(None, "held-out rows", None, MAX_ROWS, 0)
    server = server or holding_server(config.data_folder())
    try:
        if server is None:
            found = evaluated_here(model.id, asked)
        else:
            with LiveLine() as live:
                found = server.verdict(model, MAX_ROWS, output.evaluation_progress(live))
    except (TuneryError, KeyboardInterrupt) as error:  # the model is there, whatever comes of this
        why = "interrupted." if isinstance(error, KeyboardInterrupt) else str(error)
        terminal.say(f"No verdict: {why} `tunery evaluate {model.id}` tries again.")
        return {}
    if found.verdict is None:
        return {}
    for line in terminal.facts((("Verdict", f"{found.verdict.text} More: tunery evaluate {model.id}"),)):
        terminal.say(line)
    return {"verdict": asdict(found.verdict)}


def evaluated_here(name: str, asked: Asked) -> Evaluation:
    """Evaluate a model of the library, or a base, in this process, and keep the report."""
    from tunery.service.library import Library
    from tunery.service.reports import keep

    model, used, held_out = _of_library(name)
    terminal.say("Loading the model ...")
    with LiveLine() as live:
        found = loaded(name).evaluate(
            asked.rows if asked.rows is not None else _required(held_out),
            examples=used,
            recorded=asked.recorded,
            max_rows=asked.max_rows,
            seed=asked.seed,
            on_answered=output.evaluation_progress(live),
        )
    found = replace(found, source=asked.source)
    if model is not None:
        try:
            with Library.own(config.data_folder()) as library:
                keep(library, model, found)
        except FolderLocked:
            terminal.say("The report was not kept: another command is using the data folder.")
    return found


def evaluated_there(server: Server, name: str, asked: Asked) -> Evaluation:
    """Have a server evaluate a tuned model of its library; it keeps the report."""
    model = server.get(name)
    with LiveLine() as live:
        return server.evaluate(
            model,
            asked.rows,
            asked.source,
            asked.recorded,
            asked.max_rows,
            asked.seed,
            output.evaluation_progress(live),
        )


def _folded(name: str, asked: Asked, folds: int) -> Evaluation:
    """Tune again on parts of the rows, with the settings of the model, or the defaults on a base."""
    from tunery.resampling import Repeated, cross_validate

    model, used, held_out = _of_library(name)
    rows = asked.rows if asked.rows is not None else (*used, *held_out)
    if not rows:
        raise InvalidArgument(f"{name} is a base; give a file of rows to tune on.")
    with LiveLine() as live:
        told = output.tuning_progress(live, folds)
        how = (
            Repeated(name, seed=asked.seed, on_step=told)
            if model is None
            else Repeated(model.base_model, model.task.hyperparameters, model.task.seed, told)
        )
        return cross_validate(rows, folds, repeated=how, on_answered=output.evaluation_progress(live))


def _of_library(name: str) -> tuple[TunedModel | None, Sequence[TuningExample], Sequence[TuningExample]]:
    """Return a tuned model with what it was tuned on and what was held out; None for what may be a base."""
    from tunery.service.library import Library

    with Library.open(config.data_folder()) as library:
        try:
            model = library.get(name)
        except NotFound:
            return None, (), ()
        return model, *library.examples(model)


def _required(held_out: Sequence[TuningExample]) -> Sequence[TuningExample]:
    if not held_out:
        raise InvalidArgument("No rows were held out. Give a file of rows, or --folds 5 to tune on parts of them.")
    return held_out


def _asked(file: Path | None, against: Path | None, columns: dict[str, object], max_rows: int, seed: int) -> Asked:
    if file is None:
        if against is not None:
            raise InvalidArgument("--against goes with the file whose rows were answered.")
        return Asked(None, "held-out rows", None, max_rows, seed)
    from tunery.data.sandbox import read_guarded

    dataset = read_guarded(file, **columns)  # type: ignore[arg-type]
    recorded = None
    if against is not None:
        from tunery.old_models import read_recorded

        recorded = read_recorded(against, dataset.examples)
    return Asked(dataset.examples, dataset.source, recorded, max_rows, seed)


_EVERY = 20  # answers between two lines into a pipe


def rescue(
    file: DataFile,
    endpoint: Annotated[str, option("Address of the API, up to its version.", "must be given", metavar="URL")],
    model: Annotated[str, option("Model to ask, as the API names it.", "must be given", metavar="NAME")],
    to: Annotated[
        Path | None, option("JSONL file for the answers.", "FILE with .answers.jsonl", metavar="FILE")
    ] = None,
    style: Annotated[Style, option("Whose API it is: openai or gemini.", "openai")] = Style.OPENAI,
    key_variable: Annotated[
        str, option("Environment variable that holds the key.", KEY_NAME, metavar="NAME")
    ] = KEY_NAME,
    bearer: Annotated[
        bool, option("Send the key of a Gemini API as an access token.", "as an API key", "--bearer")
    ] = False,
    per_minute: Annotated[float, option("Requests in a minute, at most.", PER_MINUTE, metavar="N")] = PER_MINUTE,
    max_output_tokens: Annotated[
        int, option("Longest answer, in tokens.", MAX_OUTPUT_TOKENS, metavar="N")
    ] = MAX_OUTPUT_TOKENS,
    temperature: Annotated[float, option("0 for the likeliest answer.", 0, metavar="T")] = 0.0,
    input_column: InputColumn = None,
    output_column: OutputColumn = None,
    json: Json = False,
) -> None:
    """
    Record the answers of an old model to the rows of a file.

    The rows are sent to the endpoint that you name, and to nobody else. The same command goes on after a stop.
    """
    from tunery.data.sandbox import read_guarded

    key = key_in(key_variable)
    asked = Endpoint(endpoint, style, model, key, key_variable, bearer, max_output_tokens, temperature)
    dataset = read_guarded(file, input_column=input_column or None, output_column=output_column)
    path = to or file.with_name(f"{file.stem}.answers.jsonl")
    records = Records(path, model, dataset.examples)
    total = len(records.rows)
    try:
        _record(records, OldModel(asked, per_minute))
    except TuneryError:
        terminal.say(f"{len(records.lines)} of {total} answers are in {path}; the same command goes on.")
        raise
    refused = sum("error" in line for line in records.lines.values())
    if json:
        document = {"file": str(path), "model": model, "rows": total, "without_answer": refused}
        terminal.result(output.dumped(document))
        return
    terminal.say(f"{total} answers of {model}" + (f", {refused} rows got none" if refused else ""))
    terminal.say(f"Next: tunery evaluate MODEL {file} --against {path}")
    terminal.result(str(path))


def _record(records: Records, old: OldModel) -> None:
    total, known = len(records.rows), len(records.lines)
    if known:
        terminal.say(f"{known} answers are there already; going on.")
    with LiveLine() as live:
        show = count_progress(live, "Answers", total)

        def shown(done: int, _total: int) -> None:
            if live.is_live or done % _EVERY == 0 or done == total:
                show(done)

        record(records, old, shown)
