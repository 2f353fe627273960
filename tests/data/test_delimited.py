"""CSV and TSV: delimiters, quotes, line ends, ragged rows."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tunery.data.dataset import Dataset, preview
from tunery.data.delimited import read_delimited
from tunery.data.tables import DecodedText, Table, TableOptions
from tunery.errors import DatasetInvalid, InvalidArgument, Level
from tunery.types import TuningExample

CASES = Path(__file__).parents[1] / "fixtures" / "cases" / "07-delimiter"


def read(text: str, *, delimiter: str | None = None, header: bool | None = None) -> Table:
    return read_delimited(DecodedText(text, "utf-8"), TableOptions(delimiter=delimiter, header=header))


def cells(table: Table) -> list[tuple[object, ...]]:
    return [row.cells for row in table.rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_finds_the_delimiter(delimiter: str) -> None:
    """Comma, semicolon, tab and bar are found out, also when texts hold the others."""
    table = read(f"text{delimiter}label\n" + f"Well, hello; you{delimiter}greeting\n".replace(delimiter * 2, "") * 3)

    if delimiter not in ",;":
        assert cells(table)[0] == ("Well, hello; you", "greeting")
    assert table.delimiter == delimiter
    assert table.format == ("tsv" if delimiter == "\t" else "csv")


def test_a_known_header_settles_the_delimiter() -> None:
    """Commas inside texts do not outvote the header; the rows they break are reported."""
    table = read("text_input,output\nHello, you; there,greeting\nBye, you; all,parting\n")

    assert table.delimiter == ","
    assert [problem.kind for problem in table.problems] == ["ragged-row", "ragged-row"]


@pytest.mark.parametrize(
    ("name", "delimiter", "first"),
    [
        ("dates-with-comma.csv", ";", TuningExample("April 15, 2023 parcel late", "delivery")),
        ("decimal-comma.csv", ";", TuningExample("1,5", "2,5")),
        ("decimal-comma-many.csv", ";", TuningExample("101300", "7331,00")),
        ("text-with-semicolons.csv", ",", TuningExample("hello; world", "greeting")),
    ],
)
def test_punctuation_and_decimal_commas_delimit_nothing(name: str, delimiter: str, first: TuningExample) -> None:
    """A comma before a blank or between digits is weaker than another delimiter, also where last cells were lost."""
    shown = preview(CASES / name)

    assert (shown.delimiter, shown.first_example, shown.questions) == (delimiter, first, ())
    assert shown.example_count == shown.row_count


def test_two_equal_delimiters_are_asked(tmp_path: Path) -> None:
    """A tab and a comma in every row explain the file equally well: an error with both readings."""
    path = tmp_path / "tickets.csv"
    path.write_text("My parcel is late\tsigned,delivery\n" * 24)

    (question,) = preview(path).questions

    assert (question.kind, question.level, question.option) == ("ambiguous-delimiter", Level.ERROR, "delimiter")
    assert [(one.value, one.rows[0]) for one in question.readings] == [
        ("\t", ("My parcel is late", "signed,delivery")),
        (",", ("My parcel is late\tsigned", "delivery")),
    ]
    assert Dataset.read(path, delimiter=",").examples[0] == TuningExample("My parcel is late\tsigned", "delivery")


def test_a_character_in_the_last_rows_is_no_delimiter() -> None:
    """What stands in one row only competes with nothing, wherever that row is."""
    table = read("".join(f"text {n},label\n" for n in range(9)) + "left\tright,label\n", header=False)

    assert (table.delimiter, table.problems) == (",", ())


def test_sentences_are_not_split_in_silence() -> None:
    """Where every comma is followed by a space, a warning says that the split is a guess."""
    table = read("Hello, you\nWell, hi\nBye, all\n")

    assert ("guessed-delimiter", "delimiter") in [(p.kind, p.option) for p in table.problems]


@pytest.mark.parametrize("delimiter", ["^", "~", ":"])
def test_an_unusual_delimiter_is_suggested(delimiter: str) -> None:
    """If every row has the same other character, the error names it."""
    table = read(f"text{delimiter}label\na{delimiter}b\nc{delimiter}d\n")

    problem = table.problems[0]
    assert f"each row contains {delimiter!r} once" in problem.message
    assert [reading.value for reading in problem.readings] == [delimiter]


def test_columns_of_blanks_are_named() -> None:
    """A printed table is refused for what it is."""
    table = read("text       label\nmy parcel  delivery\nfoo bar    billing\n")

    assert table.problems[0].message == "The columns seem to be separated by spaces; save the table as CSV."


def test_lost_cells_at_the_end_are_empty() -> None:
    """Excel leaves out empty cells at the ends of rows; that is said once."""
    table = read("text;label;note\na;b\nc;d\ne;f;late\n")

    assert cells(table) == [("a", "b", None), ("c", "d", None), ("e", "f", "late")]
    assert [str(problem) for problem in table.problems] == [
        "2 rows have fewer than 3 cells; the missing ones at the end count as empty. The first is row 2."
    ]


def test_row_names_of_r_have_no_header() -> None:
    """If every row begins with its number and the header is one cell shorter, the numbers are a column of their own."""
    table = read('"text"\t"label"\n' + "".join(f'"{n}"\t"a{n}"\t"b"\n' for n in range(1, 5)))

    assert table.columns == ("column 1", "text", "label")
    assert cells(table)[0] == ("1", "a1", "b")


def test_a_first_row_narrower_than_all_others_is_an_error() -> None:
    """It may be a title or names for texts with a comma; neither is guessed."""
    table = read("frage2,antwort2\n" + "".join(f"a{n},b,c\n" for n in range(9)))

    assert [(p.kind, p.row) for p in table.problems if p.level is Level.ERROR] == [("ragged-row", 1)]


def test_a_title_and_comments_above_the_table_do_not_hide_the_delimiter() -> None:
    """Lines of one cell above the rows do not count; comments are left out with a warning."""
    table = read("# exported 2024-05-01\n# do not edit\ntext,label\na,b\nc,d\n")

    assert [row.number for row in table.rows] == [4, 5]
    assert str(table.problems[0]) == "Rows 1 to 2 begin with # and were skipped as a comment."


def test_single_quotes_can_enclose_cells() -> None:
    """A file whose cells are all in single quotes is read that way, with a warning."""
    table = read("'text';'label'\n'Hello; you\nit''s \"me\"';'x'\n'b';'c'\n")

    assert cells(table) == [('Hello; you\nit\'s "me"', "x"), ("b", "c")]
    assert [problem.kind for problem in table.problems] == ["quotes"]


def test_single_quotes_that_are_text_stay() -> None:
    """If the quotes do not enclose cells throughout the file, they are part of the texts."""
    table = read("'quoted','word'\nit's late,x\nno 'end,y\n'open,z\n", header=False)

    assert cells(table)[0] == ("'quoted'", "'word'")
    assert cells(table)[3] == ("'open", "z")


def test_curly_quotes_are_one_problem() -> None:
    """Curly quotes enclose nothing; if a cell is torn apart by that it is an error, otherwise a warning."""
    torn = read("“My parcel, late”,“delivery”\n“Charged, twice”,“billing”\n")
    whole = read("“My parcel”,“delivery”\n“Charged”,“billing”\n")

    assert [p.level for p in torn.problems if p.kind == "curly-quotes"] == [Level.ERROR]
    assert [p.level for p in whole.problems if p.kind == "curly-quotes"] == [Level.WARNING]


def test_database_escapes() -> None:
    """A backslash before a line break is resolved with the other escapes; the two characters \\n alone are named."""
    written = read("text\tlabel\nfirst\\\nsecond\tx\\\\y\n\\N\tz\n")
    batch = read("text\tlabel\nfirst\\nsecond\tx\n")

    assert cells(written) == [("first\nsecond", "x\\y"), ("", "z")]
    assert cells(batch) == [("first\\nsecond", "x")]
    assert [p.kind for p in (*written.problems, *batch.problems)] == ["backslash-escapes", "backslash-escapes"]


def test_one_cause_is_told_once() -> None:
    """If a large part of the rows is too wide, or has wrong quotes, that is one problem; the rows still count."""
    wide = read("text,label\n" + "Hello, you,x\n" * 20)
    broken = read("text,label\n" + "My parcel\nis late,x\n" * 20)

    assert [str(problem) for problem in wide.problems] == [
        "20 of 21 rows do not have 2 cells (first: row 2). "
        "Put texts that contain a comma in double quotes, or name another delimiter."
    ]
    assert (len(wide.refused), wide.problems[0].option) == (20, "delimiter")
    assert [str(problem) for problem in broken.problems] == [
        "20 of 41 rows do not have 2 cells (first: row 2). Put texts with line breaks in double quotes."
    ]


def test_rows_that_cannot_be_read_count(tmp_path: Path) -> None:
    """The preview counts all rows of the file, and those that can be used."""
    path = tmp_path / "five.csv"
    path.write_text('text,label\na,b\nc\nd,e\n"f" g,h\ni,j\n')

    shown = preview(path)

    assert (shown.example_count, shown.row_count) == (3, 5)
    assert preview(path, skip_rows=[3, 5]).row_count == 3


def test_a_named_delimiter_is_used() -> None:
    """What the caller names is not questioned."""
    table = read("text:label\na,b:c\n", delimiter=":")

    assert cells(table) == [("a,b", "c")]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n"])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    """Nothing, two characters, a quote or a line break cannot delimit."""
    with pytest.raises(InvalidArgument):
        read("text,label\na,b\n", delimiter=delimiter)


def test_understands_the_hint_for_excel() -> None:
    """A first line "sep=;" names the delimiter and does not count as a row, as in Excel."""
    table = read("sep=;\r\ntext;label\r\na,b;c\r\n")

    assert table.delimiter == ";"
    assert [(row.number, row.cells) for row in table.rows] == [(2, ("a,b", "c"))]


def test_reads_quoted_line_breaks_delimiters_and_quotes() -> None:
    """Inside quotes everything is text; rows are counted as records."""
    table = read('text,label\n"one\r\ntwo, ""three""",x\nfour,y\n')

    assert [(row.number, row.cells) for row in table.rows] == [(2, ('one\r\ntwo, "three"', "x")), (3, ("four", "y"))]


