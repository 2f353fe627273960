"""A running server: where it may listen, and its messages when it cannot."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tunery.errors import FailedPrecondition, TuneryError
from tunery.server.serve import RECEIVED_BYTES, ServerSettings, listening, serve


def nobody(_services: object) -> None:
    raise AssertionError("it must not become ready")


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """One sentence with address and port, before anything of the data folder is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(FailedPrecondition, match=rf"127\.0\.0\.1:{port} cannot be used"):
            serve(ServerSettings(tmp_path / "home", "tiny", port=port), nobody)

    assert not (tmp_path / "home").exists()


def test_replies_are_sent_at_once(tmp_path: Path) -> None:
    """Connections hold no part of a reply back until the client has acknowledged the part before."""
    with listening(ServerSettings(tmp_path, "tiny", port=0)) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_little_is_kept_of_what_nobody_has_read(tmp_path: Path) -> None:
    """A client that sends a large body is held back by its connection, not by the memory of the machine."""
    with listening(ServerSettings(tmp_path, "tiny", port=0)) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as accepted:
            client.settimeout(0.2)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
            with pytest.raises(TimeoutError):
                client.sendall(bytes(4 << 20))
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * RECEIVED_BYTES


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_that_is_not_secured_stays_on_this_machine(tmp_path: Path, host: str) -> None:
    """Other addresses than loopback are refused until the owner has a password and there is TLS."""
    if host == "::" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")

    with pytest.raises(TuneryError, match=r"password|TLS|cannot be used"):
        serve(ServerSettings(tmp_path / "home", "smollm2-135m-instruct", host=host, port=0), nobody)
