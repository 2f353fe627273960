"""
`tunery tune`: tune a model on a file of examples and keep it in My Library.

Reads the options, makes the request and shows the events of the task. The same command resumes an unfinished task.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunery.cli import output, terminal
from tunery.cli.client import Waited
from tunery.cli.evaluate import print_verdict_of
from tunery.cli.output import Plan
from tunery.cli.terminal import (
    INTERRUPTED,
    DataFile,
    Device,
    HoldOut,
    Interrupts,
    LearningRate,
    Reading,
    ServerAddress,
    WeightsChoice,
    option,
    reads_file,
)
from tunery.cli.workplace import Job, Workplace, workplace
from tunery.errors import AlreadyExists, InvalidArgument, NotFound, TuneryError
from tunery.progress import LiveLine, StepProgress, doing
from tunery.service.tuning import Ended, Event, Noticed, PhaseEntered, Started, StepDone
from tunery.types import (
    DEFAULT_BASE_MODEL,
    DEFAULT_SETTINGS,
    Hyperparameters,
    Phase,
    SettingsKind,
    State,
    TunedModel,
    WeightFormat,
)

if TYPE_CHECKING:
    from tunery.data.settings import FittingSettings
    from tunery.service.creation import MemoryEstimate

_DEFAULTS = Hyperparameters()
_NAME_CHARACTERS = 40


SettingsChoice = Annotated[
    SettingsKind,
    option(
        "Where settings that you do not give come from. page: the defaults of Gemini's tuning page. auto: fitted to the"
        " data, if that is fewer than 50 rows of labels; such as --settings auto --epochs 8.",
        DEFAULT_SETTINGS.value,
    ),
]


VerdictChoice = Annotated[bool, option("Find out at the end whether tuning helped.", "yes", "--verdict/--no-verdict")]


@reads_file
def tune(
    file: DataFile,
    base_model: Annotated[str | None, option("Base model to tune.", DEFAULT_BASE_MODEL, metavar="NAME")] = None,
    id: Annotated[str | None, option("Id of the tuned model.", "derived from its display name", metavar="ID")] = None,
    display_name: Annotated[
        str | None, option("Name of the tuned model.", "the name of the file", metavar="NAME")
    ] = None,
    description: Annotated[str, option("What the tuned model is for.", "empty", metavar="TEXT")] = "",
    epochs: Annotated[int | None, option("Passes over the examples.", _DEFAULTS.epoch_count, metavar="N")] = None,
    batch_size: Annotated[int | None, option("Examples per step.", _DEFAULTS.batch_size, metavar="N")] = None,
    learning_rate: LearningRate = None,
    learning_rate_multiplier: Annotated[
        float | None, option("Factor for the default learning rate.", 1, metavar="X")
    ] = None,
    weights: WeightsChoice = WeightFormat.AUTO,
    device: Device = None,
    hold_out: HoldOut = None,
    seed: Annotated[int | None, option("Seed for the row order and the initial weights.", 0, metavar="N")] = None,
    settings: SettingsChoice = DEFAULT_SETTINGS,
    resume: Annotated[bool, option("Only resume an unfinished job.", "resume or start", "--resume")] = False,
    verdict: VerdictChoice = True,
    server: ServerAddress = None,
    json: Annotated[bool, option("Print one JSON document at the end.", "the name", "--json")] = False,
    yes: Annotated[bool, option("Tune despite warnings.", "ask on a terminal", "--yes", "-y")] = False,
    *,
    reading: Reading,
) -> None:
    """
    Tune a base model on a file of examples.

    Ctrl-C ends the job and keeps what was tuned. After a crash, the same command resumes the job.
    """
    given = {
        "base_model": base_model,
        "epoch_count": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "learning_rate_multiplier": learning_rate_multiplier,
        "weights": None if weights is WeightFormat.AUTO else weights,
        "hold_out": hold_out,
        "seed": seed,
    }
    names = {"id": id, "display_name": display_name, "description": description}
    place = workplace(server, device)
    _require_free(id, place)
    plan = _plan(file, reading, names, given, place, with_folds=verdict, fits_data=settings is SettingsKind.AUTO)
    needed = _estimated(plan, place)
    if not yes:
        _ask_about_doubts(plan, needed)
    doing("Finding out whether tuning helped")  # what tuning shows itself comes before
    ended, seconds = _tune(plan, place, is_resume=resume)
    _exit_without_steps(ended, place)
    output.print_end(ended, seconds)
    is_whole = ended.task.phase is Phase.SUCCEEDED
    judged = print_verdict_of(ended, place) if verdict and is_whole else {}
    _print_result(ended, ({"estimate": needed.document()} if needed else {}) | judged, json=json)
    output.print_next(ended, plan, file)
    if not is_whole:
        raise typer.Exit(INTERRUPTED)


def _require_free(id: str | None, place: Workplace) -> None:
    """Raise AlreadyExists if a finished model has this id, before anything is read or loaded."""
    if id is None:
        return
    try:
        taken = place.get(f"tunedModels/{id}")
    except (NotFound, InvalidArgument):  # the id itself is checked with the request
        return
    if taken.task.phase.is_final:
        raise AlreadyExists(output.taken(taken))


def _estimated(plan: Plan, place: Workplace) -> MemoryEstimate | None:
    """Print the plan and what it needs."""
    output.print_plan(plan)
    doing("Estimating the memory")
    needed = place.estimate(plan)
    output.print_estimate(needed)
    return needed


def _exit_without_steps(model: TunedModel, place: Workplace) -> None:
    """Exit if a job was stopped before its first step; its model is deleted, so that the id is free again."""
    if model.task.phase is Phase.CANCELLED and model.state is State.FAILED:
        place.delete(model)
        terminal.say("Stopped before the first step; nothing was kept.")
        raise typer.Exit(INTERRUPTED)


def _print_result(model: TunedModel, more: dict[str, object], *, json: bool) -> None:
    if json:
        terminal.result(output.dumped(output.model_document(model) | more))
    elif model.state is State.ACTIVE:
        terminal.result(model.name)


def _plan(
    file: Path,
    reading: Reading,
    names: dict[str, str | None],
    settings: Mapping[str, object],
    place: Workplace,
    *,
    with_folds: bool,
    fits_data: bool,
) -> Plan:
    """Read the data, resolve the settings and, when tuning on this machine, fetch the base."""
    from tunery.data.outputs import rows_and_labels
    from tunery.data.sandbox import read_and_preview_guarded
    from tunery.data.settings import fitting
    from tunery.evaluation.contest import AUTOMATIC, set_aside
    from tunery.service.tuning import TuningRequest

    given = {name: value for name, value in settings.items() if value is not None}
    named: dict[str, Any] = {name: given[name] for name in Hyperparameters.__slots__ if name in given}
    Hyperparameters(**named)  # what is wrong with them is said before the file is read
    seed = int(given.get("seed", 0))  # type: ignore[call-overload]
    doing(f"Reading {file.name}")
    dataset, preview = read_and_preview_guarded(file, **reading)
    examples, held_out, folds = set_aside(dataset.examples, str(given.get("hold_out", AUTOMATIC)), seed)
    if folds and not with_folds:
        given, folds = given | {"hold_out": "0"}, 0
    facts = rows_and_labels(examples, held_out)
    preview = replace(preview, problems=(*preview.problems, *facts.problems))
    asked_base = str(given.get("base_model", DEFAULT_BASE_MODEL))
    doing(f"Checking the base {asked_base}")
    base, digest = place.base(asked_base)
    doing("Counting tokens")
    place.require_fitting_outputs(base, dataset, preview.output_column or "output")
    if names["id"] is None and names["display_name"] is None:
        names = names | {"display_name": file.stem.strip()[:_NAME_CHARACTERS] or "tuned"}
    fit = fitting(examples, named)
    request = TuningRequest(
        base_model=base.alias_of or base.name,
        base_digest=digest,
        data=dataset.facts,
        examples=examples,
        hyperparameters=(fit.hyperparameters if fits_data else fit.page).resolve(),
        held_out=held_out,
        row_numbers=(dataset.numbers_of(examples), dataset.numbers_of(held_out)),
        fold_count=folds,
        seed=seed,
        settings_reason=fit.reason if fits_data else None,
        **names,  # type: ignore[arg-type]
    )
    about = _about_auto(fit, place.times_time(fit, base, examples, held_out), len(examples), is_chosen=fits_data)
    return Plan(preview, base, asked_base, request, dataset, given, facts, about)


def _about_auto(fit: FittingSettings, times_time: float | None, rows: int, *, is_chosen: bool) -> str:
    """Return what `auto` chose, or would choose, why, and what it costs beside the page's settings."""
    from tunery.service.auto import cost

    if not fit.differs:
        return fit.reason if is_chosen else ""
    took = cost(fit.times_the_steps(rows), times_time)
    return f"{fit.reason} That is {took}." if is_chosen else f"--settings auto chooses {fit.choice}: {took}."


