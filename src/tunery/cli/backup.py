"""
`tunery backup` and `tunery restore`: My Library in one file, and back.

Says what was written; the work is `service.backup`. A backup may be taken while a server or a task is at work.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tunery import config
from tunery.cli import documents, terminal
from tunery.cli.options import Json, argument, option

if TYPE_CHECKING:
    from tunery.service.backup import Contents

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
    terminal.result(documents.dumped({"path": str(place), **asdict(contents)}) if json else str(place))
