"""
`tunery serve`: the HTTP API for a data folder, in the foreground.

Fetches the default base first if it is not here. The server itself is `tunery.server.serve`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import webbrowser
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from tunery import config
from tunery.cli import terminal
from tunery.cli.bases import fetched
from tunery.cli.options import option

if TYPE_CHECKING:
    from tunery.server.http import Services

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000


class LogFormat(StrEnum):
    """How the server writes what it logs."""

    TEXT = "text"
    JSON = "json"


def serve(
    host: Annotated[str, option("Address to listen on.", DEFAULT_HOST, metavar="ADDRESS")] = DEFAULT_HOST,
    port: Annotated[int, option("Port to listen on; 0 takes a free one.", DEFAULT_PORT, metavar="N")] = DEFAULT_PORT,
    behind_tls_proxy: Annotated[
        str | None, option("Public address of a TLS proxy before the server.", "none", metavar="URL")
    ] = None,
    keys_may_tune: Annotated[
        bool, option("Let an API key that belongs to a user tune.", "only tokens may", "--keys-may-tune")
    ] = False,
    evaluation: Annotated[
        bool,
        option(
            "Evaluate each new tuned model that has held-out rows, without being asked.",
            "evaluate",
            "--evaluation/--no-evaluation",
        ),
    ] = True,
    open_browser: Annotated[bool, option("Open the Studio, signed in.", "print the link", "--open")] = False,
    log_format: Annotated[
        LogFormat, option("One line per request on standard error: text, or JSON objects.", "text", metavar="FORMAT")
    ] = LogFormat.TEXT,
) -> None:
    """Serve the Gemini tuning API to clients on this machine."""
    base = fetched(config.default_base_model())
    from tunery.server.monitoring import start_logging
    from tunery.server.serve import ServerSettings
    from tunery.server.serve import serve as run

    settings = ServerSettings(
        config.data_folder(),
        base.alias_of or base.name,
        host,
        port,
        public_address=behind_tls_proxy,
        keys_act_as_users=keys_may_tune,
        evaluates=evaluation,
    )
    start_logging(log_format)
    run(settings, lambda services: _say_ready(services, open_browser=open_browser))
    terminal.say("Stopped.")


def _say_ready(services: Services, *, open_browser: bool) -> None:
    link = _link(services)
    terminal.say(f"Data folder  {services.library.folder.path}")
    terminal.say(f"Serving at   {services.address}")
    terminal.say(f"Studio       {link}")
    terminal.say("             This link signs you in once, within 15 minutes; `tunery users link` makes another.")
    if not open_browser and sys.stdin.isatty():
        _offer_browser(services)
    terminal.say("For clients  tunery login --print-token")
    terminal.say("Ctrl-C stops; a tuning job goes on where it was when the server starts again.")
    if open_browser:
        webbrowser.open(link)


def _link(services: Services) -> str:
    return f"{services.address}/setup?token={services.accounts.sessions.new_setup_link()}"


def _offer_browser(services: Services) -> None:
    """Open the Studio with a fresh link each time somebody presses Enter, as long as there is a terminal to do so."""
    if hasattr(signal, "SIGTTIN"):  # reading in the background would stop the whole server
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    terminal.say("             Press Enter to open it in your browser.")
    threading.Thread(target=_open_on_enter, args=(services,), name="enter", daemon=True).start()


def _open_on_enter(services: Services) -> None:
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):  # not a buffered read: its lock would be held when the server ends
            webbrowser.open(_link(services))
