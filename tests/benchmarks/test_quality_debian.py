"""Rows from Debian's package lists, on tiny lists of the same form."""

from __future__ import annotations

import pytest

from benchmarks import quality_data
from benchmarks.quality_data import load_task
from benchmarks.quality_debian import (
    CHOICE_CHARACTERS,
    CHOICES,
    Package,
    cut,
    first_sentence,
    parse_packages,
    search_rows,
    synopsis_rows,
    wish_and_choices,
)

LONG = "It opens files of many kinds and shows what is in them, one page after the other, as fast as they can be read. "
PACKAGES = """Package: paged
Source: pager (1.2)
Section: text
Description-md5: 1

Package: pager-doc
Source: pager (1.2)
Section: doc
Description-md5: 2

Package: libpage3
Section: libs
Description-md5: 3

Package: short
Section: text
Description-md5: 4

Package: viewer
Section: text
Description-md5: 5

Package: unknown
Section: text
Description-md5: 9
"""
TRANSLATIONS = f"""Package: paged
Description-md5: 1
Description-en: view long files page by page
 {LONG}
 .
 It has no other commands, and {LONG}
 Features:
  * it is small

Package: pager-doc
Description-md5: 2
Description-en: documentation of the pager for files
 {LONG * 2}

Package: libpage3
Description-md5: 3
Description-en: library to view long files by page
 {LONG * 2}

Package: short
Description-md5: 4
Description-en: a tool of few words only
 It is small.

Package: viewer
Description-md5: 5
Description-en: View long files, page by page!
 {"Others have copied it. " * 20}
"""


def made(count: int, section: str = "games") -> list[Package]:
    return [
        Package(f"{section}{n}", section, f"a {section} numbered {n} of all", f"It is number {n}. {LONG * 2}")
        for n in range(count)
    ]


def test_each_source_gives_one_package_with_its_long_description() -> None:
    """The first one of a source; libraries, short descriptions and repeated synopses are left out."""
    (found,) = parse_packages(PACKAGES, TRANSLATIONS)

    assert (found.source, found.section, found.synopsis) == ("pager", "text", "view long files page by page")
    assert found.description.startswith("It opens files")
    assert found.description.endswith("Features:")  # the list behind it is left out
    assert "\n" not in found.description
    assert " . " not in found.description


def test_a_description_is_cut_at_the_end_of_a_sentence() -> None:
    """Or behind a word, if the first sentence is too long."""
    assert cut("One here. Two are there. Three.", 26) == "One here. Two are there."
    assert cut("One without any end here", 14) == "One without ..."
    assert cut("Short.", 26) == "Short."


def test_the_first_sentence_is_the_lead() -> None:
    """Version numbers do not end it."""
    assert first_sentence("Version 2.5 of it. More follows.") == "Version 2.5 of it"
    assert first_sentence("No end") == "No end"


def test_a_synopsis_is_the_answer_to_its_description() -> None:
    """One row for each package."""
    (row,) = synopsis_rows(made(1))

    assert row.text_input.startswith("It is number 0. It opens files")
    assert row.output == "a games numbered 0 of all"


def test_a_wish_has_its_description_among_four_others_of_its_section() -> None:
    """The letter is that of the right one; equal seeds give equal rows, and small sections none."""
    packages = [*made(8), *made(8, "mail"), *made(4, "web")]

    rows = search_rows(packages, seed=1)

    assert len(rows) == 16
    assert rows == search_rows(packages, seed=1) != search_rows(packages, seed=2)
    for package, row in zip(packages, rows, strict=False):
        wish, choices = wish_and_choices(row.text_input)
        assert (wish, list(choices)) == (package.synopsis, list(CHOICES))
        assert choices[row.output] == cut(package.description, CHOICE_CHARACTERS)
        assert len(set(choices.values())) == 5
    assert len({row.output for row in rows}) > 2


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_data, "read_packages", lambda: tuple(made(60)))
    monkeypatch.setattr(quality_data, "DEBIAN_ROWS", 20)


@pytest.mark.parametrize("name", ["synopsis", "package-search"])
def test_no_package_is_in_both_parts(name: str, lists: None) -> None:  # noqa: ARG001
    """Neither as an answer nor among the descriptions to choose from."""
    task = load_task(name)

    def numbers(rows: tuple[quality_data.TuningExample, ...]) -> set[str]:
        texts = " ".join(row.text_input for row in rows).split("It is number ")[1:]
        return {text.partition(".")[0] for text in texts}

    assert (len(task.pool), len(task.test)) == (20, 20)
    assert not numbers(task.pool) & numbers(task.test)
    assert all(row.text_input.startswith(task.instructions) for row in (*task.pool, *task.test))
    assert all(not task.labels or row.output in task.labels for row in (*task.pool, *task.test))
