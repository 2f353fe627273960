"""
`tunery models` and `tunery bases`: list, show, export and delete tuned models; list, search, get and remove bases.
`tunery backup`, `tunery restore` and `tunery uninstall`: the whole library in one file, or gone.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from tunery import config
from tunery.cli import output, terminal
from tunery.cli.client import API, POLL_SECONDS, Client, Document, named_server
from tunery.cli.terminal import Json, ServerAddress, TunedModelName, Yes, argument, option
from tunery.cli.workplace import epoch_name, fetched, workplace
from tunery.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from tunery.progress import LiveLine, byte_progress, doing
from tunery.service.folder import DataFolder, split_epoch
from tunery.types import Phase, State, TunedModel, WeightFormat

if TYPE_CHECKING:
    from datetime import datetime

    from tunery.engine.catalog import Catalog
    from tunery.engine.memory import Need
    from tunery.service.backup import Contents
    from tunery.service.bases import ListedBase
    from tunery.types import CatalogEntry


class Format(StrEnum):
    """Formats that a tuned model can be exported to."""

    ADAPTER = "adapter"
    MERGED = "merged"
    GGUF = "gguf"


def export(
    model: TunedModelName,
    to: Annotated[
        Path | None, option("New or empty folder to write to.", "the id of the model", metavar="FOLDER")
    ] = None,
    format: Annotated[
        Format, option("adapter (PEFT), merged (transformers) or gguf (llama.cpp, Ollama).", "adapter")
    ] = Format.ADAPTER,
    bits: Annotated[
        int | None, option("Bits per weight of a GGUF file, 16 or 8.", "a file of each", metavar="N")
    ] = None,
    prove: Annotated[
        bool | None,
        typer.Option(
            "--prove/--no-prove",
            help="Compare answers of the export with the served model. (default: if rows were held out)",
            show_default=False,
        ),
    ] = None,
    server: ServerAddress = None,
    json: Json = False,
) -> None:
    """Export a tuned model for other programs, and prove that it gives the same answers there."""
    name, epoch = split_epoch(model)
    place = workplace(server)
    found = place.get(name)
    place.require_model(epoch_name(found, epoch))
    from tunery.engine.proof import sentences
    from tunery.files import into
    from tunery.service.export import ExportChoice

    called = epoch_name(found, epoch)
    target = to or Path(called)
    doing(f"Writing the export of {called}")
    with into(target) as work:
        proof = place.export(found, ExportChoice(format, epoch, bits, prove), work)
        size = sum(path.stat().st_size for path in work.rglob("*") if path.is_file())
    terminal.say(f"Exported {called} as {format} ({size / 1e6:,.1f} MB); its base is {found.base_model}.")
    for line in ["Not proven. Add --prove to compare it."] if proof is None else sentences(proof):
        terminal.say(line)
    if json:
        terminal.result(output.dumped({"model": found.name, "folder": str(target), "proof": proof}))
    else:
        terminal.result(str(target))


def card(model: TunedModelName, server: ServerAddress = None, json: Json = False) -> None:
    """Print the model card: all the facts about a tuned model on one page of Markdown."""
    from tunery.card import markdown

    place = workplace(server)
    document = place.card(place.get(model))
    terminal.result(output.dumped(document) if json else markdown(document).rstrip("\n"))


models = typer.Typer(name="models", help="List, show, export and delete tuned models.", no_args_is_help=True)


models.command()(export)
models.command()(card)


@models.command("list")
def list_models(server: ServerAddress = None, json: Json = False) -> None:
    """List the tuned models, newest first."""
    found = workplace(server).models()
    if json:
        terminal.result(output.dumped([output.model_document(m, has_curve=False) for m in found]))
    elif not found:
        terminal.say("My Library is empty. Next: tunery tune FILE")
    else:
        rows = [
            (m.id, _state(m), m.base_model, str(m.task.data.rows), _score(m), _loss(m), _local(m.create_time))
            for m in found
        ]
        terminal.table(("ID", "STATE", "BASE", "ROWS", "SCORE", "LOSS", "CREATED"), rows, right=(3, 4, 5))


@models.command()
def show(model: TunedModelName, server: ServerAddress = None, json: Json = False) -> None:
    """Show the origin, settings and loss curve of a tuned model, and explain the curve."""
    place = workplace(server)
    found = place.get(model)
    inputs, outputs = place.contract_sentences(found)
    if json:
        contracts = {"prompt_contract": inputs, "output_contract": outputs}
        terminal.result(output.dumped(output.model_document(found) | contracts))
        return
    for line in terminal.facts([*_facts(found), ("Inputs", inputs), ("Outputs", outputs)]):
        terminal.result(line)
    if found.task.snapshots:
        terminal.result("")
        output.print_curve(found, sys.stdout)


@models.command()
def use(
    model: TunedModelName,
    epoch: Annotated[int, argument("Number of a kept epoch; 0 for the one that tuning chose.", "EPOCH")],
    server: ServerAddress = None,
    json: Json = False,
) -> None:
    """Choose which kept epoch of a tuned model answers."""
    place = workplace(server)
    used = place.use_epoch(place.get(model), epoch or None)
    terminal.say(f"{used.id} now answers with epoch {used.served_epoch}.")
    if json:
        terminal.result(output.dumped(output.model_document(used, has_curve=False)))


@models.command("next")
def start_next(model: TunedModelName, server: ServerAddress = None) -> None:
    """Tune a queued model before the other queued models of the same user."""
    place = workplace(server)
    queued = place.get(model)
    place.start_next(queued)
    terminal.say(f"{queued.id} is the next of the queued models of its user.")


@models.command()
def delete(model: TunedModelName, server: ServerAddress = None, yes: Yes = False) -> None:
    """Delete a tuned model with its examples, curve and adapter."""
    place = workplace(server)
    found = place.get(model)
    if not yes:
        if not terminal.can_ask():
            raise InvalidArgument(f"Deleting {found.id} cannot be undone. Add --yes to delete it without being asked.")
        if not terminal.ask(f"Delete {found.id} ({found.display_name})? This cannot be undone.", default=False):
            raise typer.Exit(1)
    place.delete(found)
    terminal.say(f"Deleted {found.id}.")


def _facts(model: TunedModel) -> list[tuple[str, str]]:
    task, values = model.task, model.task.hyperparameters
    held_out = f", {task.held_out_rows} of them held out" if task.held_out_rows else ""
    seconds = (task.complete_time - task.start_time).total_seconds() if task.complete_time and task.start_time else None
    settings = f"{values.epoch_count} epochs, batch size {values.batch_size}, learning rate {values.learning_rate:g}"
    settings += f", loss of labels {values.label_share:g}" if values.label_share else ""
    settings += f", weights {values.weights}" if values.weights != WeightFormat.AUTO else ""
    artifact = output.artifact_folder(model)
    return [
        ("Id", model.id),
        ("Name", model.display_name if model.display_name != model.id else ""),
        ("About", model.description),
        ("State", _state(model) + (f" in {seconds:.0f} s" if seconds is not None else "")),
        ("Reason", output.why_not_whole(model) or task.error_message or ""),
        ("Base", model.base_model),
        ("From", _origin(model)),
        ("Data", f"{task.data.source}, {task.data.rows} rows{held_out}"),
        ("Score", _score_in_words(model)),
        ("Settings", f"{settings}, seed {task.seed}"),
        ("", model.settings_reason or ""),
        ("Machine", ", ".join(_machine(model))),
        ("Created", _local(model.create_time)),
        ("Adapter", str(artifact or "")),
        ("Curve", str(artifact / "loss.svg") if artifact else ""),
    ]


def _origin(model: TunedModel) -> str:
    """Return the tuned models that this one begins with: its weights, or its examples and settings."""
    origins = {"continues": model.source_tuned_model, "tuned again from": model.tuned_again_from}
    return ", ".join(f"{how} {name}" for how, name in origins.items() if name)


def _machine(model: TunedModel) -> list[str]:
    arithmetic = [output.machine_facts(model.task.settings)] if "dtype" in model.task.settings else []
    return arithmetic + [f"{name} {number}" for name, number in model.task.versions.items()]


def _state(model: TunedModel) -> str:
    task = model.task
    if task.phase is Phase.CANCELLED and model.state is State.ACTIVE:
        return f"ACTIVE, cancelled after {output.steps_done(task)}"
    if model.is_interrupted:
        return f"{model.state}, interrupted after {output.steps_done(task)}"
    if not task.phase.is_final:
        return f"{model.state}, {task.phase.lower()} at step {task.completed_steps} of {task.total_steps}"
    return model.state.value


def _score(model: TunedModel) -> str:
    return output.percent(model.score.value) if model.score else ""


def _score_in_words(model: TunedModel) -> str:
    """Return what the newest evaluation found, or how to get one."""
    if model.score is None:
        return f"not evaluated; {output.how_to_evaluate(model)}" if model.state is State.ACTIVE else ""
    from tunery.evaluation.scores import TITLES

    title, base = TITLES[model.score.metric], model.score.base_value
    against = "" if base is None else f", the base {output.percent(base)}"
    return f"{title} {output.percent(model.score.value)}{against}"


def _loss(model: TunedModel) -> str:
    """Return the mean loss of the last complete epoch."""
    losses = model.task.epoch_losses
    return f"{losses[-1].mean_loss:.4f}" if losses else ""


def _local(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


BackupFile = Annotated[Path, argument("Backup file, such as library.tar.", "FILE")]


def backup(
    file: BackupFile,
    with_bases: Annotated[
        bool, option("Include the weights of base models.", "leave them out", "--with-bases")
    ] = False,
    json: Json = False,
) -> None:
    """Back up all tuned models with their examples to one file."""
    from tunery.service.backup import back_up

    doing(f"Writing {file.name}")
    contents = back_up(config.data_folder(), file, with_bases=with_bases, shared=config.shared())
    terminal.say(f"Backed up {_counts(contents)}.")
    _print_result(file, contents, json=json)
    if contents.damaged:
        raise DataLoss(
            f"Files of {', '.join(contents.damaged)} have changed or are missing and are not in {file}; everything"
            " else is. Keep earlier backups that have them."
        )


def restore(file: BackupFile, json: Json = False) -> None:
    """Restore a backup into a data folder that has no tuned models."""
    from tunery.service.backup import restore as restored

    doing(f"Reading {file.name}")
    contents = restored(file, config.data_folder())
    terminal.say(f"Restored {_counts(contents)} to {config.data_folder()}.")
    is_shared = config.shared().database_url is not None
    following = "tunery migrate, to copy it to TUNERY_DATABASE_URL" if is_shared else "tunery models list"
    terminal.say(f"Unfinished tuning jobs start again from the beginning. Next: {following}")
    _print_result(config.data_folder(), contents, json=json)


def migrate(
    back: Annotated[bool, option("Copy from the shared database to the data folder.", "to it", "--back")] = False,
    json: Json = False,
) -> None:
    """Move My Library to a shared database and store, or back."""
    shared = config.shared()
    if shared.database_url is None:
        raise FailedPrecondition(
            "Name the database with TUNERY_DATABASE_URL, and perhaps an object store with TUNERY_STORE_URL."
        )
    from tunery.service.moving import from_team, to_team

    folder = config.data_folder()
    moved = (from_team if back else to_team)(folder, shared)
    rows = sum(table.rows for table in moved.tables)
    terminal.say(f"Copied and compared {rows:,} rows of {len(moved.tables)} tables and {moved.adapters:,} adapters.")
    if not moved.is_final:
        terminal.say(f"A server still works on {folder}. Stop it and run this again; only what is new is copied.")
    elif back:
        terminal.say(f"Unset TUNERY_DATABASE_URL and TUNERY_STORE_URL to work with {folder}.")
    else:
        terminal.say("Next: tunery serve")
    if json:
        terminal.result(output.dumped(asdict(moved)))


def _counts(contents: Contents) -> str:
    models = f"{contents.tuned_models} tuned model{'s' * (contents.tuned_models != 1)}"
    return f"{models}, {contents.adapters} with an adapter, {contents.bytes / 1e6:,.1f} MB"


def _print_result(place: Path, contents: Contents, *, json: bool) -> None:
    terminal.result(output.dumped({"path": str(place), **asdict(contents)}) if json else str(place))


def uninstall(yes: Yes = False, json: Json = False) -> None:
    """List what tunery keeps on this machine, with sizes, and delete it."""
    folder = DataFolder(config.data_folder())
    kept = folder.contents()
    sizes = {name: sum(map(_bytes_in, paths)) for name, paths in kept.items()}
    rows = [(name, f"{size / 1e6:,.1f} MB") for name, size in sizes.items()]
    terminal.table((f"IN {folder.path}", "SIZE"), rows, right=(1,), stream=sys.stderr)
    others = sorted(set(folder.path.iterdir()).difference(*kept.values())) if folder.path.is_dir() else []
    if others:
        terminal.say(f"Not tunery's, so it stays: {', '.join(path.name for path in others)}")
    if config.shared().database_url:
        terminal.say("The library that TUNERY_DATABASE_URL names, and its store, stay as they are.")
    if kept and not yes:
        if not terminal.can_ask():
            raise InvalidArgument("Nothing was deleted. Add --yes to delete this without being asked.")
        terminal.say("Base models that were added from a folder stay there. `tunery backup FILE` keeps tuned models.")
        if not terminal.ask("Delete all of this?", default=False):
            raise typer.Exit(1)
    folder.delete()
    terminal.say(f"Deleted {sum(sizes.values()) / 1e6:,.1f} MB. Remove the program with: {_removal()}")
    terminal.result(output.dumped({"folder": str(folder.path), "bytes": sizes}) if json else str(folder.path))


def _bytes_in(path: Path) -> int:
    return sum(file.lstat().st_size for file in (path, *path.rglob("*")) if not file.is_dir())


def _removal() -> str:
    """Return the command that removes the environment that tunery runs in, or tunery from it."""
    place = Path(sys.prefix).as_posix()
    tools = {"/uv/tools/": "uv tool uninstall tunery", "/pipx/venvs/": "pipx uninstall tunery"}
    return next((said for part, said in tools.items() if part in place), f"{sys.executable} -m pip uninstall tunery")


_BASES = f"{API}/bases"
bases = typer.Typer(name="bases", help="List, search, fetch, add, export and remove base models.", no_args_is_help=True)


@bases.command("list")
def list_bases(
    all: Annotated[bool, option("Also list bases that can be fetched, and what fits this machine.", "no", "--all")] = (
        False
    ),
    server: ServerAddress = None,
    json: Json = False,
) -> None:
    """List the base models."""
    from tunery.engine.catalog import Catalog

    if client := named_server(server):
        _list_bases_there(client, json=json, all=all)
        return

    catalog = Catalog(config.data_folder(), config.default_base_model())
    if all:
        _list_all_bases(catalog, json=json)
        return
    entries = catalog.entries()
    if json:
        terminal.result(output.dumped([output.base_document(entry) for entry in entries]))
        return
    rows = [
        (entry.name, _size(entry.parameters), f"{entry.input_token_limit:,}", *_weights(entry)) for entry in entries
    ]
    terminal.table(("NAME", "SIZE", "WINDOW", "WEIGHTS", "LICENCE"), rows, right=(1, 2))


_BASE_HEADS = ("NAME", "SIZE", "LICENCE", "TUNING GB", "ANSWERS GB", "WEIGHTS")


def _list_all_bases(catalog: Catalog, *, json: bool) -> None:
    from tunery.engine.memory import available_memory
    from tunery.service.bases import listed_bases

    found = listed_bases(catalog)
    if json:
        terminal.result(output.dumped([asdict(base) for base in found]))
        return
    rows = [
        (base.name, _size(base.parameters), base.licence, _fit(base.tuning), _fit(base.answering), _where(base))
        for base in found
    ]
    terminal.table(_BASE_HEADS, rows, right=(1,))
    free = available_memory()
    now = "" if free is None else f", of which {free / 1e9:,.1f} GB are free now"
    terminal.say(
        f"TUNING, ANSWERS: does it fit into memory{now} (tight: only if other programs end), and what it takes."
    )
    terminal.say("What does not fit is counted with less: layers computed again, or these --weights (8bit, 4bit).")
    terminal.say("Next: tunery bases get NAME")


def _list_bases_there(client: Client, *, json: bool, all: bool) -> None:
    found = [base for base in client.call("GET", _BASES)["bases"] if all or base["isPresent"]]
    if json:
        terminal.result(output.dumped(found))
        return
    rows = [
        (
            base["name"],
            _size(base.get("parameters")),
            base["licence"],
            *(_fit(_need_there(base.get(what))) for what in ("tuning", "answering")),
            _where_there(base),
        )
        for base in found
    ]
    terminal.table(_BASE_HEADS, rows, right=(1,))
    terminal.say(f"here: on the machine of {client.address}; figures are for the memory that is free there now.")


def _where_there(base: Document) -> str:
    if base["isPresent"]:
        return "here"
    if "download" in base:
        return str(base["download"]["state"]).lower()
    return "gated" if base["isGated"] else "not here"


def _need_there(reply: Document | None) -> Need | None:
    from tunery.engine.memory import Need

    if reply is None:
        return None
    return Need(reply["memoryBytes"], reply.get("fit"), WeightFormat(reply.get("weights", WeightFormat.FULL)))


def _fit(need: Need | None) -> str:
    if need is None:
        return ""
    size = need.bytes / 1e9
    how = "" if need.weights == WeightFormat.FULL else f" {need.weights}"
    return f"{need.fit or '?'} {size:,.{0 if size >= 10 else 1}f}{how}"


def _where(base: ListedBase) -> str:
    if base.is_present:
        return "here"
    if base.arrived_bytes:
        return "stopped"
    return "gated" if base.is_gated else "not here"


@bases.command("search")
def search_bases(words: Annotated[list[str], argument("Parts of the name.", "WORDS...")], json: Json = False) -> None:
    """Search the Hugging Face hub for base models."""
    from tunery.engine.fetch import search_hub

    asked = " ".join(words)
    found = search_hub(asked)
    if json:
        terminal.result(output.dumped([asdict(model) for model in found]))
    elif not found:
        terminal.say(f"The hub has no text model with safetensors and {asked!r} in its name.")
    else:
        rows = [(model.repository, model.licence, f"{model.downloads or 0:,}") for model in found]
        terminal.table(("NAME", "LICENCE", "DOWNLOADS"), rows, right=(2,))
        terminal.say("Next: tunery bases get OWNER/NAME")


BaseName = Annotated[str, argument("Name of the base model.", "NAME")]


@bases.command("get")
def get_base(
    name: Annotated[str, argument("Name in `bases list --all`, or OWNER/NAME on Hugging Face.", "NAME")],
    server: ServerAddress = None,
    json: Json = False,
) -> None:
    """Fetch a base model to this machine or to a server's, or go on fetching it."""
    if client := named_server(server):
        base = _fetched_there(client, name)
        terminal.say(f"The weights of {base['name']} are on the machine of {client.address}.")
        terminal.result(output.dumped(base) if json else base["name"])
        return
    try:
        entry = fetched(name, is_new=True)
    except KeyboardInterrupt:
        terminal.say(f"Stopped. What has come is kept; to go on: tunery bases get {name}")
        raise
    own_name = entry.alias_of or entry.name
    terminal.say(f"The weights of {own_name} are on this machine. Licence: {entry.licence}.")
    _say_fit(entry)
    terminal.result(output.dumped(output.base_document(entry)) if json else own_name)


