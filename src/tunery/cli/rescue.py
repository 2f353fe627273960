"""
`tunery rescue`: records what an old model answers, while its provider still runs it.

The answers go to a JSONL file that `tunery evaluate FILE --against` compares a tuned model with. The same command goes
on where it stopped. Asking is `old_model.py`, the file `recorded.py`.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Annotated

from tunery.cli import documents, terminal
from tunery.cli.old_model import Blocked, Endpoint, OldModel, Style
from tunery.cli.options import DataFile, InputColumn, Json, OutputColumn, option
from tunery.cli.progress import LiveLine, count_progress
from tunery.cli.recorded import Records
from tunery.errors import InvalidArgument, TuneryError, Unauthenticated

_PER_MINUTE = 60.0
_KEY_NAME = "RESCUE_API_KEY"
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
        str, option("Environment variable that holds the key.", _KEY_NAME, metavar="NAME")
    ] = _KEY_NAME,
    bearer: Annotated[
        bool, option("Send the key of a Gemini API as an access token.", "as an API key", "--bearer")
    ] = False,
    per_minute: Annotated[float, option("Requests in a minute, at most.", _PER_MINUTE, metavar="N")] = _PER_MINUTE,
    max_output_tokens: Annotated[int, option("Longest answer, in tokens.", 256, metavar="N")] = 256,
    temperature: Annotated[float, option("0 for the likeliest answer.", 0, metavar="T")] = 0.0,
    input_column: InputColumn = None,
    output_column: OutputColumn = None,
    json: Json = False,
) -> None:
    """
    Record the answers of an old model to the rows of a file.

    The rows are sent to the endpoint that you name, and to nobody else. The same command goes on after a stop.
    """
    from tunery.engine.data.guarded import read_guarded

    key = os.environ.get(key_variable, "")
    if not key:
        raise Unauthenticated(f"Set ${key_variable} to the key of the endpoint.")
    if per_minute <= 0:
        raise InvalidArgument("--per-minute must be above 0.")
    asked = Endpoint(endpoint, style, model, key, key_variable, bearer, max_output_tokens, temperature)
    dataset = read_guarded(file, input_column=input_column or None, output_column=output_column)
    path = to or file.with_name(f"{file.stem}.answers.jsonl")
    records = Records(path, model, dataset.examples)
    texts = [example.text_input for example in dataset.examples]
    try:
        _record(records, texts, OldModel(asked, per_minute))
    except TuneryError:
        terminal.say(f"{len(records.lines)} of {len(texts)} answers are in {path}; the same command goes on.")
        raise
    refused = sum("error" in line for line in records.lines.values())
    if json:
        document = {"file": str(path), "model": model, "rows": len(texts), "without_answer": refused}
        terminal.result(documents.dumped(document))
        return
    terminal.say(f"{len(texts)} answers of {model}" + (f", {refused} rows got none" if refused else ""))
    terminal.say(f"Next: tunery evaluate MODEL {file} --against {path}")
    terminal.result(str(path))


def _record(records: Records, texts: list[str], old: OldModel) -> None:
    missing = records.missing
    if len(missing) < len(texts):
        terminal.say(f"{len(texts) - len(missing)} answers are there already; going on.")
    with closing(old), LiveLine() as live:
        show = count_progress(live, "Answers", len(texts))
        for done, number in enumerate(missing, start=len(texts) - len(missing) + 1):
            try:
                records.add(number, old.ask(texts[number - 1]))
            except Blocked as error:
                records.add(number, "", str(error))
            if live.is_live or done % _EVERY == 0 or done == len(texts):
                show(done)
