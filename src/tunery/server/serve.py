"""
A running server: it owns the data folder, starts the worker and answering processes, listens, and stops within ten
seconds.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from tunery.config import ALONE, Shared, settle_garbage_collector
from tunery.engine.catalog import Catalog
from tunery.errors import FailedPrecondition, InvalidArgument, TuneryError
from tunery.progress import doing
from tunery.server.app import make_app
from tunery.server.connections import ConnectionLimits, Connections
from tunery.server.http import Services
from tunery.server.ray_executor import RayExecutor, RaySettings
from tunery.server.ray_worker import WorkerSpec
from tunery.server.security import is_loopback, scrub_logs
from tunery.server.work import STOPS, handlers_kept
from tunery.service.accounts.accounts import Accounts
from tunery.service.answering import Answering
from tunery.service.bases import Downloads
from tunery.service.creation import Creation, Estimates
from tunery.service.library import Library
from tunery.service.process import MachineLoad
from tunery.service.reports import DataChecks, DataCurves, Evaluations
from tunery.service.vllm import EngineAddress, Reach, vllm_child
from tunery.service.worker import Worker

RECEIVED_BYTES = 128 * 1024
MAX_PORT = 65_535
STREAM_SECONDS = 5  # for open streams when the server stops
TICKS_PER_LOOK = 10  # one second between two checks of the data folder
SWITCH_SECONDS = 0.001  # a computing thread gives way to others after this time, instead of 5 ms


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where a server listens, its data folder, and the base for which API names in old code stand."""

    data_folder: Path
    default_base: str
    host: str = "127.0.0.1"
    port: int = 8000
    public_address: str | None = None  # of a TLS proxy in front, such as https://tunery.example
    keys_act_as_users: bool = False  # a user's API key may tune, as in the original's last months
    keys_in_urls: bool = True  # as ?key=, which Google's samples for curl send
    evaluates: bool = True  # tuned models with held-out rows, automatically
    shared: Shared = ALONE
    tunes: bool = True  # whether to run tuning jobs too; otherwise workers elsewhere do
    engines: tuple[EngineAddress, ...] = ()  # vLLM servers that answer; none: this machine does
    engines_folder: Path | None = None  # where they find adapters, if they don't see the data folder
    ray: RaySettings | None = None  # the Ray cluster whose workers tune

    def answering(self, warm_base: str | None) -> Answering:
        """Return what answers: this machine or the engines."""
        if not self.engines:
            return Answering(self.data_folder, warm_base=warm_base)
        engines = [replace(each, base_model=each.base_model or self.default_base) for each in self.engines]
        main = partial(vllm_child, engines=engines, adapters=self.engines_folder)
        return Answering(self.data_folder, warm_base=warm_base, main=main, has_engine=Reach(engines))

    def executor(self, library: Library) -> RayExecutor | None:
        """Return what has tasks tuned on a Ray cluster; None if this server tunes, or workers that others start."""
        if self.ray is None:
            return None
        device = "cuda" if self.ray.gpus else "cpu"
        return RayExecutor(library, self.ray, WorkerSpec(self.default_base, self.shared, self.evaluates, device))


def serve(settings: ServerSettings, on_ready: Callable[[Services], None]) -> None:
    """
    Serve until SIGINT or SIGTERM; `on_ready` is called once the server answers.

    Raises FolderLocked if another process owns the data folder, FailedPrecondition if the port is taken, or if an
    unsecured server would be reachable from other machines.
    """
    with handlers_kept(), listening(settings) as listener, running(settings, _address(settings, listener)) as services:
        if not is_loopback(settings.host):
            is_encrypted = (settings.public_address or "").startswith("https://")
            services.accounts.require_ready_for_network(is_encrypted=is_encrypted)
        scrub_logs()
        config = uvicorn_config(
            make_app(services, slows_down=True), is_behind_proxy=settings.public_address is not None
        )
        sys.setswitchinterval(SWITCH_SECONDS)
        settle_garbage_collector()
        server = _Server(config, services, on_ready)
        asyncio.run(server.serve(sockets=[listener]))
        if server.lost is not None:
            raise server.lost


def uvicorn_config(
    app: ASGIApp, *, is_behind_proxy: bool = False, limits: ConnectionLimits | None = None
) -> uvicorn.Config:
    """Return the settings of uvicorn for an application, with limits for connections."""
    if limits is None:
        limits = ConnectionLimits(per_address=None) if is_behind_proxy else ConnectionLimits()
    return uvicorn.Config(
        app,
        http=Connections(limits).protocol(),
        ws="none",
        proxy_headers=is_behind_proxy,  # otherwise anybody could claim any address
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STREAM_SECONDS,
        server_header=False,
        lifespan="off",
    )


