"""Makes the workbooks that openpyxl, XlsxWriter, xlwt and PyExcelerate write. Needs these four."""

from __future__ import annotations

import datetime
from importlib.metadata import version
from typing import Any

import openpyxl
import pyexcelerate
import xlsxwriter
import xlwt
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.table import Table
from texts import ANSWERS, ARABIC, CHINESE, CITIES, EMOJI, JAPANESE, TICKETS, Expected, Rows

expected = Expected("books")
OPENPYXL = f"openpyxl {version('openpyxl')}"
XLSXWRITER = f"XlsxWriter {version('xlsxwriter')}"
XLWT = f"xlwt {version('xlwt')}"


def book(rows: Rows, *header: str) -> tuple[openpyxl.Workbook, Any]:
    made = openpyxl.Workbook()
    sheet = made.active
    if header:
        sheet.append(list(header))
    for row in rows:
        sheet.append(list(row))
    return made, sheet


def layouts() -> None:
    made, _ = book(TICKETS)
    made.save(expected.file("openpyxl-no-header.xlsx", OPENPYXL, TICKETS))

    made, sheet = book(TICKETS, "Ticket text", "Team")
    sheet.insert_rows(1, 2)
    sheet["A1"] = "Support tickets, export of 12 May"
    sheet.merge_cells("A1:B1")
    made.save(expected.file("openpyxl-title-merged.xlsx", OPENPYXL, TICKETS, warns=("title|above|skipped|row 1",)))

    made, sheet = book(CITIES, "text_input", "output")
    sheet.insert_cols(1, 2)
    sheet.insert_rows(1, 3)
    sheet.insert_rows(8)
    made.save(expected.file("openpyxl-from-c4.xlsx", OPENPYXL, CITIES, note="empty rows and columns around and inside"))

    made, sheet = book(TICKETS, "text", "label")
    made.create_sheet("Archive").append(["old", "rows"])
    made["Archive"].append(["do not use", "nothing"])
    made.save(expected.file("openpyxl-two-sheets.xlsx", OPENPYXL, TICKETS, warns=("Archive",)))

    made, sheet = book(TICKETS, "text", "label")
    hidden = made.create_sheet("Drafts", 0)
    hidden.append(["text", "label"])
    hidden.append(["draft, do not use", "nothing"])
    hidden.sheet_state = "hidden"
    made.active = 1
    made.save(expected.file("openpyxl-hidden-first-sheet.xlsx", OPENPYXL, TICKETS, warns=("Drafts",)))

    made, sheet = book(TICKETS, "text", "label")
    made.create_sheet("About", 0)
    made.save(
        expected.file("openpyxl-empty-first-sheet.xlsx", OPENPYXL, TICKETS, instead=({"refused": "Sheet|sheet"},))
    )

    made, sheet = book(TICKETS, "text", "label")
    for row in (3, 4, 9):
        sheet.row_dimensions[row].hidden = True
    kept = [row for number, row in enumerate(TICKETS, start=2) if number not in (3, 4, 9)]
    made.save(expected.file("openpyxl-hidden-rows.xlsx", OPENPYXL, kept, warns=("hidden", "3")))

    made, sheet = book(TICKETS, "text", "label")
    sheet.row_dimensions.group(5, 7, hidden=True)
    kept = [row for number, row in enumerate(TICKETS, start=2) if not 5 <= number <= 7]
    made.save(expected.file("openpyxl-collapsed-group.xlsx", OPENPYXL, kept, warns=("hidden", "5")))

    made, sheet = book([], "text", "answer", "label")
    for text, label in TICKETS:
        sheet.append([text, "draft, do not use", label])
    sheet.column_dimensions["B"].hidden = True
    made.save(expected.file("openpyxl-hidden-answer.xlsx", OPENPYXL, TICKETS, warns=("answer",)))

    made, sheet = book([], "Team", "Ticket")
    for start in range(0, 12, 3):
        for text, _ in TICKETS[start : start + 3]:
            sheet.append([TICKETS[start][1], text])
    for start in range(2, 14, 3):
        sheet.merge_cells(start_row=start, end_row=start + 2, start_column=1, end_column=1)
    firsts = [TICKETS[n] for n in range(0, 12, 3)]
    filled = [(text, TICKETS[n - n % 3][1]) for n, (text, _) in enumerate(TICKETS)]
    empty = [row for row in range(2, 14) if row % 3 != 2]
    made.save(
        expected.file(
            "openpyxl-merged-labels.xlsx",
            OPENPYXL,
            filled,
            warns=("merged",),
            instead=({"rows": firsts, "row_errors": empty},),
            note="a label merged over three rows",
        )
    )


