"""The files in `examples/` keep the rules that `examples/README.md` states."""

from __future__ import annotations

import csv
import re
from collections import Counter

import pytest

from benchmarks.quality_data import EXAMPLES, load_task, read_examples
from benchmarks.quality_sources import duplicate_key

FILES = ["tickets", "tickets-held-out", "next-number", "next-number-held-out"]
CATEGORIES = {"billing", "login", "delivery", "bug", "question", "feature"}
PRIORITIES = {"high", "normal", "low"}
ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}


@pytest.mark.parametrize("name", FILES)
def test_fields_are_filled_and_tidy(name: str) -> None:
    """No field is empty or has blanks around it, and no input occurs twice."""
    rows = read_examples(name)

    assert all(text and text == text.strip() for row in rows for text in (row.text_input, row.output))
    assert len({row.text_input for row in rows}) == len(rows)


@pytest.mark.parametrize("name", FILES)
def test_readme_names_the_number_of_rows(name: str) -> None:
    """The table of the README has the file with its number of rows."""
    assert f"| `{name}.csv` | {len(read_examples(name))} |" in (EXAMPLES / "README.md").read_text("utf-8")


def test_there_are_enough_rows() -> None:
    """At least 120 tickets and 100 numbers to tune on, and 40 of each to measure on."""
    sizes = [len(read_examples(name)) for name in FILES]

    assert all(size >= least for size, least in zip(sizes, [120, 40, 100, 40], strict=True))


@pytest.mark.parametrize("name", ["tickets", "tickets-held-out"])
def test_ticket_answers_are_known_and_balanced(name: str) -> None:
    """Every answer is a known category and priority, and each of the 18 pairs occurs equally often."""
    pairs = Counter(tuple(row.output.split(" / ")) for row in read_examples(name))

    assert set(pairs) == {(category, priority) for category in CATEGORIES for priority in PRIORITIES}
    assert len(set(pairs.values())) == 1


@pytest.mark.parametrize(("name", "tickets"), [("messages", "tickets"), ("messages-held-out", "tickets-held-out")])
def test_messages_are_the_tickets_alone(name: str, tickets: str) -> None:
    """Each message is a ticket without its instructions, and its team is the ticket's category."""
    instructions = load_task("tickets").instructions
    with (EXAMPLES / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["message"], row["team"]) for row in csv.DictReader(file)]

    assert rows == [
        (row.text_input.removeprefix(instructions).removeprefix("Ticket: "), row.output.split(" / ")[0])
        for row in read_examples(tickets)
    ]
    assert f"| `{name}.csv` | {len(rows)} |" in (EXAMPLES / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["tickets", "tickets-held-out"])
def test_tickets_share_their_instructions(name: str) -> None:
    """All tickets begin with the same instructions, which name every category and priority, and have 8 to 60 words."""
    instructions = load_task("tickets").instructions

    assert all(word in instructions for word in CATEGORIES | PRIORITIES)
    for row in read_examples(name):
        assert row.text_input.startswith(instructions)
        assert 8 <= len(row.text_input.removeprefix(instructions).split()) <= 60


def test_held_out_tickets_use_other_words() -> None:
    """No held-out ticket shares half of its words with a ticket to tune on."""
    task = load_task("tickets")
    known = [set(duplicate_key(task.body(row.text_input)).split()) for row in task.pool]
    asked = [set(duplicate_key(task.body(row.text_input)).split()) for row in task.test]

    assert max(len(a & k) / len(a | k) for a in asked for k in known) < 0.5


def test_held_out_numbers_are_not_known() -> None:
    """No number to measure on is a number to tune on."""
    pool, test = ({row.text_input for row in read_examples(name)} for name in FILES[2:])

    assert not pool & test


@pytest.mark.parametrize("name", FILES[2:])
def test_digits_and_roman_numerals_are_followed_by_their_successor(name: str) -> None:
    """Where a program can read the number, the answer is one more, in the same form."""
    checked = 0
    for row in read_examples(name):
        if re.fullmatch(r"-?[\d,]+|[IVXL]+", row.text_input):
            assert number_value(row.output) == number_value(row.text_input) + 1
            assert ("," in row.output) == ("," in row.text_input)
            checked += 1

    assert checked >= 20


def number_value(text: str) -> int:
    if text.lstrip("-").replace(",", "").isdigit():
        return int(text.replace(",", ""))
    values = [ROMAN_VALUES[letter] for letter in text]
    following = [*values[1:], 0]
    return sum(-value if value < after else value for value, after in zip(values, following, strict=True))
