"""A PostgreSQL server of the tests' own, from Debian's package, in a temporary folder on a socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from tests.needs import missing

START_SECONDS, STOP_SECONDS = 30, 10
_numbers = count()


class Postgres:
    """A running server; `url` makes a new, empty database, or a copy of another one."""

    def __init__(self, socket_folder: Path, begin: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._socket_folder, self._begin = socket_folder, begin
        self._admin = create_engine(self._url("postgres", "postgresql+psycopg"), isolation_level="AUTOCOMMIT")

    def url(self, template: str | None = None) -> str:
        """Return the URL of a new database; `template` is the URL of the one to copy."""
        name = f"tunery_{os.getpid()}_{next(_numbers)}"
        copied = "" if template is None else f" TEMPLATE {template.partition('@/')[2].partition('?')[0]}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}{copied}")
        return self._url(name)

    def drop(self, url: str) -> None:
        """Delete a database."""
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {url.partition('@/')[2].partition('?')[0]} WITH (FORCE)")

    def processor_seconds(self) -> float:
        """Return the processor time of the server and its processes."""
        server = psutil.Process(self._server.pid)
        times = [process.cpu_times() for process in (server, *server.children())]
        ended = times[0].children_user + times[0].children_system
        return float(ended + sum(one.user + one.system for one in times))

    def restart(self) -> None:
        """Let the server die in the middle of its work, as in a crash, and start it again."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait()
        self._admin.dispose()
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._server = self._begin()
        _wait(self, self._server)

    def close(self) -> None:
        """Stop the server without waiting for its connections to be closed."""
        self._admin.dispose()
        self._server.send_signal(signal.SIGINT)
        try:
            self._server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._server.send_signal(signal.SIGQUIT)  # at once, without writing anything
            self._server.wait()

    def _url(self, database: str, scheme: str = "postgresql") -> str:
        return f"{scheme}://postgres@/{database}?host={self._socket_folder}"


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, None if it is not installed; Debian keeps them out of PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@contextmanager
def serving_postgres(*, is_safe: bool = False, address: str | None = None) -> Iterator[Postgres]:
    """
    Start a server in a temporary folder, as a user without rights since it refuses root, and stop it at the end.

    Unless it `is_safe` it does not wait for the disk, which no test needs. With an address of this machine, it also
    listens to the network there.
    """
    place = programs()
    if place is None:
        missing("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="tunery-pg-", ignore_cleanup_errors=True) as folder:
        as_user = "postgres" if os.geteuid() == 0 else None
        if as_user is not None:
            shutil.chown(folder, as_user)
        data = Path(folder) / "data"
        # a locale in which the database itself folds no letters beyond ASCII, as in many containers
        setting = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        subprocess.run(
            [place / "initdb", f"--pgdata={data}", *setting], user=as_user, cwd=folder, check=True, capture_output=True
        )
        fsync = "on" if is_safe else "off"
        options = [
            f"-k{folder}",
            f"-clisten_addresses={address or ''}",
            f"-cfsync={fsync}",
            "-cmax_connections=100",
            "-cshared_buffers=32MB",
        ]
        if address is not None:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {address}/24 trust\n")

        def begin() -> subprocess.Popen[bytes]:
            with (Path(folder) / "log").open("ab") as log:
                return subprocess.Popen(
                    [place / "postgres", f"-D{data}", *options], user=as_user, cwd=folder, stderr=log, stdout=log
                )

        running = Postgres(Path(folder), begin)
        try:
            running.start()
            yield running
        finally:
            running.close()


def _wait(running: Postgres, server: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            with running._admin.connect():
                return
        except OperationalError as error:
            if server.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"PostgreSQL did not start: {error}")
            time.sleep(0.05)
