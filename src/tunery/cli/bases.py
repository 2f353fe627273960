"""`tunery bases`: list, fetch, add and export base models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunery import config
from tunery.cli import output, terminal
from tunery.cli.terminal import Json, LiveLine, argument, byte_progress, option

if TYPE_CHECKING:
    from tunery.types import CatalogEntry

bases = typer.Typer(name="bases", help="List, fetch, add and export base models.", no_args_is_help=True)


@bases.command("list")
def list_bases(json: Json = False) -> None:
    """List the base models."""
    from tunery.engine.catalog import Catalog

    entries = Catalog(config.data_folder(), config.default_base_model()).entries()
    if json:
        terminal.result(output.dumped([output.base_document(entry) for entry in entries]))
        return
    rows = [(entry.name, _size(entry), f"{entry.input_token_limit:,}", *_weights(entry)) for entry in entries]
    terminal.table(("NAME", "SIZE", "WINDOW", "WEIGHTS", "LICENCE"), rows, right=(1, 2))


@bases.command()
def pull(name: Annotated[str, argument("Name of the base model.", "NAME")], json: Json = False) -> None:
    """Fetch the weights of a base model to this machine."""
    entry = fetched(name)
    own_name = entry.alias_of or entry.name
    terminal.say(f"The weights of {own_name} are on this machine.")
    terminal.result(output.dumped(output.base_document(entry)) if json else own_name)


@bases.command()
def add(
    source: Annotated[str, argument("Folder with safetensors, GGUF file, or OWNER/NAME on Hugging Face.", "SOURCE")],
    name: Annotated[str | None, option("Name of the base.", "derived from SOURCE", metavar="NAME")] = None,
    json: Json = False,
) -> None:
    """Add your own base model to the catalog."""
    from tunery.engine.catalog import Catalog

    entry = Catalog(config.data_folder(), config.default_base_model()).add(source, name)
    terminal.say(f"Added {entry.display_name}: {_size(entry)} parameters, window {entry.input_token_limit:,} tokens.")
    terminal.say(f"Licence: {entry.licence}.")
    _say_fit(entry)
    if not entry.is_present:
        terminal.say(f"Next: tunery bases pull {entry.name}")
    terminal.result(output.dumped(output.base_document(entry)) if json else entry.name)


@bases.command()
def export(
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


def fetched(name: str) -> CatalogEntry:
    """Return the entry of a base, after fetching its weights if they are not on this machine."""
    from tunery.engine.catalog import pull as pull_base

    with LiveLine() as live:
        show = byte_progress(live, f"Fetching {name}")
        return pull_base(
            name,
            config.data_folder(),
            config.default_base_model(),
            lambda progress: show(progress.stage, progress.done, progress.total),
        )


def _size(entry: CatalogEntry) -> str:
    if not entry.parameters:
        return "unknown"
    millions = entry.parameters / 1e6
    return f"{millions:,.0f}M" if millions >= 10 else f"{millions:.1f}M"


def _weights(entry: CatalogEntry) -> tuple[str, str]:
    """Return where the weights are, and their licence; an API name only says which base it stands for."""
    if entry.alias_of:
        return f"as {entry.alias_of}", ""
    return "here" if entry.is_present else "not here", entry.licence


def _say_fit(entry: CatalogEntry) -> None:
    from tunery.engine.catalog import fits, memory_estimate

    if entry.parameters and fits(entry.parameters) is False:
        terminal.say(
            f"Warning: tuning it takes about {memory_estimate(entry.parameters) / 1e9:.1f} GB of memory, "
            "more than is free on this machine."
        )
