"""
Who may come in: users, groups, passwords, tokens, API keys, sign-ins, and the state of the authorization server.

It knows its tables through `service/database/`; no HTTP and no tuned models. `Accounts` is the way in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunery.service.accounts.accounts import Accounts as Accounts


def __getattr__(name: str) -> Any:
    if name == "Accounts":  # late: the modules of the database read values from this package
        from tunery.service.accounts.accounts import Accounts

        return Accounts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
