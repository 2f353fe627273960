"""
`tunery generate`: answers from a tuned model or a base, to one text or to a file of texts.

A single answer is printed as it is generated; answers to a file are written at the end, all or none.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunery.cli import output as out
from tunery.cli import terminal
from tunery.cli.terminal import Device, ServerAddress, argument, option
from tunery.cli.workplace import AnsweringModel, workplace
from tunery.data.encodings import decode
from tunery.data.json_text import JsonError, json_line, jsonl_lines, loads
from tunery.errors import AlreadyExists, DataProblem, DatasetInvalid, InvalidArgument, NotFound
from tunery.progress import LiveLine, can_redraw, count_progress, doing
from tunery.types import Answer, AnswerForm, InputCheck, SamplingSettings

if TYPE_CHECKING:
    from tunery.data.unanswered import InputFile

_DEFAULTS = SamplingSettings()
SLOW_SECONDS = 5.0  # of loading, after which a person hears how to avoid it
_TOP_K = _DEFAULTS.top_k or 0


InputPath = Annotated[
    Path | None, option("File of inputs: CSV, TSV, XLSX, XLS, ODS, JSONL or JSON.", "TEXT", metavar="FILE")
]
OutputPath = Annotated[
    Path | None,
    option("File for the rows with their answers: CSV, TSV, XLSX or JSONL.", "standard output", metavar="FILE"),
]
Overwriting = Annotated[
    bool, option("Write over an existing output file without asking.", "ask on a terminal", "--yes", "-y")
]
InputColumns = Annotated[
    list[str] | None, option("Input column of the file; repeat the option for several.", "found", metavar="COLUMN")
]
Constrained = Annotated[
    bool | None,
    option(
        "Allow only answers like the outputs of the examples, or any text.",
        "only labels where the outputs are labels",
        "--constrain-to-training-outputs/--any-text",
    ),
]


def generate(
    model: Annotated[str, argument("Tuned model in My Library, or a base model.", "MODEL")],
    text: Annotated[str | None, argument("Input text; - reads it from standard input.", "TEXT")] = None,
    input: InputPath = None,
    output: OutputPath = None,
    input_column: InputColumns = None,
    sheet: Annotated[str | None, option("Sheet of a workbook.", "the first with inputs", metavar="NAME")] = None,
    temperature: Annotated[
        float, option("Randomness, from 0 (always the most likely answer) to 2.", _DEFAULTS.temperature, metavar="T")
    ] = _DEFAULTS.temperature,
    top_p: Annotated[
        float, option("Sample from the most likely tokens up to this total probability.", _DEFAULTS.top_p, metavar="P")
    ] = _DEFAULTS.top_p,
    top_k: Annotated[int, option("Sample from the K most likely tokens; 0 for all.", _TOP_K, metavar="K")] = _TOP_K,
    max_output_tokens: Annotated[
        int, option("Maximum length of the answer, in tokens.", _DEFAULTS.max_output_tokens, metavar="N")
    ] = _DEFAULTS.max_output_tokens,
    stop: Annotated[
        list[str] | None, option("Text that ends the answer; repeat the option for several.", "none", metavar="TEXT")
    ] = None,
    json_schema: Annotated[
        Path | None, option("JSON schema that the answer must follow.", "none", metavar="FILE")
    ] = None,
    labels: Annotated[
        str | None, option("Labels to choose from, such as billing,login,bug.", "none", metavar="LABELS")
    ] = None,
    constrain_to_training_outputs: Constrained = None,
    none_below: Annotated[float, option("Answer 'none of these' if no label is this likely.", 0, metavar="P")] = 0.0,
    seed: Annotated[
        int, option("Seed for sampling; the same seed gives the same answers.", _DEFAULTS.seed, metavar="N")
    ] = _DEFAULTS.seed,
    device: Device = None,
    server: ServerAddress = None,
    yes: Overwriting = False,
    json: Annotated[bool, option("Print one JSON document.", "the answer as it is generated", "--json")] = False,
) -> None:
    """Answer an input, or a file of inputs, with a tuned or base model."""
    sampling = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k or None,
        "max_output_tokens": max_output_tokens,
        "stop_sequences": tuple(stop or ()),
        "seed": seed,
        "form": _form(json_schema, labels, is_constrained=bool(constrain_to_training_outputs)),
    }
    may_be_labels = json_schema is None and constrain_to_training_outputs is not False
    _check(sampling, none_below, has_labels=labels is not None or may_be_labels)
    require_inputs(text, input, output)
    require_writable(output, input, _WRITTEN, yes=yes)
    _require_model(model, server, device, must_be_tuned=bool(constrain_to_training_outputs))
    table = None if input is None else input_table(input, output, input_column=input_column, sheet=sheet)
    rows = read_inputs(input) if input is not None and table is None else numbered(table)
    settings = sampling | {"constrain_to_training_outputs": constrain_to_training_outputs, "none_below": none_below}
    found, seconds = found_model(model, server)
    if rows:
        answer_file(found, rows, settings, output, None if table is None else _writer(table, input, output))
    else:
        _answer(found, model, asked_text(text), settings, json=json)
        _suggest_server(seconds)


def require_inputs(text: str | None, input: Path | None, output: Path | None) -> None:
    """Raise InvalidArgument unless there is a text or a file of inputs."""
    if (text is None) == (input is None) or (output and not input):
        raise InvalidArgument("Give TEXT, - for standard input, or --input FILE. --output needs --input.")
    if text is not None:
        _require_text(text)


def _require_text(text: str) -> None:
    """Raise InvalidArgument for an empty text, as a server does."""
    if not text.strip():
        raise InvalidArgument("The text is empty. Give a text to answer.")


def asked_text(text: str | None) -> str:
    """Return the text of an argument, or that of standard input for a hyphen."""
    if text != "-":
        return str(text)
    read = sys.stdin.read().rstrip("\n")
    _require_text(read)
    return read


def _suggest_server(loading_seconds: float) -> None:
    if loading_seconds > SLOW_SECONDS and can_redraw():
        terminal.say(f"Loading the model took {loading_seconds:.0f} s; while `tunery serve` runs, it stays loaded.")


def _require_model(name: str, server: str | None, device: str | None, *, must_be_tuned: bool) -> None:
    """Raise why a model cannot answer, before anything is read or loaded."""
    if not workplace(server, device).require_model(name) and must_be_tuned:
        raise InvalidArgument(f"--constrain-to-training-outputs is for tuned models; {name} is a base.")


def found_model(name: str, server: str | None) -> tuple[AnsweringModel, float]:
    """Return a tuned model or a base, loaded if it is on this machine, and the seconds that took."""
    doing("Loading the model")
    begin = time.monotonic()
    found = workplace(server).model(name)
    doing("Waiting for the answer")
    return found, time.monotonic() - begin


def _answer(model: AnsweringModel, name: str, text: str, settings: dict[str, Any], *, json: bool) -> None:
    checks: list[InputCheck] = []
    if json:
        answer = model.answer(text, **settings)
        document: dict[str, Any] = {"model": name, "text_input": text, "output": answer.text}
        if answer.label_probabilities:
            document["label_probabilities"] = dict(answer.label_probabilities)
        terminal.result(out.dumped(document | out.input_check_document(answer.input_check)))
        checks.append(answer.input_check)
    else:
        for piece in model.stream(text, on_input_check=checks.append, **settings):
            terminal.piece(piece)
        terminal.piece("\n")
    for check in checks:
        out.warn_of_input(check, name)


def _check(settings: dict[str, Any], none_below: float, *, has_labels: bool) -> None:
    """Raise InvalidArgument for a value out of range, before anything is loaded."""
    SamplingSettings(**settings)
    AnswerForm(none_below=none_below)
    if none_below and not has_labels:
        raise InvalidArgument("--none-below needs --labels or --constrain-to-training-outputs.")


def _form(json_schema: Path | None, labels: str | None, *, is_constrained: bool) -> AnswerForm | None:
    if (json_schema is not None) + (labels is not None) + is_constrained > 1:
        raise InvalidArgument("Give only one of --json-schema, --labels and --constrain-to-training-outputs.")
    if json_schema is not None:
        return AnswerForm(json_schema=file_text(json_schema))
    if labels is None:
        return None
    return AnswerForm(labels=split_labels(labels))


def split_labels(labels: str) -> tuple[str, ...]:
    """Return the labels of an option."""
    return tuple(label.strip() for label in labels.split(","))


BATCH_ROWS = 32  # enough to keep the generator busy, few enough to show progress


def input_table(
    input: Path, output: Path | None = None, *, input_column: list[str] | None, sheet: str | None
) -> InputFile | None:
    """Return the rows of a table; None for JSONL that is answered with JSONL."""
    reading: dict[str, Any] = {}
    reading |= {"input_column": input_column} if input_column else {}
    reading |= {"sheet": sheet} if sheet else {}
    becomes_table = output is not None and output.suffix.lower() in (".csv", ".tsv", ".xlsx")
    if not reading and input.suffix.lower() in _LINES and not becomes_table:
        return None
    from tunery.data.sandbox import read_inputs_guarded

    doing(f"Reading {input.name}")
    table = read_inputs_guarded(input, **reading)
    terminal.say(f"Inputs    {' and '.join(map(repr, table.inputs))} of {len(table.rows):,} rows")
    if not table.has_header:
        terminal.say(
            f"          No row looks like column names, so the first one is answered too: {table.texts[0]!r}."
            " If it has the names, give --input-column NAME."
        )
    return table


def numbered(table: InputFile | None) -> list[tuple[int, str]]:
    """Return the number and the input of each row of a table."""
    return [] if table is None else [(row.number, text) for row, text in zip(table.rows, table.texts, strict=True)]


def _writer(table: InputFile, input: Path | None, output: Path | None) -> Callable[[Sequence[str]], bytes]:
    from tunery.data.unanswered import with_answers

    return partial(with_answers, table, kind=_kind(input, output))


def _kind(input: Path | None, output: Path | None) -> str:
    """
    Return the kind of file to write: as in the name of the output, else the kind of the input, CSV for a workbook.
    """
    from tunery.data.unanswered import KINDS

    names = [path.suffix.lower() for path in (output, input) if path is not None]
    known = [name for name in names if name in KINDS and not (output is None and name == ".xlsx")]
    return known[0] if known else ".csv"


_LINES = (".jsonl", ".ndjson", "")
_WRITTEN = (*_LINES, ".csv", ".tsv", ".xlsx", ".json", ".txt")


def read_inputs(path: Path) -> list[tuple[int, str]]:
    """
    Return the number and `text_input` of each line that is not blank.

    Raises NotFound, InvalidArgument, or DatasetInvalid with all unusable lines.
    """
    rows: list[tuple[int, str]] = []
    found: list[DataProblem] = []
    for number, line in jsonl_lines(file_text(path)):
        text, problem = _text_input(line)
        if problem:
            found.append(DataProblem("bad-line", problem, row=number))
        else:
            rows.append((number, text))
    if not rows and not found:
        found.append(DataProblem("no-rows", "The file is empty."))
    if found:
        raise DatasetInvalid(f"{path}: {found[0]}", found)
    return rows


def answer_file(
    model: AnsweringModel,
    rows: Sequence[tuple[int, str]],
    settings: dict[str, Any],
    output: Path | None,
    content_of: Callable[[Sequence[str]], bytes] | None = None,
) -> None:
    """
    Write `text_input` and `output` of each row as a line of JSON, to `output` or standard output.

    For other kinds of files, `content_of` makes the content from the answers. If an input is unlike the examples, its
    line says so, as with `--json`. Raises InvalidArgument for a row that is too long, or if the folder of `output`
    cannot be
    written.
    """
    answers: list[Answer] = []
    with LiveLine() as live:
        show = count_progress(live, "Answering", len(rows))
        for start in range(0, len(rows), BATCH_ROWS):
            answers += _answers(model, rows[start : start + BATCH_ROWS], settings)
            show(len(answers))
    if content_of is None:
        lines = [_line(text, answer) for (_, text), answer in zip(rows, answers, strict=True)]
        content = "".join(lines).encode()
    else:
        content = content_of([answer.text for answer in answers])
    write_answers(content, len(rows), output)
    out.warn_of_inputs([answer.input_check for answer in answers])


def require_writable(output: Path | None, input: Path | None, kinds: Sequence[str], *, yes: bool) -> None:
    """
    Raise InvalidArgument if a file is of another kind, is the file to read, or cannot be written.

    If it exists, ask, or raise AlreadyExists if nobody can answer, unless `yes`.
    """
    if output is None:
        return
    if output.suffix.lower() not in kinds:
        named = [kind for kind in (".xlsx", ".csv", ".tsv", ".jsonl") if kind in kinds]
        raise InvalidArgument(f"{str(output)!r} cannot be written. Use {' or '.join(named)}.")
    if input is not None and output.exists() and input.exists() and output.samefile(input):
        raise InvalidArgument(f"{str(output)!r} is the file to read. Name another one for the answers.")
    if not os.access(output.absolute().parent, os.W_OK):
        raise InvalidArgument(f"{output.absolute().parent} is not a writable folder.")
    if yes or not output.exists():
        return
    if not terminal.can_ask():
        raise AlreadyExists(f"{output} already exists. Name another file, or add --yes to write over it.")
    if not terminal.ask(f"{output} already exists. Write over it?", default=False):
        raise typer.Exit(1)


def write_answers(content: bytes, rows: int, output: Path | None) -> None:
    """Write answers as one piece to a file, which is then whole or as before, or to standard output."""
    if output is None:
        terminal.result(content.decode().removesuffix("\n"))
    else:
        from tunery.files import write_whole

        write_whole(output.absolute(), content)
        terminal.say(f"Wrote {rows} answers to {output}")


def _line(text: str, answer: Answer) -> str:
    return json_line({"text_input": text, "output": answer.text, **out.input_check_document(answer.input_check)})


def file_text(path: Path) -> str:
    """Return the text of a file; raises NotFound, or InvalidArgument if it is not UTF-8."""
    if not path.exists():
        raise NotFound(f"There is no file {str(path)!r}.")
    try:
        decoded = decode(path.read_bytes())
    except (OSError, DatasetInvalid) as error:
        raise InvalidArgument(f"{str(path)!r} cannot be read: {error}") from error
    if decoded.is_guessed:
        raise InvalidArgument(f"{str(path)!r} is not UTF-8, but probably {decoded.encoding}. Save it as UTF-8.")
    return decoded.text


def _text_input(line: str) -> tuple[str, str]:
    """Return the text of a line and an empty problem, or the problem."""
    try:
        value = loads(line)
    except JsonError as error:
        return "", f"not JSON, {error}."
    text = value.get("text_input") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.strip():
        return "", 'must be {"text_input": "..."} with a text that is not empty.'
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "", "the text contains half a character (a lone surrogate)."
    return str(text), ""  # a number as written in the file


def _answers(model: AnsweringModel, rows: Sequence[tuple[int, str]], settings: dict[str, Any]) -> list[Answer]:
    try:
        return model.answers([text for _, text in rows], **settings)
    except InvalidArgument:
        for number, text in rows:  # find the row that does not fit
            try:
                model.answers([text], **settings)
            except InvalidArgument as error:
                raise InvalidArgument(f"Line {number}: {error}") from error
        raise
