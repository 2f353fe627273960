"""
`tunery models`: My Library, listed, shown, copied out and deleted.

Reads while another process tunes; deleting needs the data folder, or the server that holds it.
"""

from __future__ import annotations

import json as jsonlib
import os
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from tunery import config
from tunery.cli import output, terminal
from tunery.cli.client import Server, asked_server, holding_server
from tunery.cli.terminal import Json, ServerAddress, TunedModelName, Yes, argument, option
from tunery.errors import FolderLocked, InvalidArgument, Unavailable
from tunery.types import Phase, TunedModel

if TYPE_CHECKING:
    from datetime import datetime

    from tunery.service.backup import Contents
    from tunery.service.library import Library

_TAR_END_BYTES = 1024  # two empty blocks of 512


class Format(StrEnum):
    """What a tuned model can be exported as."""

    ADAPTER = "adapter"
    MERGED = "merged"
    GGUF = "gguf"


def export(
    model: TunedModelName,
    to: Annotated[
        Path | None, option("Folder to write; new or empty.", "the id of the model", metavar="FOLDER")
    ] = None,
    format: Annotated[
        Format, option("adapter for PEFT, merged for transformers, gguf for llama.cpp and Ollama.", "adapter")
    ] = Format.ADAPTER,
    prove: Annotated[
        bool | None,
        typer.Option(
            "--prove/--no-prove",
            help="Compare what was exported with the served model. (default: if rows were held out)",
            show_default=False,
        ),
    ] = None,
    server: ServerAddress = None,
    json: Json = False,
) -> None:
    """Copy a tuned model out of the library for other programs, and prove that it answers the same there."""
    from tunery.service import folder as epochs

    name, epoch = epochs.split_epoch(model)
    found_server = asked_server(server) or holding_server(config.data_folder())
    if found_server is not None:
        found, report, target = _downloaded(found_server, name, epoch, format, prove, to)
    else:
        found, report, target = _written(name, epoch, format, prove, to)
    terminal.say(f"Exported {_called(found, epoch)} as {format}; its base is {found.base_model}.")
    for line in _proven(report):
        terminal.say(line)
    if json:
        terminal.result(output.dumped({"model": found.name, "folder": str(target), "proof": report}))
    else:
        terminal.result(str(target))


def card(model: TunedModelName, server: ServerAddress = None, json: Json = False) -> None:
    """Show all that is known of a tuned model on one page, in Markdown."""
    found_server = asked_server(server) or holding_server(config.data_folder())
    if found_server is not None:
        document = found_server.card(found_server.get(model))
    else:
        from tunery.engine.catalog import Catalog
        from tunery.service.export import card_of
        from tunery.service.library import Library

        folder = config.data_folder()
        with Library.open(folder) as library:
            document = card_of(library, Catalog(folder, config.default_base_model()), library.get(model)).document()
    if json:
        terminal.result(output.dumped(document))
        return
    from tunery.card import markdown

    terminal.result(markdown(document).rstrip("\n"))


def _written(
    name: str, epoch: int | None, format: Format, prove: bool | None, to: Path | None
) -> tuple[TunedModel, dict[str, Any] | None, Path]:
    from tunery.engine.catalog import Catalog
    from tunery.files import into
    from tunery.service.export import card_of, order, report_kind, write
    from tunery.service.library import Library

    folder = config.data_folder()
    catalog = Catalog(folder, config.default_base_model())
    with Library.open(folder) as library:
        found = library.get(name)
        ordered = order(library, catalog, found, format, epoch=epoch, proves=prove, python=config.proof_python())
        target = to or Path(_called(found, epoch))
        with into(target) as work:
            report = write(ordered, work, terminal.say)
            if report is not None:
                _keep(library, found, report_kind(format), report)
            card_of(library, catalog, found).write(work)
    return found, report, target


def _keep(library: Library, model: TunedModel, kind: str, report: dict[str, Any]) -> None:
    """Write a proof into the library, for which the data folder must be free."""
    from tunery.service.library import Library

    try:
        with Library.own(library.folder.path) as owned:
            owned.put_report(model, kind, report)
    except FolderLocked as error:  # by a command that works on it; what was exported is whole all the same
        terminal.say(f"The proof was not kept in the library. {error}")


