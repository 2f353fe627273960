"""Tests of `engine.encoding`: one template for tuning and for serving."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

from tests.engine.tiny_bases import SPECIAL, tiny_tokenizer
from tunery.engine.encoding import PLAIN_CHAT_TEMPLATE, Encoder
from tunery.errors import InvalidArgument
from tunery.types import TuningExample

WINDOW = 128


@pytest.fixture(params=["chat", "plain"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return Encoder(tiny_tokenizer() if request.param == "chat" else tiny_tokenizer(PLAIN_CHAT_TEMPLATE), WINDOW)


def test_example_begins_with_the_served_prompt(encoder: Encoder) -> None:
    """What stands before the answer in tuning is, token by token, what is served."""
    row = encoder.example(TuningExample("seven", "eight"))

    assert list(row.token_ids[: row.answer_offset]) == encoder.prompt("seven")


def test_answer_is_output_and_end_of_turn(encoder: Encoder) -> None:
    """The answer tokens spell the output and end with a token that stops an answer."""
    row = encoder.example(TuningExample("seven", "eight"))
    answer = row.token_ids[row.answer_offset :]

    assert encoder.text(answer) == "eight"
    assert answer[-1] == encoder.end_token_id in encoder.stop_token_ids


def test_end_token_is_the_one_of_the_template() -> None:
    """A chat template's end of turn wins over the tokenizer's end of text."""
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = SPECIAL[0]

    encoder = Encoder(tokenizer, WINDOW)

    assert encoder.end_token_id == 2
    assert encoder.stop_token_ids == {0, 2}


@given(
    text_input=st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=30),
    output=st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=8),
)
def test_texts_come_back(text_input: str, output: str) -> None:
    """Whatever the characters, the served prompt is a prefix of the row and the answer spells the output."""
    encoder = Encoder(tiny_tokenizer(), 512)

    row = encoder.example(TuningExample(text_input, output))

    assert list(row.token_ids[: row.answer_offset]) == encoder.prompt(text_input)
    assert encoder.text(row.token_ids[row.answer_offset :]) == output


@given(text=st.text(max_size=30), data=st.data())
def test_text_of_bytes_is_that_of_its_parts(text: str, data: st.DataObject) -> None:
    """The tokenizer of bytes says that it is additive, and is, wherever its tokens are cut between two characters."""
    encoder = Encoder(tiny_tokenizer(), 512)
    tokens = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
    at = data.draw(st.integers(0, len(tokens)))
    parts = encoder.text(tokens[:at]), encoder.text(tokens[at:])

    assert encoder.is_additive
    assert "\ufffd" in parts[0] or "".join(parts) == encoder.text(tokens)


def test_other_decoders_are_not_taken_for_additive() -> None:
    """SentencePiece's drops the blank at the beginning, so parts would lose theirs."""
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.decoder = decoders.Metaspace()

    assert not Encoder(tokenizer, WINDOW).is_additive


def test_row_longer_than_the_window_loses_the_end_of_its_input(encoder: Encoder) -> None:
    """Template and answer stay whole, and the row says that it was cut."""
    row = encoder.example(TuningExample("a" * 500, "eight"))

    assert row.was_cut
    assert len(row.token_ids) == WINDOW
    assert encoder.text(row.token_ids[row.answer_offset :]) == "eight"
    assert encoder.prompt("a")[-3:] == list(row.token_ids[row.answer_offset - 3 : row.answer_offset])


def test_row_whose_answer_does_not_fit_is_refused(encoder: Encoder) -> None:
    """An answer is never cut."""
    with pytest.raises(InvalidArgument, match="Shorten the output"):
        encoder.example(TuningExample("a", "b" * 200))


def test_prompt_that_leaves_no_room_is_refused(encoder: Encoder) -> None:
    """The message names tokens asked for and tokens there are."""
    with pytest.raises(InvalidArgument, match=r"200 output tokens this base can read 0"):
        encoder.prompt("a" * 10, max_output_tokens=200)
