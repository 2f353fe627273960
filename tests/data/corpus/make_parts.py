"""
Makes workbooks part by part, in the forms of WPS, Google Sheets, Numbers and Excel, after cited public samples.

The programs were not at hand. No text or row was copied.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from texts import CHINESE, CITIES, JAPANESE, TICKETS, Expected

expected = Expected("parts")

WPS = "https://github.com/search?q=%22www.wps.cn%2FofficeDocument%2F2017%2FetCustomData%22&type=code"
SHEETS = "https://github.com/rsheets/rexcel/issues/6"
NUMBERS = "https://drjackhwhelper.com/export-summary-this-document-was-exported-from-numbers-972677"
OPEN_XML = "https://learn.microsoft.com/en-us/dotnet/api/documentformat.openxml.spreadsheet."
ERRORS = "https://support.microsoft.com/en-us/office/how-to-correct-a-n-a-error-a9708411-f82e-4d65-9c3c-2bf2f0f9a6f7"

HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n'
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
RELATIONS = "application/vnd.openxmlformats-package.relationships+xml"
STYLES = (
    '<fonts count="1"><font/></fonts><fills count="1"><fill/></fills><borders count="1"><border/></borders>'
    '<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="1"><xf numFmtId="0"/></cellXfs>'
)
HEADER = ("text", "label")
Rows = Sequence[tuple[str, str]]


def workbook(sheets: Mapping[str, str], strings: Sequence[str] = ()) -> bytes:
    """Return an XLSX; `sheets` are the XML of worksheets by name, `strings` the items of the shared strings."""
    paths = [f"worksheets/sheet{number}.xml" for number in range(1, len(sheets) + 1)]
    targets = [
        *((path, "worksheet") for path in paths),
        ("sharedStrings.xml", "sharedStrings"),
        ("styles.xml", "styles"),
    ]
    kinds = "".join(part(f"/xl/{path}", kind) for path, kind in [*targets, ("workbook.xml", "sheet.main")])
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"/>'
        for number, name in enumerate(sheets, start=1)
    )
    defaults = f'<Default Extension="rels" ContentType="{RELATIONS}"/><Default Extension="xml" ContentType="text/xml"/>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">{defaults}{kinds}</Types>',
        "_rels/.rels": relations([("xl/workbook.xml", "officeDocument")]),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(targets),
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}" count="{len(strings)}">{"".join(strings)}</sst>',
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}">{STYLES}</styleSheet>',
    }
    parts |= {f"xl/{path}": xml for path, xml in zip(paths, sheets.values(), strict=True)}
    return archive({name: (HEAD + xml).encode() for name, xml in parts.items()})


def part(name: str, kind: str) -> str:
    return f'<Override PartName="{name}" ContentType="{TYPES}.{kind}+xml"/>'


def relations(targets: Sequence[tuple[str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="rId{number}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for number, (target, kind) in enumerate(targets, start=1)
    )
    return f'<Relationships xmlns="{PACKAGE}/relationships">{listed}</Relationships>'


def archive(members: Mapping[str, bytes]) -> bytes:
    """Return a zip archive that is the same each time."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def sheet(rows: str, before: str = "", after: str = "", names: str = "") -> str:
    return f'<worksheet xmlns="{MAIN}" {names}>{before}<sheetData>{rows}</sheetData>{after}</worksheet>'


def shared(rows: Rows, place: int = 0) -> tuple[str, list[str]]:
    """Return rows of cells that point to shared strings, and these strings; the first has the index `place`."""
    strings = list(dict.fromkeys(text for row in rows for text in row))
    cells = "".join(
        f'<row r="{number}" spans="1:2">'
        + "".join(
            f'<c r="{column}{number}" t="s"><v>{place + strings.index(text)}</v></c>'
            for column, text in zip("AB", row, strict=True)
        )
        + "</row>"
        for number, row in enumerate(rows, start=1)
    )
    return cells, [f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in strings]


def wps() -> None:
    rows, strings = shared([HEADER, *CHINESE])
    names = 'xmlns:etc="http://www.wps.cn/officeDocument/2017/etCustomData"'
    before = '<sheetPr/><dimension ref="A1:B9"/><sheetFormatPr defaultColWidth="9" defaultRowHeight="16.8"/>'
    after = '<autoFilter ref="A1:B9" etc:filterBottomFollowUsedRange="0"/><phoneticPr fontId="1" type="noConversion"/>'
    made = workbook({"Sheet1": sheet(rows, before, after, names)}, strings)
    expected.file("wps-autofilter.xlsx", WPS, CHINESE).write_bytes(made)