@contextmanager
def running(settings: ServerSettings, address: str) -> Iterator[Services]:
    """Yield the services of a data folder, with worker and answering child running."""
    catalog = Catalog(settings.data_folder, settings.default_base)
    warm_base = settings.default_base if catalog.is_present(settings.default_base) else None
    with Library.own(settings.data_folder, address, settings.shared) as library:
        answering = settings.answering(warm_base)
        evaluations = Evaluations(library, answering, catalog)
        data_checks, data_curves = DataChecks(library, catalog), DataCurves(library, catalog)
        reports = (evaluations, data_checks, data_curves)
        on_success = evaluations.begin if settings.evaluates else None
        downloads = Downloads(catalog)
        worker, executor = None, settings.executor(library)
        if settings.tunes and executor is None:
            worker = Worker(library, warm_base=warm_base, on_success=on_success, beside=answering.beside_tuning)
        load = MachineLoad(lambda: [part.child_pid for part in (answering, worker, executor) if part is not None])
        accounts = Accounts(
            library.database,
            library.folder,
            address=address,
            keys_act_as_users=settings.keys_act_as_users,
            keys_in_urls=settings.keys_in_urls,
        )
        try:
            accounts.tidy()
            accounts.local_token.start()
            answering.start()
            load.start()
            if worker is not None:
                worker.start()
            for kind in reports:
                kind.start()
            if settings.evaluates:
                evaluations.resume()
            if executor is not None:
                executor.start()
            yield Services(
                library=library,
                catalog=catalog,
                accounts=accounts,
                answering=answering,
                creation=Creation(library, catalog, answering),
                estimates=Estimates(answering, library, catalog, load),
                evaluations=evaluations,
                data_checks=data_checks,
                data_curves=data_curves,
                downloads=downloads,
                worker=worker,
                address=address,
            )
        finally:
            accounts.local_token.stop()
            load.stop()
            if executor is not None:
                executor.stop()
            downloads.close()
            for kind in reports:
                kind.stop()
            if worker is not None:
                worker.stop()
            answering.stop()


class _Server(uvicorn.Server):
    """
    A uvicorn server that calls `on_ready`, has the running task put back when it stops, and watches its data folder.

    `lost` is the reason why it stopped by itself.
    """

    def __init__(self, config: uvicorn.Config, services: Services, on_ready: Callable[[Services], None]) -> None:
        super().__init__(config)
        self._services, self._on_ready = services, on_ready
        self.lost: TuneryError | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then call `on_ready`."""
        await run_in_threadpool(int)  # loads what the first request needs while files can still be opened
        await super().startup(sockets)
        self._on_ready(self._services)

    async def on_tick(self, counter: int) -> bool:
        """Stop also if another process may own the data folder; called ten times a second."""
        if counter % TICKS_PER_LOOK == 0:
            try:
                self._services.library.require_owned()
            except TuneryError as error:
                self.lost, self.should_exit = error, True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Have the running task put back while the last streams are being sent."""
        doing("Stopping the server")
        if self._services.worker is not None:
            self._services.worker.begin_stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """
        Stop at SIGINT, SIGTERM and SIGHUP or SIGBREAK (sent when the terminal is closed), and ignore further ones.

        uvicorn would raise them again and exit before the services have stopped, and so would a second signal.
        """
        if threading.current_thread() is not threading.main_thread():  # which alone receives signals
            yield
            return
        for number in STOPS:
            signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number in STOPS:
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def listening(settings: ServerSettings) -> Iterator[socket.socket]:
    """Yield the socket of a server; raises FailedPrecondition if its port is taken."""
    if not 0 <= settings.port <= MAX_PORT:
        raise InvalidArgument(f"--port must be between 0 and {MAX_PORT}, not {settings.port}.")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # where any program could listen at a reused address too
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # connections inherit this; without it, the second part of each reply waits 40 ms for the client's ACK
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Linux would buffer up to 6 MB of unread data for each connection
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise FailedPrecondition(
                f"{settings.host}:{settings.port} cannot be used ({error.strerror}). Choose another --port."
            ) from error
        yield listener
    finally:
        listener.close()


def _address(settings: ServerSettings, listener: socket.socket) -> str:
    if settings.public_address is not None:
        return settings.public_address.rstrip("/")
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
