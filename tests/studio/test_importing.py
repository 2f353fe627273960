"""Files as people have them: odd tables, workbooks, broken lines, files of AI Studio; all is checked first."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from typing import Any

import openpyxl
import pytest
from playwright.sync_api import Page, Route, expect

from tests.chaos.served import wait_until
from tests.cli.conftest import runner
from tests.data.test_corpus import FILES
from tests.studio.accessibility import faults
from tests.studio.visitor import Visitor
from tunery.data import dataset, sandbox

ROWS = [(f"Größe {number}", f"Maß {number}") for number in range(1, 25)]
LONG = "x" * 5_001  # an output may have 5,000 characters


def odd_csv() -> bytes:
    """Headers that say nothing, semicolons, Latin-1."""
    lines = ["Nr;Frage an uns;Was wir sagen", *(f"{n};{asked};{said}" for n, (asked, said) in enumerate(ROWS))]
    return "\r\n".join(lines).encode("latin-1")


def marked_csv() -> bytes:
    """A byte order mark before the first header."""
    lines = ["question;answer", *(f"{asked};{said}" for asked, said in ROWS)]
    return "\n".join(lines).encode("utf-8-sig")


def workbook() -> bytes:
    """Two sheets, the examples on the second."""
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["Nothing", "here"])
    sheet = book.create_sheet("Examples")
    for row in [("input", "output"), *ROWS]:
        sheet.append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def broken_lines() -> bytes:
    """Two lines of JSONL that end too early."""
    lines = [json.dumps({"text_input": asked, "output": said}) for asked, said in ROWS]
    lines[4], lines[9] = lines[4][:-3], '{"text_input": '
    return "\n".join(lines).encode()


def seven_bad_rows() -> bytes:
    """Rows 3, 5, 8, 11, 14, 17 and 20 of the file cannot be learned."""
    rows = [["text_input", "output"], *([asked, said] for asked, said in ROWS)]
    for number in (3, 8, 14, 20):
        rows[number - 1][1] = ""
    for number in (5, 11):
        rows[number - 1][0] = " "
    rows[16][1] = LONG
    return "\n".join(",".join(row) for row in rows).encode()


def ai_studio_file() -> bytes:
    """A structured prompt as it lies in Google Drive."""
    columns = [{"columnId": "a", "displayName": "input:", "isInput": True}, {"columnId": "b", "displayName": "output:"}]
    rows = [{"rowId": f"r{n}", "columnBindings": {"a": asked, "b": said}} for n, (asked, said) in enumerate(ROWS)]
    prompt = {"dataPrompt": {"preamble": "Measure it.", "columns": columns, "rows": rows}, "testExamples": []}
    return json.dumps(prompt).encode()


def rows_with_errors(page: Page) -> set[int]:
    """Return the numbers of the rows that the table of problems names."""
    table = page.get_by_role("table", name="Problems")
    expect(table).to_be_visible()
    errors = table.locator("tbody").filter(has_text="Error").locator("tr:not(.group)")
    return {int(number) for row in errors.all() for number in re.findall(r"\d+", row.locator("td").first.inner_text())}


def test_a_table_with_odd_headers(ann: Visitor) -> None:
    """Journey 2: with semicolons, Latin-1 and headers of its own, the columns are chosen, the umlauts are right."""
    page = ann.goto("/new")
    ann.import_file("fragen.csv", odd_csv())
    for column, use in (("Was wir sagen", "Output"), ("Frage an uns", "Input"), ("Nr", "Ignored")):
        page.get_by_label(column, exact=True).select_option(use)
    expect(page.get_by_label("Nr", exact=True)).to_have_value("ignored")
    ann.use_rows()

    expect(page.get_by_text("24 examples").first).to_be_visible()
    grid = page.get_by_role("grid", name="Examples")
    expect(grid.get_by_text("Größe 1", exact=True)).to_be_visible()
    expect(grid.get_by_text("Maß 1", exact=True)).to_be_visible()


def test_a_table_with_a_byte_order_mark(ann: Visitor) -> None:
    """Journey 2: the mark does not become part of the first header, and the columns are found by their names."""
    page = ann.goto("/new")
    ann.import_file("marked.csv", marked_csv())

    expect(page.get_by_label("question", exact=True)).to_have_value("input")
    expect(page.get_by_label("answer", exact=True)).to_have_value("output")
    ann.use_rows()
    expect(page.get_by_text("24 examples").first).to_be_visible()


def test_a_workbook_with_two_sheets(ann: Visitor) -> None:
    """Journey 2: the sheet with the examples can be chosen."""
    page = ann.goto("/new")
    ann.import_file("book.xlsx", workbook())
    page.get_by_label("Sheet").select_option("Examples")
    expect(page.get_by_text("24 rows")).to_be_visible()
    ann.use_rows()

    expect(page.get_by_text("24 examples").first).to_be_visible()


def test_lines_that_are_broken(ann: Visitor) -> None:
    """Journey 2: both broken lines are named; without them the other 22 are imported."""
    page = ann.goto("/new")
    ann.import_file("lines.jsonl", broken_lines())
    assert rows_with_errors(page) == {5, 10}

    ann.press("Skip 2 rows with errors")
    ann.use_rows()
    expect(page.get_by_text("22 examples").first).to_be_visible()


def test_a_file_of_ai_studio(ann: Visitor) -> None:
    """Journey 2: rows of a structured prompt become examples with its preamble and prefixes."""
    page = ann.goto("/new")
    ann.import_file("Number maker", ai_studio_file())
    expect(page.get_by_text("Measure it.").first).to_be_visible()
    ann.use_rows()

    expect(page.get_by_text("24 examples").first).to_be_visible()
    expect(page.get_by_role("grid", name="Examples")).to_contain_text("Größe 1")


def test_seven_bad_rows(ann: Visitor) -> None:
    """Journey 3: all seven are listed with their row numbers before anything starts; without them it tunes."""
    page = ann.goto("/new")
    ann.import_file("bad.csv", seven_bad_rows())
    assert rows_with_errors(page) == {3, 5, 8, 11, 14, 17, 20}

    ann.press("Skip 7 rows with errors")
    ann.use_rows()
    expect(page.get_by_text("17 examples").first).to_be_visible()
    ann.name("Without the bad rows")
    model = ann.tune()
    assert ann.call("GET", f"tunedModels/{model}?extensions=true")["tuningTask"]["data"]["rows"] == 17


def two_texts() -> bytes:
    """Czech in ISO 8859-2, which is Czech with a few other letters in Windows-1250."""
    return ("text,label\n" + "Balík nepřišel,doručení\nPošlete fakturu,platba\n" * 12).encode("iso8859-2")


def test_two_readings_are_asked_side_by_side(ann: Visitor) -> None:
    """Of two plausible texts none is taken; both are shown, and one key chooses. The answer can be changed."""
    page = ann.goto("/new")
    ann.import_file("czech.csv", two_texts())
    question = page.get_by_role("group", name="Which text is right?")
    expect(question.get_by_role("radio")).to_have_count(2)
    expect(question.get_by_role("table").first).to_contain_text("Balík nepřišel")
    expect(question.get_by_role("table").last).to_contain_text("Balík nepřiąel")
    expect(page.get_by_role("button", name="Import 24 examples")).to_be_disabled()
    assert faults(page) == []

    question.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    sample = page.get_by_role("region", name="First rows of the file")
    expect(sample).to_contain_text("Balík nepřiąel")
    expect(page.get_by_label("Encoding")).to_have_value("cp1250")
    page.keyboard.press("ArrowUp")
    expect(sample).to_contain_text("Balík nepřišel")
    ann.use_rows()
    expect(page.get_by_role("grid", name="Examples")).to_contain_text("Balík nepřišel")


def test_a_message_leads_to_its_control(ann: Visitor) -> None:
    """Where a message asks for the delimiter, its button moves the focus there, also if nothing could be read."""
    page = ann.goto("/new")
    ann.import_file("rows.txt", (FILES / "r-blanks.txt").read_bytes())

    ann.press("Choose the delimiter")
    expect(page.get_by_label("Delimiter")).to_be_focused()


def test_hidden_rows_are_asked(ann: Visitor) -> None:
    """The rows that a workbook hides are left out, and read if the user says so; the counts follow."""
    page = ann.goto("/new")
    ann.import_file("tickets.xlsx", (FILES / "exceljs-hidden-rows.xlsx").read_bytes())
    expect(page.get_by_text("3 hidden rows were left out (first: row 3).")).to_be_visible()
    expect(page.get_by_role("radio", name="Leave them out")).to_be_checked()
    expect(page.get_by_role("button", name="Import 9 examples")).to_be_enabled()

    page.get_by_role("radio", name="Read them too").check()
    expect(page.get_by_role("button", name="Import 12 examples")).to_be_enabled()


def test_outputs_that_do_not_fit_the_model(ann: Visitor) -> None:
    """They are named with their rows and tokens before anything starts, and without them the estimate is there."""
    ann.watch.allow("400")  # the estimate of a task that cannot start
    page = ann.goto("/new")
    rows = [["text_input", "output"], *([asked, said] for asked, said in ROWS)]
    rows[2][1] = rows[6][1] = "x" * 3_000  # of 2,048 tokens, which are bytes here
    ann.import_file("long.csv", "\n".join(",".join(row) for row in rows).encode())
    ann.use_rows()

    note = page.get_by_role("alert")
    expect(note).to_contain_text("Row 2, output: 3,0")
    expect(note).to_contain_text("limit 2,048. Outputs are never cut")
    expect(page.get_by_role("grid", name="Examples").get_by_text("Cannot be learned")).to_have_count(2)
    assert faults(page) == []
    ann.press("Delete 2 rows")
    expect(page.get_by_text("22 examples").first).to_be_visible()
    expect(note).to_have_count(0)
    expect(page.get_by_role("complementary", name="Estimate")).to_contain_text("Steps")


CORPUS = (
    "excel-german.csv",
    "excel-sep-line.csv",
    "lo-bar.csv",
    "lo-big5.csv",
    "lo-koi8-r.csv",
    "notepad-utf16-le.txt",
    "mariadb-outfile.txt",
    "r-blanks.txt",
    "pandas-print.txt",
    "jq-data.json",
    "datasets-viewer.json",
    "openai-weight.jsonl",
    "bedrock-messages-system.jsonl",
    "aistudio-structured",
    "exceljs-hidden-rows.xlsx",
    "openpyxl-title-merged.xlsx",
    "xlwt-formats-hidden.xls",
    "lo-sheets.ods",
    "jq-train-test.json",
    "lo-print.pdf",
)
SHOWN_ROWS = 10  # of a cause

# What the page says of a file: its counts, columns, first rows, problems and questions.
READ_PAGE = """() => {
    const all = (selector, where = document) => [...where.querySelectorAll(selector)];
    const said = (element) => element?.textContent ?? "";
    const region = (name) => `[role=region][aria-label="${name}"] tbody`;
    return {
        counts: said(document.querySelector("strong + .soft")),
        columns: all("#control-columns .field").map((field) => [
            said(field.querySelector("label")), field.querySelector("select").value,
        ]),
        sample: all(region("First rows of the file") + " tr").map((row) => all("td", row).map(said)),
        problems: all("table[aria-label=Problems] tbody").flatMap((kind) => all("tr.cause", kind).map((row) => [
            said(kind.querySelector(".badge")),
            all(".row-numbers > *", row).map(said).filter((number) => /^\\d+$/.test(number)).map(Number),
            said(row.children[1]),
            said(row.querySelector(".sentence")),
        ])),
        questions: all(".question > p").map(said),
    };
}"""


def causes(problems: Iterable[dict[str, Any]]) -> list[list[Any]]:
    """Return what the page shows of problems: level, rows, column and sentence of each cause."""
    rows: dict[tuple[str, str, str, str], list[int]] = {}
    for one in problems:
        cause = (one["kind"], one["level"].capitalize(), one["column"] or "–", one["message"])
        rows.setdefault(cause, []).extend([one["row"]] if one["row"] else [])
    return sorted([level, found[:SHOWN_ROWS], *rest] for (_, level, *rest), found in rows.items())


def test_the_studio_says_what_the_command_line_says(
    ann: Visitor, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Files of the corpus have the same rows, columns, problems and words in the browser as in `data preview`."""
    monkeypatch.setattr(sandbox, "preview_guarded", dataset.preview)  # without a process for each file
    run = runner(capfd)
    page = ann.goto("/new")
    for name in CORPUS:
        ann.import_file(name, (FILES / name).read_bytes())
        expect(page.locator("strong").get_by_text(name, exact=True)).to_be_visible()
        shown = page.evaluate(READ_PAGE)
        ann.press("Choose another file")

        done = run("data", "preview", FILES / name, "--json")
        if done.status:  # refused: there are only words
            assert [problem[3] for problem in shown["problems"]], name
            assert all(f"{problem[3][1:]}" in done.said for problem in shown["problems"]), name
            assert (len(shown["problems"]), shown["sample"]) == (done.said.count("Error: "), []), name
            continue
        said = json.loads(done.output)
        asked = [one for one in said["problems"] if one["readings"]]
        where = [f"Row {one['row']}: " if one["row"] else "" for one in asked]
        uses = dict.fromkeys(said["input_columns"], "input") | {said["output_column"]: "output"}
        usable = "" if said["example_count"] == said["row_count"] else f"{said['example_count']} of "
        assert f"· {said['format']} · {usable}{said['row_count']} row" in shown["counts"], name
        assert shown["columns"] == [[column, uses.get(column, "ignored")] for column in said["columns"]], name
        assert shown["sample"] == [
            [str(row["number"]), *(cell or "" for cell in row["cells"])] for row in said["sample"]
        ], name
        assert shown["questions"] == [start + one["message"] for start, one in zip(where, asked, strict=True)], name
        assert sorted(shown["problems"]) == causes(one for one in said["problems"] if not one["readings"]), name


