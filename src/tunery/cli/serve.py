"""
`tunery serve`: run the server in the foreground.
`tunery doctor`: look for problems on this machine.
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
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from tunery import __version__, config
from tunery.cli import output, terminal
from tunery.cli.terminal import Device, Json, option
from tunery.cli.workplace import fetched
from tunery.errors import FailedPrecondition, FolderLocked, InvalidArgument, TuneryError
from tunery.progress import wait_quietly

if TYPE_CHECKING:
    from tunery.server.http import Services
    from tunery.server.ray_executor import RaySettings
    from tunery.service.folder import DataFolder

DEFAULT_PORT = 8000
_LIBRARIES = ("torch", "transformers", "fastapi", "SQLAlchemy")


class Verdict(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of the doctor about one subject."""

    subject: str
    verdict: Verdict
    text: str


def doctor(
    port: Annotated[int, option("Port the server will use.", DEFAULT_PORT, metavar="N")] = DEFAULT_PORT,
    json: Json = False,
) -> None:
    """Look for problems on this machine; exit status 1 if there are any."""
    folder, found = config.data_folder(), []
    for examine in _examinations(folder, port):
        try:
            found += list(examine())
        except TuneryError as error:
            found.append(Finding(examine.__name__.strip("_").replace("_", " "), Verdict.ERROR, str(error)))
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
    """Return the settings that make clients use the server, ready to copy."""
    return [
        "What clients need:",
        f'  curl               curl -H "Authorization: Bearer $TOKEN" {address}/v1beta/tunedModels',
        f"  google-genai       export GOOGLE_GEMINI_BASE_URL={address}",
        f'  google-generativeai  genai.configure(credentials=..., transport="rest", '
        f'client_options={{"api_endpoint": "{address}"}})',
        f"  openai             export OPENAI_BASE_URL={address}/openai/v1",
    ]


