"""What a test needs and this machine lacks: the test is skipped, in CI (CI=true) it fails, so that nobody misses it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

NO_DEFAULT_BASE = "the default base is not in the data folder; run `make base`"


def missing(what: str) -> NoReturn:
    """End the running test because of what is not here and could be."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
