"""
Workbooks for tests: XLSX by openpyxl, ODS by odfpy, XLS by hand, since nothing maintained writes it any more.

Returns bytes; knows nothing of what the tests expect.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import openpyxl
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

SECTOR_BYTES = 512


def xlsx(*sheets: tuple[str, Sequence[Sequence[Any]]], hidden: Sequence[str] = ()) -> bytes:
    """Return an XLSX workbook; a text that begins with "=" is a formula without a stored value."""
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets:
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
        if name in hidden:
            sheet.sheet_state = "hidden"
    target = io.BytesIO()
    workbook.save(target)
    return target.getvalue()


def xlsx_with_sheet(sheet_data: str, shared_strings: Sequence[str] = ()) -> bytes:
    """Return an XLSX workbook whose `<sheetData>` is written by the caller."""
    replaced = {
        "xl/worksheets/sheet1.xml": '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f"<sheetData>{sheet_data}</sheetData></worksheet>",
        "xl/sharedStrings.xml": '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        + "".join(f"<si><t>{text}</t></si>" for text in shared_strings)
        + "</sst>",
    }
    return with_members(xlsx(("Sheet", [["text", "label"]])), replaced)


def with_members(workbook: bytes, replaced: Mapping[str, str | bytes]) -> bytes:
    """Return the archive with these members put in or replaced."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in source.namelist():
            if name not in replaced:
                archive.writestr(name, source.read(name))
        for name, content in replaced.items():
            archive.writestr(name, content)
    return target.getvalue()


def renamed(workbook: bytes, new_name: Callable[[str], str]) -> bytes:
    """Return the archive with all members renamed."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            archive.writestr(new_name(name), source.read(name))
    return target.getvalue()


def without_member(workbook: bytes, left_out: str) -> bytes:
    """Return the archive without one member."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            if name != left_out:
                archive.writestr(name, source.read(name))
    return target.getvalue()