def test_blanks_around_quotes_are_no_text() -> None:
    """A blank before or after a quoted cell does not make its quotes part of the text."""
    assert cells(read('text,label\n"a, b" , "c"\n')) == [("a, b", "c")]


def test_a_blank_after_each_delimiter_is_no_text() -> None:
    """Under usual names that have it too, it is left out of the cells, with a word; elsewhere it stays."""
    table = read('text, label\na, b\nc, d\ne, "f, g"\nh, i\n')
    without_names = read("x, y\na, b\nc, d\ne, f\n", header=True)

    assert [row.cells for row in table.rows] == [("a", "b"), ("c", "d"), ("e", "f, g"), ("h", "i")]
    assert "Each comma is followed by a space, which was removed from the cells." in map(str, table.problems)
    assert without_names.rows[0].cells == ("a", " b")


def test_a_quote_inside_plain_text_is_text() -> None:
    """Inches and the like need no quoting."""
    assert cells(read('text,label\n5" pipe,part\n')) == [('5" pipe', "part")]


def test_cells_may_be_long() -> None:
    """A cell above the csv module's 131,072 characters is read, and the module's limit stays what it was."""
    before = csv.field_size_limit()

    table = read(f"text,label\n{'x' * 200_000},y\n")

    assert len(str(table.rows[0].cells[0])) == 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_takes_all_line_ends(line_end: str) -> None:
    """Unix, Windows and old Mac files are the same."""
    assert cells(read(line_end.join(["text,label", "a,b", "c,d"]))) == [("a", "b"), ("c", "d")]


