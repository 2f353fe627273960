"""
Files that cannot be tuned on, each with the row, the column and the words that its error must name.

Made here, so that nothing doubtful lies in the repository; used by `test_bad_files`.
"""

from __future__ import annotations

import codecs
import json
import random
import zipfile
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import Any

from tests.data import made_workbooks as made
from tunery.types import MAX_DATASET_BYTES

HEADER = "text_input,output\n"


@dataclass(frozen=True)
class BadFile:
    """`words` must stand in the message of the first error; `row` and `column` are those of that error."""

    name: str
    content: bytes
    words: str
    row: int | None = None
    column: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@cache  # three modules have a test of each file
def bad_files() -> tuple[BadFile, ...]:
    """Return the whole corpus, about 200 files."""
    made_by_hand = [*_text_files(), *_csv_files(), *_json_files(), *_workbooks(), *_archives(), *_large_files()]
    return (*made_by_hand, *_one_bad_row(), *_cut_workbooks(), *_broken_characters())


def _text_files() -> list[BadFile]:
    sentence = HEADER + "a,b\n"
    return [
        BadFile("nothing.csv", b"", "empty"),
        BadFile("blanks.csv", b" \n\t\r\n \n", "empty"),
        BadFile("only-a-mark.csv", codecs.BOM_UTF8, "empty"),
        BadFile("only-a-utf16-mark.csv", codecs.BOM_UTF16_LE, "empty"),
        BadFile("half-utf16.csv", codecs.BOM_UTF16_LE + sentence.encode("utf-16-le")[:-1], "not utf-16-le", row=2),
        BadFile("half-utf8.csv", HEADER.encode() + b"a,\x81\x8d\n", "not UTF-8 (byte 0x81)", row=2),
        BadFile(
            "two-ways.csv",
            HEADER.encode() + "Balík nepřišel,doručení\nPošlete fakturu ještě jednou,platba\n".encode("iso8859-2"),
            "it may be iso8859-2",
            row=2,
        ),
        BadFile(
            "wrong-name.csv", sentence.encode() + "ä,b\n".encode(), "not ascii", row=3, options={"encoding": "ascii"}
        ),
        BadFile("surrogate.csv", HEADER.encode() + b"a,b\nc,\xed\xa0\x80\n", "half of a character", 3, "output"),
        BadFile("nul.csv", (sentence + "c\0d,e\n").encode(), "NUL at character 2", 3, "text_input"),
        BadFile("nul-utf16.csv", codecs.BOM_UTF16_BE + (sentence + "c,\0\n").encode("utf-16-be"), "NUL", 3, "output"),
        BadFile("random.csv", random.Random(0).randbytes(5_000), "not a text file"),
        BadFile("controls.csv", bytes(range(1, 32)) * 40, "not a text file"),
        BadFile("zeros.csv", bytes(10_000), "not a text file"),
        BadFile("document.csv", b"%PDF-1.7\n%\xe2\xe3", "a PDF file"),
        BadFile("photo.csv", b"\x89PNG\r\n\x1a\n", "a picture"),
        BadFile("packed.csv.gz", b"\x1f\x8b\x08\x00", "gzip file; unpack it first"),
        BadFile("table.parquet", b"PAR1\x15\x04", "Parquet"),
        BadFile("table.feather", b"ARROW1\0\0\xff\xff", "Arrow"),
        BadFile("table.pkl", b"\x80\x05\x95\x0e", "pickle"),
        BadFile("table.h5", b"\x89HDF\r\n\x1a\n", "HDF5"),
        BadFile("noise.csv", HEADER.encode() + b"\xff\xfe\0\x81\x90\0\x80\xff" * 9, "not a text file"),
        BadFile("data.db", b"SQLite format 3\0", "SQLite"),
        BadFile("notes.rtf", b"{\\rtf1\\ansi hello}", "RTF"),
    ]


