"""Makes the files that SheetJS, ExcelJS and Papa Parse write. Needs node with these three in NODE_PATH."""

from __future__ import annotations

import json
import subprocess
import tempfile

from texts import ANSWERS, CHINESE, CITIES, EMOJI, FILES, HERE, TICKETS, Expected

expected = Expected("sheets")
SHEETJS = "SheetJS 0.18.5"
EXCELJS = "ExcelJS 4.4.0"
PAPA = "Papa Parse 5.7.1"

FORMATS = [
    ("Code of the Boston office", 2108, "00000", "02108"),
    ("Share of wet books", 0.25, "0%", "25%"),
    ("Share of lost parcels", 0.125, "0.0%", "12.5%"),
    ("Price of the lamp", 20, '0.00 "EUR"', "20.00 EUR"),
    ("Number of shops", 12000, "#,##0", "12,000"),
    ("Day of the sale", 45000, "dd.mm.yyyy", "15.03.2023"),
    ("Weight in kg", 7, "General", "7"),
]
DAYS = [(f"When did parcel {number - 10} arrive?", f"2024-03-{number}") for number in range(11, 19)]
HIDDEN = [row for number, row in enumerate(TICKETS, start=2) if number not in (3, 4, 9)]
PAGE = {"refused": "web page|HTML"}

for name, rows in [
    ("sheetjs-tickets.xlsx", TICKETS),
    ("sheetjs-answers.xlsx", ANSWERS),
    ("sheetjs-tickets.xls", TICKETS),
    ("sheetjs-emoji.ods", EMOJI),
    ("sheetjs-answers.csv", ANSWERS),
    ("sheetjs-chinese.txt", CHINESE),
    ("sheetjs-shared-strings.xlsx", TICKETS),
    ("sheetjs-formats.xlsx", [(text, shown) for text, _, _, shown in FORMATS]),
    ("sheetjs-formulas.xlsx", TICKETS),
    ("sheetjs-rows.json", TICKETS),
]:
    expected.file(name, SHEETJS, rows)
expected.file("sheetjs-biff5.xls", SHEETJS, TICKETS, instead=({"refused": "Excel"},))
expected.file("sheetjs-biff2.xls", SHEETJS, refused="Excel|not a text file|CSV", note="Excel 2, no container")
expected.file("sheetjs-flat.fods", SHEETJS, TICKETS, instead=({"refused": "OpenDocument|XML|ods"},))
expected.file("sheetjs-2003.xls", SHEETJS, CITIES, instead=({"refused": "XML"},), note="SpreadsheetML")
expected.file("sheetjs-page.xls", SHEETJS, TICKETS, instead=(PAGE,), note="HTML as .xls")
expected.file("sheetjs-binary.xlsb", SHEETJS, TICKETS, instead=({"refused": "xlsb|binary|XLSX"},))
expected.file("sheetjs-link.slk", SHEETJS, refused="SYLK|column|delimiter")
expected.file("sheetjs-data.dif", SHEETJS, refused="DIF|column|delimiter")
expected.file("sheetjs-hidden.xlsx", SHEETJS, HIDDEN, warns=("hidden", "3"))

for name, rows in [
    ("exceljs-answers.xlsx", ANSWERS),
    ("exceljs-rich-text.xlsx", TICKETS),
    ("exceljs-notes.xlsx", TICKETS),
    ("exceljs-formula-results.xlsx", TICKETS),
    ("exceljs-links.xlsx", TICKETS),
    ("exceljs-dates.xlsx", DAYS),
    ("exceljs-answers.csv", ANSWERS),
    ("exceljs-stream.xlsx", TICKETS),
]:
    expected.file(name, EXCELJS, rows)
expected.file("exceljs-table.xlsx", EXCELJS, CITIES, note="an Excel table from B3")
expected.file("exceljs-hidden-rows.xlsx", EXCELJS, HIDDEN, warns=("hidden", "3"))
expected.file("exceljs-hidden-column.xlsx", EXCELJS, TICKETS, warns=("answer",))
expected.file("exceljs-merged-title.xlsx", EXCELJS, TICKETS, warns=("title|above|skipped|row 1|rows 1",))
expected.file("papaparse-objects.csv", PAPA, ANSWERS)
expected.file("papaparse-semicolon.csv", PAPA, TICKETS, note="no header")

if __name__ == "__main__":
    texts = {"tickets": TICKETS, "answers": ANSWERS, "emoji": EMOJI, "cities": CITIES, "chinese": CHINESE}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as source:
        json.dump(texts | {"formats": FORMATS, "days": DAYS}, source)
        source.flush()
        subprocess.run(["node", str(HERE / "make_sheets.cjs"), source.name, str(FILES)], check=True)
    expected.write()