def _ask_about_doubts(plan: Plan, needed: MemoryEstimate | None) -> None:
    doubts = [output.problem_counts(plan.preview.problems)] if plan.preview.problems else []
    doubts += [] if needed is None or needed.fits is not False else ["too little memory"]
    doubts += ["a high learning rate"] if plan.request.hyperparameters.rate_warning() else []
    if doubts and terminal.can_ask() and not terminal.ask(f"{', '.join(doubts)}. Tune anyway?", default=True):
        raise typer.Exit(1)


def _tune(plan: Plan, place: Workplace, *, is_resume: bool) -> tuple[TunedModel, float]:
    """Return the tuned model and the seconds it took; exit if the task was left for later."""
    begin = time.monotonic()
    interrupts = Interrupts()
    with interrupts.watching(), place.job(plan, is_resume=is_resume) as job:
        try:
            ended = _watched(job, interrupts, plan.request.hyperparameters.epoch_count)
        except TuneryError:
            _say_outlook(job, has_error=True)
            raise
        if ended is None:
            _say_outlook(job, has_error=False)
            raise typer.Exit(interrupts.exit_status)
    return ended, time.monotonic() - begin


def _watched(job: Job, interrupts: Interrupts, epochs: int) -> TunedModel | None:
    """Show the events of a task until it ends; return None if it was left for later."""
    is_cancelled = False
    try:
        with LiveLine() as live, closing(job.events()) as events:
            view = _View(live, epochs)
            for event in events:
                if isinstance(event, Ended):
                    return event.model
                view.show(event)
                if interrupts.should_leave:
                    return None
                if interrupts.should_end and not is_cancelled:
                    job.cancel()
                    is_cancelled = True
    except KeyboardInterrupt:  # the user forced the exit
        pass
    return None


def _say_outlook(job: Job, *, has_error: bool) -> None:
    if sentence := job.outlook(has_error=has_error):
        terminal.say(sentence)


class _View:
    """Prints the events of a task."""

    def __init__(self, live: LiveLine, epochs: int) -> None:
        self._live, self._epochs = live, epochs
        self._steps: StepProgress | None = None

    def show(self, event: Event | Waited) -> None:
        match event:
            case Waited(int(before)):
                self._live.draw(f"Waiting, {before} ahead ...")
            case PhaseEntered(Phase.PREPARING):
                self._live.draw("Loading the base ...")
            case PhaseEntered():
                self._live.draw("Writing the adapter ...")
            case Noticed(text):
                terminal.say(text)
            case Started(settings, step, total):
                terminal.say(f"Machine   {output.machine_facts(settings)}")
                if step > 1:
                    terminal.say(f"Resuming from the checkpoint at step {step} of {total}.")
                self._steps = StepProgress(self._live, step, total, self._epochs)
            case StepDone(snapshot) if self._steps:
                self._steps.show(snapshot)
