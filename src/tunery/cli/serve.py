"""
`tunery serve`: the HTTP API for a data folder, in the foreground.

Fetches the default base first if it is not here. The server itself is `tunery.server.serve`.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from tunery import __version__, config
from tunery.cli import output, terminal
from tunery.cli.bases import fetched
from tunery.cli.terminal import Json, option
from tunery.errors import TuneryError

if TYPE_CHECKING:
    from tunery.server.http import Services

DEFAULT_PORT = 8000
_LIBRARIES = ("torch", "transformers", "fastapi", "SQLAlchemy")


class Verdict(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing."""

    subject: str
    verdict: Verdict
    text: str


def doctor(
    port: Annotated[int, option("Port that the server shall have.", DEFAULT_PORT, metavar="N")] = DEFAULT_PORT,
    json: Json = False,
) -> None:
    """Look for what is wrong on this machine; exit status 1 if something is."""
    folder, found = config.data_folder(), []
    for examine in _examinations(folder, port):
        try:
            found += list(examine())
        except TuneryError as error:
            found.append(Finding(examine.__name__.strip("_"), Verdict.ERROR, str(error)))
    address = _serving_address(folder) or f"http://127.0.0.1:{port}"
    if json:
        terminal.result(output.dumped({"findings": [asdict(one) for one in found], "address": address}))
    else:
        signs = {Verdict.OK: "ok", Verdict.WARNING: "WARN", Verdict.ERROR: "WRONG"}
        for one in found:
            terminal.result(f"{signs[one.verdict]:<5}  {one.subject}: {one.text}")
        terminal.result("")
        for line in client_lines(address):
            terminal.result(line)
    if any(one.verdict is Verdict.ERROR for one in found):
        raise typer.Exit(1)


def client_lines(address: str) -> list[str]:
    """Return what the clients need to find the server, to be copied."""
    return [
        "What clients need:",
        f'  curl               curl -H "Authorization: Bearer $TOKEN" {address}/v1beta/tunedModels',
        f"  google-genai       export GOOGLE_GEMINI_BASE_URL={address}",
        f'  google-generativeai  genai.configure(credentials=..., transport="rest", '
        f'client_options={{"api_endpoint": "{address}"}})',
        f"  openai             export OPENAI_BASE_URL={address}/openai/v1",
    ]


