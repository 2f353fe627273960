"""Tests of `engine.encoding`: one template for tuning and for serving."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from tests.engine.tiny_bases import SPECIAL, TEMPLATE, tiny_text_side
from tunery.engine.encoding import ControlTokens, Encoder
from tunery.engine.tokenizer import PLAIN_CHAT_TEMPLATE
from tunery.engine.tokenizer import Tokenizer as TextSide
from tunery.errors import DatasetInvalid, InvalidArgument
from tunery.types import TuningExample, Turn

WINDOW = 128


@pytest.fixture(params=["chat", "plain"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return Encoder(tiny_text_side() if request.param == "chat" else tiny_text_side(PLAIN_CHAT_TEMPLATE), WINDOW)


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
    tokenizer = tiny_text_side()
    tokenizer.names["eos_token"] = SPECIAL[0]

    encoder = Encoder(tokenizer, WINDOW)

    assert encoder.end_token_id == 2
    assert encoder.stop_token_ids == {0, 2}


@given(
    text_input=st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=30),
    output=st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=8),
)
def test_texts_come_back(text_input: str, output: str) -> None:
    """Whatever the characters, the served prompt is a prefix of the row and the answer spells the output."""
    encoder = Encoder(tiny_text_side(), 512)

    row = encoder.example(TuningExample(text_input, output))

    assert list(row.token_ids[: row.answer_offset]) == encoder.prompt(text_input)
    assert encoder.text(row.token_ids[row.answer_offset :]) == output


@given(text=st.text(max_size=30), data=st.data())
def test_text_of_bytes_is_that_of_its_parts(text: str, data: st.DataObject) -> None:
    """The tokenizer of bytes says that it is additive, and is, wherever its tokens are cut between two characters."""
    encoder = Encoder(tiny_text_side(), 512)
    tokens = encoder.tokenizer.encode(text)
    at = data.draw(st.integers(0, len(tokens)))
    parts = encoder.text(tokens[:at]), encoder.text(tokens[at:])

    assert encoder.is_additive
    assert "\ufffd" in parts[0] or "".join(parts) == encoder.text(tokens)


def test_other_decoders_are_not_taken_for_additive() -> None:
    """SentencePiece's drops the blank at the beginning, so parts would lose theirs."""
    tokenizer = tiny_text_side()
    tokenizer.backend.decoder = decoders.Metaspace()

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


def test_all_rows_whose_answers_do_not_fit_are_named(encoder: Encoder) -> None:
    """The numbers are those of the examples, and the error of one row is not said of another."""
    rows = [
        TuningExample("a", "b"),
        TuningExample("a", "b" * 200),
        TuningExample("a" * 500, "b"),
        TuningExample("", "é" * 70),
    ]

    with pytest.raises(DatasetInvalid) as refused:
        encoder.examples(rows)

    assert [problem.row for problem in refused.value.problems] == [2, 4]
    assert str(refused.value).startswith("Row 2, output: ")


def test_an_output_that_just_fits_is_tuned_on(encoder: Encoder) -> None:
    """The border is the window itself: one token more is refused, before as in tuning."""
    fitting = WINDOW - len(encoder.prompt("")) - 1

    assert not encoder.outputs_beyond_window([TuningExample("a", "b" * fitting)])
    assert len(encoder.example(TuningExample("a", "b" * fitting)).token_ids) == WINDOW
    assert encoder.outputs_beyond_window([TuningExample("a", "b" * (fitting + 1))]) == {0: WINDOW + 1}


def test_prompt_that_leaves_no_room_is_refused(encoder: Encoder) -> None:
    """The message names tokens asked for and tokens there are."""
    with pytest.raises(InvalidArgument, match=r"200 output tokens this base can read 0"):
        encoder.prompt("a" * 10, max_output_tokens=200)


TRIMMED = TEMPLATE.replace("message['content']", "message['content'] | trim")
TWICE = TEMPLATE.replace("message['content']", "message['content'] + '<|im_start|>' + message['content']")
NO_BORDER = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
MARKERS = ("<s>", "</s>", "<unk>", "<pad>")
MARKED = "{{ '<s>' }}{% for message in messages %}{{ '[' + message['content'] + ']</s>' }}{% endfor %}"


def pieces_tokenizer(kind: str) -> TextSide:
    """A tokenizer in the manner of SentencePiece: blanks as marks, whole control tokens among its pieces."""
    plain = [chr(code) for code in range(33, 127)] + ["\n", "▁", "é", "▁a", "ab", "</"]
    if kind == "unigram":
        tokenizer = Tokenizer(models.Unigram([*((name, -1.0) for name in MARKERS), *((p, -2.0) for p in plain)], 2))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    else:
        vocabulary = {piece: number for number, piece in enumerate([*MARKERS, *plain, "</s"])}
        merges = [("▁", "a"), ("a", "b"), ("<", "/"), ("</", "s"), ("</s", ">")]
        tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", ignore_merges=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in MARKERS[:2]])
    tokenizer.add_special_tokens([AddedToken(name, special=True, rstrip=True) for name in MARKERS[2:]])
    return TextSide(tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, (), MARKED)


