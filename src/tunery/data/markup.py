"""
Reads tables that are formatted for people: web pages, XML spreadsheets of 2003, and tables drawn in plain text.

Web applications send the first two as .xls; the third kind is Markdown and the output of database clients.
"""

from __future__ import annotations

import codecs
import email
import email.policy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from itertools import pairwise
from typing import Any

from tunery.data.columns import best_of, promise
from tunery.data.encodings import decode
from tunery.data.headers import name_columns
from tunery.data.tables import (
    MAX_CELLS,
    MAX_COLUMNS,
    BadCell,
    Cell,
    DecodedText,
    Row,
    Sheet,
    Table,
    TableOptions,
    check_extent,
    invalid,
    listed,
    sheet_notes,
    warning,
)
from tunery.errors import DataProblem, DatasetInvalid, InvalidArgument

_PAGE = re.compile(r"\s*<(?:!doctype html|html|head|meta|body|table|thead|tbody|tr)\b", re.IGNORECASE)
_XML = re.compile(r"\s*<(?:\?xml|Workbook)\b")
_MAIL = re.compile(
    r"(?:[A-Z][\w-]+: .*\r?\n(?:[ \t].*\r?\n)*){0,8}(?:MIME-Version: 1\.0|Content-Type: multipart/related)"
)
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# Pages name the smaller encoding but mean the larger one (WHATWG Encoding Standard, "Names and labels").
_MEANT = {"iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}
_RULE = re.compile(
    r"\s*(?:\+(?:[-=]+\+)+|-{2,}(?:\+-{2,})+|\|?\s*:?-{3,}:?\s*(?:\|\s*:?-+:?\s*)+\|?|\|\s*:?-{3,}:?\s*\|)\s*"
)
_BOXES = re.compile(r"\s*[┌╭╔├│][─═┬│╦ ]")
_LEAST_ROWS = 2
_LEAST_COLUMNS = 2
_MAX_SPAN = 1_000
_MAX_MAIL_PARTS = 1_000
_LEAST_WRAPPED = 20  # a shorter column is as wide as its longest text by chance


def declared_encoding(data: bytes) -> str | None:
    """Return the encoding that a web page or an XML file declares, None for any other file and for unknown names."""
    start = data[:2048]
    if not start.lstrip().startswith(b"<") or (named := _DECLARED.search(start)) is None:
        return None
    name = named[1].decode()
    if not _is_encoding_of(data, name):
        return None
    return _MEANT.get(codecs.lookup(name).name, name)


def _is_encoding_of(data: bytes, name: str) -> bool:
    try:
        data.decode(name)
    except (LookupError, ValueError):
        return False
    return True


def marked_up_reader(text: str) -> Callable[[DecodedText, TableOptions], Table] | None:
    """Return the reader for marked-up text, None for anything else."""
    if _PAGE.match(text):
        return _read_page
    if _XML.match(text):
        return _read_xml
    if _MAIL.match(text):
        return _read_mail
    if _BOXES.match(text):
        raise invalid("not-a-table", "This is a table drawn with lines; save the table as CSV.")
    lines = [line for line in text[:20_000].splitlines() if line.strip()][:4]
    return _read_drawn if any(_RULE.fullmatch(line) for line in lines) and "|" in text else None


def _read_page(decoded: DecodedText, options: TableOptions) -> Table:
    return _page_table(_page_tables(decoded.text), decoded, options)


def _read_mail(decoded: DecodedText, options: TableOptions) -> Table:
    """Read a page that Excel saved as a single file (MHTML)."""
    if decoded.text.count("\n--") > _MAX_MAIL_PARTS:
        raise invalid("web-page", f"This web page has more than {_MAX_MAIL_PARTS:,} parts; save it as .xlsx.")
    message = email.message_from_string(decoded.text, policy=email.policy.default)
    pages = [part for part in message.walk() if part.get_content_type() == "text/html"]
    texts = [text for page in pages if (text := _mail_text(page)).strip()]
    return _page_table([table for text in texts for table in _page_tables(text)], decoded, options)


def _mail_text(part: Message) -> str:
    """
    Return the text of a part; encoded bytes name their own charset, other text was decoded together with the file.
    """
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() not in ("quoted-printable", "base64"):
        return str(part.get_payload())
    content = part.get_payload(decode=True)
    data = content if isinstance(content, bytes) else b""
    charset = part.get_content_charset()
    return decode(data, charset if charset and _is_encoding_of(data, charset) else declared_encoding(data)).text


def _page_table(tables: Sequence[_Grid], decoded: DecodedText, options: TableOptions) -> Table:
    if not tables:
        message = (
            "This is a web page without a table. If it asks you to sign in, the address is not public: "
            "open it in a browser and download the file there."
        )
        raise invalid("web-page", message)
    if len(tables) > 1:
        what = f"This is a web page with {len(tables)} tables"
        message = f"{what}; open it in a spreadsheet and save the one you need as .xlsx."
        raise invalid("web-page", message)
    return tables[0].table("html", decoded, options)


@dataclass(slots=True)
class _Grid:
    """Cells by row number and position while a table is being read; merged cells leave their other places empty."""

    cells: dict[int, dict[int, Cell]] = field(default_factory=dict)
    taken: set[tuple[int, int]] = field(default_factory=set)  # places of merged cells
    problems: list[DataProblem] = field(default_factory=list)
    sheet: str | None = None
    width: int = 0

    def put(self, row: int, position: int, cell: Cell, across: int = 1, down: int = 1) -> int:
        """Put a cell at the next free place and return the position after it."""
        while (row, position) in self.taken:
            position += 1
        across, down = min(across, MAX_COLUMNS + 1), min(down, _MAX_SPAN)
        if len(self.taken) + across * down > MAX_CELLS:
            raise invalid("too-many-cells", f"Merged cells cover more than {MAX_CELLS:,} cells.", limit=MAX_CELLS)
        self.taken.update((row + y, position + x) for y in range(down) for x in range(across) if x or y)
        self.cells.setdefault(row, {})[position] = cell
        self.width = max(self.width, position + across)
        check_extent(len(self.cells), self.width)
        return position + across

    def table(self, form: str, decoded: DecodedText, options: TableOptions, *, has_header: bool | None = None) -> Table:
        """Return the rows that are not blank, as a table."""
        rows = [
            Row(number, tuple(cells.get(position) for position in range(self.width)))
            for number, cells in sorted(self.cells.items())
            if any(cell is not None for cell in cells.values())
        ]
        if self.taken and any(number in self.cells for number, _ in self.taken):
            first = min(self.taken)[0]
            self.problems.append(
                warning(
                    "merged-cells",
                    f"There are merged cells, from row {first}; only the first cell of each has the text.",
                )
            )
        header = has_header if options.header is None else options.header
        named = name_columns(rows, header, options.header_row)
        return Table(
            format=form,
            columns=named.columns,
            rows=named.rows,
            problems=(*decoded.problems, *self.problems, *named.problems),
            has_header=named.has_header,
            header_row=named.header_row,
            encoding=decoded.encoding,
            encoding_is_guessed=decoded.is_guessed,
            sheet=self.sheet,
        )


def _page_tables(text: str) -> list[_Grid]:
    """Return the tables of a web page that have rows and columns, without those used only for layout."""
    from lxml import etree, html

    parser = html.HTMLParser(no_network=True, encoding="utf-8")
    try:
        page = html.document_fromstring(text, parser=parser)
    except (etree.LxmlError, ValueError):
        return []
    if any(entry.level_name == "FATAL" for entry in parser.error_log):  # what follows was not read
        raise invalid("web-page", "This web page is nested too deeply; open it in a spreadsheet and save it as .xlsx.")
    grids: dict[Any, _Grid] = {}
    numbers: dict[Any, int] = {}
    for row in page.iter("tr"):
        table = next(row.iterancestors("table"), None)
        if row.find(".//table") is not None:
            continue
        number = numbers[table] = numbers.get(table, 0) + 1
        grid, position = grids.setdefault(table, _Grid()), 0
        for cell in row.iter("td", "th"):
            position = grid.put(
                number, position, _page_text(cell) or None, _span(cell, "colspan"), _span(cell, "rowspan")
            )
    return [grid for grid in grids.values() if len(grid.cells) >= _LEAST_ROWS and grid.width >= _LEAST_COLUMNS]


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "1").strip()
    return max(1, int(value)) if value.isascii() and value.isdecimal() and len(value) < 9 else 1