def _fetched_there(client: Client, name: str) -> Document:
    """Have a server fetch a base, and show how far it is; return it once it is there."""
    if "/" in name:
        name = client.call("POST", _BASES, body={"source": name})["name"]
    place = f"{_BASES}/{quote(name, safe='')}"
    try:
        base = client.call("POST", f"{place}:fetch")
        with LiveLine() as live:
            show = byte_progress(live, f"Fetching {name}")
            while not base["isPresent"]:
                download = base.get("download") or {"state": "RUNNING", "stage": "ask", "doneBytes": 0}
                if download["state"] != "RUNNING":
                    raise Unavailable(download.get("error") or f"Fetching {name} was stopped on the server.")
                show(download["stage"], download["doneBytes"], download.get("totalBytes"))
                time.sleep(POLL_SECONDS)
                base = client.call("GET", place)
    except KeyboardInterrupt:
        client.call("POST", f"{place}:stop")
        terminal.say(f"Stopped. What has come is kept; to go on: tunery bases get {name} --server {client.address}")
        raise
    return base


@bases.command("pull", hidden=True)
def pull_base(name: BaseName, json: Json = False) -> None:
    """Fetch a base model to this machine: the earlier name of `bases get`."""
    get_base(name, None, json)


@bases.command("remove")
def remove_base(name: BaseName, server: ServerAddress = None, yes: Yes = False, json: Json = False) -> None:
    """Remove a base model from this machine or from a server's; says what depends on it."""
    from tunery.engine.catalog import Catalog
    from tunery.service.bases import dependents, remove
    from tunery.service.library import Library

    if client := named_server(server):
        place = f"{_BASES}/{quote(name, safe='')}"
        for model in client.call("GET", place).get("dependents", ()):
            said = f" ({model['displayName']})" if model["displayName"] else ""
            terminal.say(f"{model['name'].removeprefix('tunedModels/')}{said} needs it to answer.")
        _ask_to_remove(name, f"the machine of {client.address}", yes=yes)
        freed = client.call("DELETE", place, {"force": "true"})["bytes"]
        terminal.say(f"Removed {name}; {freed / 1e6:,.1f} MB are free again.")
        terminal.result(output.dumped({"base": name, "bytes": freed}) if json else name)
        return
    catalog = Catalog(config.data_folder(), config.default_base_model())
    entry = catalog.resolve(name)
    with Library.open(config.data_folder(), config.shared()) as library:
        needing = dependents(library).get(entry.name, [])
        for model in needing:
            terminal.say(f"{model.id} ({model.display_name}) needs it to answer.")
        _ask_to_remove(entry.name, "this machine", yes=yes)
        freed = remove(catalog, library, entry.name, is_forced=True)
    terminal.say(f"Removed {entry.name}; {freed / 1e6:,.1f} MB are free again.")
    if needing:
        terminal.say(f"Those models answer again after: tunery bases get {entry.name}")
    terminal.result(output.dumped({"base": entry.name, "bytes": freed}) if json else entry.name)


