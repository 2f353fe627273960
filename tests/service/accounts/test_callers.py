"""Callers by their tokens, keys and cookies, and what the database file reveals of those."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.server.accounts_app import ADDRESS, Clock, make_accounts
from tunery.cli.login import new_key_pair
from tunery.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, Unauthenticated
from tunery.service.access import CLOUD_PLATFORM, TUNING, TUNING_READONLY
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.credentials import GOOGLE_AUDIENCE
from tunery.service.accounts.values import Credential
from tunery.service.database.tables import metadata
from tunery.service.library import Library

ROBOT = "ci@tunery.invalid"
PAIR = new_key_pair()
OTHER_PAIR = new_key_pair()


def test_the_local_token_lets_the_user_of_this_machine_in(accounts: Accounts, library: Library) -> None:
    """The local token works while the server runs, and only this user can read its file."""
    accounts.local_token.start()
    path = library.folder.local_token
    token = path.read_text()

    caller = accounts.caller_of_token(token)

    assert (caller.user_id, caller.is_admin, caller.scopes) == ("local", True, {CLOUD_PLATFORM})
    assert path.stat().st_mode & 0o777 == 0o600
    accounts.local_token.stop()
    assert not path.exists()
    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(token)


def test_the_local_token_of_an_earlier_server_is_refused(accounts: Accounts, library: Library, clock: Clock) -> None:
    """Each start of the server makes a new local token."""
    accounts.local_token.start()
    earlier = library.folder.local_token.read_text()
    later = make_accounts(library, clock)
    later.local_token.start()

    with pytest.raises(Unauthenticated):
        later.caller_of_token(earlier)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "..", "tny_l_" + "A" * 49, "tny_t_" + "A" * 49, "é" * 60])
def test_malformed_tokens_are_refused(accounts: Accounts, token: str) -> None:
    """Any text that is not a valid token is Unauthenticated."""
    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(token)


def test_a_plain_token_lives_as_long_as_its_user_chose(accounts: Accounts, clock: Clock) -> None:
    """A plain token is listed by its label until it expires."""
    _, secret = accounts.tokens.create_plain("ann@example.com", [TUNING], 3, "notebook")

    assert [token.label for token in accounts.tokens.all()] == ["notebook"]
    clock.go_on(days=2.9)
    accounts.caller_of_token(secret)
    clock.go_on(days=0.2)
    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(secret)
    assert accounts.tokens.all() == []


def test_a_revoked_token_is_out_at_once(accounts: Accounts) -> None:
    """A token is revoked by its id; an unknown id is NotFound."""
    token, secret = accounts.tokens.create_plain("ann@example.com", [TUNING], 3)
    accounts.tokens.revoke_by_id(token.id)

    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(secret)
    with pytest.raises(NotFound):
        accounts.tokens.revoke_by_id("nothing")


def test_an_api_key_makes_its_caller_known_and_no_user(accounts: Accounts) -> None:
    """An API key names no user, even if it belongs to one."""
    _, secret = accounts.keys.create("phone", "ann@example.com")

    caller = accounts.caller_of_key(secret)

    assert (caller.has_key, caller.user_id, caller.scopes) == (True, None, frozenset())


def test_a_setting_lets_a_key_act_as_its_user(library: Library, clock: Clock) -> None:
    """With the setting, which is off by default, a key tunes for its user and never administers."""
    accounts = make_accounts(library, clock, keys_act_as_users=True)
    _, mine = accounts.keys.create("", "local")
    _, nobodys = accounts.keys.create("")

    caller = accounts.caller_of_key(mine)

    assert (caller.user_id, caller.scopes, caller.is_admin) == ("local", {TUNING}, False)
    assert accounts.caller_of_key(nobodys).user_id is None


def test_a_wrong_or_revoked_key_is_refused(accounts: Accounts) -> None:
    """The error has the reason that Google's clients know."""
    key, secret = accounts.keys.create("")
    accounts.keys.revoke(key.id)

    for text in (secret, "x", ""):
        with pytest.raises(InvalidArgument, match="API key not valid") as caught:
            accounts.caller_of_key(text)
        assert caught.value.reason == "API_KEY_INVALID"


def test_a_key_of_a_disabled_user_is_refused(accounts: Accounts) -> None:
    """A key stops working with its user."""
    _, secret = accounts.keys.create("", "ann@example.com")
    accounts.users.set_disabled("ann@example.com", True)

    with pytest.raises(InvalidArgument):
        accounts.caller_of_key(secret)