def _page_text(cell: Any) -> str:
    """Return what a browser shows: single spaces, and a line break for each break or paragraph."""
    lines = re.split("\n", "".join(_page_pieces(cell)))
    return "\n".join(" ".join(line.replace("\xa0", " ").split()) for line in lines).strip()


def _page_pieces(element: Any) -> Iterator[str]:
    if element.tag in ("script", "style") or not isinstance(element.tag, str):
        return
    if element.tag == "br":
        yield "\n"
    yield _flowing(element.text)
    for child in element:
        yield from _page_pieces(child)
        if child.tag in ("p", "div", "li", "tr"):
            yield "\n"
        yield _flowing(child.tail)


def _flowing(text: str | None) -> str:
    return (text or "").replace("\r", " ").replace("\n", " ")


_SS = "{urn:schemas-microsoft-com:office:spreadsheet}"
_GENERAL = frozenset({"", "General", "@", "0", "General Date", "Short Date", "yyyy-mm-dd"})


def _read_xml(decoded: DecodedText, options: TableOptions) -> Table:
    """Read an XML spreadsheet of 2003 (SpreadsheetML); other XML is refused with an error that names it."""
    from lxml import etree

    text = re.sub(r"^\s*<\?xml.*?\?>", "", decoded.text, count=1, flags=re.DOTALL)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.LxmlError, ValueError) as error:
        raise invalid("broken-xml", f"This XML file is damaged: {error}.") from error
    if root.tag != f"{_SS}Workbook":
        raise _other_xml(str(root.tag))
    found = {str(sheet.get(f"{_SS}Name", "")): sheet for sheet in root.iter(f"{_SS}Worksheet")}
    sheets = tuple(Sheet(name, _is_hidden(sheet)) for name, sheet in found.items())
    formats = _formats(root)
    filled = tuple(sheet for sheet in sheets if next(found[sheet.name].iter(f"{_SS}Data"), None) is not None)
    names = _candidates(sheets, filled, options.sheet)
    tables = (_xml_table(found[name], name, formats, decoded, options) for name in names)
    table = best_of(next(tables), tables, lambda one: promise(one.rows, range(len(one.columns))))
    notes = sheet_notes(table.sheet or "", filled, is_named=options.sheet is not None)
    return replace(table, sheets=sheets, problems=(*notes, *table.problems))


