"""Fixtures for the tests of accounts without HTTP."""

from __future__ import annotations

import pytest

from tests.server.accounts_app import Clock, make_accounts
from tests.server.conftest import PASSWORD, empty_home, library, quick_hashes
from tunery.service.accounts.accounts import Accounts
from tunery.service.library import Library

__all__ = ["accounts", "clock", "empty_home", "library", "quick_hashes"]


@pytest.fixture
def clock() -> Clock:
    """Return a clock that moves only by hand."""
    return Clock()


@pytest.fixture
def accounts(library: Library, clock: Clock) -> Accounts:
    """Return accounts with the user ann, who has a password."""
    accounts = make_accounts(library, clock)
    accounts.users.add("ann@example.com", PASSWORD)
    return accounts