def environment_findings(environment: dict[str, str], address: str) -> Iterator[Finding]:
    """Yield the environment variables that would misdirect clients."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        if environment.get(name):
            text = f"{name} is set: with it, google-generativeai refuses credentials. Unset it for that client."
            yield Finding("environment", Verdict.WARNING, text)
    if environment.get("GOOGLE_GENAI_USE_VERTEXAI", "").lower() in ("1", "true"):
        text = (
            "GOOGLE_GENAI_USE_VERTEXAI is set: google-genai would call Google Cloud instead of this server. Unset it."
        )
        yield Finding("environment", Verdict.WARNING, text)
    credentials = environment.get("GOOGLE_APPLICATION_CREDENTIALS")
    if credentials and not Path(credentials).is_file():
        text = "GOOGLE_APPLICATION_CREDENTIALS names a missing file: clients fail before their first request."
        yield Finding("environment", Verdict.WARNING, text)
    other = environment.get("GOOGLE_GEMINI_BASE_URL")
    if other and other.rstrip("/") != address:
        text = f"GOOGLE_GEMINI_BASE_URL names another server; this one is {address}."
        yield Finding("environment", Verdict.WARNING, text)
    proxies = [name for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY") if environment.get(name)]
    spared = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if proxies and spared != "*" and str(urlsplit(address).hostname) not in spared.split(","):
        text = f"{proxies[0]} is set: clients would use the proxy even for this machine. Add 127.0.0.1 to NO_PROXY."
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

    def device() -> Iterator[Finding]:
        yield _device(config.device(), _graphics_card())

    def environment() -> Iterator[Finding]:
        address = _serving_address(folder) or f"http://127.0.0.1:{port}"
        found = list(environment_findings(dict(os.environ), address))
        yield from found or [Finding("environment", Verdict.OK, "no variable misdirects clients")]

    return [versions, sqlite, data_folder, disk, _shared_database, _store, base, device, port_, environment]


def _shared_database() -> Iterator[Finding]:
    """Yield what is wrong with the database that several machines share, if there is one."""
    if (url := config.shared().database_url) is None:
        return
    from tunery.service.database import connection
    from tunery.service.database.postgres import PostgresDatabase

    state = ""
    with closing(PostgresDatabase(url)) as database:
        if connection.is_newer_schema(database) and connection.lets_this_version_work(database):
            state = "; its tables are those of a newer tunery, and this one can work on them"
        elif not connection.is_current_schema(database):
            state = "; the next server or worker that starts will make or update its tables"
    yield Finding("shared database", Verdict.OK, f"PostgreSQL, {database.name}{state}")


def _store() -> Iterator[Finding]:
    """Yield whether the store that several machines share can be used, if there is one."""
    if (url := config.shared().store_url) is None:
        return
    from tunery.service.store import Store

    Store(url).try_out()
    yield Finding("store", Verdict.OK, f"{url}: a small object was written, read and deleted")


def _data_folder(folder: Path) -> Iterator[Finding]:
    from tunery.service.database import connection
    from tunery.service.database.connection import Database
    from tunery.service.folder import DataFolder

    if not folder.exists():
        yield Finding(
            "data folder", Verdict.OK, f"{folder} does not exist yet; the first command that needs it creates it"
        )
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", Verdict.ERROR, f"{folder} cannot be written. Make it writable or set TUNERY_HOME.")
        return
    if config.shared().database_url is None:  # else the folder has no database of its own
        DataFolder(folder).require_database()
    yield Finding("data folder", Verdict.OK, str(folder))
    yield from _set_aside(DataFolder(folder))
    path = DataFolder(folder).database
    if path.exists():
        database = Database(path, is_writer=False)
        try:
            connection.is_current_schema(database)
            connection.require_noted_digest(path)
            connection.check_database(database)
        finally:
            database.close()
        yield Finding("database", Verdict.OK, "intact")


def _set_aside(folder: DataFolder) -> Iterator[Finding]:
    """Yield files that the database no longer knows, and when they may be removed."""
    for place, until in folder.days_aside().items():
        text = (
            f"{place} has adapters or checkpoints that the database does not know; they may be removed from"
            f" {until:%Y-%m-%d} on. If the database is not the right one, stop tunery and put the right one back."
        )
        yield Finding("set aside", Verdict.WARNING, text)


def _disk(folder: Path) -> Iterator[Finding]:
    from tunery.service.creation import reserve_bytes

    disk = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists()))
    reserve = reserve_bytes(disk.total)
    text = f"{disk.free / 1e9:,.1f} GB free, {reserve / 1e9:,.1f} GB must stay free"
    if disk.free < reserve:
        yield Finding("disk", Verdict.ERROR, f"{text}: tuning jobs are refused. Free some space.")
    else:
        yield Finding("disk", Verdict.OK, text)


def _base(folder: Path) -> Iterator[Finding]:
    from tunery.engine.catalog import Catalog
    from tunery.engine.integrity import require_whole
    from tunery.engine.memory import Fit
    from tunery.service.bases import needs_of

    catalog = Catalog(folder, config.default_base_model())
    entry = catalog.resolve(catalog.default_base)
    if not entry.is_present:
        yield Finding(
            "base", Verdict.WARNING, f"{entry.name} is not on this machine yet: tunery bases get {entry.name}"
        )
        return
    require_whole(catalog, entry.name)
    yield Finding("base", Verdict.OK, f"{entry.name} is on this machine, digest {catalog.digest(entry.name)[:12]}")
    needed = needs_of(entry)
    if needed and needed[0].fit in (Fit.TIGHT, Fit.NO):
        yield Finding("memory", Verdict.WARNING, f"tuning {entry.name} needs more memory than is free now")


# files of the drivers; torch takes seconds to load, so it is only used if there is a card
_DRIVERS = {"/proc/driver/nvidia/version": "an NVIDIA", "/dev/dxg": "a", "/dev/kfd": "an AMD"}


def _graphics_card() -> str | None:
    """Return the maker of a graphics card with a compute driver, with its article; None if there is none."""
    return next((maker for place, maker in _DRIVERS.items() if Path(place).exists()), None)


def _device(name: str, card: str | None) -> Finding:
    """Return whether the chosen device can compute, or what is needed to use an idle graphics card."""
    if name != "cpu":
        from tunery.engine.base import chosen_device

        found = chosen_device(name)
        chosen = name if name != "auto" else f"auto, which is {found}"
        return Finding("device", Verdict.OK, f"{chosen}, from TUNERY_DEVICE")
    if card is None:
        return Finding("device", Verdict.OK, "CPU")
    from tunery.engine.base import graphics_card

    if usable := graphics_card():
        text = f"CPU; torch can also compute on {usable}: set TUNERY_DEVICE=cuda"
        return Finding("device", Verdict.OK, text)
    text = f"CPU; there is {card} graphics card, but torch {_version('torch')} cannot use it"
    return Finding("device", Verdict.WARNING, f"{text}. {_advice(card)}")


def _advice(card: str) -> str:
    """Return how to get a build of torch for a graphics card; the one on PyPI has CUDA on Linux."""
    if card == "an AMD":
        return (
            "https://pytorch.org/get-started has the command to install a build with ROCm; then set TUNERY_DEVICE=cuda."
        )
    release = _version("torch").partition("+")[0]
    return (
        f"On Linux, `pip install --force-reinstall torch=={release}` installs a build that can (gigabytes); elsewhere"
        " use the command at https://pytorch.org/get-started. Then set TUNERY_DEVICE=cuda."
    )


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
            yield Finding(
                "port", verdict, f"{port} is in use by {_user_of(port)}. Choose another: tunery serve --port N"
            )
        else:
            yield Finding("port", Verdict.OK, f"{port} is free")


def _user_of(port: int) -> str:
    """Return what is answering at a port, from its public information."""
    import httpx2

    try:
        with httpx2.Client(timeout=2.0, trust_env=False) as client:
            info = client.get(f"http://127.0.0.1:{port}/v1beta/serverInfo").json()
        return f"a server of another data folder (tunery {info['version']})"
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return "another program"


def _serving_address(folder: Path) -> str | None:
    from tunery.service.folder import DataFolder

    holder = DataFolder(folder).server()
    return None if holder is None else holder.address


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


DEFAULT_HOST = "127.0.0.1"


class LogFormat(StrEnum):
    """Format of the server's log."""

    TEXT = "text"
    JSON = "json"


