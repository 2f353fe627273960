"""Makes the files that LibreOffice and Gnumeric write, from workbooks of openpyxl. Needs soffice and ssconvert."""

from __future__ import annotations

import datetime
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import openpyxl
from openpyxl.comments import Comment
from texts import (
    ANSWERS,
    ARABIC,
    CHINESE,
    CITIES,
    EMOJI,
    FILES,
    JAPANESE,
    KOREAN,
    POLISH,
    RUSSIAN,
    TICKETS,
    TRADITIONAL,
    Expected,
    Rows,
)

expected = Expected("office")
OFFICE = "LibreOffice 7.4.7"
GNUMERIC = "Gnumeric 1.12.55"
CSV = "Text - txt - csv (StarCalc)"

FORMATS = [
    ("Code of the Boston office", 2108, "00000", "02108"),
    ("Code of the Halle office", 6108, "00000", "06108"),
    ("Share of wet books", 0.25, "0%", "25%"),
    ("Share of lost parcels", 0.125, "0.0%", "12.5%"),
    ("Price of the lamp", 20, '0.00 "EUR"', "20.00 EUR"),
    ("Number of shops", 12000, "#,##0", "12,000"),
    ("Day of the sale", datetime.date(2023, 3, 15), "dd.mm.yyyy", "15.03.2023"),
    ("Day of the stocktaking", datetime.date(2023, 12, 1), "yyyy-mm-dd", "2023-12-01"),
    ("Weight in kg", 7, "General", "7"),
    ("Length in m", 1.5, "General", "1.5"),
]
SHOWN = [(text, shown) for text, _, _, shown in FORMATS]


def save(folder: Path, name: str, rows: Rows, *header: str, second: bool = False) -> Path:
    book = openpyxl.Workbook()
    for row in (header, *rows):
        book.active.append(list(row))
    if second:
        book.create_sheet("Archive").append(["old", "rows"])
        book["Archive"].append(["do not use", "nothing"])
    book.save(folder / f"{name}.xlsx")
    return folder / f"{name}.xlsx"


def sources(folder: Path) -> dict[str, Path]:
    texts = {
        "tickets": TICKETS,
        "answers": ANSWERS,
        "cities": CITIES,
        "polish": POLISH,
        "russian": RUSSIAN,
        "chinese": CHINESE,
        "japanese": JAPANESE,
        "traditional": TRADITIONAL,
        "korean": KOREAN,
        "arabic": ARABIC,
        "emoji": EMOJI,
    }
    found = {name: save(folder, name, rows, "question", "answer") for name, rows in texts.items()}
    found["sheets"] = save(folder, "sheets", TICKETS, "text", "label", second=True)
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["question", "answer"])
    for text, value, form, _ in FORMATS:
        sheet.append([text, value])
        sheet.cell(sheet.max_row, 2).number_format = form
    book.save(folder / "formats.xlsx")
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (("text", "label"), *TICKETS):
        sheet.append(list(row))
    for number in (3, 4, 9):
        sheet.row_dimensions[number].hidden = True
    sheet["B2"].comment = Comment("please check this one", "reviewer")
    book.save(folder / "hidden.xlsx")
    return found | {"formats": folder / "formats.xlsx", "hidden": folder / "hidden.xlsx"}


def office(source: Path, target: Path, to: str) -> None:
    """Convert with LibreOffice; `to` is the value of --convert-to."""
    with tempfile.TemporaryDirectory() as out:
        command = ["soffice", "--headless", "--norestore", "--convert-to", to, "--outdir", out, str(source)]
        subprocess.run(command, check=True, capture_output=True)
        shutil.move(next(Path(out).iterdir()), target)


def gnumeric(source: Path, target: Path, exporter: str, options: str = "") -> None:
    chosen = ["-O", options] if options else []
    command = ["ssconvert", "-T", exporter, *chosen, str(source), str(target)]
    subprocess.run(command, check=True, capture_output=True)


def office_text(books: dict[str, Path]) -> None:
    # separator, quote, encoding of LibreOffice's list, first line, formats, language, quote all, detect, as shown
    for name, source, rows, options in [
        ("lo-comma.csv", "tickets", TICKETS, "44,34,76,1"),
        ("lo-multiline.csv", "answers", ANSWERS, "44,34,76,1"),
        ("lo-semicolon-1252.csv", "cities", CITIES, "59,34,1,1"),
        ("lo-tab-utf16.csv", "russian", RUSSIAN, "9,34,65535,1"),
        ("lo-quote-all.csv", "tickets", TICKETS, "44,34,76,1,,0,true"),
        ("lo-single-quotes.csv", "answers", ANSWERS, "59,39,76,1,,0,true"),
        ("lo-bar.csv", "emoji", EMOJI, "124,34,76,1"),
        ("lo-windows-1250.csv", "polish", POLISH, "59,34,33,1"),
        ("lo-windows-1251.csv", "russian", RUSSIAN, "59,34,34,1"),
        ("lo-koi8-r.csv", "russian", RUSSIAN, "44,34,74,1"),
        ("lo-gb18030.csv", "chinese", CHINESE, "44,34,85,1"),
        ("lo-big5.csv", "traditional", TRADITIONAL, "44,34,68,1"),
        ("lo-shift-jis.csv", "japanese", JAPANESE, "44,34,64,1"),
        ("lo-euc-jp.csv", "japanese", JAPANESE, "44,34,69,1"),
        ("lo-euc-kr.csv", "korean", KOREAN, "44,34,79,1"),
        ("lo-arabic.csv", "arabic", ARABIC, "44,34,76,1,,0"),
        ("lo-as-shown.csv", "formats", SHOWN, "44,34,76,1,,0,false,true,true"),
    ]:
        needs, asked = NAMED.get(name, (None, None))
        instead: tuple[dict[str, object], ...] = ()
        if needs:
            instead = ({"rows": rows, "warns": ["guess|detected|read as"]},)
        path = expected.file(name, OFFICE, rows, needs=needs, asked=asked, instead=instead)
        office(books[source], path, f"csv:{CSV}:{options}")