def test_wrong_keys_are_limited_and_good_keys_keep_working(accounts: Accounts, clock: Clock) -> None:
    """After 60 wrong keys in a minute further wrong ones must wait (B-11)."""
    _, secret = accounts.keys.create("")
    for _ in range(60):
        with pytest.raises(InvalidArgument):
            accounts.caller_of_key("wrong")

    with pytest.raises(ResourceExhausted):
        accounts.caller_of_key("wrong")
    assert accounts.caller_of_key(secret).has_key
    clock.go_on(seconds=61)
    with pytest.raises(InvalidArgument):
        accounts.caller_of_key("wrong")


def test_a_session_lives_for_a_week_without_use_and_a_month_in_all(accounts: Accounts, clock: Clock) -> None:
    """A session gives the scope for tuning until it has been idle for 7 days or is 30 days old."""
    secret = accounts.sessions.start("ann@example.com")
    for _ in range(4):
        clock.go_on(days=6)
        assert accounts.caller_of_session(secret).scopes == {TUNING}
    clock.go_on(days=6.1)
    with pytest.raises(Unauthenticated):
        accounts.caller_of_session(secret)

    idle = accounts.sessions.start("ann@example.com")
    clock.go_on(days=7.1)
    with pytest.raises(Unauthenticated):
        accounts.caller_of_session(idle)


def test_a_set_up_link_works_once_and_for_fifteen_minutes(accounts: Accounts, clock: Clock) -> None:
    """A newer link ends the earlier one."""
    first, second = accounts.sessions.new_setup_link(), accounts.sessions.new_setup_link()

    for secret in (first, "x"):
        with pytest.raises(Unauthenticated):
            accounts.sessions.use_setup_link(secret)
    assert accounts.sessions.use_setup_link(second) == "local"
    with pytest.raises(Unauthenticated):
        accounts.sessions.use_setup_link(second)
    late = accounts.sessions.new_setup_link()
    clock.go_on(minutes=15)
    with pytest.raises(Unauthenticated):
        accounts.sessions.use_setup_link(late)


def test_a_login_uses_up_a_sign_in_of_the_command_line(accounts: Accounts) -> None:
    """A plain token or a token of another program cannot make a token that lives longer."""
    _, plain = accounts.tokens.create_plain("ann@example.com", [CLOUD_PLATFORM], 1)

    for token in (plain, "x"):
        with pytest.raises(PermissionDenied):
            accounts.spend(token)


# --- key files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def robot(accounts: Accounts) -> Credential:
    """Return the registered half of a key file that acts as ann."""
    return accounts.keys.add_key_file(ROBOT, PAIR[1], "ann@example.com", "CI")


def signed(key_id: str | None, clock: Clock, *, private_key: str = PAIR[0], alg: str = "RS256", **claims: Any) -> str:
    """Return a token as google-auth signs it; claims that are None are left out."""
    from joserfc import jwt
    from joserfc.jwk import RSAKey

    now = int(clock.seconds())
    values = {"iss": ROBOT, "sub": ROBOT, "aud": GOOGLE_AUDIENCE, "iat": now, "exp": now + 3600} | claims
    header = {"alg": alg, "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    kept = {name: value for name, value in values.items() if value is not None}
    return jwt.encode(header, kept, RSAKey.import_key(private_key), algorithms=[alg])


@pytest.mark.parametrize(
    ("claims", "scope"),
    [
        ({}, TUNING),
        ({"aud": ADDRESS}, TUNING),
        ({"aud": f"{ADDRESS}/"}, TUNING),
        ({"aud": None, "scope": TUNING}, TUNING),
        ({"aud": None, "scope": TUNING_READONLY}, TUNING_READONLY),
        ({"aud": None, "scope": CLOUD_PLATFORM}, TUNING),
    ],
)
def test_a_key_file_acts_as_its_owner(
    accounts: Accounts, robot: Credential, clock: Clock, claims: dict[str, Any], scope: str
) -> None:
    """A key file gets the scope for tuning and no more, whatever audience or scope the library writes."""
    caller = accounts.caller_of_token(signed(robot.id, clock, **claims))

    assert (caller.user_id, caller.scopes) == ("ann@example.com", {scope})


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "other@tunery.invalid"},
        {"sub": "other@tunery.invalid"},
        {"sub": None},
        {"iss": None},
        {"aud": "https://evil.test/"},
        {"aud": "https://generativelanguage.googleapis.com"},
        {"aud": ["https://generativelanguage.googleapis.com/"]},
        {"aud": None},
        {"aud": None, "scope": " "},
        {"aud": "https://oauth2.googleapis.com/token"},
        {"scope": 5},
        {"exp": None},
        {"iat": None},
        {"exp": "soon"},
        {"exp": True},
        {"nbf": "now"},
        {"iat": -(10**400)},
        {"exp": 10**400},
        {"iat": -(10**400), "exp": 1.5},
        {"nbf": -(10**400)},
        {"exp": float("inf"), "iat": float("-inf")},
    ],
    ids=lambda claims: str(claims)[:40],
)
def test_claims_that_do_not_hold_are_refused(
    accounts: Accounts, robot: Credential, clock: Clock, claims: dict[str, Any]
) -> None:
    """Issuer, subject, audience and times must all be present and right."""
    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(signed(robot.id, clock, **claims))