def contents() -> None:
    made, sheet = book(TICKETS, "text", "label")
    sheet["B2"].comment = Comment("please check this one", "reviewer")
    sheet["A5"].font = Font(bold=True)
    sheet.add_table(Table(displayName="Tickets", ref="A1:B13"))
    made.save(expected.file("openpyxl-comment-table.xlsx", OPENPYXL, TICKETS))

    made, sheet = book(ANSWERS, "question", "answer")
    made.save(expected.file("openpyxl-multiline.xlsx", OPENPYXL, ANSWERS))

    made = openpyxl.Workbook(write_only=True)
    sheet = made.create_sheet("Data")
    for row in (("text", "label"), *EMOJI):
        sheet.append(row)
    made.save(expected.file("openpyxl-write-only.xlsx", OPENPYXL, EMOJI))

    made, sheet = book([], "text", "label")
    for number, (text, label) in enumerate(TICKETS, start=2):
        sheet.append([text, f'=IF(TRUE,"{label}","")' if number % 3 == 0 else label])
    whole = [row for number, row in enumerate(TICKETS, start=2) if number % 3]
    made.save(
        expected.file(
            "openpyxl-formula-no-value.xlsx",
            OPENPYXL,
            whole,
            row_errors=(3, 6, 9, 12),
            note="formulas never calculated",
        )
    )

    codes = [("Zurich office", 8001), ("Rome office", 144), ("Boston office", 2108), ("Leipzig office", 4103)]
    codes += [("Dresden office", 1067), ("Newark office", 7102), ("Acre office", 69900), ("Halle office", 6108)]
    made, sheet = book([], "office", "code")
    for text, code in codes:
        sheet.append([text, code])
        sheet.cell(sheet.max_row, 2).number_format = "00000"
    shown = [(text, f"{code:05}") for text, code in codes]
    made.save(expected.file("openpyxl-zip-codes.xlsx", OPENPYXL, shown))

    made, sheet = book([], "question", "answer")
    cells = [
        ("Share of wet books", 0.25, "0%", "25%"),
        ("Share of lost parcels", 0.125, "0.0%", "12.5%"),
        ("Price of the lamp", 20, '0.00 "EUR"', "20.00 EUR"),
        ("Price of the tent", 1234.5, '#,##0.00 "EUR"', "1,234.50 EUR"),
        ("Number of shops", 12000, "#,##0", "12,000"),
        ("Day of the sale", datetime.date(2023, 3, 15), "dd.mm.yyyy", "15.03.2023"),
        ("Day of the stocktaking", datetime.date(2023, 12, 1), "yyyy-mm-dd", "2023-12-01"),
        ("Weight in kg", 7, "General", "7"),
        ("Length in m", 1.5, "General", "1.5"),
        ("Opening at", datetime.time(9, 30), "hh:mm", "09:30"),
    ]
    for text, value, form, _ in cells:
        sheet.append([text, value])
        sheet.cell(sheet.max_row, 2).number_format = form
    shown = [(text, text_shown) for text, _, _, text_shown in cells]
    made.save(expected.file("openpyxl-number-formats.xlsx", OPENPYXL, shown))

    made, sheet = book([], "question", "answer")
    odd = [("Reading of gauge A", 1234567.891, "0.00E+00"), ("Reading of gauge B", 0.5, "# ?/?")]
    odd += [("Reading of gauge C", -3.25, "[Red]0.00;[Blue](0.00)"), ("Reading of gauge D", 12, "0")]
    odd += [("Reading of gauge E", 44.5, "General"), ("Reading of gauge F", 5, "General")]
    for text, value, form in odd:
        sheet.append([text, value])
        sheet.cell(sheet.max_row, 2).number_format = form
    stored = [(text, f"{value:.15g}") for text, value, _ in odd]
    shown = [*zip([t for t, _, _ in odd], ["1.23E+06", "1/2", "(3.25)", "12", "44.5", "5"], strict=True)]
    made.save(
        expected.file(
            "openpyxl-odd-formats.xlsx", OPENPYXL, shown, instead=({"rows": stored, "warns": ["format|shown", "2"]},)
        )
    )

    made, sheet = book([], "day", "label")
    made.epoch = CALENDAR_MAC_1904
    days = [(datetime.date(2024, 2, 10 + n), TICKETS[n][1]) for n in range(8)]
    for day, label in days:
        sheet.append([day, label])
    made.save(expected.file("openpyxl-dates-1904.xlsx", OPENPYXL, [(day.isoformat(), label) for day, label in days]))

    made, sheet = book(ARABIC, "text", "label")
    sheet.sheet_view.rightToLeft = True
    made.save(expected.file("openpyxl-right-to-left.xlsx", OPENPYXL, ARABIC))

    made, sheet = book([("=1+1 is no formula here", "text"), *TICKETS], "text", "label")
    sheet["A2"].data_type = "s"
    made.save(expected.file("openpyxl-equals-sign.xlsx", OPENPYXL, [("=1+1 is no formula here", "text"), *TICKETS]))

    made, sheet = book([], "text", "is_billing")
    for text, label in TICKETS:
        sheet.append([text, label == "billing"])
    rows = [(text, str(label == "billing").upper()) for text, label in TICKETS]
    lower = [(text, shown.lower()) for text, shown in rows]
    made.save(expected.file("openpyxl-booleans.xlsx", OPENPYXL, rows, instead=({"rows": lower},)))


