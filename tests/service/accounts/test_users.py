"""Users, groups and passwords."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from zxcvbn.frequency_lists import FREQUENCY_LISTS

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
from tunery.service.accounts import users
from tunery.service.accounts.accounts import Accounts
from tunery.service.accounts.users import Rate
from tunery.service.database import accounts as rows
from tunery.service.library import Library


def test_the_local_user_exists_from_the_start(accounts: Accounts) -> None:
    """ "local" is an administrator without a password."""
    user = accounts.users.get("local")

    assert (user.is_admin, user.has_password) == (True, False)


def test_addresses_ignore_case(accounts: Accounts) -> None:
    """Ann@Example.com and ann@example.com are one user."""
    assert accounts.users.get(" Ann@Example.COM ").id == "ann@example.com"
    with pytest.raises(AlreadyExists):
        accounts.users.add("ANN@example.com")


@pytest.mark.parametrize(
    "address", ["", "ann", "a b@c.de", "@c.de", "a@", "a@b@c", "a@b/c", "a@b\nc", "<a@b.c>", "a:b@c"]
)
def test_malformed_addresses_are_refused(accounts: Accounts, address: str) -> None:
    """An address must fit into a path of the API."""
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
        ("samantha1", "easy to guess"),
        ("87654321", "easy to guess"),
        ("Tunery123", "easy to guess"),
    ],
)
def test_passwords_that_are_refused(accounts: Accounts, password: str, said: str) -> None:
    """A short, long or common password, or a name of user or program, is refused and not repeated in the message."""
    with pytest.raises(InvalidArgument, match=said) as caught:
        accounts.users.set_password("ann@example.com", password)

    assert password not in str(caught.value)


@pytest.mark.parametrize("password", ["eight ch", "x y Z é" + "1" * 1000, "пароль и ещё", "  blanks  "])
def test_passwords_that_are_accepted(accounts: Accounts, password: str) -> None:
    """Passwords may be long, in any script, with blanks."""
    accounts.users.set_password("ann@example.com", password)

    assert accounts.users.sign_in("ann@example.com", password).id == "ann@example.com"


def test_frequent_passwords_are_refused() -> None:
    """The 3,000 most frequent ones that are long enough (OWASP ASVS 5.0, 6.2.4), in capitals, too."""
    frequent = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= users.MIN_CHARACTERS][:3000]

    assert len(frequent) == 3000
    accepted = [word for word in frequent[::20] + frequent[-20:] if not is_refused(word.capitalize())]
    assert not accepted


def is_refused(password: str) -> bool:
    try:
        users._checked_and_hashed(password, "ann@example.com")
    except InvalidArgument:
        return True
    return False


@pytest.mark.parametrize("wrong", ["EIGHT ch", "eight ch ", "eight ", "eight ch\0"])
def test_a_password_counts_as_it_was_typed(accounts: Accounts, wrong: str) -> None:
    """Neither case nor blanks are changed, and nothing is cut off."""
    accounts.users.set_password("ann@example.com", "eight ch")

    with pytest.raises(Unauthenticated):
        accounts.users.sign_in("ann@example.com", wrong)


def test_a_hash_of_older_settings_is_renewed(
    accounts: Accounts, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next sign-in stores the password with the settings of today."""
    older = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(users, "_hasher", lambda: older)
    accounts.users.set_password("ann@example.com", PASSWORD)
    monkeypatch.undo()

    accounts.users.sign_in("ann@example.com", PASSWORD)

    with library.database.reading() as connection:
        kept = str(rows.password_hash(connection, "ann@example.com"))
    assert not users._hasher().check_needs_rehash(kept)
    assert accounts.users.sign_in("ann@example.com", PASSWORD).id == "ann@example.com"


def test_wrong_password_and_unknown_user_look_alike(accounts: Accounts) -> None:
    """The error does not reveal which users exist."""
    said = []
    for user in ("ann@example.com", "nobody@example.com", "local"):
        with pytest.raises(Unauthenticated) as caught:
            accounts.users.sign_in(user, "wrong password")
        said.append(str(caught.value))

    assert len(set(said)) == 1


def test_the_sixth_wrong_password_in_a_minute_is_refused(accounts: Accounts, clock: Clock) -> None:
    """For a minute this account refuses even the right password; other accounts do not (B-11)."""
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
    """The limit holds however fast somebody guesses (B-11)."""
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


def test_the_local_user_cannot_be_disabled(accounts: Accounts) -> None:
    """Nobody could enable it again."""
    with pytest.raises(FailedPrecondition):
        accounts.users.set_disabled("local", True)


def test_groups(accounts: Accounts) -> None:
    """A group has existing users, setting it replaces them, and callers carry their groups."""
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
    """The owner needs a password, and the connection TLS."""
    with pytest.raises(FailedPrecondition, match="password"):
        accounts.require_ready_for_network(is_encrypted=True)
    accounts.users.set_password("local", PASSWORD)
    with pytest.raises(FailedPrecondition, match="TLS"):
        accounts.require_ready_for_network(is_encrypted=False)

    accounts.require_ready_for_network(is_encrypted=True)


def test_nobody_else_has_the_address_of_the_local_user(accounts: Accounts) -> None:
    """Else what is shared with one would be the other's."""
    with pytest.raises(InvalidArgument, match="is the user of this machine, whose name is local"):
        accounts.users.add("Local@tunery.localhost")