def _ask_to_remove(name: str, where: str, *, yes: bool) -> None:
    if yes:
        return
    if not terminal.can_ask():
        raise InvalidArgument(f"{name} was not removed. Add --yes to remove it without being asked.")
    if not terminal.ask(f"Remove {name} from {where}?", default=False):
        raise typer.Exit(1)


@bases.command("add")
def add_base(
    source: Annotated[str, argument("Folder with safetensors, GGUF file, or OWNER/NAME on Hugging Face.", "SOURCE")],
    name: Annotated[str | None, option("Name of the base.", "derived from SOURCE", metavar="NAME")] = None,
    json: Json = False,
) -> None:
    """Add your own base model to the catalog."""
    from tunery.engine.catalog import Catalog

    doing(f"Reading the weights of {source}")
    entry = Catalog(config.data_folder(), config.default_base_model()).add(source, name)
    terminal.say(
        f"Added {entry.display_name}: {_size(entry.parameters)} parameters, window {entry.input_token_limit:,} tokens."
    )
    terminal.say(f"Licence: {entry.licence}.")
    _say_fit(entry)
    if not entry.is_present:
        terminal.say(f"Next: tunery bases get {entry.name}")
    terminal.result(output.dumped(output.base_document(entry)) if json else entry.name)


@bases.command("export")
def export_base(
    name: Annotated[str, argument("Name of the base model.", "NAME")],
    to: Annotated[
        Path | None, option("New or empty folder to write to.", "the name of the base", metavar="FOLDER")
    ] = None,
    json: Json = False,
) -> None:
    """Export a base as GGUF in float16, for use with the adapter.gguf of its tuned models."""
    from tunery.engine.catalog import Catalog
    from tunery.service.export import export_base

    catalog = Catalog(config.data_folder(), config.default_base_model())
    entry = catalog.resolve(name)
    file = export_base(catalog, name, to or Path(entry.alias_of or entry.name))
    terminal.say(f"Exported {entry.alias_of or entry.name}; its licence is {entry.licence}.")
    terminal.say(f"Next: llama-cli -m {file} --lora adapter.gguf")
    terminal.result(output.dumped({"base": entry.name, "file": str(file)}) if json else str(file))


def _size(parameters: int | None) -> str:
    if not parameters:
        return "unknown"
    millions = parameters / 1e6
    return f"{millions:,.0f}M" if millions >= 10 else f"{millions:.1f}M"


def _weights(entry: CatalogEntry) -> tuple[str, str]:
    """Return where the weights are, and their licence; for an API name, only the base it stands for."""
    if entry.alias_of:
        return f"as {entry.alias_of}", ""
    return "here" if entry.is_present else "not here", entry.licence


def _say_fit(entry: CatalogEntry) -> None:
    from tunery.engine.memory import Fit
    from tunery.service.bases import needs_of

    needed = needs_of(entry)
    if needed and needed[0].fit in (Fit.TIGHT, Fit.NO):
        terminal.say(
            f"Warning: tuning it takes about {needed[0].bytes / 1e9:.1f} GB of memory, "
            "more than is free on this machine."
        )