def with_xlsxwriter() -> None:
    made = xlsxwriter.Workbook(
        expected.file("xlsxwriter-constant-memory.xlsx", XLSXWRITER, JAPANESE), {"constant_memory": True}
    )
    sheet = made.add_worksheet("質問")
    for number, row in enumerate((("質問", "分類"), *JAPANESE)):
        sheet.write_row(number, 0, row)
    made.close()

    made = xlsxwriter.Workbook(expected.file("xlsxwriter-rich-text.xlsx", XLSXWRITER, TICKETS))
    sheet, bold = made.add_worksheet(), made.add_format({"bold": True})
    sheet.write_row(0, 0, ("text", "label"))
    for number, (text, label) in enumerate(TICKETS, start=1):
        sheet.write_rich_string(number, 0, bold, text[:5], text[5:12], bold, text[12:])
        sheet.write(number, 1, label)
    made.close()

    path = expected.file(
        "xlsxwriter-number-as-text.xlsx", XLSXWRITER, [(c, p) for c, p in zip(CODES, PLACES, strict=True)]
    )
    made = xlsxwriter.Workbook(path)
    sheet = made.add_worksheet()
    sheet.write_row(0, 0, ("code", "category"))
    for number, (code, place) in enumerate(zip(CODES, PLACES, strict=True), start=1):
        sheet.write_string(number, 0, code)
        sheet.write_string(number, 1, place)
    made.close()

    made = xlsxwriter.Workbook(expected.file("xlsxwriter-formula-values.xlsx", XLSXWRITER, TICKETS))
    sheet = made.add_worksheet()
    sheet.write_row(0, 0, ("text", "label"))
    for number, (text, label) in enumerate(TICKETS, start=1):
        sheet.write_formula(number, 0, f"=Notes!A{number}", None, text)
        sheet.write_formula(number, 1, f'=LOWER("{label.upper()}")', None, label)
    made.close()

    path = expected.file("xlsxwriter-carriage-returns.xlsx", XLSXWRITER, ANSWERS, instead=({"rows": crlf(ANSWERS)},))
    made = xlsxwriter.Workbook(path, {"strings_to_urls": False})
    sheet = made.add_worksheet()
    sheet.write_row(0, 0, ("question", "answer"))
    for number, row in enumerate(crlf(ANSWERS), start=1):
        sheet.write_row(number, 0, row)
    made.close()

    made = xlsxwriter.Workbook(
        expected.file("xlsxwriter-filtered.xlsx", XLSXWRITER, [*TICKETS[0::3]], warns=("hidden|filter",))
    )
    sheet = made.add_worksheet()
    sheet.write_row(0, 0, ("text", "label"))
    sheet.autofilter(0, 0, len(TICKETS), 1)
    sheet.filter_column(1, "x == delivery")
    for number, (text, label) in enumerate(TICKETS, start=1):
        sheet.write_row(number, 0, (text, label))
        if label != "delivery":
            sheet.set_row(number, options={"hidden": True})
    made.close()


CODES = ["0012", "0013", "1e5", "007", "3.10", "0x1F", "+49", "12/05", "TRUE", "1,000"]
PLACES = ["shelf", "shelf", "door", "shelf", "door", "door", "shelf", "door", "shelf", "door"]


def crlf(rows: Rows) -> Rows:
    return [(text.replace("\n", "\r\n"), answer.replace("\n", "\r\n")) for text, answer in rows]


def others() -> None:
    for name, rows, encoding in (("xlwt-tickets.xls", TICKETS, "ascii"), ("xlwt-chinese.xls", CHINESE, "utf-8")):
        made = xlwt.Workbook(encoding=encoding)
        sheet = made.add_sheet("Data")
        for number, row in enumerate((("text", "label"), *rows)):
            for column, text in enumerate(row):
                sheet.write(number, column, text)
        made.save(str(expected.file(name, XLWT, rows)))

    made = xlwt.Workbook()
    sheet = made.add_sheet("Data")
    percent, day = xlwt.easyxf(num_format_str="0%"), xlwt.easyxf(num_format_str="YYYY-MM-DD")
    padded, hidden = xlwt.easyxf(num_format_str="00000"), 4
    cells = [("Share", 0.25, percent, "25%"), ("Day", datetime.date(2024, 5, 17), day, "2024-05-17")]
    cells += [("Code", 2494, padded, "02494"), ("Old code", 99, padded, "hidden"), ("Count", 7, xlwt.easyxf(), "7")]
    for column, name in enumerate(("question", "answer")):
        sheet.write(0, column, name)
    for number, (text, value, style, _) in enumerate(cells, start=1):
        sheet.write(number, 0, text)
        sheet.write(number, 1, value, style)
    sheet.row(hidden).hidden = True
    shown = [(text, text_shown) for text, _, _, text_shown in cells if text_shown != "hidden"]
    made.save(str(expected.file("xlwt-formats-hidden.xls", XLWT, shown, warns=("hidden", "5"))))

    fast = pyexcelerate.Workbook()
    fast.new_sheet("Data", data=[["text", "label"], *map(list, CITIES)])
    fast.save(str(expected.file("pyexcelerate-plain.xlsx", f"PyExcelerate {version('pyexcelerate')}", CITIES)))


if __name__ == "__main__":
    for make in (layouts, contents, with_xlsxwriter, others):
        make()
    expected.write()