def _csv_files() -> list[BadFile]:
    def csv(name: str, text: str, words: str, row: int | None = None, column: str | None = None) -> BadFile:
        return BadFile(f"{name}.csv", text.encode(), words, row, column)

    return [
        csv("only-a-header", HEADER, "only a header"),
        csv("header-without-line-end", HEADER.strip(), "only a header"),
        csv("header-and-blanks", HEADER + "\n , \n,\n", "only a header"),
        csv("one-column", "text\nhello\nthere\n", "There is only one column, 'text'"),
        csv("one-cell", "hello", "There is only one column"),
        csv("one-column-of-sentences", "Well, yes\nNo\nPerhaps\nMaybe\n", "There is only one column"),
        csv("only-delimiters", ",,,,\n,,,,\n", "empty"),
        csv("empty-input", HEADER + "a,b\n,c\n", "empty", 3, "text_input"),
        csv("empty-output", HEADER + "a,b\nc,\n", "empty", 3, "output"),
        csv("blank-output", HEADER + 'a,"  \n"\n', "empty", 2, "output"),
        csv("other-names", "frage;antwort\na;b\nc;\n", "empty", 3, "antwort"),
        csv("after-line-breaks", HEADER + '"a\nb\nc",d\n,e\n', "empty", 3, "text_input"),
        csv("long-input", HEADER + "x" * 40_001 + ",y\n", "40,001 characters, limit 40,000", 2, "text_input"),
        csv("long-output", HEADER + "a,b\nx," + "y" * 5_001 + "\n", "5,001 characters, limit 5,000", 3, "output"),
        csv("huge-cell", HEADER + "x" * 3_000_000 + ",y\n", "3,000,000 characters", 2, "text_input"),
        csv("too-few-cells", HEADER + "a,b\nc\n", "1 cell, expected 2", 3),
        csv("too-many-cells", HEADER + "Hello, you,b\n", "3 cells, expected 2", 2),
        csv("open-quote", HEADER + 'a,b\nc,"d\ne,f\n', "opened in line 3 is never closed", 3),
        csv("open-quote-in-header", 'text_input,"output\na,b\n', "opened in line 1 is never closed", 1),
        csv("open-quote-at-the-end", HEADER + 'a,"', "opened in line 2 is never closed", 2),
        csv("open-quote-after-lines", HEADER + '"a\nb","c\nd,e\n', "opened in line 3 is never closed", 3),
        csv("stray-quote", HEADER + '"say "hi" now",b\n', "closes in line 2, in the middle of a cell", 2),
        csv("swallowed-row", HEADER + 'a,"b\nc,"d"\n', "opened in line 2 closes in line 3", 2),
        csv("many-quotes", HEADER + '"a"b,c\n' * 200, "rest of the file was not read"),
        csv("all-quotes", '"' * 10_001, "is never closed", 1),
        csv("same-names", "text,text,label\na,b,c\n", "Columns 1 and 2 are both named 'text'"),
        csv("wide", "x," * 500 + "x\n", "501 columns, limit 256"),
        csv("tall", HEADER + "a,b\n" * 100_001, "more than 100,000 rows"),
        BadFile(
            "no-such-column.csv", b"a,b\nc,d\n", "no column 'text'", options={"input_column": "text", "header": True}
        ),
        BadFile(
            "no-output-left.csv",
            b"a,b\nc,d\n",
            "All columns are inputs",
            options={"input_column": ["a", "b"], "header": True},
        ),
        BadFile("semicolons.csv", (HEADER + "a,b\n").encode(), "There is only one column", options={"delimiter": ";"}),
    ]


