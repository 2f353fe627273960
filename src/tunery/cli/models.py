"""
`tunery models`: My Library, listed, shown, copied out and deleted.

Reads while another process tunes; deleting needs the data folder, or the server that holds it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tunery import config
from tunery.cli import documents, exporting, report, terminal
from tunery.cli.options import Json, ServerAddress, TunedModelName, Yes
from tunery.cli.served import Server, asked_server, holding_server
from tunery.errors import FolderLocked, InvalidArgument
from tunery.types import Phase, TunedModel

if TYPE_CHECKING:
    from datetime import datetime

models = typer.Typer(help="List, show, export and delete tuned models.", no_args_is_help=True)


models.command()(exporting.export)
models.command()(exporting.card)


@models.command("list")
def list_models(server: ServerAddress = None, json: Json = False) -> None:
    """List the tuned models, newest first."""
    folder = config.data_folder()
    found = _all(asked_server(server), folder)
    if json:
        terminal.result(documents.dumped([documents.model_document(m, folder, has_curve=False) for m in found]))
    elif not found:
        terminal.say("My Library is empty. Next: tunery tune FILE")
    else:
        rows = [(m.id, _state(m), m.base_model, str(m.task.data.rows), _loss(m), _local(m.create_time)) for m in found]
        for line in terminal.table(("ID", "STATE", "BASE", "ROWS", "LOSS", "CREATED"), rows, right=(3, 4)):
            terminal.result(line)


@models.command()
def show(model: TunedModelName, server: ServerAddress = None, json: Json = False) -> None:
    """Show a tuned model: where it comes from, its loss curve, and what the curve says."""
    folder = config.data_folder()
    server_asked = asked_server(server)
    found = _one(server_asked, folder, model)
    inputs, outputs = _contracts(server_asked, folder, found)
    if json:
        document = documents.model_document(found, folder)
        terminal.result(documents.dumped({**document, "prompt_contract": inputs, "output_contract": outputs}))
        return
    for line in terminal.facts([*_facts(found, folder), ("Inputs", inputs), ("Outputs", outputs)]):
        terminal.result(line)
    for line in ("", *report.curve(found.task, sys.stdout)) if found.task.snapshots else ():
        terminal.result(line)


@models.command()
def delete(model: TunedModelName, server: ServerAddress = None, yes: Yes = False) -> None:
    """Delete a tuned model with its examples, curve and adapter."""
    folder = config.data_folder()
    asked = asked_server(server)
    found = _one(asked, folder, model)
    if not yes:
        if not terminal.can_ask():
            raise InvalidArgument(f"Deleting {found.id} cannot be undone; add --yes to do it without being asked.")
        if not terminal.ask(f"Delete {found.id} ({found.display_name})? This cannot be undone.", default=False):
            raise typer.Exit(1)
    _delete(asked, folder, found)
    terminal.say(f"Deleted {found.id}.")


def _all(server: Server | None, folder: Path) -> Sequence[TunedModel]:
    if server is not None and not server.is_here:
        return server.models()
    from tunery.service.library import Library

    with Library.open(folder) as library:  # reading needs no lock, and knows where the adapters lie
        return library.list()


def _one(server: Server | None, folder: Path, name: str) -> TunedModel:
    if server is not None and not server.is_here:
        return server.get(name)
    from tunery.service.library import Library

    with Library.open(folder) as library:
        return library.get(name)


def _contracts(server: Server | None, folder: Path, model: TunedModel) -> tuple[str, str]:
    """Return in a sentence each how the inputs of a model look and what its outputs are."""
    if server is not None and not server.is_here:
        card = server.card(model)
        return str(card["prompt_sentence"]), str(card["output_sentence"])
    from tunery.service.library import Library, contracts_of

    with Library.open(folder) as library:
        found = contracts_of(library, model)
    return found.prompt.sentence(), found.output.sentence()


def _delete(server: Server | None, folder: Path, model: TunedModel) -> None:
    from tunery.service.library import Library

    if server is None:
        try:
            with Library.own(folder) as library:
                library.delete(model.id)
            return
        except FolderLocked:
            server = holding_server(folder)
            if server is None:  # another command, which takes no requests
                raise
    server.delete(model)


def _facts(model: TunedModel, folder: Path) -> list[tuple[str, str]]:
    task, values = model.task, model.task.hyperparameters
    held_out = f", {task.held_out_rows} of them held out" if task.held_out_rows else ""
    seconds = (task.complete_time - task.start_time).total_seconds() if task.complete_time and task.start_time else None
    settings = f"{values.epoch_count} epochs, batch size {values.batch_size}, learning rate {values.learning_rate:g}"
    artifact = folder / model.artifact if model.artifact else None
    return [
        ("Id", model.id),
        ("Name", model.display_name if model.display_name != model.id else ""),
        ("About", model.description),
        ("State", _state(model) + (f" in {seconds:.0f} s" if seconds is not None else "")),
        ("Reason", task.error_message or ""),
        ("Base", model.base_model),
        ("Data", f"{task.data.source}, {task.data.rows} rows{held_out}"),
        ("Settings", f"{settings}, seed {task.seed}"),
        ("Machine", ", ".join(_machine(model))),
        ("Created", _local(model.create_time)),
        ("Adapter", str(artifact or "")),
        ("Curve", str(artifact / "loss.svg") if artifact else ""),
    ]


def _machine(model: TunedModel) -> list[str]:
    arithmetic = [report.machine_facts(model.task.settings)] if model.task.settings else []
    return arithmetic + [f"{name} {number}" for name, number in model.task.versions.items()]


def _state(model: TunedModel) -> str:
    task = model.task
    if task.phase is Phase.CANCELLED and model.artifact:
        return f"ACTIVE, cancelled after step {task.completed_steps}"
    if not task.phase.is_final:
        return f"{model.state}, {task.phase.lower()} at step {task.completed_steps}"
    return model.state.value


def _loss(model: TunedModel) -> str:
    """Return the mean loss of the last finished epoch."""
    losses = model.task.epoch_losses
    return f"{losses[-1].mean_loss:.4f}" if losses else ""


def _local(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M}"