@pytest.mark.parametrize(
    ("issued", "expires"),
    [(0, 3601), (-3600, 0), (-7200, -3600), (61, 3600), (0, -1), (-10_000, 10_000)],
)
def test_times_that_do_not_hold_are_refused(
    accounts: Accounts, robot: Credential, clock: Clock, issued: int, expires: int
) -> None:
    """A signed token lives for an hour at most, has begun and has not expired; times are seconds from now."""
    now = int(clock.seconds())

    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(signed(robot.id, clock, iat=now + issued, exp=now + expires))


def test_a_signature_of_another_key_is_refused(accounts: Accounts, robot: Credential, clock: Clock) -> None:
    """A key registered for another user does not help either."""
    other = accounts.keys.add_key_file("other@tunery.invalid", OTHER_PAIR[1], "local")

    for key_id in (robot.id, other.id):
        wrong = OTHER_PAIR[0] if key_id == robot.id else PAIR[0]
        with pytest.raises(Unauthenticated):
            accounts.caller_of_token(signed(key_id, clock, private_key=wrong))


@pytest.mark.parametrize("key_id", [None, "", "nothing", "' OR 1=1 --"])
def test_a_token_without_a_known_key_is_refused(accounts: Accounts, clock: Clock, key_id: str | None) -> None:
    """`kid` must name a registered key."""
    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(signed(key_id, clock))


@pytest.mark.parametrize("alg", ["RS384", "PS256", "RS512"])
def test_another_algorithm_is_refused(accounts: Accounts, robot: Credential, clock: Clock, alg: str) -> None:
    """Only RS256 is accepted, whatever the header says."""
    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(signed(robot.id, clock, alg=alg))


def test_a_public_key_is_not_a_shared_secret(accounts: Accounts, robot: Credential, clock: Clock) -> None:
    """Neither `none` nor HS256 with the public key as secret is accepted."""
    import base64
    import hashlib
    import hmac
    import json

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"iss": ROBOT, "sub": ROBOT, "aud": GOOGLE_AUDIENCE, "iat": int(clock.seconds())}
    claims["exp"] = int(clock.seconds()) + 60
    for alg in ("none", "HS256"):
        body = f"{part({'alg': alg, 'kid': robot.id})}.{part(claims)}"
        mac = hmac.new(str(robot.public_key).encode(), body.encode(), hashlib.sha256).digest()
        with pytest.raises(Unauthenticated):
            accounts.caller_of_token(f"{body}.{base64.urlsafe_b64encode(mac).decode()}")
        with pytest.raises(Unauthenticated):
            accounts.caller_of_token(f"{body}.")


def test_a_revoked_key_file_is_out_at_once(accounts: Accounts, robot: Credential, clock: Clock) -> None:
    """A key file stops working when it is revoked or its owner is disabled."""
    token = signed(robot.id, clock)
    accounts.users.set_disabled("ann@example.com", True)
    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(token)
    accounts.users.set_disabled("ann@example.com", False)
    accounts.caller_of_token(token)

    accounts.keys.revoke(robot.id)

    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(token)


