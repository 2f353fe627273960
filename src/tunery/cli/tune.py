"""
`tunery tune`: a file of examples becomes a tuned model of My Library, in the foreground or by a running server.

Reads the options, makes the request and shows the events; the work itself is `service.run`, here or in the server
(`remote_task.py`). The same command after a kill goes on from its checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunery import config
from tunery.cli import output, terminal
from tunery.cli.bases import fetched
from tunery.cli.client import Server, asked_server, holding_server
from tunery.cli.evaluate import after_tuning
from tunery.cli.output import Plan
from tunery.cli.terminal import (
    INTERRUPTED,
    DataFile,
    InputColumn,
    Interrupts,
    LiveLine,
    OutputColumn,
    ServerAddress,
    StepProgress,
    option,
)
from tunery.errors import FolderLocked, InvalidArgument, NotFound, TuneryError
from tunery.types import DEFAULT_BASE_MODEL, CatalogEntry, Hyperparameters, Phase, State, TunedModel

if TYPE_CHECKING:
    from tunery.cli.client import RemoteTask, Waited
    from tunery.service.estimate import MemoryEstimate
    from tunery.service.library import Library
    from tunery.service.phases import Event
    from tunery.service.requests import TuningRequest
    from tunery.service.task import TaskWorker

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
    verdict: Annotated[
        bool, option("Say at the end whether tuning helped, if rows were held out.", "say it", "--verdict/--no-verdict")
    ] = True,
    server: ServerAddress = None,
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
    asked = asked_server(server)
    if asked is not None and not asked.is_here and resume:
        raise InvalidArgument("--resume goes on with a job of this machine; the server goes on with its own by itself.")
    plan = _plan(file, {"input_column": input_column or None, "output_column": output_column}, names, given, asked)
    output.print_plan(plan)
    needed = None if asked is not None and not asked.is_here else _needed(plan)
    if not yes:
        _ask_about_doubts(plan, needed)
    ended, seconds = _tune(plan, asked, is_resume=resume)
    judge = after_tuning if verdict and plan.request.held_out and ended.task.phase is Phase.SUCCEEDED else None
    _say_result(ended, plan.request, needed, seconds, judge and partial(judge, ended, asked), json=json)
    if ended.task.phase is Phase.CANCELLED:
        raise typer.Exit(INTERRUPTED)


def _plan(
    file: Path,
    columns: Mapping[str, object],
    names: dict[str, str | None],
    settings: Mapping[str, object],
    server: Server | None,
) -> Plan:
    """Read the data, resolve the settings, and make sure that the base is here."""
    from tunery.data.dataset import hold_out
    from tunery.data.sandbox import read_and_preview_guarded
    from tunery.service.requests import TuningRequest

    given = {name: value for name, value in settings.items() if value is not None}
    hyperparameters = Hyperparameters(
        **{name: given[name] for name in Hyperparameters.__slots__ if name in given}  # type: ignore[arg-type]
    ).resolve()
    seed = int(given.get("seed", 0))  # type: ignore[call-overload]
    dataset, preview = read_and_preview_guarded(file, **columns)  # type: ignore[arg-type]
    examples, held_out = hold_out(dataset.examples, str(given.get("hold_out", "0")), seed)
    asked_base = str(given.get("base_model", DEFAULT_BASE_MODEL))
    base, digest = _base(asked_base, server)
    if names["id"] is None and names["display_name"] is None:
        names = names | {"display_name": file.stem.strip()[:_NAME_CHARACTERS] or "tuned"}
    request = TuningRequest(
        base_model=base.alias_of or base.name,
        base_digest=digest,
        data=dataset.facts,
        examples=examples,
        hyperparameters=hyperparameters,
        held_out=held_out,
        seed=seed,
        **names,  # type: ignore[arg-type]
    )
    return Plan(preview, base, asked_base, request, dataset.examples, given)


def _needed(plan: Plan) -> MemoryEstimate:
    needed = output.estimate(plan.base, plan.request.examples, plan.request.hyperparameters)
    output.print_estimate(needed)
    return needed


def _ask_about_doubts(plan: Plan, needed: MemoryEstimate | None) -> None:
    doubts = [output.problem_counts(plan.preview.problems)] if plan.preview.problems else []
    doubts += [] if needed is None or needed.fits is not False else ["Little memory"]
    if doubts and terminal.can_ask() and not terminal.ask(f"{', '.join(doubts)}. Tune anyway?", default=True):
        raise typer.Exit(1)


def _base(name: str, server: Server | None) -> tuple[CatalogEntry, str]:
    """Return a base that is ready to be tuned and the digest of its weights, which only the server knows of its own."""
    if server is not None and not server.is_here:
        return server.base(name), ""
    from tunery.engine.catalog import Catalog

    base = fetched(name)
    return base, Catalog(config.data_folder(), config.default_base_model()).digest(base.name)


def _tune(plan: Plan, server: Server | None, *, is_resume: bool) -> tuple[TunedModel, float]:
    """Work on the task of a plan, here or through a server; return its tuned model and the seconds that it took."""
    from tunery.service.library import Library

    begin = time.monotonic()
    interrupts = Interrupts(lambda: terminal.say_at_once("Stopping after this step; press again to abort."))
    with interrupts.watching(), ExitStack() as stack:
        if server is None:
            try:
                library = stack.enter_context(Library.own(config.data_folder()))
            except FolderLocked:
                server = holding_server(config.data_folder())
                if server is None:  # another command, which takes no requests
                    raise
        if server is None:
            ended = _tuned_here(library, plan.request, interrupts, is_resume=is_resume)
        else:
            ended = _tuned_there(server, plan, interrupts, is_resume=is_resume)
    return ended, time.monotonic() - begin


def _tuned_here(library: Library, request: TuningRequest, interrupts: Interrupts, *, is_resume: bool) -> TunedModel:
    from tunery.service.task import TaskWorker

    model = _unfinished(library, request, is_resume=is_resume) or library.create(request)
    worker = TaskWorker(library, model)
    try:
        ended = _worked(worker, interrupts)
    except TuneryError:
        _say_state(library, model, worker)
        raise
    if ended is None:
        _say_state(library, model, worker)
        raise typer.Exit(interrupts.exit_status)
    return ended


def _tuned_there(server: Server, plan: Plan, interrupts: Interrupts, *, is_resume: bool) -> TunedModel:
    """Have a server tune; if it holds our data folder, the library is read beside it."""
    from tunery.cli.client import RemoteTask
    from tunery.service.library import Library

    with Library.open(config.data_folder()) if server.is_here else nullcontext() as library:
        model = None if library is None else _unfinished(library, plan.request, is_resume=is_resume)
        if model is None:
            hold_out = str(plan.given.get("hold_out", "0"))
            model = server.create(plan.request, plan.rows, plan.asked_base, hold_out)
        try:
            ended = _worked(RemoteTask(server, model), interrupts)
        except TuneryError:
            _say_state_there(server, model)
            raise
        if ended is None:
            terminal.say(f"The tuning job of {model.id} goes on in the server at {server.address}.")
            raise typer.Exit(interrupts.exit_status)
        return ended if library is None else library.get(ended.id)


def _unfinished(library: Library, request: TuningRequest, *, is_resume: bool) -> TunedModel | None:
    found = library.find_unfinished(request.sha256())
    if found is None:
        if is_resume:
            raise NotFound("There is no unfinished tuning job of this command. Leave out --resume to start one.")
    elif found.task.cancel_requested:
        terminal.say(f"The tuning job of {found.id} was cancelled; what was tuned is made ready.")
    else:
        terminal.say(f"The tuning job of {found.id} is not finished; going on with it.")
    return found


def _worked(worker: TaskWorker | RemoteTask, interrupts: Interrupts) -> TunedModel | None:
    """Take the events of a task until it ends; None if the task was left for later."""
    from tunery.service.phases import Ended

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

    def show(self, event: Event | Waited) -> None:
        from tunery.cli.client import Waited
        from tunery.service.phases import Noticed, PhaseEntered, Started, StepDone

        match event:
            case Waited(int(before)):
                self._live.draw(f"Waiting, {before} ahead ...")
            case PhaseEntered(Phase.PREPARING):
                self._live.draw("Loading the base ...")
            case PhaseEntered():
                self._live.draw("Writing the adapter ...")
            case Noticed(text):
                self._live.say(text)
            case Started(settings, step, total):
                self._live.say(f"Machine   {output.machine_facts(settings)}")
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


def _say_state_there(server: Server, model: TunedModel) -> None:
    try:
        if server.get(model.name).state is State.FAILED:
            terminal.say(f"{model.id} is listed as FAILED. See its curve with: tunery models show {model.id}")
    except TuneryError:  # the server is gone, which is said anyway
        terminal.say(f"The tuning job of {model.id} goes on when the server does.")


def _say_result(
    model: TunedModel,
    request: TuningRequest,
    needed: MemoryEstimate | None,
    seconds: float,
    judge: Callable[[], dict[str, object]] | None,
    *,
    json: bool,
) -> None:
    data_folder = config.data_folder()
    for line in ("", *output.print_curve(model.task), ""):
        terminal.say(line)
    output.print_end(model, data_folder, seconds)
    judged = judge() if judge is not None else {}
    if json:
        estimate = {"estimate": needed.document()} if needed is not None else {}
        terminal.result(output.dumped(output.model_document(model, data_folder) | estimate | judged))
    elif model.state is State.ACTIVE:
        terminal.result(model.name)
    output.print_next(model, request.held_out or request.examples)