def test_starting_over_asks_and_can_be_undone(ann: Visitor) -> None:
    """The harmless answer keeps everything; Undo brings examples, name and draft back after the other."""
    page = ann.goto("/new")
    ann.import_file("rows.csv", "\n".join(["text_input,output", *(f"{a},{b}" for a, b in ROWS)]).encode())
    ann.use_rows()
    ann.name("Kept")
    name = page.get_by_role("textbox", name="Name", exact=True)
    ann.press("Start over")
    dialog = page.get_by_role("alertdialog", name="Start over?")
    expect(dialog).to_contain_text(f"This deletes {len(ROWS)} examples, the name and the settings")
    dialog.get_by_role("button", name="Keep editing").click()
    expect(name).to_have_value("Kept")

    ann.press("Start over")
    dialog.get_by_role("button", name="Start over").click()
    expect(name).to_have_value("")
    ann.press("Undo")

    expect(name).to_have_value("Kept")
    expect(page.get_by_text(f"{len(ROWS)} examples").first).to_be_visible()
    expect(page.get_by_text("Draft saved", exact=True)).to_be_visible()
    drafts = [prompt for prompt in ann.call("GET", "prompts")["prompts"] if prompt["displayName"] == "Kept"]
    assert len(drafts) == 1


@pytest.mark.parametrize("leaves", [False, True], ids=["started over", "left and opened again"])
def test_a_draft_is_stored_once_however_slow_its_first_save_is(ann: Visitor, leaves: bool) -> None:
    """A draft whose prompt is still being created is started over or left; its prompt is deleted or found again."""
    page = ann.goto("/new")
    held: list[Route] = []
    page.route("**/v1beta/prompts", lambda route: held.append(route) if _creates(route) else route.continue_())
    ann.name("Slow")
    ann.import_file("rows.csv", "\n".join(["text_input,output", *(f"{a},{b}" for a, b in ROWS)]).encode())
    ann.use_rows()
    wait_until(lambda: page.title() and held, 20)  # (Playwright hands a request over while it is asked something)
    if leaves:
        page.get_by_role("link", name="My Library").click()
        page.get_by_role("link", name="New tuned model").first.click()
        expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Slow")
        ann.name("Slow too")
    else:
        ann.press("Start over")
        page.get_by_role("alertdialog").get_by_role("button", name="Start over").click()
    with page.expect_response("**/v1beta/prompts"):
        held.pop().continue_()
    page.unroute("**/v1beta/prompts")
    if not leaves:
        ann.press("Undo")

    expect(page.get_by_text("Draft saved", exact=True)).to_be_visible()
    drafts = [prompt["displayName"] for prompt in ann.call("GET", "prompts")["prompts"]]
    assert [name for name in drafts if name.startswith("Slow")] == ["Slow too" if leaves else "Slow"]


def _creates(route: Route) -> bool:
    return route.request.method == "POST"