WEAK = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtAtIHIDodVVHU1pDDk8z
8Q/B/TUIt0HPM3qfper2s8K8/VsogKSCYnaWXhuLXWAA9iZJ/DuEHYVXsfpebVEY
j4FYzwsnfiCbAfWjfgGyeL7tpPyNEmnHVYYiSdeaUoplDbZPkutJLK7/qdpaMw2K
kEEi+RAi5VKxspjdX2VS9dh/2HSMZ2s3xvWMCnVLrlmBO1LMyJUVcZCOL96YY1vF
TnoFQPzL6P8pZBOpAFhr6zmXJC0HjjCgcnylKZxtqhDjhlss4IdRODXUQPVlKDwS
eNiuKgxssM9Z0n210ouCYICSZmUcdXNGTLCkevCp/0e8s3PuHB55ig9gnLCtjb/J
OwIDAQAB
-----END PUBLIC KEY-----
"""  # of 2,048 bits


@pytest.mark.parametrize("pem", ["", "x", PAIR[0], WEAK], ids=["nothing", "text", "private", "2,048 bits"])
def test_only_public_keys_are_kept(accounts: Accounts, pem: str) -> None:
    """A private key sent by mistake is refused, and a key of too few bits."""
    with pytest.raises(InvalidArgument):
        accounts.keys.add_key_file(ROBOT, pem, "local")


def test_an_address_acts_as_one_user(accounts: Accounts, robot: Credential) -> None:  # noqa: ARG001
    """A second key with the same address must belong to the same user."""
    accounts.keys.add_key_file(ROBOT, OTHER_PAIR[1], "ann@example.com")

    with pytest.raises(InvalidArgument, match="another user"):
        accounts.keys.add_key_file(ROBOT, OTHER_PAIR[1], "local")


# --- what is in the files ---------------------------------------------------------------------------------------------


def test_no_secret_is_in_the_database_file(accounts: Accounts, library: Library, clock: Clock) -> None:
    """The database file has no token, key, code, link or password in clear text (B-9)."""
    accounts.local_token.start()
    login = accounts.create_login("ann@example.com", [TUNING])
    _, key = accounts.keys.create("")
    _, plain = accounts.tokens.create_plain("local", [TUNING], 1)
    client, client_secret = accounts.clients.add("x", ["http://127.0.0.1/"])
    code = accounts.codes.new_code(client, "local", "http://127.0.0.1/", TUNING, "challenge")
    accounts.codes.new_device_code(client, TUNING, "tny_d_secret", "BCDF-GHJK")
    secrets = [login.client_secret, login.refresh_token, key, plain, str(client_secret), code]
    secrets += [accounts.sessions.start("local"), accounts.sessions.new_setup_link(), "tny_d_secret", "BCDF-GHJK"]
    secrets += ["BCDFGHJK", "correct horse battery", library.folder.local_token.read_text()]
    accounts.keys.add_key_file(ROBOT, PAIR[1], "local")

    kept = b"".join(path.read_bytes() for path in Path(library.folder.path).glob("tunery.sqlite3*"))
    if library.database.is_shared:  # then its rows, since its files are the database server's
        with library.database.reading() as connection:
            rows = [row for table in metadata.sorted_tables for row in connection.execute(select(table))]
        kept = str(rows).encode()

    assert b"ann@example.com" in kept
    assert [secret for secret in secrets if secret.encode() in kept] == []
    assert b"PRIVATE KEY" not in kept
    assert clock.seconds() <= time.time() + 1


def test_expired_rows_are_deleted_after_a_day(accounts: Accounts, clock: Clock) -> None:
    """Expired tokens and sessions do not accumulate."""
    _, secret = accounts.tokens.create_plain("ann@example.com", [TUNING], 1)
    accounts.sessions.start("ann@example.com")
    clock.go_on(days=40)
    accounts.tidy()
    clock.go_on(days=-40)

    with pytest.raises(Unauthenticated):
        accounts.caller_of_token(secret)


def test_a_use_is_noted_once_a_minute(accounts: Accounts, clock: Clock) -> None:
    """Not every call costs a write."""
    token, secret = accounts.tokens.create_plain("ann@example.com", [TUNING], 9)

    times = set()
    for _ in range(5):
        clock.go_on(seconds=20)
        accounts.caller_of_token(secret)
        times.add(accounts.tokens.all()[0].last_use_time)

    assert accounts.tokens.all()[0].id == token.id
    assert len(times) == 2