Evaluates = Annotated[
    bool,
    option("Evaluate each new tuned model that has held-out rows.", "evaluate", "--evaluation/--no-evaluation"),
]
VllmUrls = Annotated[
    list[str] | None,
    option("Answer with a vLLM server, URL or BASE=URL; repeat the option for several.", "answer here", metavar="URL"),
]
VllmAdapters = Annotated[
    Path | None,
    option("Folder in which the vLLM servers find adapters, under the same path.", "data folder", metavar="FOLDER"),
]


class Executor(StrEnum):
    """What runs tuning jobs."""

    CHILD = "child"
    RAY = "ray"


RAY_WORKERS, RAY_CPUS, RAY_GPUS = "1-4", 1.0, 0.0
TuningExecutor = Annotated[
    Executor, option("Where tuning jobs run: in a child process or on a Ray cluster.", "child", metavar="child|ray")
]
RayAddress = Annotated[
    str, option("Address of the Ray cluster.", "RAY_ADDRESS, else auto", metavar="ADDRESS", variable="RAY_ADDRESS")
]
RayWorkers = Annotated[str, option("Minimum and maximum number of Ray workers.", RAY_WORKERS, metavar="MIN-MAX")]
RayCpus = Annotated[float, option("CPUs reserved for each Ray worker.", "1", metavar="N")]
RayGpus = Annotated[float, option("GPUs reserved for each Ray worker.", "0", metavar="N")]


def serve(
    host: Annotated[str, option("Address to listen on.", DEFAULT_HOST, metavar="ADDRESS")] = DEFAULT_HOST,
    port: Annotated[int, option("Port to listen on; 0 for any free one.", DEFAULT_PORT, metavar="N")] = DEFAULT_PORT,
    behind_tls_proxy: Annotated[
        str | None, option("Public address of a TLS proxy in front of the server.", "none", metavar="URL")
    ] = None,
    keys_may_tune: Annotated[
        bool, option("Allow tuning with users' API keys.", "only tokens", "--keys-may-tune")
    ] = False,
    keys_in_urls: Annotated[
        bool,
        option("Accept API keys as ?key= too, not only in headers.", "accept them", "--keys-in-urls/--no-keys-in-urls"),
    ] = True,
    device: Device = None,
    evaluation: Evaluates = True,
    tuning: Annotated[
        bool,
        option("Run tuning jobs too, instead of leaving them to `tunery worker`.", "tune", "--tuning/--no-tuning"),
    ] = True,
    executor: TuningExecutor = Executor.CHILD,
    ray_address: RayAddress = "auto",
    ray_workers: RayWorkers = RAY_WORKERS,
    ray_cpus: RayCpus = RAY_CPUS,
    ray_gpus: RayGpus = RAY_GPUS,
    vllm_url: VllmUrls = None,
    vllm_adapters: VllmAdapters = None,
    open_browser: Annotated[bool, option("Open the Studio, signed in.", "print the link", "--open")] = False,
    log_format: Annotated[
        LogFormat, option("Log format on standard error: text or json.", "text", metavar="FORMAT")
    ] = LogFormat.TEXT,
) -> None:
    """Serve the Studio and the Gemini tuning API."""
    _require_place(config.data_folder(), host, port)
    _require_device(device or config.device())
    ray = _ray(executor, tuning, ray_address, ray_workers, ray_cpus, ray_gpus)
    base = fetched(config.default_base_model())
    from tunery.server.monitoring import start_logging
    from tunery.server.serve import ServerSettings
    from tunery.server.serve import serve as run
    from tunery.service.vllm import EngineAddress

    settings = ServerSettings(
        config.data_folder(),
        base.alias_of or base.name,
        host,
        port,
        public_address=behind_tls_proxy,
        keys_act_as_users=keys_may_tune,
        keys_in_urls=keys_in_urls,
        evaluates=evaluation,
        shared=config.shared(),
        tunes=tuning,
        engines=tuple(map(EngineAddress.read, vllm_url or ())),
        engines_folder=None if vllm_adapters is None else vllm_adapters.absolute(),
        ray=ray,
    )
    start_logging(log_format)
    run(settings, lambda services: _say_ready(services, open_browser=open_browser))
    terminal.say("Stopped.")


