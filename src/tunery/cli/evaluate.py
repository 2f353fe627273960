"""
`tunery evaluate`: whether tuning helped, compared with the prompted base and simple baselines.
`tunery rescue`: record an old model's answers for comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

from tunery.cli import output, terminal
from tunery.cli.terminal import (
    DataFile,
    Device,
    Json,
    Reading,
    ServerAddress,
    argument,
    option,
    reads_file,
)
from tunery.cli.workplace import MAX_ROWS, EvaluationRequest, Workplace, workplace
from tunery.errors import InvalidArgument, TuneryError
from tunery.old_models import (
    KEY_NAME,
    MAX_OUTPUT_TOKENS,
    PER_MINUTE,
    AnswerFile,
    Endpoint,
    OldModel,
    Style,
    key_in,
    record,
)
from tunery.progress import LiveLine, count_progress, doing
from tunery.types import SettingsKind, TunedModel


@reads_file
def evaluate(
    model: Annotated[str, argument("Tuned model in My Library, or a base model.", "MODEL")],
    file: Annotated[Path | None, argument("Rows to evaluate on; by default the held-out rows.", "FILE")] = None,
    against: Annotated[
        Path | None, option("Answers to FILE recorded by `tunery rescue`, for comparison.", "none", metavar="ANSWERS")
    ] = None,
    folds: Annotated[
        int | None, option("Evaluate by K-fold cross-validation (tunes K times).", "do not tune", metavar="K")
    ] = None,
    compare_settings: Annotated[
        SettingsKind | None,
        option("With --folds, tune each fold with these settings, too: auto or page.", "none"),
    ] = None,
    rows: Annotated[
        int, option("Maximum number of rows; if there are more, a sample is used.", MAX_ROWS, metavar="N")
    ] = MAX_ROWS,
    seed: Annotated[int, option("Seed for sampling rows.", 0, metavar="N")] = 0,
    device: Device = None,
    server: ServerAddress = None,
    json: Json = False,
    *,
    reading: Reading,
) -> None:
    """
    Find out whether tuning helped.

    Compares the tuned model with its base, with and without examples in the prompt, and with two simple baselines.
    """
    if rows < 1:
        raise InvalidArgument("--rows must be at least 1.")
    if compare_settings is not None and folds is None:
        raise InvalidArgument("--compare-settings needs --folds: each fold is tuned with both settings.")
    place = workplace(server, device)
    place.require_model(model)
    request = replace(_request(file, against, reading, rows, seed), compare_settings=compare_settings)
    with LiveLine() as live:
        shown = output.evaluation_progress(live)
        if folds is not None:
            tunings = folds if compare_settings is None else 2 * folds
            found = place.cross_validate(model, request, folds, output.tuning_progress(live, tunings), shown)
        else:
            found = place.evaluate(model, request, shown)
    if json:
        terminal.result(output.dumped(found.document()))
    else:
        output.print_evaluation(found)


def print_verdict_of(model: TunedModel, place: Workplace) -> dict[str, object]:
    """Evaluate a model that was just tuned, print the verdict and two answers, and return the verdict for the JSON."""
    from tunery.evaluation.calibration import sentence

    try:
        with LiveLine() as live:
            on_step = output.tuning_progress(live, model.fold_count)
            found = place.verdict(model, on_step, output.evaluation_progress(live))
    except (TuneryError, KeyboardInterrupt) as error:  # the tuned model is complete without a verdict
        why = "interrupted." if isinstance(error, KeyboardInterrupt) else str(error)
        terminal.say(f"No verdict: {why} Try again with: {output.how_to_evaluate(model)}")
        return {}
    if found is None or found.verdict is None:
        return {}
    trust = "" if found.calibration is None else sentence(found.calibration)
    facts = (("Verdict", found.verdict.text), ("Labels", trust), *output.example_answers(found))
    for line in terminal.facts(facts):
        terminal.say(line)
    return {"verdict": asdict(found.verdict)}


def _request(file: Path | None, against: Path | None, reading: Reading, max_rows: int, seed: int) -> EvaluationRequest:
    if file is None:
        if against is not None:
            raise InvalidArgument("--against needs FILE, the file whose rows were answered.")
        return EvaluationRequest(max_rows=max_rows, seed=seed)
    from tunery.data.sandbox import read_guarded

    doing(f"Reading {file.name}")
    dataset = read_guarded(file, **reading)
    output.say_how_read(dataset.problems)
    recorded = None
    if against is not None:
        from tunery.old_models import read_recorded

        recorded = read_recorded(against, dataset.examples)
        if recorded.cut:
            terminal.say(
                f"Warning: {recorded.cut} of {len(recorded.answers)} answers in {against} were cut off at the old "
                "model's token limit; they are scored as they are."
            )
    return EvaluationRequest(dataset.examples, dataset.source, recorded, max_rows, seed, dataset.rows)


_EVERY = 20  # answers between two lines in a pipe
_SHOWN_ROWS = 10


@reads_file
def rescue(
    file: DataFile,
    endpoint: Annotated[str, option("Address of the API, including its version.", "required", metavar="URL")],
    model: Annotated[str, option("Name of the model in that API.", "required", metavar="NAME")],
    to: Annotated[
        Path | None, option("JSONL file for the answers.", "FILE with the extension .answers.jsonl", metavar="FILE")
    ] = None,
    style: Annotated[Style, option("Kind of API: openai or gemini.", "openai")] = Style.OPENAI,
    key_variable: Annotated[str, option("Environment variable with the key.", KEY_NAME, metavar="NAME")] = KEY_NAME,
    bearer: Annotated[
        bool, option("Send the key to a Gemini API as an access token.", "as an API key", "--bearer")
    ] = False,
    per_minute: Annotated[float, option("Maximum requests per minute.", PER_MINUTE, metavar="N")] = PER_MINUTE,
    max_output_tokens: Annotated[
        int, option("Maximum length of an answer, in tokens.", MAX_OUTPUT_TOKENS, metavar="N")
    ] = MAX_OUTPUT_TOKENS,
    temperature: Annotated[float, option("Randomness; 0 always gives the most likely answer.", 0, metavar="T")] = 0.0,
    json: Json = False,
    *,
    reading: Reading,
) -> None:
    """
    Record an old model's answers to the rows of a file.

    The rows are sent only to the endpoint you name. Run the same command again to resume after an interruption.
    """
    from tunery.data.sandbox import read_guarded

    key = key_in(key_variable)
    old = Endpoint(endpoint, style, model, key, key_variable, bearer, max_output_tokens, temperature)
    doing(f"Reading {file.name}")
    dataset = read_guarded(file, **reading)
    output.say_how_read(dataset.problems)
    path = to or file.with_name(f"{file.stem}.answers.jsonl")
    records = AnswerFile(path, model, dataset.examples)
    total = len(records.rows)
    try:
        _record(records, OldModel(old, per_minute))
    except TuneryError:
        terminal.say(f"{path} has {len(records.lines)} of {total} answers; run the same command again to resume.")
        raise
    refused = sum("error" in line for line in records.lines.values())
    if json:
        document = {"file": str(path), "model": model, "rows": total, "without_answer": refused}
        document["cut"] = len(records.cut)
        terminal.result(output.dumped(document))
        return
    terminal.say(f"Recorded {total} answers of {model}" + (f"; {refused} rows have none" if refused else ""))
    if records.cut:
        terminal.say(_cut_sentence(records.cut))
    terminal.say(f"Next: tunery evaluate MODEL {file} --against {path}")
    terminal.result(str(path))


def _cut_sentence(rows: Sequence[int]) -> str:
    answers = "1 answer was" if len(rows) == 1 else f"{len(rows)} answers were"
    shown = ", ".join(map(str, rows[:_SHOWN_ROWS])) + (", ..." if len(rows) > _SHOWN_ROWS else "")
    return (
        f"Warning: {answers} cut off at the token limit, in row{'s' if len(rows) > 1 else ''} {shown}. "
        "To get whole answers, use a larger --max-output-tokens and another --to."
    )


def _record(records: AnswerFile, old: OldModel) -> None:
    total, known = len(records.rows), len(records.lines)
    if known:
        terminal.say(f"Resuming after {known} answers.")
    with LiveLine() as live:
        show = count_progress(live, "Answers", total)

        def shown(done: int, _total: int) -> None:
            if live.can_draw or done % _EVERY == 0 or done == total:
                show(done)

        record(records, old, shown)
