"""What the structured prompts of a user may take, and what a list of them reads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tunery.errors import ResourceExhausted
from tunery.service import prompts as module
from tunery.service.access import TUNING
from tunery.service.database import accounts, models
from tunery.service.library import Library
from tunery.types import Caller

ANN, BOB = (Caller(f"{name}@example.com", frozenset({TUNING})) for name in ("ann", "bob"))
ROWS = {"preamble": "Count.", "columns": [{"prefix": "in", "is_input": True}], "rows": [["1"], ["2"]], "test_rows": []}


@pytest.fixture(autouse=True)
def known_users(library: Library) -> None:
    """Add the users whose prompts these are."""
    with library.database.writing() as connection:
        for caller in (ANN, BOB):
            accounts.add_user(connection, str(caller.user_id), None, is_admin=False, now=datetime.now(UTC))


def test_lists_read_no_rows(library: Library) -> None:
    """A listed prompt has all but its rows, and their number; a prompt without rows has none."""
    library.prompts.create(ANN, "Numbers", ROWS)
    library.prompts.create(ANN, "Empty", {})

    (empty, numbers), has_more = library.prompts.page(ANN, "", start=0, limit=10)

    assert (empty.document, empty.row_count, has_more) == ({}, 0, False)
    assert (numbers.document, numbers.row_count) == ({name: ROWS[name] for name in ("preamble", "columns")}, 2)


def test_a_page_of_large_prompts_is_short(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends before its documents take too much, but has one prompt at least; the next begins behind it."""
    for number in range(4):
        library.prompts.create(ANN, f"Prompt {number}", ROWS | {"preamble": "x" * 1000})
    monkeypatch.setattr(models, "PAGE_PROMPT_BYTES", 2500)

    pages = [library.prompts.page(ANN, "", start=start, limit=10) for start in (0, 2)]

    assert [(len(page), has_more) for page, has_more in pages] == [(2, True), (2, False)]
    names = [prompt.display_name for page, _ in pages for prompt in page]
    assert sorted(names) == [f"Prompt {number}" for number in range(4)]
    monkeypatch.setattr(models, "PAGE_PROMPT_BYTES", 1)
    assert len(library.prompts.page(ANN, "", start=0, limit=10)[0]) == 1


def test_the_prompts_of_a_user_are_bounded_in_all(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new prompt or a change beyond the limit is refused with the figure; other users have their own."""
    monkeypatch.setattr(module, "MAX_PROMPT_BYTES", 2 << 20)
    large = {"preamble": "x" * (1 << 20)}
    first = library.prompts.create(ANN, "Large", large)

    with pytest.raises(ResourceExhausted, match=r"more than 2 MiB; the others take 1\.0\. Delete some"):
        library.prompts.create(ANN, "Too much", large)
    with pytest.raises(ResourceExhausted):
        library.prompts.update(ANN, first.id, display_name=None, document={"preamble": "x" * (2 << 20)})

    library.prompts.update(ANN, first.id, display_name=None, document={"preamble": "y" * (1 << 20)})
    library.prompts.create(BOB, "Large", large)
