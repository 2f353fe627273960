"""Host, Origin, headers of replies, and logs without secrets."""

from __future__ import annotations

import io
import logging

import pytest
from starlette.testclient import TestClient

from tests.server.accounts_app import ADDRESS, browser, make_app
from tunery.server.security import Scrub, scrub_logs, scrubbed
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.values import TokenKind, new_secret


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "127.0.0.1"])
def test_our_names_are_answered(web: TestClient, host: str) -> None:
    """Loopback names work on any port."""
    assert web.get("/v1beta/whoami", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8000",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "127.0.0.2",
        "0.0.0.0:8000",
        "a b",
        "@x",
    ],
)
def test_other_names_are_refused(web: TestClient, host: str) -> None:
    """A foreign name that resolves to this address gets an error (DNS rebinding)."""
    reply = web.get("/v1beta/whoami", headers={"Host": host})

    assert reply.status_code in (400, 403)
    assert reply.json()["error"]["status"] in ("INVALID_ARGUMENT", "PERMISSION_DENIED")


def test_the_public_address_and_further_names_are_answered(accounts: Accounts) -> None:
    """Behind a proxy the server has the name of its public address."""
    with browser(make_app(accounts, "https://tunery.example"), "https://tunery.example") as web:
        assert web.get("/v1beta/whoami").status_code == 200
        assert web.get("/v1beta/whoami", headers={"Host": "other.example"}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://127.0.0.1:9", "https://127.0.0.1:8000", "x"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_a_foreign_page_changes_nothing(web: TestClient, method: str, origin: str) -> None:
    """A foreign origin is refused whatever its credentials."""
    reply = web.request(method, "/v1beta/whoami", headers={"Origin": origin})

    assert (reply.status_code, reply.json()["error"]["status"]) == (403, "PERMISSION_DENIED")


def test_programs_send_no_origin_and_are_answered(web: TestClient) -> None:
    """Our own pages with our own origin are answered, too."""
    assert web.post("/v1beta/whoami").status_code == 200
    assert web.post("/v1beta/whoami", headers={"Origin": ADDRESS}).status_code == 200
    here = {"Origin": "http://localhost:8000", "Host": "localhost:8000"}
    assert web.post("/v1beta/whoami", headers=here).status_code == 200


@pytest.mark.parametrize("path", ["/v1beta/whoami", "/nothing", "/.well-known/oauth-protected-resource"])
def test_replies_restrict_browsers(web: TestClient, path: str) -> None:
    """All replies, errors included, have the security headers and no CORS headers."""
    headers = web.get(path, headers={"Origin": "http://evil.test"}).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["content-security-policy"] == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["cache-control"] == "no-store"
    assert not any(name.startswith("access-control") for name in headers)


def test_an_unexpected_error_has_the_headers_too(accounts: Accounts) -> None:
    """Its reply is 500 with all security headers, and says nothing about the error."""
    app = make_app(accounts)

    @app.get("/broken")
    def broken() -> None:
        raise ValueError("canary")

    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as web:
        reply = web.get("/broken")

    assert (reply.status_code, reply.json()["error"]["status"]) == (500, "INTERNAL")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert "canary" not in reply.text


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT"])
def test_requests_are_not_sent_back(web: TestClient, method: str) -> None:
    """TRACE would return headers that scripts must not see."""
    reply = web.request(method, "/v1beta/whoami", headers={"X-Api-Key": "canary"})

    assert reply.status_code == 405
    assert "canary" not in reply.text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GET /v1beta/models?key=canary&x=1 HTTP/1.1", "x=1"),
        ("GET /setup?token=canary", "/setup"),
        ("?code=canary&state=s", "state=s"),
        ("?a=b&KEY=canary", "a=b"),
        (f"token {new_secret(TokenKind.PLAIN).replace('tny_t_', 'tny_t_canary')} refused", "refused"),
    ],
    ids=["key", "token", "code", "upper case", "one of ours"],  # the same in each process that collects the tests
)
def test_logs_hold_no_secrets(text: str, kept: str) -> None:
    """Keys, tokens and codes are removed, the text around them stays."""
    assert "canary" not in scrubbed(text)
    assert kept in scrubbed(text)


def test_log_records_are_scrubbed_with_their_values() -> None:
    """Arguments of a record are scrubbed, as uvicorn passes the address."""
    stream = io.StringIO()
    logger = logging.getLogger("tunery.test.scrub")
    logger.addHandler(logging.StreamHandler(stream))
    logger.propagate = False
    scrub_logs(["tunery.test.scrub"])
    scrub_logs(["tunery.test.scrub"])

    logger.warning('%s - "%s %s" %d', "127.0.0.1", "GET", "/v1beta/models?key=canary", 200)
    logger.warning("%(path)s", {"path": "/setup?token=canary"})
    logger.warning("failed: %s", ValueError("?key=canary"))

    assert "canary" not in stream.getvalue()
    assert "GET /v1beta/models?key=..." in stream.getvalue()
    assert len([known for known in logger.filters if isinstance(known, Scrub)]) == 1


def test_nothing_secret_is_logged_by_a_sign_in(
    ann: TestClient, accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    """No secret is logged even at debug level, where Authlib would write tokens."""
    from tests.server.oauth_flow import add_app, signed_in

    caplog.set_level(logging.DEBUG)
    tokens = signed_in(ann, add_app(accounts))

    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    written = "\n".join(record.getMessage() for record in ours)
    assert "tny_" not in written
    assert tokens["access_token"] not in written
