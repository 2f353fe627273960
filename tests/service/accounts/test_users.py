"""Users, groups and passwords."""

from __future__ import annotations

import pytest

from tests.server.accounts_app import Clock
from tests.server.conftest import PASSWORD
from tunery.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.users import Rate
from tunery.service.database import accounts as rows
from tunery.service.library import Library


def test_the_person_at_this_machine_is_there_from_the_start(accounts: Accounts) -> None:
    """ "local" is an administrator without a password."""
    user = accounts.users.get("local")

    assert (user.is_admin, user.has_password) == (True, False)


def test_addresses_are_one_whatever_their_case(accounts: Accounts) -> None:
    """Ann@Example.com is ann@example.com, and there once."""
    assert accounts.users.get(" Ann@Example.COM ").id == "ann@example.com"
    with pytest.raises(AlreadyExists):
        accounts.users.add("ANN@example.com")


@pytest.mark.parametrize(
    "address", ["", "ann", "a b@c.de", "@c.de", "a@", "a@b@c", "a@b/c", "a@b\nc", "<a@b.c>", "a:b@c"]
)
def test_what_is_no_address_is_refused(accounts: Accounts, address: str) -> None:
    """And would not fit into a path of the API."""
    with pytest.raises(InvalidArgument, match="not an e-mail address"):
        accounts.users.add(address)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("1234567", "at least 8"),
        ("x" * 1025, "up to 1,024"),
        ("Password123", "easy to guess"),
        ("aaaaaaaaaaaa", "easy to guess"),
        ("ann@example.com", "easy to guess"),
    ],
)
def test_passwords_that_are_refused(accounts: Accounts, password: str, said: str) -> None:
    """Too short, too long, common, or the address itself; the message does not repeat it."""
    with pytest.raises(InvalidArgument, match=said) as caught:
        accounts.users.set_password("ann@example.com", password)

    assert password not in str(caught.value)


@pytest.mark.parametrize("password", ["eight ch", "x y" * 300, "пароль и ещё", "  blanks  "])
def test_passwords_that_are_taken(accounts: Accounts, password: str) -> None:
    """From 8 characters on, long ones, any script, blanks as they are."""
    accounts.users.set_password("ann@example.com", password)

    assert accounts.users.sign_in("ann@example.com", password).id == "ann@example.com"


def test_wrong_password_and_unknown_user_look_alike(accounts: Accounts) -> None:
    """Nobody learns who exists."""
    said = []
    for user in ("ann@example.com", "nobody@example.com", "local"):
        with pytest.raises(Unauthenticated) as caught:
            accounts.users.sign_in(user, "wrong password")
        said.append(str(caught.value))

    assert len(set(said)) == 1


def test_the_sixth_wrong_password_in_a_minute_is_one_too_many(accounts: Accounts, clock: Clock) -> None:
    """Also for the right one, for this account only, and for a minute (B-11)."""
    accounts.users.add("bob@example.com", PASSWORD)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            accounts.users.sign_in("ann@example.com", "wrong password")

    with pytest.raises(ResourceExhausted, match="in 60 seconds"):
        accounts.users.sign_in("Ann@example.com", PASSWORD)
    accounts.users.sign_in("bob@example.com", PASSWORD)
    clock.go_on(seconds=61)
    accounts.users.sign_in("ann@example.com", PASSWORD)


def test_ten_thousand_guesses_take_more_than_a_day() -> None:
    """Whoever tries as fast as it is allowed (B-11)."""
    now = 0.0
    rate = Rate(5, 60, lambda: now)
    guesses = 0
    while guesses < 10_000:
        try:
            with rate.attempt("ann"):
                guesses += 1
                raise Unauthenticated
        except Unauthenticated:
            pass
        except ResourceExhausted:
            now += 1

    assert now > 24 * 3600


def test_right_passwords_do_not_count(accounts: Accounts) -> None:
    """Twenty sign-ins in a second are fine."""
    for _ in range(20):
        accounts.users.sign_in("ann@example.com", PASSWORD)


def test_a_password_is_kept_as_argon2id(accounts: Accounts, library: Library) -> None:
    """Only the hash of a password is stored, made as RFC 9106 recommends."""
    accounts.users.set_password("local", PASSWORD)

    with library.database.reading() as connection:
        assert str(rows.password_hash(connection, "local")).startswith("$argon2id$")


def test_the_person_at_this_machine_cannot_be_locked_out(accounts: Accounts) -> None:
    """Nobody could undo it."""
    with pytest.raises(FailedPrecondition):
        accounts.users.set_disabled("local", True)


def test_groups(accounts: Accounts) -> None:
    """A group has users that exist; setting it again replaces them; callers bring their groups."""
    accounts.users.set_group("Team@example.com", ["local", "ANN@example.com"])
    _, secret = accounts.tokens.create_plain("ann@example.com", ["x"], 1)

    assert accounts.users.groups()[0].members == ("ann@example.com", "local")
    assert accounts.caller_of_token(secret).groups == {"team@example.com"}
    accounts.users.set_group("team@example.com", [])
    assert accounts.caller_of_token(secret).groups == frozenset()
    with pytest.raises(NotFound):
        accounts.users.set_group("team@example.com", ["nobody@example.com"])
    accounts.users.remove_group("team@example.com")
    assert accounts.users.groups() == []


def test_other_machines_wait_for_a_password_and_tls(accounts: Accounts) -> None:
    """The owner needs a password, the connection TLS."""
    with pytest.raises(FailedPrecondition, match="password"):
        accounts.require_ready_for_network(is_encrypted=True)
    accounts.users.set_password("local", PASSWORD)
    with pytest.raises(FailedPrecondition, match="TLS"):
        accounts.require_ready_for_network(is_encrypted=False)

    accounts.require_ready_for_network(is_encrypted=True)
