"""
`tunery rescue`: records what an old model answers, while its provider still runs it.

The answers go to a JSONL file that `tunery evaluate FILE --against` compares a tuned model with. The same command goes
on where it stopped. The work is `tunery.old_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tunery.cli import documents, terminal
from tunery.cli.options import DataFile, InputColumn, Json, OutputColumn, option
from tunery.cli.progress import LiveLine, count_progress
from tunery.errors import TuneryError
from tunery.rescue import KEY_NAME, MAX_OUTPUT_TOKENS, PER_MINUTE, Endpoint, OldModel, Records, Style, key_in, record

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
        terminal.result(documents.dumped(document))
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