def _json_files() -> list[BadFile]:
    good = '{"text_input": "a", "output": "b"}\n'

    def lines(name: str, text: str, words: str, row: int | None = None, column: str | None = None) -> BadFile:
        return BadFile(f"{name}.jsonl", text.encode(), words, row, column)

    def whole(name: str, text: str, words: str, row: int | None = None, column: str | None = None) -> BadFile:
        return BadFile(f"{name}.json", text.encode(), words, row, column)

    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    return [
        lines("broken-line", good + "\n" + '{"text_input": "a"\n' + good, "not valid JSON, character", 3),
        lines("cut-line", good * 2 + good[:20], "not valid JSON", 3),
        lines("no-json", "hello\n", "not valid JSON", 1),
        lines("number", good + "7\n", "a number, expected an object", 2),
        lines("triple", good + '["a", "b", "c"]\n', "3 values, expected 2", 2),
        lines("missing-field", good + '{"text_input": "a"}\n', "empty", 2, "output"),
        lines("null-field", good + '{"text_input": null, "output": "a"}\n', "empty", 2, "text_input"),
        lines("nan-field", good + '{"text_input": "b", "output": NaN}\n', "empty", 2, "output"),
        lines("list-field", good + '{"text_input": "a", "output": ["b"]}\n', "a list, not text", 2, "output"),
        lines(
            "object-field", good + '{"text_input": {"a": 1}, "output": "b"}\n', "an object, not text", 2, "text_input"
        ),
        lines("field-twice", good + '{"text_input": "a", "output": "b", "output": "c"}\n', "'output' appears twice", 2),
        lines("nul-field", good + '{"text_input": "a\\u0000", "output": "b"}\n', "NUL at character 2", 2, "text_input"),
        lines("surrogate-field", good + '{"text_input": "a", "output": "\\ud83d"}\n', "(U+D83D)", 2, "output"),
        lines("deep-line", good + "[" * 200_000 + "\n", "nested too deeply", 2),
        lines("deep-field", '{"text_input": ' + "[" * 50_000 + "]" * 50_000 + "}\n", "nested too deeply", 1),
        lines("many-names", "\n".join(f'{{"k{n}": 1}}' for n in range(5_000)), "5,000 columns, limit 256"),
        lines("several-turns", good + json.dumps({"messages": chat * 2}), "4 messages; only one question", 2),
        lines("no-answer", good + json.dumps({"messages": chat[:1]}), "the answer is missing", 2),
        lines("tool", good + json.dumps({"messages": [{"role": "tool"}]}), "the role 'tool' cannot", 2),
        lines("picture", good + '{"contents": [{"parts": [{"inlineData": {}}]}]}\n', "only text can be used", 2),
        whole("cut", '[{"text_input": "a", "output": "b"},\n{"text_input": "c"', "Not valid JSON, line 2", 2),
        whole("word", "hello", "Not valid JSON", 1),
        whole("text", '"hello"', "a text; a list of examples is needed"),
        whole("null", "null", "null; a list"),
        whole("empty-list", "[]", "no rows"),
        whole("empty-object", "{}", "no rows"),
        whole("uneven-columns", '{"a": ["b"], "c": []}', "Column 'c' has 0 values, 'a' has 1"),
        whole("one-column", '{"text": ["a", "b"]}', "There is only one column"),
        whole("numbers", "[1, 2]", "a number, expected an object"),
        whole("deep", "[" * 1_000_000, "nested too deeply"),
        whole("deep-objects", '{"a":' * 300_000, "nested too deeply"),
        whole("digits", "[" + "1" * 100_000 + "]", "a number, expected", 1),
        whole("empty-cell", '[{"q": "a", "answer": "b"}, {"q": "c", "answer": ""}]', "empty", 2, "answer"),
    ]


def _workbooks() -> list[BadFile]:
    head = ["text", "label"]
    good = made.xlsx(("Sheet", [head, ["a", "b"]]))
    cell = '<c t="inlineStr"><is><t>a</t></is></c>'
    ods = made.ods(("Sheet", [head, ["a", "b"]]))

    def raw(name: str, cells: str, words: str, row: int | None = None, column: str | None = None) -> BadFile:
        return BadFile(f"{name}.xlsx", made.xlsx_with_sheet(cells), words, row, column, {"header": False})

    repeated = f'<table:table-row><table:table-cell table:number-columns-repeated="{10**9}" office:value-type="float"'
    repeated += ' office:value="1"/></table:table-row>'
    far_below = f'<table:table-row table:number-rows-repeated="{10**6}"/><table:table-row><table:table-cell><text:p>a'
    far_below += "</text:p></table:table-cell></table:table-row>"
    return [
        BadFile("empty.xlsx", made.xlsx(("Sheet", [])), "All sheets of the workbook are empty"),
        BadFile("header.xlsx", made.xlsx(("Sheet", [head])), "only a header"),
        BadFile("one-column.xlsx", made.xlsx(("Sheet", [["text"], ["a"], ["b"]])), "There is only one column"),
        BadFile("gap.xlsx", made.xlsx(("Sheet", [head, ["a", "b"], ["c", None]])), "empty", 3, "label"),
        BadFile(
            "formula.xlsx", made.xlsx(("Sheet", [head, ["a", "=A1"]])), "formula without a stored value", 2, "label"
        ),
        BadFile("gap.ods", made.ods(("Sheet", [head, ["a", "b"], ["", "d"]])), "empty", 3, "text"),
        BadFile(
            "formula.ods", made.ods(("Sheet", [head, ["a", made.ods_cell(formula="of:=1")]])), "formula", 2, "label"
        ),
        BadFile("gap.xls", made.xls([head, ["a", "b"], ["c", ""]]), "empty", 3, "label"),
        BadFile("header.xls", made.xls([head]), "only a header"),
        raw("error", f'<row>{cell}<c t="e"><v>#REF!</v></c></row>', "the error #REF!, not text", 1, "column 2"),
        raw(
            "far-corner",
            f'<row r="1">{cell}</row><row r="90000"><c r="ZZ90000"><v>1</v></c></row>',
            "spans 90,000 rows",
        ),
        raw("far-below", f'<row r="1">{cell}</row><row r="1048576">{cell}</row>', "reaches to row 1,048,576"),
        raw("cut-xml", f"<row>{cell}", "damaged"),
        raw("no-number", '<row r="one"><c><v>1</v></c></row>', "damaged"),
        BadFile("no-sheet.xlsx", good, "no sheet 'Data'. Sheets: 'Sheet'", options={"sheet": "Data"}),
        BadFile("no-xml.xlsx", made.with_members(good, {"xl/worksheets/sheet1.xml": b"\0\1"}), "damaged"),
        BadFile("no-sheet-part.xlsx", made.without_member(good, "xl/worksheets/sheet1.xml"), "damaged"),
        BadFile("entities.xlsx", made.with_members(good, {"xl/worksheets/sheet1.xml": _LAUGHS}), "damaged"),
        BadFile("repeated.ods", made.with_rows(ods, repeated), "spans 3 rows and 1,000,000,000 columns"),
        BadFile("far-below.ods", made.with_rows(ods, far_below), "reaches to row 1,000,003"),
        BadFile("not-well-formed.ods", made.with_rows(ods, "</table:table><tUble:row><table:table>"), "damaged"),
        BadFile("no-encoding.ods", made.with_members(ods, {"content.xml": _STRANGE_ENCODING}), "damaged"),
        BadFile("protected.xlsx", made.compound_file({"EncryptedPackage": b"x"}), "protected with a password"),
        BadFile(
            "protected.xls", made.xls([head], extra=made.record(0x2F, b"\1\0" + bytes(4))), "protected with a password"
        ),
        BadFile(
            "protected.ods",
            made.with_members(ods, {"META-INF/manifest.xml": b"<m><encryption-data/></m>"}),
            "protected with a password",
        ),
        BadFile("letter.doc", made.compound_file({"WordDocument": b"x"}), "not a workbook"),
        BadFile("far-corner.xls", made.sparse_xls(), "spans 65,536 rows and 256 columns"),
        BadFile("circle.xls", made.circular_xls(), "damaged or cut off"),
        BadFile("cut.xls", made.xls([head, ["a", "b"]])[:1_500], "damaged"),
        BadFile("hollow.xls", made.compound_file({"Workbook": b""}), "All sheets of the workbook are empty"),
    ]


