"""
`tunery models export` and `tunery models card`: a tuned model for use elsewhere, and all that is known of it on a page.

Works on the data folder, or has the server do it that holds the folder. Knows files and terminals; the formats are the
engine's.
"""

from __future__ import annotations

import json as jsonlib
import os
import tarfile
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from tunery import config
from tunery.cli import documents, terminal
from tunery.cli.options import Json, ServerAddress, TunedModelName, option
from tunery.cli.served import Server, asked_server, holding_server
from tunery.errors import FolderLocked, Unavailable
from tunery.types import TunedModel

if TYPE_CHECKING:
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
        terminal.result(documents.dumped({"model": found.name, "folder": str(target), "proof": report}))
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
        terminal.result(documents.dumped(document))
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