def with_rows(workbook: bytes, rows: str) -> bytes:
    """Return the ODS workbook with these rows, as XML, at the end of its first sheet."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        content = archive.read("content.xml").decode()
    return with_members(workbook, {"content.xml": content.replace("</table:table>", rows + "</table:table>", 1)})


def ods(*sheets: tuple[str, Sequence[Sequence[Any]]]) -> bytes:
    """Return an ODS workbook of texts, numbers and ready-made cells."""
    document = OpenDocumentSpreadsheet()
    for name, rows in sheets:
        table = Table(name=name)
        for row in rows:
            line = TableRow()
            for value in row:
                line.addElement(_ods_cell(value))
            table.addElement(line)
        document.spreadsheet.addElement(table)
    target = io.BytesIO()
    document.write(target)
    return target.getvalue()


def ods_of_xml(rows: str, styles: str = "") -> bytes:
    """Return an ODS workbook whose rows and automatic styles are written by the caller."""
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text", "style", "calcext")
    )
    content = f"""<office:document-content {spaces}><office:automatic-styles>{styles}</office:automatic-styles>
        <office:body><office:spreadsheet><table:table table:name="Sheet">{rows}</table:table>
        </office:spreadsheet></office:body></office:document-content>"""
    return with_members(ods(), {"content.xml": content})


def ods_cell(**attributes: str) -> TableCell:
    """Return a cell with these attributes, such as `formula` and `value`."""
    return TableCell(**attributes)


def xls(
    rows: Sequence[Sequence[str | float]], *, extra: bytes = b"", sheet: bytes = b"", stream: str = "Workbook"
) -> bytes:
    """Return a BIFF8 workbook with one sheet; `extra` records begin the globals, `sheet` records end the sheet."""
    cells = b"".join(_biff_cell(r, c, value) for r, row in enumerate(rows) for c, value in enumerate(row))
    return _xls(cells + sheet, extra, stream)


def xls_of_records(sheet: bytes, workbook: bytes = b"") -> bytes:
    """Return an XLS with these records in its sheet and at the beginning of its globals."""
    return _xls(sheet, workbook)


def sparse_xls() -> bytes:
    """Return an XLS with two cells in opposite corners, which the reader would lay out as 16.7 million."""
    return _xls(_biff_cell(0, 0, "x") + _biff_cell(65_535, 255, 1.0))


def circular_xls() -> bytes:
    """Return an XLS whose chain of sectors is a circle; a reader that follows it never ends."""
    data = bytearray(xls([["text", "label"], ["a", "b"]]))
    first_sector_of_stream = 2  # after the table of sectors and the directory
    struct.pack_into("<I", data, SECTOR_BYTES + 4 * (first_sector_of_stream + 1), first_sector_of_stream)
    return bytes(data)


def xls_of_one_text() -> bytes:
    """Return an XLS whose one text of 8,000 characters stands in 130,000 cells, which the reader copies each."""
    text = struct.pack("<IIHB", 1, 1, 8_000, 0) + b"x" * 8_000
    cells = (struct.pack("<HHHI", row, column, 0, 0) for row in range(65_000) for column in range(2))
    return _xls(b"".join(record(0x00FD, cell) for cell in cells), record(0x00FC, text))


def record(kind: int, content: bytes) -> bytes:
    """Return a BIFF record."""
    return struct.pack("<HH", kind, len(content)) + content


def compound_file(streams: dict[str, bytes]) -> bytes:
    """Return an OLE2 file (MS-CFB, version 3) with these streams in its root."""
    padded = {name: data.ljust(4096, b"\0") for name, data in streams.items()}
    padded = {name: data + b"\0" * (-len(data) % SECTOR_BYTES) for name, data in padded.items()}
    sectors = [len(data) // SECTOR_BYTES for data in padded.values()]
    directory_sectors = -(-(1 + len(streams)) // 4)
    fat_sectors = next(n for n in range(1, 110) if n * 128 >= n + directory_sectors + sum(sectors))
    chains = [fat_sectors + directory_sectors + sum(sectors[:index]) for index in range(len(sectors))]
    fat = [0xFFFFFFFD] * fat_sectors
    for count in (directory_sectors, *sectors):
        fat += [*range(len(fat) + 1, len(fat) + count), 0xFFFFFFFE]
    fat += [0xFFFFFFFF] * (fat_sectors * 128 - len(fat))
    directory = _entry("Root Entry", 5, 1 if streams else 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE, 0)
    for index, (name, data) in enumerate(padded.items()):
        right = index + 2 if index + 1 < len(padded) else 0xFFFFFFFF
        directory += _entry(name, 2, 0xFFFFFFFF, right, chains[index], len(data))
    directory += b"\0" * (directory_sectors * SECTOR_BYTES - len(directory))
    header = struct.pack(
        "<8s16sHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6,
        0, fat_sectors, fat_sectors, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0,
    )  # fmt: skip
    difat = [*range(fat_sectors), *[0xFFFFFFFF] * (109 - fat_sectors)]
    return (
        header
        + struct.pack("<109I", *difat)
        + struct.pack(f"<{len(fat)}I", *fat)
        + directory
        + b"".join(padded.values())
    )


def _entry(name: str, kind: int, child: int, right: int, start: int, size: int) -> bytes:
    encoded = name.encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16sIQQIQ",
        encoded, len(encoded) + 2, kind, 1, 0xFFFFFFFF, right, child, b"", 0, 0, 0, start, size,
    )  # fmt: skip


def _xls(cells: bytes, extra: bytes = b"", stream: str = "Workbook") -> bytes:
    name = b"Sheet1"
    begin = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0, 0, 0)) + extra
    end = record(0x000A, b"")
    bound_sheet_bytes = 4 + 8 + len(name)
    offset = len(begin) + bound_sheet_bytes + len(end)
    bound = record(0x0085, struct.pack("<IBBBB", offset, 0, 0, len(name), 0) + name)
    sheet = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 0, 0, 0)) + cells
    return compound_file({stream: begin + bound + end + sheet + end})


def _biff_cell(row: int, column: int, value: str | float) -> bytes:
    if isinstance(value, str):
        text = value.encode("utf-16-le")
        return record(0x0204, struct.pack("<HHHHB", row, column, 0, len(text) // 2, 1) + text)
    return record(0x0203, struct.pack("<HHHd", row, column, 0, value))


def _ods_cell(value: Any) -> TableCell:
    if isinstance(value, str):
        cell = TableCell(valuetype="string")
        cell.addElement(P(text=value))
        return cell
    if isinstance(value, (int, float)):
        return TableCell(valuetype="float", value=str(value))
    return value
