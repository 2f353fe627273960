"""CSV and TSV: delimiters, quotes, line ends, ragged rows."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tunery.data.delimited import read_delimited
from tunery.data.tables import DecodedText, Table, TableOptions
from tunery.errors import DatasetInvalid, InvalidArgument


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
    assert "line 3 never closes" in problem.message
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

    assert len(table.problems) == 101
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
