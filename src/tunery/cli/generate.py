"""
`tunery generate`: ask a tuned model, or a plain base, one text or a file of them.

An answer is streamed as it is made; answers to a file are written whole at the end (`batch.py`). What an input has
unlike the examples is said beside its answer. Knows the library and the Python library; the work is the engine's.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from tunery import config
from tunery.cli import output as documents
from tunery.cli import output as input_checks
from tunery.cli import terminal
from tunery.cli.bases import fetched
from tunery.cli.client import ServedModel, asked_server, holding_server
from tunery.cli.terminal import LiveLine, ServerAddress, argument, count_progress, option
from tunery.errors import DataProblem, DatasetInvalid, FailedPrecondition, InvalidArgument, NotFound
from tunery.types import Answer, AnswerForm, InputCheck, SamplingSettings

if TYPE_CHECKING:
    from tunery.model import Model

_DEFAULTS = SamplingSettings()


def generate(
    model: Annotated[str, argument("Tuned model of My Library, or a base model.", "MODEL")],
    text: Annotated[str | None, argument("What to ask; - reads it from standard input.", "TEXT")] = None,
    input: Annotated[
        Path | None, option("JSONL file with text_input in each line, instead of TEXT.", "none", metavar="FILE")
    ] = None,
    output: Annotated[
        Path | None, option("JSONL file for the answers to --input.", "standard output", metavar="FILE")
    ] = None,
    temperature: Annotated[
        float, option("0 for the likeliest answer, up to 2 for more chance.", _DEFAULTS.temperature, metavar="T")
    ] = _DEFAULTS.temperature,
    top_p: Annotated[
        float, option("Draw from the likeliest tokens with this share.", _DEFAULTS.top_p, metavar="P")
    ] = _DEFAULTS.top_p,
    top_k: Annotated[int | None, option("Draw from so many of the likeliest tokens.", "all", metavar="N")] = None,
    max_output_tokens: Annotated[
        int, option("Longest answer, in tokens.", _DEFAULTS.max_output_tokens, metavar="N")
    ] = _DEFAULTS.max_output_tokens,
    stop: Annotated[
        list[str] | None, option("Text at which the answer ends; may be repeated.", "none", metavar="TEXT")
    ] = None,
    json_schema: Annotated[Path | None, option("JSON schema that the answer keeps to.", "none", metavar="FILE")] = None,
    labels: Annotated[
        str | None, option("Answer with one of these, as billing,login,bug.", "none", metavar="LABELS")
    ] = None,
    constrain_to_training_outputs: Annotated[
        bool,
        option("Answer only as the outputs of the examples were.", "any text", "--constrain-to-training-outputs"),
    ] = False,
    none_below: Annotated[
        float, option("With labels: say 'none of these' if the likeliest is less probable.", 0, metavar="P")
    ] = 0.0,
    seed: Annotated[int, option("Equal seeds draw equal answers.", _DEFAULTS.seed, metavar="N")] = _DEFAULTS.seed,
    server: ServerAddress = None,
    json: Annotated[bool, option("Print one JSON document.", "the answer as it is made", "--json")] = False,
) -> None:
    """Ask a tuned model or a base model."""
    settings = {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "max_output_tokens": max_output_tokens,
        "stop_sequences": tuple(stop or ()),
        "seed": seed,
        "form": _form(json_schema, labels, is_constrained=constrain_to_training_outputs),
    }
    SamplingSettings(**settings)  # type: ignore[arg-type]  # refuse wrong values before anything is loaded
    _check_none_below(none_below, has_labels=labels is not None or constrain_to_training_outputs)
    settings |= {"constrain_to_training_outputs": constrain_to_training_outputs, "none_below": none_below}
    if (text is None) == (input is None) or (output and not input):
        raise InvalidArgument("Give a text, - for standard input, or --input FILE; --output goes with --input.")
    if input is not None:
        rows = read_inputs(input)
        answer_file(_found(model, server, constrain_to_training_outputs), rows, settings, output)
        return
    asked = sys.stdin.read().rstrip("\n") if text == "-" else text
    assert asked is not None
    _answer(_found(model, server, constrain_to_training_outputs), model, asked, settings, json=json)


def _answer(model: Model | ServedModel, name: str, asked: str, settings: dict[str, Any], *, json: bool) -> None:
    if json:
        answer = model.answer(asked, **settings)
        document: dict[str, Any] = {"model": name, "text_input": asked, "output": answer.text}
        if answer.label_probabilities:
            document["label_probabilities"] = dict(answer.label_probabilities)
        terminal.result(documents.dumped(document | input_checks.input_check_document(answer.input_check)))
        input_checks.warn_of_input(answer.input_check, name)
        return
    found: list[InputCheck] = []
    for piece in model.stream(asked, on_input_check=found.append, **settings):
        terminal.piece(piece)
    terminal.piece("\n")
    for check in found:
        input_checks.warn_of_input(check, name)


def _check_none_below(none_below: float, *, has_labels: bool) -> None:
    AnswerForm(none_below=none_below)  # refuses what is out of range
    if none_below and not has_labels:
        raise InvalidArgument("--none-below goes with --labels or --constrain-to-training-outputs.")


def _form(json_schema: Path | None, labels: str | None, *, is_constrained: bool) -> AnswerForm | None:
    if (json_schema is not None) + (labels is not None) + is_constrained > 1:
        raise InvalidArgument("Give one of --json-schema, --labels and --constrain-to-training-outputs.")
    if json_schema is not None:
        try:
            return AnswerForm(json_schema=json_schema.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{json_schema} cannot be read: {error}.") from error
    if labels is None:
        return None
    return AnswerForm(labels=tuple(label.strip() for label in labels.split(",")))


def _found(name: str, address: str | None, has_to_be_tuned: bool) -> Model | ServedModel:
    """Return a model of the server that was asked for or that has it in memory already, else one loaded here."""
    server = asked_server(address) or holding_server(config.data_folder())
    found = loaded(name) if server is None else server.model(name)
    if has_to_be_tuned and not found.is_tuned:
        raise InvalidArgument(f"--constrain-to-training-outputs is for tuned models; {name} is a base.")
    return found


def loaded(name: str) -> Model:
    """Return a tuned model of the library by id or display name, or a base by its name in the catalog."""
    from tunery.service import folder
    from tunery.service.library import Library, contracts_of, wraps_plain_inputs

    data_folder = config.data_folder()
    tuned_name, epoch = folder.split_epoch(name)
    with Library.open(data_folder) as library:
        try:
            found = library.get(tuned_name)
        except NotFound as error:
            return _loaded_base(name, str(error))
        adapter = folder.epoch_folder(library.adapter_folder(found), epoch)
        contracts, wraps = contracts_of(library, found), wraps_plain_inputs(library, found)
    _require_base(found.base_model, found.base_digest)
    from tunery.model import load

    model = load(adapter)
    model.contracts, model.wraps_plain_inputs = contracts, wraps
    return model


def _loaded_base(name: str, why_not_tuned: str) -> Model:
    from tunery.engine.catalog import Catalog

    try:
        Catalog(config.data_folder(), config.default_base_model()).resolve(name)
    except NotFound as error:
        raise NotFound(f"{why_not_tuned} Nor is there a base model of that name.") from error
    entry = fetched(name)
    from tunery.engine.resident import resident_base
    from tunery.model import Model

    return Model(resident_base(entry.name, config.data_folder()))


def _require_base(name: str, digest: str) -> None:
    """Make sure that the base is here and the one the model was tuned on."""
    from tunery.engine.catalog import Catalog

    fetched(name)
    if Catalog(config.data_folder()).digest(name) != digest:
        raise FailedPrecondition(
            f"The base {name} is not the one this model was tuned on: its weights have changed. Add that base again."
        )


class Answering(Protocol):
    """What answers: a model in memory, or one of a server."""

    def answers(self, *texts: Any, **settings: Any) -> list[Answer]:
        """Return the answers to several texts."""


BATCH_ROWS = 32  # enough for the generator to keep its places filled, few enough to show progress


def read_inputs(path: Path) -> list[tuple[int, str]]:
    """
    Return number and `text_input` of each line that is not blank.

    Raises NotFound, InvalidArgument, and DatasetInvalid with all lines that cannot be used.
    """
    rows: list[tuple[int, str]] = []
    found: list[DataProblem] = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        text, problem = _text_input(line)
        if problem:
            found.append(DataProblem("bad-line", problem, row=number))
        else:
            rows.append((number, text))
    if not rows and not found:
        found.append(DataProblem("no-rows", "There are no lines."))
    if found:
        raise DatasetInvalid(f"{path}: {found[0]}", found)
    return rows


def answer_file(
    model: Answering, rows: Sequence[tuple[int, str]], settings: dict[str, Any], output: Path | None
) -> None:
    """
    Answer all rows and write `text_input` and `output` of each as a line of JSON; into `output` all or nothing.

    A line of an input unlike the examples says so, as `--json` does for a single one.

    Raises InvalidArgument when a row is too long or the folder of `output` cannot be written.
    """
    if output is not None and not os.access(output.absolute().parent, os.W_OK):
        raise InvalidArgument(f"{output.absolute().parent} is not a folder that can be written.")
    answers: list[Answer] = []
    with LiveLine() as live:
        show = count_progress(live, "Answering", len(rows))
        for start in range(0, len(rows), BATCH_ROWS):
            answers += _answers(model, rows[start : start + BATCH_ROWS], settings)
            show(len(answers))
    lines = [
        json.dumps(
            {
                "text_input": text,
                "output": answer_file.text,
                **input_checks.input_check_document(answer_file.input_check),
            },
            ensure_ascii=False,
        )
        for (_, text), answer_file in zip(rows, answers, strict=True)
    ]
    if output is None:
        for line in lines:
            terminal.result(line)
    else:
        _write_whole(output, "\n".join(lines) + "\n")
        terminal.say(f"{len(rows)} answers in {output}")
    input_checks.warn_of_inputs([answer_file.input_check for answer_file in answers])


def _lines(path: Path) -> Iterator[str]:
    if not path.exists():
        raise NotFound(f"There is no file {str(path)!r}.")
    try:
        yield from path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{str(path)!r} cannot be read as UTF-8 text: {error}.") from error


def _text_input(line: str) -> tuple[str, str]:
    """Return the text of a line, or what is wrong with it."""
    try:
        value = json.loads(line)
    except ValueError as error:
        return "", f"not JSON: {error}."
    text = value.get("text_input") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.strip():
        return "", 'needs the form {"text_input": "..."} with a text that is not empty.'
    return text, ""


def _answers(model: Answering, rows: Sequence[tuple[int, str]], settings: dict[str, Any]) -> list[Answer]:
    try:
        return model.answers([text for _, text in rows], **settings)
    except InvalidArgument:
        for number, text in rows:  # find the row that does not fit
            try:
                model.answers([text], **settings)
            except InvalidArgument as error:
                raise InvalidArgument(f"Line {number}: {error}") from error
        raise


def _write_whole(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.absolute().parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