TOKENIZERS = {
    **{name: tiny_text_side(template) for name, template in (("chat", TEMPLATE), ("plain", PLAIN_CHAT_TEMPLATE))},
    **{name: tiny_text_side(template) for name, template in (("trimmed", TRIMMED), ("twice", TWICE))},
    **{kind: pieces_tokenizer(kind) for kind in ("unigram", "bpe")},
}
ORDINARY = st.text(st.sampled_from(" \n\tab<|>/[im_ends😀é\U000f0000\ufffd"), min_size=1, max_size=20)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(asked=ORDINARY, output=ORDINARY, system=ORDINARY)
@settings(max_examples=60)
def test_ordinary_texts_have_the_ids_of_the_whole_rendering(name: str, asked: str, output: str, system: str) -> None:
    """Texts without control tokens are encoded as before on both ways, with merges across borders of the template."""
    encoder = Encoder(TOKENIZERS[name], 1 << 20)
    turns = (Turn("system", system), Turn("user", asked))
    assume(not any(token in text for token in (*SPECIAL, *MARKERS) for text in (asked, output, system)))
    whole = encoder.tokenizer.encode(encoder.rendered(turns) + output)

    assert encoder._encode(turns, output) == whole
    with patch.object(ControlTokens, "are_spelled_in", return_value=True):
        assert encoder._encode(turns, output) == whole


@pytest.mark.parametrize("name", TOKENIZERS)
@given(data=st.data())
@settings(max_examples=60)
def test_control_tokens_come_from_the_template_alone(name: str, data: st.DataObject) -> None:
    """Whatever a user writes, a prompt has the control tokens of a prompt that says x, and the answer but its end."""
    encoder = Encoder(TOKENIZERS[name], 1 << 20)
    controls = [*SPECIAL, *MARKERS, "<|im_", "end|>", "<", "/s>"]
    texts = st.lists(st.sampled_from(controls) | ORDINARY, min_size=1, max_size=6).map("".join)
    asked, output, system = data.draw(texts), data.draw(texts), data.draw(texts)
    unknown = encoder.tokenizer.token_id("unk_token")

    def control_tokens(token_ids: Sequence[int]) -> list[int]:
        return [token for token in token_ids if token in encoder.tokenizer.special_ids and token != unknown]

    neutral = encoder.conversation((Turn("system", "x"), Turn("user", "x")))
    row = encoder.example(TuningExample(asked, output))

    assert control_tokens(encoder.conversation((Turn("system", system), Turn("user", asked)))) == control_tokens(
        neutral
    )
    assert control_tokens(row.token_ids[row.answer_offset :]) == [encoder.end_token_id]


@pytest.mark.parametrize("output", ["<|im_end|> is how it looks", "tar -xf <|endoftext|> && ls", "<|im_start|>user\nx"])
def test_control_tokens_in_texts_come_back_letter_for_letter(output: str) -> None:
    """An output that spells a control token is learned and shown whole, also as a label."""
    encoder = Encoder(tiny_text_side(), 512)
    row = encoder.example(TuningExample(output, output))

    assert encoder.text(row.token_ids[row.answer_offset :]) == output
    assert [encoder.text(ids) for ids in encoder.answers([output])] == [output]
    assert output in encoder.row_text(TuningExample(output, "x"))


def test_control_token_cannot_be_put_together_of_two_turns() -> None:
    """A template that puts texts side by side joins halves of control tokens as text."""
    tokenizer = tiny_text_side(NO_BORDER)

    ids = Encoder(tokenizer, 512).conversation((Turn("user", "a<|im_"), Turn("model", "end|>")))

    assert tokenizer.decode(ids) == "a<|im_end|>"
    assert not set(ids) & tokenizer.special_ids


def test_row_with_control_tokens_is_cut_as_text() -> None:
    """The end of an input that is too long is cut off, and what is left is text."""
    encoder = Encoder(tiny_text_side(), WINDOW)
    row = encoder.example(TuningExample("<|im_end|>" * 50, "eight"))

    assert row.was_cut
    assert len(row.token_ids) <= WINDOW
    assert list(row.token_ids).count(2) == 2  # of the template's turn and of the answer


@pytest.mark.parametrize(
    ("text", "tokens", "shown"),
    [("a😀", 5, "a😀"), ("a😀", 4, "a"), ("a😀", 2, "a"), ("a\ufffd", 4, "a\ufffd"), ("é", 1, ""), ("", 0, "")],
)
def test_half_character_at_the_end_is_left_out(text: str, tokens: int, shown: str) -> None:
    """Bytes that are no character yet are not shown; U+FFFD that the answer means is."""
    encoder = Encoder(tiny_text_side(), WINDOW)

    assert encoder.whole_text(encoder.tokenizer.encode(text)[:tokens]) == shown
