"""Work of a report child that computes nothing: it ends, raises, dies or waits, as its command says."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.errors import InvalidArgument
from tunery.service.process import Channel
from tunery.service.report_child import Progressed

DIED = 9


@dataclass(frozen=True)
class CommandWork:
    """Do once what the command says."""

    command: str

    def document(self, channel: Channel) -> dict[str, Any]:
        match self.command.partition(" "):
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
        return {"work": self.command}