def _archives() -> list[BadFile]:
    good = made.xlsx(("Sheet", [["text", "label"], ["a", "b"]]))
    bomb = made.with_members(good, {"xl/worksheets/sheet1.xml": b" " * 60 * 2**20})
    large = made.with_members(good, {f"xl/media/{number}.bin": bytes(2**20 - 1) for number in range(65)})
    many = made.with_members(good, {f"xl/{number}.xml": b"" for number in range(1_000)})
    letter, nested = BytesIO(), BytesIO()
    for target, name, content in ((letter, "word/document.xml", b"<a/>"), (nested, "inner.zip", good)):
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr(name, content)
    wrong_sum = bytearray(good)
    wrong_sum[wrong_sum.index(b"PK\x01\x02") + 16] ^= 0xFF
    return [
        BadFile("cut.xlsx", good[: len(good) // 2], "damaged or cut off"),
        BadFile("cut-end.xlsx", good[:-4], "damaged or cut off"),
        BadFile("begin.xlsx", good[:4], "damaged or cut off"),
        BadFile("wrong-sum.xlsx", bytes(wrong_sum), "damaged or cut off"),
        BadFile("bomb.xlsx", bomb, "to 1, limit 100"),
        BadFile("large.xlsx", large, "when unpacked, limit 67,108,864"),
        BadFile("many.xlsx", many, "parts, limit 1,000"),
        BadFile("letter.docx", letter.getvalue(), "not an XLSX or ODS workbook"),
        BadFile("nested.zip", nested.getvalue(), "not an XLSX or ODS workbook"),
        BadFile("hollow.zip", b"PK\x05\x06" + bytes(18), "not an XLSX or ODS workbook"),
    ]


def _large_files() -> list[BadFile]:
    many_cells = "".join(
        "<row>" + "".join(f"<c><v>{row * column % 977}</v></c>" for column in range(100)) + "</row>"
        for row in range(4_100)
    )
    long_texts = '<row><c t="s"><v>0</v></c><c t="s"><v>0</v></c></row>' * 900
    noise = random.Random(0).randbytes(20_000).hex()
    return [
        BadFile("one-byte-more.csv", HEADER.encode() + b"a,b\n" + b"\n" * (MAX_DATASET_BYTES - 21), "4,194,305 bytes"),
        BadFile("twice.xlsx", b"PK\x03\x04" + bytes(2 * MAX_DATASET_BYTES), "8,388,612 bytes; the limit is 4,194,304"),
        BadFile("errors.csv", (HEADER + "a,\n" * 99_000).encode(), "all 99,000 rows are empty", None, "output"),
        BadFile("rows.jsonl", b"[]\n" * 1_300_000, "more than 100,000 rows"),
        BadFile("items.json", b"[" + b"1," * 2_000_000 + b"1]", "more than 100,000 rows"),
        BadFile("cells.xlsx", made.xlsx_with_sheet(many_cells), "limit 400,000 cells"),
        BadFile("texts.xlsx", made.xlsx_with_sheet(long_texts, [noise]), "more than 67,108,864 characters"),
        BadFile("delimiters.csv", b"," * MAX_DATASET_BYTES, "empty"),
        BadFile("quotes.csv", b'a,b\n"' + b'""' * 2_000_000, "is never closed", 2),
        BadFile("openings.csv", b"a,b\n" + b'"x\n' * 1_300_000, "rest of the file was not read"),
    ]


_LAUGHS = (
    b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<worksheet><sheetData><row><c><v>&b;</v></c></row></sheetData></worksheet>"
)
_STRANGE_ENCODING = b'<?xml version="1.0" encoding="UTFp8"?><a/>'


def _one_bad_row() -> list[BadFile]:
    """Return files of every format with a single bad row of sixty: the first, the last, or one between them."""
    faults = {
        "empty": (("question 7", ""), "empty", "output"),
        "long": (("x" * 40_001, "y"), "40,001 characters, limit 40,000", "text_input"),
    }
    found = []
    for fault, (bad, words, column) in faults.items():
        for place in (0, 10, 30, 45, 59):
            rows = [(f"question {number}", f"answer {number % 7}") for number in range(60)]
            rows[place] = bad
            for ending, (content, first_row) in _in_each_format(rows).items():
                if fault == "long" and ending == "xlsx":
                    continue  # a cell of Excel has at most 32,767 characters
                name = f"{fault}-in-row-{place + 1}-of-60.{ending}"
                found.append(BadFile(name, content, words, place + first_row, column))
    return found


def _in_each_format(rows: list[tuple[str, str]]) -> dict[str, tuple[bytes, int]]:
    """Return rows as files by their endings, and the number that each gives its first row."""
    table = [("text_input", "output"), *rows]
    objects = [dict(zip(table[0], row, strict=True)) for row in rows]
    return {
        "csv": ("".join(f"{left},{right}\n" for left, right in table).encode(), 2),
        "tsv": ("".join(f"{left}\t{right}\n" for left, right in table).encode(), 2),
        "jsonl": ("".join(json.dumps(each) + "\n" for each in objects).encode(), 1),
        "json": (json.dumps(objects).encode(), 1),
        "xlsx": (made.xlsx(("Sheet1", table)), 2),
        "ods": (made.ods(("Sheet1", table)), 2),
    }


def _cut_workbooks() -> list[BadFile]:
    """Return workbooks of which only the first eighths are there, as after a download that broke off."""
    rows = [["text_input", "output"], *([f"question {number}", f"answer {number}"] for number in range(60))]
    whole = {"xlsx": made.xlsx(("Sheet1", rows)), "ods": made.ods(("Sheet1", rows)), "xls": made.xls(rows)}
    return [
        BadFile(f"{eighths}-eighths.{ending}", content[: eighths * len(content) // 8], "damaged")
        for ending, content in whole.items()
        for eighths in range(1, 8)
    ]


def _broken_characters() -> list[BadFile]:
    """Return files with an impossible byte in row 3, in the encoding that their user has named."""
    broken = {
        "gb18030": (b"\xff,c\n", "not gb18030"),
        "gbk": (b"\xff,c\n", "not gbk"),
        "big5": (b"\xff,c\n", "not big5"),
        "big5hkscs": (b"\xff,c\n", "not big5hkscs"),
        "euc_kr": (b"\xff,c\n", "not euc_kr"),
        "cp949": (b"\xff,c\n", "not cp949"),
        "shift_jis": (b"\xfd,c\n", "not shift_jis"),
        "euc_jp": (b"\xff,c\n", "not euc_jp"),
        "cp1253": (b"\xd2,c\n", "not cp1253"),
        "utf-8": (b"\xc3(,c\n", "not utf-8"),
        "utf-32-le": (b"\xff\xff\xff\xff", "not utf-32-le"),
    }
    return [
        BadFile(f"{name}.csv", f"{HEADER}a,b\n".encode(name) + content, words, 3, options={"encoding": name})
        for name, (content, words) in broken.items()
    ]
