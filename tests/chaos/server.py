"""
The real server on a data folder with the fake trainer, run as a process.

    python -m tests.chaos.server HOME LEASE_SECONDS    # says "Serving at ADDRESS" on standard error
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

BASE = "tiny"


def main() -> None:
    """Serve until a signal ends it."""
    # here, because each child imports this module as well, and needs none of these
    from tests.chaos import trainer
    from tunery.cli.serve import _say_ready
    from tunery.server import serve as module
    from tunery.server.serve import ServerSettings, serve
    from tunery.service.answering import Answering
    from tunery.service.worker import Worker

    home, lease_seconds = Path(sys.argv[1]), float(sys.argv[2])
    module.Worker = functools.partial(Worker, lease_seconds=lease_seconds, main=trainer.main)  # type: ignore[misc,assignment]
    module.Answering = functools.partial(Answering, lease_seconds=lease_seconds, main=trainer.refusing)  # type: ignore[misc,assignment]
    serve(ServerSettings(home, BASE, port=0), functools.partial(_say_ready, open_browser=False))


if __name__ == "__main__":
    main()
