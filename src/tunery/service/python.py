"""
The Python library's way into My Library: `tunery.tune` and `tunery.load`.

The same data folder, ids and tasks as those of the commands and the Studio, so a model tuned in a notebook is listed,
resumed, exported and served like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

from tunery import config
from tunery.data.dataset import Dataset, as_dataset
from tunery.data.dataset import hold_out as split
from tunery.data.settings import settings_for
from tunery.engine.adapter import CONFIG
from tunery.engine.catalog import Catalog
from tunery.engine.tuner import Recipe
from tunery.errors import FailedPrecondition, FolderLocked, InvalidArgument, NotFound
from tunery.model import Model, fitting
from tunery.model import load as load_folder
from tunery.model import tune as tune_outside
from tunery.progress import LiveLine, StepProgress, doing, never_silent, say
from tunery.service.contracts import contracts_of, prompt_options
from tunery.service.export import card_of
from tunery.service.folder import DataFolder, epoch_folder, split_epoch
from tunery.service.library import Library
from tunery.service.task import TaskWorker
from tunery.service.tuning import MAX_NAME_CHARACTERS, Ended, Noticed, Started, StepDone, TuningRequest
from tunery.types import (
    DEFAULT_BASE_MODEL,
    DEFAULT_SETTINGS,
    Hyperparameters,
    TunedModel,
    TuningExample,
    TuningSnapshot,
    WeightFormat,
)


def tune(
    dataset: Dataset | Iterable[TuningExample],
    *,
    base_model: str = DEFAULT_BASE_MODEL,
    settings: str = DEFAULT_SETTINGS,
    epoch_count: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    learning_rate_multiplier: float | None = None,
    label_share: float | None = None,
    weights: str = WeightFormat.AUTO,
    hold_out: int | float | str = 0,
    seed: int = 0,
    id: str | None = None,
    display_name: str | None = None,
    library: bool = True,
    on_snapshot: Callable[[TuningSnapshot], None] | None = None,
    recipe: Recipe | None = None,
    progress: bool = True,
) -> Model:
    """
    Tune a base on a dataset, keep the tuned model in My Library, and return it.

    `id` and `display_name` are those in My Library, by default from the name of the file. After a crash or an
    interruption the same call continues from the last checkpoint. With `library=False` nothing is kept but what you
    `save`. `settings` says where those come from that you do not name: "page" for 5 epochs, batch size 4 and a learning
    rate of 0.001, or "auto", which fits them to the data. `label_share`, 0 to 1, is the share of the loss of labels,
    for outputs that are a closed set; `weights` is how the base is kept in memory: "full", "8bit", "4bit", or "auto"
    for full if that fits, else as it came. `hold_out` is a number of rows, a fraction below 1 or "10%". `on_snapshot`
    is called after each step; if it raises, the same call resumes the job. A `recipe` needs `library=False`.

    Raises InvalidArgument, AlreadyExists for an id that is taken, FolderLocked while a server or a command uses the
    data folder, TuningUnstable, TuningRuined and OutOfMemory, DataLoss if a file of the base is damaged.
    """
    values = epoch_count, batch_size, learning_rate, learning_rate_multiplier, label_share, weights
    named = {name: value for name, value in zip(Hyperparameters.__slots__, values, strict=True) if value is not None}
    dataset = as_dataset(dataset)
    hyperparameters, reason = settings_for(settings, split(dataset.examples, hold_out, seed)[0], named)
    with never_silent("Loading the base") if progress else nullcontext():
        if progress and reason:
            say(reason)
        if not library:
            model = _outside(
                dataset, hyperparameters, base_model, hold_out, seed, display_name, on_snapshot, recipe, progress
            )
            return _explained(model, reason)
        if recipe is not None:
            raise InvalidArgument("My Library keeps models of the default recipe. Add library=False for another one.")
        request = _request(dataset, hyperparameters, reason, base_model, hold_out, seed, id, display_name)
        return _tuned(request, on_snapshot, progress=progress)


def load(name: str | Path) -> Model:
    """
    Load a tuned model of My Library by its id or display name, one from a folder of `save` or PEFT, or a base.

    `id@epoch-3` is epoch 3. Raises NotFound, InvalidArgument if several models have the name, FailedPrecondition for a
    model that cannot answer, DataLoss for damaged files.
    """
    if (Path(name) / CONFIG).is_file():
        return load_folder(name)
    home = config.data_folder()
    if not DataFolder(home).database.exists():  # reading would make an empty library
        return load_folder(name)
    try:
        return of_library(home, str(name))
    except NotFound as error:
        why = f"{error} Nor is there a folder of an adapter."
        Catalog(home, config.default_base_model()).require_known(str(name), why)
        return load_folder(name)


def of_library(data_folder: Path, name: str) -> Model:
    """Load the tuned model with this id or display name, and its chosen or named epoch; raises NotFound."""
    tuned_name, epoch = split_epoch(name)
    catalog = Catalog(data_folder, config.default_base_model())
    with Library.open(data_folder) as library:
        found = library.get(tuned_name)
        adapter = epoch_folder(library.adapter_folder(found), epoch or found.chosen_epoch)
        contracts, options = contracts_of(library, found), prompt_options(library, found)
        card = card_of(library, catalog, found)
    if catalog.digest(found.base_model) != found.base_digest:
        raise FailedPrecondition(
            f"The weights of the base {found.base_model} have changed since this model was tuned on it. "
            "Add the original base again."
        )
    model = load_folder(adapter, found.rendering, found.task.hyperparameters.weights)
    model.id, model.contracts, model.known_card = found.id, contracts, card
    model.wraps_plain_inputs, model.constrains_outputs = options.wraps_plain_inputs, options.constrains_outputs
    model.label_temperature = options.temperature_of(epoch or found.served_epoch)
    model.snapshots, model.epoch_losses = found.task.snapshots, found.task.epoch_losses
    model.advice, model.served_epoch = found.task.advice, epoch or found.served_epoch
    return model


def _explained(model: Model, reason: str) -> Model:
    """Note on the card what `auto` chose and why."""
    if reason:
        card = model.card()
        model.known_card = replace(card, settings={**(card.settings or {}), "reason": reason})
    return model


def _request(
    dataset: Dataset,
    hyperparameters: Hyperparameters,
    reason: str,
    base_model: str,
    hold_out: int | float | str,
    seed: int,
    id: str | None,
    display_name: str | None,
) -> TuningRequest:
    rows = fitting(dataset, base_model)
    examples, held_out = split(rows.examples, hold_out, seed)
    catalog = Catalog(config.data_folder(), config.default_base_model())
    base = catalog.resolve(base_model)
    if id is None and display_name is None:
        display_name = Path(rows.source).stem.strip()[:MAX_NAME_CHARACTERS] or "tuned"
    return TuningRequest(
        base_model=base.alias_of or base.name,
        base_digest=catalog.digest(base.name),
        data=rows.facts,
        examples=examples,
        hyperparameters=hyperparameters.resolve(),
        held_out=held_out,
        row_numbers=(rows.numbers_of(examples), rows.numbers_of(held_out)),
        seed=seed,
        settings_reason=reason or None,
        id=id,
        display_name=display_name,
    )


def _outside(
    dataset: Dataset | Iterable[TuningExample],
    settings: Hyperparameters,
    base_model: str,
    hold_out: int | float | str,
    seed: int,
    display_name: str | None,
    on_snapshot: Callable[[TuningSnapshot], None] | None,
    recipe: Recipe | None,
    progress: bool,
) -> Model:
    with LiveLine() as live:
        shown: list[StepProgress] = []

        def show(snapshot: TuningSnapshot, total_steps: int) -> None:
            if progress:
                shown[:] = shown or [StepProgress(live, 1, total_steps, settings.epoch_count)]
                shown[0].show(snapshot)
            if on_snapshot is not None:
                on_snapshot(snapshot)

        return tune_outside(
            dataset,
            base_model=base_model,
            hyperparameters=settings,
            hold_out=hold_out,
            seed=seed,
            display_name=display_name or "tuned",
            on_step=show,
            recipe=recipe,
        )


def _tuned(request: TuningRequest, on_snapshot: Callable[[TuningSnapshot], None] | None, *, progress: bool) -> Model:
    home = config.data_folder()
    try:
        with Library.own(home) as library:
            waiting = library.find_unfinished(request.sha256())
            if waiting is not None and progress:
                say(f"Resuming the unfinished tuning job for {waiting.id}.")
            model = waiting or library.create(request)
            ended = _worked(TaskWorker.claim(library, model), request, on_snapshot, progress=progress)
    except FolderLocked as error:
        raise FolderLocked(f"{error} To tune without keeping the model there, add library=False.") from error
    doing("Loading the tuned model")
    found = of_library(home, ended.id)
    found.examples, found.held_out = tuple(request.examples), tuple(request.held_out)
    return found


def _worked(
    worker: TaskWorker,
    request: TuningRequest,
    on_snapshot: Callable[[TuningSnapshot], None] | None,
    *,
    progress: bool,
) -> TunedModel:
    """Work on a task until it ends, and show its steps."""
    with LiveLine() as live, closing(worker.events()) as events:
        steps: StepProgress | None = None
        for event in events:
            match event:
                case Noticed(text) if progress:
                    say(text)
                case Started(_, step, total) if progress:
                    steps = StepProgress(live, step, total, request.hyperparameters.epoch_count)
                case StepDone(snapshot):
                    if steps is not None:
                        steps.show(snapshot)
                    if on_snapshot is not None:
                        on_snapshot(snapshot)
                case Ended(model):
                    return model
    raise AssertionError("A task ends with an event or an error.")