# Bytes that more than one encoding fits: asked, or read right and said.
NAMED: dict[str, tuple[dict[str, object], str]] = {
    "lo-windows-1251.csv": ({"encoding": "cp1251"}, "encoding"),
    "lo-gb18030.csv": ({"encoding": "gb18030"}, "encoding"),
    "lo-big5.csv": ({"encoding": "big5"}, "encoding"),
    "lo-shift-jis.csv": ({"encoding": "shift_jis"}, "encoding"),
    "lo-windows-1250.csv": ({"encoding": "cp1250"}, "encoding"),
    "lo-koi8-r.csv": ({"encoding": "koi8-r"}, "encoding"),
    "lo-euc-jp.csv": ({"encoding": "euc-jp"}, "encoding"),
    "lo-euc-kr.csv": ({"encoding": "euc-kr"}, "encoding"),
}


def office_books(books: dict[str, Path]) -> None:
    hidden = [row for number, row in enumerate(TICKETS, start=2) if number not in (3, 4, 9)]
    for to, end in (("xlsx:Calc MS Excel 2007 XML", "xlsx"), ("xls:MS Excel 97", "xls"), ("ods:calc8", "ods")):
        for source, rows, warns in [
            ("answers", ANSWERS, ()),
            ("chinese", CHINESE, ()),
            ("formats", SHOWN, ()),
            ("hidden", hidden, ("hidden", "3")),
            ("sheets", TICKETS, ("Archive",)),
        ]:
            office(books[source], expected.file(f"lo-{source}.{end}", OFFICE, rows, warns=warns), to)
    office(books["emoji"], expected.file("lo-emoji.ods", OFFICE, EMOJI), "ods:calc8")
    flat = expected.file("lo-flat.fods", OFFICE, TICKETS, instead=({"refused": "OpenDocument|XML|ods"},))
    office(books["tickets"], flat, "fods:OpenDocument Spreadsheet Flat XML")
    page = expected.file("lo-page.html", OFFICE, TICKETS, instead=({"refused": "web page|HTML"},))
    office(books["tickets"], page, "html:HTML (StarCalc)")
    report = expected.file("lo-page.xls", OFFICE, CITIES, instead=({"refused": "web page|HTML"},), note="HTML as .xls")
    office(books["cities"], report, "html:HTML (StarCalc)")
    sylk = expected.file("lo-link.slk", OFFICE, refused="SYLK|column|delimiter")
    office(books["tickets"], sylk, "slk:SYLK")
    pdf = expected.file("lo-print.pdf", OFFICE, refused="PDF")
    office(books["emoji"], pdf, "pdf:calc_pdf_Export")


def with_gnumeric(books: dict[str, Path]) -> None:
    hidden = [row for number, row in enumerate(TICKETS, start=2) if number not in (3, 4, 9)]
    text, stf = "Gnumeric_stf:stf_assistant", "Gnumeric_stf:stf_csv"
    gnumeric(books["answers"], expected.file("gnumeric-plain.csv", GNUMERIC, ANSWERS), stf)
    always = "separator=; quoting-mode=always eol=windows"
    gnumeric(
        books["cities"],
        expected.file("gnumeric-semicolon.txt", GNUMERIC, CITIES),
        text,
        f"{always} charset=WINDOWS-1252",
    )
    gnumeric(
        books["tickets"],
        expected.file("gnumeric-tab.txt", GNUMERIC, TICKETS),
        text,
        "separator='\t' quoting-mode=never",
    )
    gnumeric(
        books["formats"], expected.file("gnumeric-formatted.txt", GNUMERIC, SHOWN), text, "separator=| format=preserve"
    )
    for exporter, end in (("Gnumeric_Excel:xlsx", "xlsx"), ("Gnumeric_Excel:excel_biff8", "xls")):
        gnumeric(books["answers"], expected.file(f"gnumeric-answers.{end}", GNUMERIC, ANSWERS), exporter)
        gnumeric(books["formats"], expected.file(f"gnumeric-formats.{end}", GNUMERIC, SHOWN), exporter)
        shown = expected.file(f"gnumeric-hidden.{end}", GNUMERIC, hidden, warns=("hidden", "3"))
        gnumeric(books["hidden"], shown, exporter)
    old = expected.file("gnumeric-excel95.xls", GNUMERIC, TICKETS, instead=({"refused": "Excel"},))
    gnumeric(books["tickets"], old, "Gnumeric_Excel:excel_biff7")
    gnumeric(books["formats"], expected.file("gnumeric-formats.ods", GNUMERIC, SHOWN), "Gnumeric_OpenCalc:odf")
    gnumeric(
        books["sheets"],
        expected.file("gnumeric-sheets.ods", GNUMERIC, TICKETS, warns=("Archive",)),
        "Gnumeric_OpenCalc:odf",
    )
    page = expected.file("gnumeric-page.html", GNUMERIC, TICKETS, instead=({"refused": "web page|HTML"},))
    gnumeric(books["tickets"], page, "Gnumeric_html:html40")
    own = expected.file("gnumeric-own.gnumeric", GNUMERIC, refused="gzip|Gnumeric")
    gnumeric(books["tickets"], own, "Gnumeric_XmlIO:sax")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = sources(Path(folder))
        office_text(made)
        office_books(made)
        with_gnumeric(made)
    sys.stdout.write(f"{len(expected.lines)} files in {FILES}\n")
    expected.write()