def _xml_table(sheet: Any, name: str, formats: dict[str, str], decoded: DecodedText, options: TableOptions) -> Table:
    grid = _xml_grid(sheet, formats, options)
    grid.sheet = name
    return grid.table("xml", decoded, options)


def _other_xml(tag: str) -> DatasetInvalid:
    if "opendocument" in tag:
        return invalid("not-a-table", "This is a flat OpenDocument file (XML); save it as .ods.")
    if tag.rpartition("}")[2].lower() == "html":
        return invalid("web-page", "This is a web page (XHTML); open it in a spreadsheet and save it as .xlsx.")
    return invalid("not-a-table", "This is an XML file; save the table as CSV.")


def _is_hidden(sheet: Any) -> bool:
    return any("Hidden" in (one.text or "") for one in sheet.iter("{urn:schemas-microsoft-com:office:excel}Visible"))


def _candidates(sheets: Sequence[Sheet], filled: Sequence[Sheet], wanted: str | None) -> list[str]:
    """Return the named sheet, or the sheets with content; hidden ones only if there are no others."""
    if wanted is not None:
        names = [sheet.name for sheet in sheets]
        if wanted not in names:
            raise InvalidArgument(f"There is no sheet {wanted!r}. Sheets: {listed(names)}.")
        return [wanted]
    visible = [sheet.name for sheet in filled if not sheet.is_hidden] or [sheet.name for sheet in filled]
    if not visible:
        raise invalid("empty-workbook", "All sheets of the workbook are empty.")
    return visible


def _formats(root: Any) -> dict[str, str]:
    """Return the number format of each style, by the name of the style."""
    styles = {style.get(f"{_SS}ID"): style.find(f"{_SS}NumberFormat") for style in root.iter(f"{_SS}Style")}
    return {name: one.get(f"{_SS}Format", "") for name, one in styles.items() if one is not None}


def _xml_grid(sheet: Any, formats: dict[str, str], options: TableOptions) -> _Grid:
    grid, number, hidden = _Grid(), 0, list[int]()
    for row in sheet.iterfind(f"{_SS}Table/{_SS}Row"):
        number = _place(row, number + 1)
        if row.get(f"{_SS}Hidden") == "1":
            hidden.append(number)
            if not options.hidden_rows:
                continue
        position = 0
        for cell in row.iterfind(f"{_SS}Cell"):
            position = _place(cell, position + 1) - 1
            across, down = (int(cell.get(f"{_SS}Merge{way}", 0)) + 1 for way in ("Across", "Down"))
            position = grid.put(number, position, _xml_cell(cell), across, down)
            if (form := formats.get(cell.get(f"{_SS}StyleID"), "")) not in _GENERAL and _is_number(cell):
                grid.problems.append(_format_note(number, form))
    if hidden:
        grid.problems.append(_hidden_note(hidden, is_read=options.hidden_rows))
    return grid


