"""
`tunery tune`: a file of examples becomes a tuned model of My Library, in the foreground.

Reads the options, makes the request and shows the events; the work itself is `service.run`. The same command after a
kill goes on from its checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunery import config
from tunery.cli import documents, problems, report, terminal
from tunery.cli.bases import fetched
from tunery.cli.interrupts import INTERRUPTED, Interrupts
from tunery.cli.options import DataFile, InputColumn, OutputColumn, option
from tunery.cli.progress import LiveLine, StepProgress
from tunery.cli.report import Plan
from tunery.errors import NotFound, TuneryError
from tunery.types import DEFAULT_BASE_MODEL, Hyperparameters, Phase, State, TunedModel

if TYPE_CHECKING:
    from tunery.service.events import Event
    from tunery.service.library import Library
    from tunery.service.run import TaskWorker
    from tunery.service.values import TuningRequest

_DEFAULTS = Hyperparameters()
_NAME_CHARACTERS = 40


def tune(
    file: DataFile,
    base_model: Annotated[str | None, option("Base model to tune.", DEFAULT_BASE_MODEL, metavar="NAME")] = None,
    id: Annotated[str | None, option("Id of the tuned model.", "made from its display name", metavar="ID")] = None,
    display_name: Annotated[
        str | None, option("Name of the tuned model.", "the name of the file", metavar="NAME")
    ] = None,
    description: Annotated[str, option("What the tuned model is for.", "empty", metavar="TEXT")] = "",
    input_column: InputColumn = None,
    output_column: OutputColumn = None,
    epochs: Annotated[int | None, option("Passes over the examples.", _DEFAULTS.epoch_count, metavar="N")] = None,
    batch_size: Annotated[int | None, option("Examples in one step.", _DEFAULTS.batch_size, metavar="N")] = None,
    learning_rate: Annotated[
        float | None, option("How far a step goes.", _DEFAULTS.DEFAULT_LEARNING_RATE, metavar="RATE")
    ] = None,
    learning_rate_multiplier: Annotated[
        float | None, option("Times the default learning rate, instead of a rate.", 1, metavar="X")
    ] = None,
    hold_out: Annotated[
        str | None, option("Rows to measure on instead of tuning on, as 12 or 10%.", 0, metavar="ROWS")
    ] = None,
    seed: Annotated[int | None, option("Fixes the order of the rows and the start.", 0, metavar="N")] = None,
    resume: Annotated[bool, option("Only go on with an unfinished job.", "go on or start", "--resume")] = False,
    json: Annotated[bool, option("Print one JSON document at the end.", "the name", "--json")] = False,
    yes: Annotated[bool, option("Do not ask about warnings.", "ask on a terminal", "--yes", "-y")] = False,
) -> None:
    """
    Tune a base model on a file of examples.

    Ctrl-C ends the tuning job and keeps what was tuned. After a kill the same command goes on where it was.
    """
    given = {
        "base_model": base_model,
        "epoch_count": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "learning_rate_multiplier": learning_rate_multiplier,
        "hold_out": hold_out,
        "seed": seed,
    }
    names = {"id": id, "display_name": display_name, "description": description}
    plan = _plan(file, {"input_column": input_column or None, "output_column": output_column}, names, given)
    report.say_plan(plan)
    if plan.preview.problems and not yes and terminal.can_ask():
        question = f"{problems.counted(plan.preview.problems)}. Tune anyway?"
        if not terminal.ask(question, default=True):
            raise typer.Exit(1)
    _tune(plan.request, is_resume=resume, json=json)


def _plan(
    file: Path, columns: Mapping[str, object], names: dict[str, str | None], settings: Mapping[str, object]
) -> Plan:
    """Read the data, resolve the settings, and make sure that the base is here."""
    from tunery.engine.bases.catalog import Catalog
    from tunery.engine.data.datasets import hold_out
    from tunery.engine.data.guarded import preview_guarded, read_guarded
    from tunery.service.values import TuningRequest

    given = {name: value for name, value in settings.items() if value is not None}
    hyperparameters = Hyperparameters(
        **{name: given[name] for name in Hyperparameters.__slots__ if name in given}  # type: ignore[arg-type]
    ).resolve()
    seed = int(given.get("seed", 0))  # type: ignore[call-overload]
    dataset = read_guarded(file, **columns)  # type: ignore[arg-type]
    examples, held_out = hold_out(dataset.examples, str(given.get("hold_out", "0")), seed)
    asked_base = str(given.get("base_model", DEFAULT_BASE_MODEL))
    base = fetched(asked_base)
    if names["id"] is None and names["display_name"] is None:
        names = names | {"display_name": file.stem.strip()[:_NAME_CHARACTERS] or "tuned"}
    request = TuningRequest(
        base_model=base.alias_of or base.name,
        base_digest=Catalog(config.data_folder(), config.default_base_model()).digest(base.name),
        data=dataset.facts,
        examples=examples,
        hyperparameters=hyperparameters,
        held_out=held_out,
        seed=seed,
        **names,  # type: ignore[arg-type]
    )
    return Plan(preview_guarded(file, **columns), base, asked_base, request, given)  # type: ignore[arg-type]


def _tune(request: TuningRequest, *, is_resume: bool, json: bool) -> None:
    from tunery.service.library import Library
    from tunery.service.run import TaskWorker

    begin = time.monotonic()
    data_folder = config.data_folder()
    interrupts = Interrupts(lambda: terminal.say_at_once("Stopping after this step; press again to abort."))
    with interrupts.watching(), Library.own(data_folder) as library:
        model = _found_or_created(library, request, is_resume=is_resume)
        worker = TaskWorker(library, model)
        try:
            ended = _worked(worker, interrupts)
        except TuneryError:
            _say_state(library, model, worker)
            raise
        if ended is None:
            _say_state(library, model, worker)
            raise typer.Exit(interrupts.exit_status)
    _say_result(ended, request, data_folder, time.monotonic() - begin, json=json)
    if ended.task.phase is Phase.CANCELLED:
        raise typer.Exit(INTERRUPTED)


def _found_or_created(library: Library, request: TuningRequest, *, is_resume: bool) -> TunedModel:
    found = library.find_unfinished(request.sha256())
    if found is None:
        if is_resume:
            raise NotFound("There is no unfinished tuning job of this command. Leave out --resume to start one.")
        return library.create(request)
    if found.task.cancel_requested:
        terminal.say(f"The tuning job of {found.id} was cancelled; what was tuned is made ready.")
    else:
        terminal.say(f"The tuning job of {found.id} is not finished; going on with it.")
    return found


def _worked(worker: TaskWorker, interrupts: Interrupts) -> TunedModel | None:
    """Take the events of the worker until its task ends; None if the task was left for later."""
    from tunery.service.events import Ended

    is_cancelled = False
    try:
        with LiveLine() as live, closing(worker.events()) as events:
            view = _View(live)
            for event in events:
                if isinstance(event, Ended):
                    return event.model
                view.show(event)
                if interrupts.is_leave_asked:
                    return None
                if interrupts.is_end_asked and not is_cancelled:
                    worker.cancel()
                    is_cancelled = True
    except KeyboardInterrupt:  # leaving was forced
        pass
    return None


class _View:
    """Shows the events of a task."""

    def __init__(self, live: LiveLine) -> None:
        self._live = live
        self._steps: StepProgress | None = None

    def show(self, event: Event) -> None:
        from tunery.service.events import Noticed, PhaseEntered, Started, StepDone

        match event:
            case PhaseEntered(Phase.PREPARING):
                self._live.draw("Loading the base ...")
            case PhaseEntered():
                self._live.draw("Writing the adapter ...")
            case Noticed(text):
                self._live.say(text)
            case Started(settings, step, total):
                self._live.say(f"Machine   {report.machine_facts(settings)}")
                if step > 1:
                    self._live.say(f"Going on from its checkpoint at step {step} of {total}.")
                self._steps = StepProgress(self._live, step, total)
            case StepDone(snapshot) if self._steps:
                self._steps.show(snapshot)


def _say_state(library: Library, model: TunedModel, worker: TaskWorker) -> None:
    """Say where a task stands that did not come to its end."""
    if worker.resume_step is not None:
        terminal.say(f"The same command goes on with {model.id} at step {worker.resume_step}.")
    elif library.get(model.id).state is State.FAILED:
        terminal.say(f"{model.id} is listed as FAILED. See its curve with: tunery models show {model.id}")


def _say_result(model: TunedModel, request: TuningRequest, data_folder: Path, seconds: float, *, json: bool) -> None:
    for line in ("", *report.curve(model.task), ""):
        terminal.say(line)
    report.say_end(model, data_folder, seconds)
    if json:
        terminal.result(documents.dumped(documents.model_document(model, data_folder)))
    elif model.state is State.ACTIVE:
        terminal.result(model.name)
    report.say_next(model, request.held_out or request.examples)