def environment_findings(environment: dict[str, str], address: str) -> Iterator[Finding]:
    """Yield what variables would lead clients astray."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        if environment.get(name):
            text = f"{name} is set: google-generativeai refuses credentials beside it. Unset it for that client."
            yield Finding("environment", Verdict.WARNING, text)
    if environment.get("GOOGLE_GENAI_USE_VERTEXAI", "").lower() in ("1", "true"):
        text = (
            "GOOGLE_GENAI_USE_VERTEXAI is set: google-genai then talks to Google Cloud, not to this server. Unset it."
        )
        yield Finding("environment", Verdict.WARNING, text)
    credentials = environment.get("GOOGLE_APPLICATION_CREDENTIALS")
    if credentials and not Path(credentials).is_file():
        text = "GOOGLE_APPLICATION_CREDENTIALS names a file that is not there: clients raise before they ask anything."
        yield Finding("environment", Verdict.WARNING, text)
    other = environment.get("GOOGLE_GEMINI_BASE_URL")
    if other and other.rstrip("/") != address:
        text = f"GOOGLE_GEMINI_BASE_URL leads google-genai to another server; this one is {address}."
        yield Finding("environment", Verdict.WARNING, text)
    proxies = [name for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY") if environment.get(name)]
    spared = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if proxies and spared != "*" and str(urlsplit(address).hostname) not in spared.split(","):
        text = f"{proxies[0]} is set: clients would ask the proxy for this machine. Add 127.0.0.1 to NO_PROXY."
        yield Finding("environment", Verdict.WARNING, text)


def _examinations(folder: Path, port: int) -> list[Callable[[], Iterator[Finding]]]:
    def versions() -> Iterator[Finding]:
        known = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
        yield Finding("versions", Verdict.OK, f"tunery {__version__}, Python {platform.python_version()}, {known}")

    def sqlite() -> Iterator[Finding]:
        from tunery.service.database.connection import journal_mode, sqlite_version

        text = f"SQLite {sqlite_version()}, journal {journal_mode()}"
        yield Finding("sqlite", Verdict.OK, text)

    def data_folder() -> Iterator[Finding]:
        return _data_folder(folder)

    def disk() -> Iterator[Finding]:
        return _disk(folder)

    def base() -> Iterator[Finding]:
        return _base(folder)

    def port_() -> Iterator[Finding]:
        return _port(folder, port)

    def environment() -> Iterator[Finding]:
        address = _serving_address(folder) or f"http://127.0.0.1:{port}"
        found = list(environment_findings(dict(os.environ), address))
        yield from found or [Finding("environment", Verdict.OK, "no variable that leads clients astray")]

    return [versions, sqlite, data_folder, disk, base, port_, environment]


def _data_folder(folder: Path) -> Iterator[Finding]:
    from tunery.service.database import connection
    from tunery.service.database.connection import Database
    from tunery.service.folder import DataFolder

    if not folder.exists():
        yield Finding("data folder", Verdict.OK, f"{folder} will be made by the first command that needs it")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", Verdict.ERROR, f"{folder} cannot be written. Make it writable or set TUNERY_HOME.")
        return
    yield Finding("data folder", Verdict.OK, str(folder))
    path = DataFolder(folder).database
    if path.exists():
        database = Database(path, is_writer=False)
        try:
            connection.is_current_schema(database)
            connection.check_database(database)
        finally:
            database.close()
        yield Finding("database", Verdict.OK, "whole")


def _disk(folder: Path) -> Iterator[Finding]:
    from tunery.service.creation import reserve_bytes

    disk = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists()))
    reserve = reserve_bytes(disk.total)
    text = f"{disk.free / 1e9:,.1f} GB free, {reserve / 1e9:,.1f} GB must stay free"
    if disk.free < reserve:
        yield Finding("disk", Verdict.ERROR, f"{text}: no tuning job is taken. Free some space.")
    else:
        yield Finding("disk", Verdict.OK, text)


def _base(folder: Path) -> Iterator[Finding]:
    from tunery.engine.catalog import Catalog, fits
    from tunery.files import MANIFEST, read_json, sha256_of

    catalog = Catalog(folder, config.default_base_model())
    entry = catalog.resolve(catalog.default_base)
    if not entry.is_present:
        yield Finding("base", Verdict.WARNING, f"{entry.name} is not here yet: tunery bases pull {entry.name}")
        return
    place = catalog.folder(entry.name)
    manifest = place / MANIFEST
    files = read_json(manifest)["files"] if manifest.is_file() and place.parent == catalog.bases else {}
    wrong = [name for name, facts in files.items() if not _is_as_listed(place / name, facts["sha256"], sha256_of)]
    if wrong:
        text = f"{', '.join(wrong)} of {entry.name} changed on the disk. Delete {place} and run: tunery bases pull"
        yield Finding("base", Verdict.ERROR, f"{text} {entry.name}")
        return
    yield Finding("base", Verdict.OK, f"{entry.name} is here, digest {catalog.digest(entry.name)[:12]}")
    if entry.parameters and fits(entry.parameters) is False:
        yield Finding("memory", Verdict.WARNING, f"tuning {entry.name} takes more memory than is free now")


def _port(folder: Path, port: int) -> Iterator[Finding]:
    own = _serving_address(folder)
    if own is not None:
        yield Finding("server", Verdict.OK, f"this data folder is served at {own}")
        if urlsplit(own).port == port:
            return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            verdict = Verdict.WARNING if own is not None else Verdict.ERROR
            yield Finding("port", verdict, f"{port} is taken by {_who(port)}. Choose another: tunery serve --port N")
        else:
            yield Finding("port", Verdict.OK, f"{port} is free")


def _who(port: int) -> str:
    """Say what answers at a port, by what it says of itself to anybody."""
    import httpx2

    try:
        with httpx2.Client(timeout=2.0, trust_env=False) as client:
            said = client.get(f"http://127.0.0.1:{port}/v1beta/serverInfo").json()
        return f"a server of another data folder (tunery {said['version']})"
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return "another program"


def _serving_address(folder: Path) -> str | None:
    from tunery.service.folder import DataFolder

    holder = DataFolder(folder).server()
    return None if holder is None else holder.address


def _is_as_listed(path: Path, sha256: str, sha256_of: Callable[[Path], str]) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


DEFAULT_HOST = "127.0.0.1"


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
