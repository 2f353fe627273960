"""Filters and page tokens of lists."""

from __future__ import annotations

import pytest

from tunery.errors import InvalidArgument
from tunery.service.tuning import MAX_PAGE_SIZE, ModelFilter, page_size, page_token, read_page_token
from tunery.types import Role


def test_a_filter_is_read() -> None:
    """Roles, everyone and words can be combined; an empty filter means what the caller may read."""
    assert ModelFilter.parse("") == ModelFilter()
    assert ModelFilter.parse("owner:me blue tickets") == ModelFilter((Role.OWNER,), words=("blue", "tickets"))
    assert ModelFilter.parse("readers:everyone").is_everyone


@pytest.mark.parametrize("text", ["owner:you", "writers:", "readers:all", "owners:me"])
def test_an_unknown_filter_is_refused(text: str) -> None:
    """An unknown filter word is refused with the known ones."""
    with pytest.raises(InvalidArgument, match="owner:me, writers:me"):
        ModelFilter.parse(text)


@pytest.mark.parametrize(("asked", "size"), [(None, 10), (0, 10), (3, 3), (10**9, MAX_PAGE_SIZE)])
def test_page_sizes_are_bounded(asked: int | None, size: int) -> None:
    """None and 0 mean the default; too large a size means the limit."""
    assert page_size(asked, 10) == size


def test_a_negative_page_size_is_refused() -> None:
    """A negative page size is refused."""
    with pytest.raises(InvalidArgument, match="it is -1"):
        page_size(-1, 10)


def test_a_token_is_good_for_its_own_list() -> None:
    """A token returns its number for the same list, and is refused for another list or if it is malformed."""
    token = page_token(17, "tunedModels", "me", "")

    assert read_page_token(token, "tunedModels", "me", "") == 17
    assert read_page_token(None, "tunedModels", "me", "") is None
    for number in (2**62 + 1, 2**63, 2**64 - 1):  # more than SQLite counts
        with pytest.raises(InvalidArgument, match="page token"):
            read_page_token(page_token(number, "tunedModels", "me", ""), "tunedModels", "me", "")
    for wrong, asked in ((token, ("tunedModels", "you", "")), ("../..", ("tunedModels", "me", "")), ("é", ())):
        with pytest.raises(InvalidArgument, match="does not belong to this list"):
            read_page_token(wrong, *asked)