def google_sheets() -> None:
    rows, strings = shared([HEADER, *TICKETS])
    for number in range(14, 1001):
        rows += f'<row r="{number}">' + "".join(f'<c r="{column}{number}" s="0"/>' for column in "ABZ") + "</row>"
    path = expected.file("google-sheets-1000-rows.xlsx", SHEETS, TICKETS, note="styled empty cells down to row 1000")
    path.write_bytes(workbook({"Form Responses 1": sheet(rows)}, strings))


def numbers() -> None:
    said = ("This document was exported from Numbers.", "Each table was converted to an Excel worksheet.")
    told, first = shared([said, ("Numbers Sheet Name", "Numbers Table Name"), ("Sheet 1", "Table 1")])
    rows, strings = shared([HEADER, *TICKETS], place=len(first))
    expected.file(
        "numbers-export-summary.xlsx",
        NUMBERS,
        TICKETS,
        needs={"sheet": "Sheet 1 - Table 1"},
        asked="sheet",
        instead=({"rows": TICKETS, "warns": ["Export Summary"]},),
        note="the first sheet only says what was exported",
    ).write_bytes(workbook({"Export Summary": sheet(told), "Sheet 1 - Table 1": sheet(rows)}, [*first, *strings]))
    expected.file(
        "numbers-document.numbers",
        "https://file-extensions.com/docs/numbers",
        refused="Numbers|workbook|XLSX|spreadsheet",
    ).write_bytes(archive(dict.fromkeys(("Index/Document.iwa", "Metadata/Properties.plist"), b"\x00\x2a\x00\x00")))


def excel() -> None:
    rows, strings = shared([HEADER, *JAPANESE])
    ruby = '<rPh sb="0" eb="2"><t>ゲツヨウビ</t></rPh><phoneticPr fontId="1"/></si>'
    expected.file("excel-furigana.xlsx", f"{OPEN_XML}phoneticrun", JAPANESE).write_bytes(
        workbook({"Sheet1": sheet(rows)}, [item.replace("</si>", ruby) for item in strings])
    )

    inline = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{escape(text)}</t></is></c>' for text in row) + "</row>"
        for row in [HEADER, *CITIES]
    )
    expected.file(
        "report-inline-no-references.xlsx", f"{OPEN_XML}inlinestring", CITIES, note="cells without r attributes"
    ).write_bytes(workbook({"Report": sheet(inline)}))

    formulas = dict.fromkeys(range(2, 14), '<f t="shared" si="0"/>') | {
        1: '<f t="shared" ref="B1:B13" si="0">LOWER(C1)</f>'
    }
    rows = "".join(
        f'<row r="{n}"><c r="A{n}" t="str"><f>Notes!A{n}</f><v>{escape(text)}</v></c>'
        f'<c r="B{n}" t="str">{formulas[n]}<v>{label}</v></c></row>'
        for n, (text, label) in enumerate([HEADER, *TICKETS], start=1)
    )
    expected.file("excel-shared-formulas.xlsx", f"{OPEN_XML}cellformula", TICKETS).write_bytes(
        workbook({"Sheet1": sheet(rows)})
    )

    wrong = dict.fromkeys((4, 8), ("e", "#N/A"))
    rows = ""
    for n, (text, label) in enumerate([HEADER, *TICKETS], start=1):
        kind, value = wrong.get(n, ("str", label))
        rows += (
            f'<row r="{n}"><c r="A{n}" t="str"><v>{escape(text)}</v></c><c r="B{n}" t="{kind}"><v>{value}</v></c></row>'
        )
    whole = [row for n, row in enumerate(TICKETS, start=2) if n not in (4, 8)]
    expected.file("excel-error-cells.xlsx", ERRORS, whole, row_errors=(4, 8)).write_bytes(
        workbook({"Sheet1": sheet(rows)})
    )


if __name__ == "__main__":
    for make in (wps, google_sheets, numbers, excel):
        make()
    expected.write()
