"""A report child that computes nothing: it ends, raises, dies or waits, as its work says."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from tunery.errors import InvalidArgument
from tunery.service.process import Channel
from tunery.service.report_child import Progressed, find_out

DIED = 9


def main(channel: Channel) -> None:
    """Do once what the work says."""

    def found(work: str) -> dict[str, Any]:
        match work.partition(" "):
            case ("err", _, _):
                raise InvalidArgument("It cannot be found out.")
            case ("break", _, _):
                raise RuntimeError("a mistake of ours")
            case ("die", _, _):
                os._exit(DIED)
            case ("wait", _, path):
                channel.send(Progressed(1, 2))
                while not Path(path).exists():
                    threading.Event().wait(0.01)
        return {"work": work}

    find_out(channel, found)
