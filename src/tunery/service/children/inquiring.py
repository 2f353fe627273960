"""
What the children of inquiries have in common: they take one piece of work, say how far they are, and send a document.

What is found out is the business of each (`evaluating.py`, `examining.py`); who asks is `service.inquiries`. Knows no
model, SQL or HTTP.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunery.errors import TuneryError
from tunery.service.children.process import SIGN_OF_LIFE_SECONDS, Alive, Line

_log = logging.getLogger("tunery.inquiring")


@dataclass(frozen=True, slots=True)
class Begin:
    """To the child: the work, and a folder for temporary files, which the parent removes: who is killed cannot."""

    work: object = field(repr=False)
    temporary: Path


@dataclass(frozen=True, slots=True)
class Progressed:
    """From the child: so much of all is done; prompts, rows or steps."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Done:
    """From the child: the document of what was found, or why there is none."""

    document: dict[str, Any] | None = field(default=None, repr=False)
    error: TuneryError | None = None


def find_out(line: Line, found: Callable[[Any], dict[str, Any]]) -> None:
    """Take one piece of work from the line, and send the document that `found` makes of it."""
    threading.Thread(target=_say_alive, args=(line,), name="signs of life", daemon=True).start()
    begin = line.messages.get()
    tempfile.tempdir = str(begin.temporary)
    try:
        line.send(Done(found(begin.work)))
    except TuneryError as error:
        line.send(Done(error=error))
    except Exception as error:  # noqa: BLE001  # the server must hear of it
        _log.exception("An inquiry failed")
        line.send(Done(error=TuneryError(f"Something went wrong: {error!r}.")))
    line.messages.get()  # until the server has read all and ends us


def _say_alive(line: Line) -> None:
    while True:
        line.send(Alive())
        time.sleep(SIGN_OF_LIFE_SECONDS)