def test_blank_lines_count_but_are_no_rows() -> None:
    """Rows keep the numbers that a spreadsheet shows for them."""
    assert [row.number for row in read("text,label\n\na,b\n\r\n \n,\nc,d\n\n\n").rows] == [3, 7]


def test_a_quote_that_never_closes_is_reported_where_it_opened() -> None:
    """The line is named, and the lines after it are still read."""
    table = read('text,label\na,b\nc,"d\ne,f\n')

    (problem,) = table.problems
    assert (problem.kind, problem.row) == ("unclosed-quote", 3)
    assert "line 3 is never closed" in problem.message
    assert [row.number for row in table.rows] == [2, 4]


def test_a_quote_in_the_middle_of_a_quoted_cell_is_reported() -> None:
    """A quote that is not doubled is an error with the lines it spans, never lost."""
    table = read('text,label\n"two\nlines",b\n"say "hi" now",c\nd,e\n')

    (problem,) = table.problems
    assert (problem.kind, problem.row) == ("stray-quote", 4)
    assert "opened in line 4 closes in line 4" in problem.message
    assert cells(table) == [("two\nlines", "b"), ("d", "e")]


def test_every_wrong_quote_is_reported() -> None:
    """Two broken lines give two problems."""
    table = read('text,label\n"a" b,c\nd,e\n"f" g,h\n')

    assert [problem.row for problem in table.problems] == [2, 4]


