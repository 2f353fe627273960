"""Ids and display names of tuned models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.errors import InvalidArgument
from tunery.service.tuning import (
    MAX_NAME_CHARACTERS,
    check_description,
    check_display_name,
    check_id,
    new_id,
    random_id,
)


@pytest.mark.parametrize("model_id", ["a", "a1", "number-generator-model", "a" * 40, "a--b"])
def test_ids_of_google_form_are_taken(model_id: str) -> None:
    """Lower-case letters, digits and hyphens up to 40, a letter first, no hyphen last."""
    check_id(model_id)


@pytest.mark.parametrize("model_id", ["", "A", "1a", "a-", "-a", "a" * 41, "a b", "a/b", "../a", "a\n", "ä"])
def test_other_ids_are_refused(model_id: str) -> None:
    """Other ids are refused with the rule in the message."""
    with pytest.raises(InvalidArgument, match="start with a letter"):
        check_id(model_id)


@pytest.mark.parametrize("display_name", ["", "  ", "x" * 41])
def test_display_names_have_1_to_40_characters(display_name: str) -> None:
    """A display name that is empty or longer than 40 characters is refused."""
    with pytest.raises(InvalidArgument, match="1 to 40 characters"):
        check_display_name(display_name)


@pytest.mark.parametrize(
    ("display_name", "words"),
    [
        ("Number Generator Model", "number-generator-model"),
        ("  Größe & Höhe! ", "groe-hohe"),
        ("2024 tickets", "tuned-2024-tickets"),
        ("日本語", "tuned"),
        ("---", "tuned"),
    ],
)
def test_an_id_is_the_words_and_12_random_characters(display_name: str, words: str) -> None:
    """The words of the display name are kept as far as an id can hold them."""
    start, _, random = new_id(display_name).rpartition("-")

    assert start == words
    assert len(random) == 12


@given(st.text(min_size=1, max_size=MAX_NAME_CHARACTERS))
def test_every_display_name_gives_an_id_that_clients_accept(display_name: str) -> None:
    """An id made from any text is at most 63 characters of the id alphabet and starts with a letter."""
    model_id = new_id(display_name)

    assert len(model_id) <= 63
    assert model_id[0].isalpha()
    assert set(model_id) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_random_ids_differ() -> None:
    """A thousand random ids are all different."""
    assert len({random_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("character", ["\x1b", "\n", "\0", "\x9b", "\u202e"])
def test_names_hold_no_control_characters(character: str) -> None:
    """A display name cannot control a terminal or turn its text around; the message says which and where."""
    with pytest.raises(InvalidArgument, match=rf"control character \(U\+{ord(character):04X}\) at position 4"):
        check_display_name(f"abc{character}[31m")


def test_descriptions_may_have_several_lines() -> None:
    """Line ends and tabs are taken, other control characters are not."""
    check_description("one\r\ntwo\tthree")
    with pytest.raises(InvalidArgument, match="The description has a control character"):
        check_description("one\x1b]0;title\x07")
