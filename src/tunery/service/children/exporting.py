"""
The child that exports: writes the files of one order into a folder, proves them, and ends.

Merging takes the memory of a base in float32, which the server shall not have to have. Knows orders; nothing of SQL or
HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.errors import TuneryError, Unavailable
from tunery.service.children.process import SIGN_OF_LIFE_SECONDS, Alive, Child, Line
from tunery.service.export import ExportOrder, write

LEASE_SECONDS = 30.0  # a child that says nothing so long is taken for frozen
NICENESS = 10  # answers and tuning go first

_log = logging.getLogger("tunery.exporting")


@dataclass(frozen=True, slots=True)
class Exported:
    """From the child: everything is written; the proof if one was asked for."""

    proof: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Refused:
    """From the child: it cannot be done."""

    error: TuneryError


def exported(order: ExportOrder, folder: Path) -> dict[str, Any] | None:
    """
    Have a child write an order into a folder and return the proof, None if none was asked for.

    Raises what the child raised, Unavailable if it died.
    """
    child = Child("exporting", main, order, folder, niceness=NICENESS)
    try:
        while isinstance(message := child.receive(LEASE_SECONDS), Alive):
            pass
    except (EOFError, TimeoutError):
        raise Unavailable("The exporting process ended before it was done, out of memory perhaps.") from None
    finally:
        child.kill()
        child.stop()
    if isinstance(message, Refused):
        raise message.error
    assert isinstance(message, Exported)
    return message.proof


def main(line: Line, order: ExportOrder, folder: Path) -> None:
    """Write one order, tell the parent, and end."""
    threading.Thread(target=_say_alive, args=(line,), name="signs of life", daemon=True).start()
    try:
        line.send(Exported(write(order, folder, _log.info)))
    except TuneryError as error:
        line.send(Refused(error))
    except Exception as error:  # noqa: BLE001  # the parent shall hear of it, whatever it is
        _log.exception("An export failed")
        line.send(Refused(TuneryError(f"Something went wrong: {error!r}.")))


def _say_alive(line: Line) -> None:
    while True:
        line.send(Alive())
        time.sleep(SIGN_OF_LIFE_SECONDS)
