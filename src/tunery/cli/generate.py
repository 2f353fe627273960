"""
`tunery generate`: ask a tuned model, or a plain base, one text or a file of them.

An answer is streamed as it is made; answers to a file are written whole at the end (`batch.py`). What an input has
unlike the examples is said beside its answer. Knows the library and the Python library; the work is the engine's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tunery import config
from tunery.cli import batch, documents, input_checks, terminal
from tunery.cli.bases import fetched
from tunery.cli.options import ServerAddress, argument, option
from tunery.cli.served import ServedModel, asked_server, holding_server
from tunery.errors import FailedPrecondition, InvalidArgument, NotFound
from tunery.types import AnswerForm, InputCheck, SamplingSettings

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
        rows = batch.read_inputs(input)
        batch.answer(_found(model, server, constrain_to_training_outputs), rows, settings, output)
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
        terminal.result(documents.dumped(document | input_checks.document(answer.input_check)))
        input_checks.warn(answer.input_check, name)
        return
    found: list[InputCheck] = []
    for piece in model.stream(asked, on_input_check=found.append, **settings):
        terminal.piece(piece)
    terminal.piece("\n")
    for check in found:
        input_checks.warn(check, name)


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