def _require_place(folder: Path, host: str, port: int) -> None:
    """Raise who serves the data folder already, or uses the port, before anything is loaded."""
    from tunery.service.folder import DataFolder

    holder = DataFolder(folder).server()
    if holder is not None:
        raise FolderLocked(
            f"Your server already serves the data folder {folder} at {holder.address} (process {holder.pid})."
            " `tunery users link` prints a link to its Studio. To start another one, stop it, or use another"
            " TUNERY_HOME and another --port."
        )
    if host == DEFAULT_HOST and port:
        for found in _port(folder, port):
            if found.verdict is Verdict.ERROR:
                raise FailedPrecondition(f"Port {found.text}")


def _ray(executor: Executor, tunes: bool, address: str, workers: str, cpus: float, gpus: float) -> RaySettings | None:
    """
    Return the cluster that tunes; raises FailedPrecondition or InvalidArgument if it may not be used, before anything
    is loaded.
    """
    if executor is not Executor.RAY:
        if (workers, cpus, gpus) != (RAY_WORKERS, RAY_CPUS, RAY_GPUS):
            raise InvalidArgument("--ray-workers, --ray-cpus and --ray-gpus need --executor ray.")
        return None
    if not tunes:
        raise InvalidArgument("--no-tuning and --executor ray contradict each other; leave one of them out.")
    from tunery.server.ray_executor import RaySettings, require_ray

    settings = RaySettings.read(address, workers, cpus, gpus)
    require_ray(config.shared(), os.environ)
    return settings


def worker(
    device: Device = None,
    evaluation: Evaluates = True,
    log_format: Annotated[
        LogFormat, option("Log format on standard error: text or json.", "text", metavar="FORMAT")
    ] = LogFormat.TEXT,
) -> None:
    """Tune for servers that share a database (TUNERY_DATABASE_URL)."""
    _require_device(device or config.device())
    base = fetched(config.default_base_model())
    from tunery.server.monitoring import start_logging
    from tunery.server.work import WorkerSettings, work

    settings = WorkerSettings(config.data_folder(), base.alias_of or base.name, config.shared(), evaluation)
    start_logging(log_format)
    work(settings, _say_working)
    terminal.say("Stopped.")


def _require_device(name: str) -> None:
    """
    Raise InvalidArgument if torch cannot compute on a device, before anything is served; auto becomes what it finds.

    It is tried in another process, because this one computes nothing and should hold no memory of a graphics card.
    """
    if name != "cpu":
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            config.choose_device(process.submit(_found_device, name).result())


def _found_device(name: str) -> str:
    from tunery.engine.base import chosen_device

    return str(chosen_device(name))


def _say_working() -> None:
    terminal.say("Working. Ctrl-C stops; the tuning job in progress goes back into the queue.")
    wait_quietly()


def _say_ready(services: Services, *, open_browser: bool) -> None:
    link = _link(services)
    terminal.say(f"Data folder  {services.library.folder.path}")
    terminal.say(f"Serving at   {services.address}")
    terminal.say(f"Studio       {link}")
    terminal.say("             The link signs you in once, within 15 minutes; `tunery users link` prints another.")
    if not open_browser and sys.stdin.isatty():
        _offer_browser(services)
    terminal.say("For clients  tunery login --print-token")
    terminal.say("Ctrl-C stops the server; tuning jobs resume when it starts again.")
    wait_quietly()
    if open_browser:
        webbrowser.open(link)


def _link(services: Services) -> str:
    return f"{services.address}/setup?token={services.accounts.sessions.new_setup_link()}"


def _offer_browser(services: Services) -> None:
    """Open the Studio with a new link each time the user presses Enter."""
    if hasattr(signal, "SIGTTIN"):  # reading in the background would stop the server
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    terminal.say("             Press Enter to open it in your browser.")
    threading.Thread(target=_open_on_enter, args=(services,), name="enter", daemon=True).start()


def _open_on_enter(services: Services) -> None:
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):  # a buffered read would still hold its lock when the server ends
            webbrowser.open(_link(services))