def test_a_file_full_of_wrong_quotes_is_given_up() -> None:
    """After 100 wrong quotes the rest is not read, and that is said."""
    table = read("text,label\n" + '"a" b,c\n' * 150)

    (problem,) = table.problems
    assert problem.message.startswith("At least 100 rows have a quote in the middle of a cell (first: row 2).")
    assert "The rest of the file was not read" in table.problems[-1].message


def test_understands_quotes_with_backslashes() -> None:
    """A file that escapes quotes as MySQL does is read so, with a warning."""
    table = read('text,label\n"say \\"hi\\" now",c\n"d",e\n')

    assert cells(table) == [('say "hi" now', "c"), ("d", "e")]
    assert [problem.kind for problem in table.problems] == ["backslash-quotes"]


def test_ragged_rows_are_reported() -> None:
    """Rows with too few or too many cells are errors with both numbers."""
    table = read("text,label\na\nb,c\nd,e,f\n")

    assert [(p.row, p.actual, p.limit) for p in table.problems] == [(2, 1, 2), (4, 3, 2)]
    assert str(table.problems[0]) == "Row 2: 1 cell, expected 2."
    assert "comma in double quotes" in table.problems[1].message


def test_empty_cells_beyond_the_last_column_are_no_problem() -> None:
    """Spreadsheets like to write delimiters at the ends of rows."""
    table = read("text,label\na,b,,\nc,d,\n")

    assert cells(table) == [("a", "b"), ("c", "d")]
    assert table.problems == ()


def test_one_column_has_no_delimiter() -> None:
    """Sentences with a comma now and then are one column."""
    table = read("Hello, you\nWell\nBye\nNo\n")

    assert table.delimiter is None
    assert len(table.columns) == 1


def test_a_million_rows_are_too_many() -> None:
    """More than 100,000 rows are refused before they take the memory."""
    with pytest.raises(DatasetInvalid, match="more than 100,000 rows"):
        read("text,label\n" + "a,b\n" * 100_001)


def test_thousands_of_columns_are_too_many() -> None:
    """A line of delimiters is refused with the number of columns."""
    with pytest.raises(DatasetInvalid, match="1,001 columns, limit 256"):
        read("a," * 1_000 + "a\n")


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda text: bool(text.strip())
)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_reads_back_what_the_csv_module_writes(
    rows: list[tuple[str, str, str]], delimiter: str, quoting: int, line_end: str
) -> None:
    """Any texts in any dialect come back unchanged, if the csv module can read them itself."""
    target = io.StringIO(newline="")
    csv.writer(target, delimiter=delimiter, quoting=quoting, lineterminator=line_end).writerows(rows)  # type: ignore[arg-type]
    # It leaves line breaks unquoted that are not its own.
    assume(list(csv.reader(io.StringIO(target.getvalue(), newline=""), delimiter=delimiter)) == list(map(list, rows)))

    table = read(target.getvalue(), delimiter=delimiter, header=False)

    assert cells(table) == rows
    assert table.problems == ()


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
)
def test_finds_the_delimiter_that_the_csv_module_wrote(rows: list[tuple[str, str]], delimiter: str) -> None:
    """With a known header and quoted cells the delimiter is found out and the texts come back."""
    target = io.StringIO(newline="")
    writer = csv.writer(target, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("text_input", "output"), *rows])

    table = read(target.getvalue())

    assert table.delimiter == delimiter
    assert cells(table) == rows