def _downloaded(
    server: Server, name: str, epoch: int | None, format: Format, prove: bool | None, to: Path | None
) -> tuple[TunedModel, dict[str, Any] | None, Path]:
    from tunery.files import into

    found = server.get(name)
    asked = found.name if epoch is None else f"{found.name}@epoch-{epoch}"
    target = to or Path(_called(found, epoch))
    with into(target) as work:
        with tempfile.TemporaryFile(dir=work.parent) as file:
            server.export(asked, format, prove, file)
            _unpack(file, work)
        report = None if prove is False else _report_in(work, format)
    return found, report, target


def _unpack(file: IO[bytes], folder: Path) -> None:
    """Unpack what a server sent; raises Unavailable if it is not there to its end, whatever cut it on its way."""
    broken = Unavailable("The export broke off on its way from the server. Export it again.")
    if file.seek(0, os.SEEK_END) < _TAR_END_BYTES:
        raise broken
    file.seek(-_TAR_END_BYTES, os.SEEK_END)
    if any(file.read()):  # between two files a tar file can be cut without looking broken
        raise broken
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise broken from error


def _report_in(work: Path, format: Format) -> dict[str, Any] | None:
    """Return the proof of this export as the card beside it tells it."""
    from tunery.card import CARD_JSON

    exports = jsonlib.loads((work / CARD_JSON).read_text("utf-8"))["exports"]
    return next((export for export in exports if export["format"] == format), None)


def _called(model: TunedModel, epoch: int | None) -> str:
    return model.id if epoch is None else f"{model.id}@epoch-{epoch}"


def _proven(report: dict[str, Any] | None) -> list[str]:
    from tunery.engine.proof import sentences

    return ["Not proven; --prove does it."] if report is None else sentences(report)


models = typer.Typer(help="List, show, export and delete tuned models.", no_args_is_help=True)


models.command()(export)
models.command()(card)


@models.command("list")
def list_models(server: ServerAddress = None, json: Json = False) -> None:
    """List the tuned models, newest first."""
    folder = config.data_folder()
    found = _all(asked_server(server), folder)
    if json:
        terminal.result(output.dumped([output.model_document(m, folder, has_curve=False) for m in found]))
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
        document = output.model_document(found, folder)
        terminal.result(output.dumped({**document, "prompt_contract": inputs, "output_contract": outputs}))
        return
    for line in terminal.facts([*_facts(found, folder), ("Inputs", inputs), ("Outputs", outputs)]):
        terminal.result(line)
    for line in ("", *output.print_curve(found.task, sys.stdout)) if found.task.snapshots else ():
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
    arithmetic = [output.machine_facts(model.task.settings)] if model.task.settings else []
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


BackupFile = Annotated[Path, argument("File of the backup, as library.tar.", "FILE")]


def backup(
    file: BackupFile,
    with_bases: Annotated[bool, option("Also the weights of the base models.", "not", "--with-bases")] = False,
    json: Json = False,
) -> None:
    """Write all tuned models, their examples and adapters into one file; also while a server is running."""
    from tunery.service.backup import back_up

    contents = back_up(config.data_folder(), file, with_bases=with_bases)
    terminal.say(f"Backed up {_said(contents)}.")
    _say_result(file, contents, json=json)


def restore(file: BackupFile, json: Json = False) -> None:
    """Make the data folder from a backup, every file checked; it must have no tuned models yet."""
    from tunery.service.backup import restore as restored

    contents = restored(file, config.data_folder())
    terminal.say(f"Restored {_said(contents)} into {config.data_folder()}.")
    terminal.say("Jobs that were not finished begin again when they are worked on. Next: tunery models list")
    _say_result(config.data_folder(), contents, json=json)


def _said(contents: Contents) -> str:
    models = f"{contents.tuned_models} tuned model{'s' * (contents.tuned_models != 1)}"
    return f"{models}, {contents.adapters} with an adapter, {contents.bytes / 1e6:,.1f} MB"


def _say_result(place: Path, contents: Contents, *, json: bool) -> None:
    terminal.result(output.dumped({"path": str(place), **asdict(contents)}) if json else str(place))