def _place(element: Any, following: int) -> int:
    index = element.get(f"{_SS}Index", "")
    return int(index) if index.isascii() and index.isdecimal() and len(index) < 9 else following


def _xml_cell(cell: Any) -> Cell:
    data = cell.find(f"{_SS}Data")
    if data is None:
        return BadCell("formula", "a formula without a stored value.") if cell.get(f"{_SS}Formula") else None
    text, kind = "".join(data.itertext()), data.get(f"{_SS}Type")
    if kind == "Boolean":
        return "TRUE" if text == "1" else "FALSE"
    if kind == "DateTime":
        return text.removesuffix(".000").removesuffix("T00:00:00").replace("T", " ")
    if kind == "Error":
        return BadCell("cell-error", f"the error {text[:40]}.")
    return text or None


def _is_number(cell: Any) -> bool:
    data = cell.find(f"{_SS}Data")
    return data is not None and data.get(f"{_SS}Type") in ("Number", "DateTime")


def _format_note(row: int, form: str) -> DataProblem:
    return warning("number-as-text", f"a number has the format {form[:40]!r}, but was read as it is stored.", row=row)


def _hidden_note(rows: Sequence[int], *, is_read: bool) -> DataProblem:
    what = "1 hidden row was" if len(rows) == 1 else f"{len(rows):,} hidden rows were"
    done = "read" if is_read else "left out"
    return warning("hidden-rows", f"{what} {done} (first: row {rows[0]}).", option=None if is_read else "hidden_rows")


_CELL_BORDER = re.compile(r"(?<!\\)\|")


def _read_drawn(decoded: DecodedText, options: TableOptions) -> Table:
    """Read a Markdown table, or one that a database client printed."""
    lines = decoded.text.splitlines()
    rule = next(number for number, line in enumerate(lines) if _RULE.fullmatch(line))
    begin = rule if lines[rule].strip().startswith("+") else rule - 1
    end = next(
        (
            number
            for number in range(rule + 1, len(lines))
            if "|" not in lines[number] and not _RULE.fullmatch(lines[number])
        ),
        len(lines),
    )
    grid = _Grid()
    inside = [(number, line) for number, line in enumerate(lines[begin:end], start=begin + 1)]
    drawn = [(number, _drawn_cells(line)) for number, line in inside if not _RULE.fullmatch(line)]
    width = len(drawn[0][1]) if drawn else 0
    refused = {number: tuple(cells) for number, cells in drawn if len(cells) > width}
    for number, cells in drawn:
        for position, cell in enumerate(cells if number not in refused else []):
            grid.put(number, position, cell or None)
    grid.problems += [_too_wide(number, width) for number in refused]
    if (wrapped := _wrapped_row(inside)) is not None:
        message = "this table wraps long texts at the column width; save the table as CSV."
        raise invalid("not-a-table", message, row=wrapped)
    if outside := [number for number, line in enumerate(lines, start=1) if line.strip() and not begin < number <= end]:
        which = "1 line outside the table was" if len(outside) == 1 else f"{len(outside)} lines outside the table were"
        message = f"{which} skipped (first: line {outside[0]})."
        grid.problems.append(warning("skipped-lines", message))
    table = grid.table("markdown", decoded, options, has_header=True)
    return replace(table, refused=tuple(Row(number, cells) for number, cells in refused.items()))


def _wrapped_row(lines: Sequence[tuple[int, str]]) -> int | None:
    """
    Return the first row that continues the row above, None if there is none.

    Such rows have empty cells, and their other cells continue a text that fills the whole width of its column. A single
    such row may follow the longest text by chance.
    """
    found = []
    for (_, above), (number, line) in pairwise(lines):
        pairs = list(zip(_CELL_BORDER.split(above.strip()), _CELL_BORDER.split(line.strip()), strict=False))[1:-1]
        if _RULE.fullmatch(line) or _RULE.fullmatch(above) or all(cell.strip() for _, cell in pairs):
            continue
        filled = [text for text, cell in pairs if cell.strip()]
        if not filled or any(len(text) <= _LEAST_WRAPPED or text.endswith("  ") for text in filled):
            return None
        found.append(number)
    return found[0] if len(found) > 1 else None


def _drawn_cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    cells = (cell.strip().replace("\\|", "|") for cell in _CELL_BORDER.split(inner))
    return [re.sub(r"<br ?/?>", "\n", cell) for cell in cells]


def _too_wide(number: int, width: int) -> DataProblem:
    message = f"more than {width} cells. Write \\| for a bar inside a text."
    return DataProblem("ragged-row", message, row=number, limit=width)
