"""Makes the files that R, MariaDB, SQLite and jq write. Needs Rscript, mariadb-server, sqlite3 and jq."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from texts import ANSWERS, CHINESE, CITIES, FILES, TICKETS, Expected, Rows

expected = Expected("databases")
R = "R 4.2.2"
MARIADB = "MariaDB 10.11.19"
SQLITE = "SQLite 3.40.1"
JQ = "jq 1.6"

PLAIN: Rows = [(text.replace("\n", " "), answer.replace("\n", " ")) for text, answer in ANSWERS]


def rscript(rows: Rows, names: tuple[str, str], code: str) -> None:
    """Run R code with the rows as the data frame `d`; it may read the folder of the files as `f(name)`."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as source:
        columns = [json.dumps([row[part] for row in rows], ensure_ascii=False) for part in (0, 1)]
        values = [column.replace("[", "c(", 1)[:-1] + ")" for column in columns]
        frame = f"d <- data.frame({names[0]} = {values[0]}, {names[1]} = {values[1]})\n"
        helper = f'f <- function(name) file.path("{FILES}", name)\n'
        Path(source.name).write_text(frame + helper + code, "utf-8")
        subprocess.run(["Rscript", "--vanilla", "--encoding=UTF-8", source.name], check=True, capture_output=True)


def with_r() -> None:
    for name, rows, names, call in [
        ("r-write-csv.csv", TICKETS, ("text", "label"), "write.csv(d, {})"),
        ("r-no-row-names.csv", ANSWERS, ("question", "answer"), "write.csv(d, {}, row.names = FALSE)"),
        ("r-write-csv2.csv", TICKETS, ("problem", "team"), "write.csv2(d, {}, row.names = FALSE)"),
        ("r-latin1.csv", CITIES, ("Ort", "Vergleich"), 'write.csv2(d, {}, row.names = FALSE, fileEncoding = "latin1")'),
        ("r-tab.tsv", TICKETS, ("text", "label"), 'write.table(d, {}, sep = "\\t", quote = FALSE, row.names = FALSE)'),
        ("r-col-names-na.tsv", TICKETS, ("text", "label"), 'write.table(d, {}, sep = "\\t", col.names = NA)'),
        ("r-utf16.csv", CHINESE, ("text", "label"), 'write.csv(d, {}, row.names = FALSE, fileEncoding = "UTF-16LE")'),
    ]:
        instead: tuple[dict[str, object], ...] = ()
        if "col.names" in call:
            instead = ({"refused": "quote|backslash|escape"},)
        if "UTF-16" in call:
            instead = ({"refused": "encoding"},)
        path = expected.file(name, R, rows, note=call.format("file"), instead=instead)
        rscript(rows, names, call.format(f'f("{path.name}")'))
    short = 'write.table(d, f("r-short-header.tsv"), sep = "\\t")'
    expected.file(
        "r-short-header.tsv",
        R,
        TICKETS,
        instead=({"refused": "header|cells|column|quote|backslash|escape"},),
        note="row names without a name: the header has one cell fewer",
    )
    rscript(TICKETS, ("text", "label"), short)
    expected.file(
        "r-blanks.txt", R, refused="column|delimiter|cells", note="write.table(d): blanks between quoted cells"
    )
    rscript(TICKETS, ("text", "label"), 'write.table(d, f("r-blanks.txt"))')
    expected.file("r-escaped-quotes.csv", R, PLAIN, instead=({"refused": "quote|backslash|escape"},))
    rscript(
        PLAIN,
        ("question", "answer"),
        'write.table(d, f("r-escaped-quotes.csv"), sep = ",", row.names = FALSE, qmethod = "escape")',
    )
    whole = [row for number, row in enumerate(TICKETS, start=1) if number != 5]
    lost = [row if number != 5 else (row[0], "NA") for number, row in enumerate(TICKETS, start=1)]
    expected.file("r-missing.csv", R, lost, warns=("NA",), instead=({"rows": whole, "row_errors": [6]},))
    rscript(TICKETS, ("text", "label"), 'd$label[5] <- NA; write.csv(d, f("r-missing.csv"), row.names = FALSE)')


@contextmanager
def mariadb(folder: Path) -> Iterator[list[str]]:
    """Run a server of our own; yield the command of its client."""
    data, socket = folder / "data", folder / "socket"
    common = ["--no-defaults", f"--datadir={data}", "--user=root"]
    subprocess.run(
        ["mariadb-install-db", *common, "--auth-root-authentication-method=normal"], check=True, capture_output=True
    )
    server = subprocess.Popen(
        ["mariadbd", *common, f"--socket={socket}", "--skip-networking", f"--pid-file={folder / 'pid'}"],
        stderr=subprocess.DEVNULL,
    )
    try:
        while not socket.exists():
            time.sleep(0.2)
        yield ["mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "--default-character-set=utf8mb4"]
    finally:
        server.terminate()
        server.wait()


def literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def tables(escape: bool) -> str:
    """Return the SQL that makes the tables `tickets`, `answers` and `chinese`; `escape` doubles backslashes."""
    statements = []
    for name, rows in (("tickets", TICKETS), ("answers", ANSWERS), ("chinese", CHINESE)):
        statements.append(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, question TEXT, answer TEXT, note TEXT);")
        for number, (question, answer) in enumerate(rows, start=1):
            cells = [literal(text) if escape else "'" + text.replace("'", "''") + "'" for text in (question, answer)]
            statements.append(f"INSERT INTO {name} VALUES ({number}, {cells[0]}, {cells[1]}, NULL);")
    return "\n".join(statements)


def with_mariadb(folder: Path) -> None:
    with mariadb(folder) as client:
        subprocess.run(
            client,
            input=f"CREATE DATABASE d CHARACTER SET utf8mb4; USE d;\n{tables(escape=True)}",
            text=True,
            check=True,
        )

        def outfile(name: str, select: str, form: str = "") -> None:
            made = folder / name
            columns, table = select.split(" FROM ")
            query = f"SELECT {columns} INTO OUTFILE '{made}' CHARACTER SET utf8mb4 {form} FROM {table}"
            subprocess.run([*client, "d", "-e", query], check=True)
            shutil.copyfile(made, FILES / name)

        def batch(name: str, query: str, *options: str) -> None:
            done = subprocess.run([*client, *options, "d", "-e", query], check=True, capture_output=True)
            (FILES / name).write_bytes(done.stdout)

        pair = "question, answer FROM"
        outfile(expected.file("mariadb-outfile.txt", MARIADB, TICKETS).name, f"{pair} tickets")
        null = expected.file("mariadb-outfile-null.txt", MARIADB, TICKETS, note=r"a third column is NULL, written \N")
        outfile(null.name, "question, answer, note FROM tickets")
        quoted = "FIELDS TERMINATED BY ',' ENCLOSED BY '\"' LINES TERMINATED BY '\\r\\n'"
        escaped = expected.file(
            "mariadb-outfile-quoted.csv",
            MARIADB,
            TICKETS,
            instead=({"refused": "quote|backslash|escape"},),
            note=r"quotes inside are written \"",
        )
        outfile(escaped.name, f"{pair} tickets", quoted)
        standard = "FIELDS TERMINATED BY ';' ENCLOSED BY '\"' ESCAPED BY '\"'"
        outfile(expected.file("mariadb-outfile-standard.csv", MARIADB, CHINESE).name, f"{pair} chinese", standard)
        broken = expected.file(
            "mariadb-outfile-multiline.txt",
            MARIADB,
            ANSWERS,
            instead=({"refused": "backslash|escape|cells|column"},),
            note="a line break inside a text is a backslash and a line feed",
        )
        outfile(broken.name, f"{pair} answers")
        batch(expected.file("mariadb-batch.tsv", MARIADB, TICKETS).name, f"SELECT {pair} tickets", "-B")
        kept = [(q, a.replace("\\", "\\\\").replace("\n", "\\n")) for q, a in ANSWERS]
        lines = expected.file(
            "mariadb-batch-multiline.tsv",
            MARIADB,
            ANSWERS,
            instead=({"rows": kept, "warns": [r"\\n|backslash|escape"]},),
            note=r"a line break inside a text is written \n",
        )
        batch(lines.name, f"SELECT {pair} answers", "-B")
        batch(expected.file("mariadb-chinese.tsv", MARIADB, CHINESE).name, f"SELECT {pair} chinese", "-B")
        page = expected.file("mariadb-page.html", MARIADB, TICKETS, instead=({"refused": "web page|HTML"},))
        batch(page.name, f"SELECT {pair} tickets", "--html")
        batch(expected.file("mariadb-rows.xml", MARIADB, refused="XML").name, f"SELECT {pair} tickets", "--xml")
        drawn = expected.file("mariadb-table.txt", MARIADB, TICKETS, instead=({"refused": "column|table|delimiter"},))
        batch(drawn.name, f"SELECT {pair} tickets", "-t")


def with_sqlite(folder: Path) -> None:
    database = folder / "tickets.db"
    connection = sqlite3.connect(database)
    connection.executescript(tables(escape=False))
    connection.close()

    def shell(name: str, table: str, *commands: str, columns: str = "question, answer") -> None:
        script = "\n".join([*commands, f"SELECT {columns} FROM {table};"])
        done = subprocess.run(["sqlite3", str(database)], input=script.encode(), check=True, capture_output=True)
        (FILES / name).write_bytes(done.stdout)

    shell(expected.file("sqlite-header.csv", SQLITE, ANSWERS).name, "answers", ".mode csv", ".headers on")
    shell(expected.file("sqlite-no-header.csv", SQLITE, TICKETS).name, "tickets", ".mode csv")
    shell(expected.file("sqlite-tabs.tsv", SQLITE, CHINESE).name, "chinese", ".mode tabs", ".headers on")
    shell(expected.file("sqlite-rows.json", SQLITE, ANSWERS).name, "answers", ".mode json")
    shell(expected.file("sqlite-list.txt", SQLITE, TICKETS, note="bars").name, "tickets", ".mode list", ".headers on")
    refused: dict[str, object] = {"refused": "Markdown|column"}
    bars = expected.file("sqlite-markdown-unwrapped.md", SQLITE, TICKETS, instead=(refused,))
    shell(bars.name, "tickets", ".mode markdown --wrap 0")
    cut = [(text[:60], label) for text, label in TICKETS]
    reported: dict[str, object] = {"rows": cut, "row_errors": [4, 9]}
    note = "the shell cuts texts after 60 characters; the rest is a row of its own, which is reported"
    bars = expected.file("sqlite-markdown.md", SQLITE, TICKETS, instead=(refused, reported), note=note)
    shell(bars.name, "tickets", ".mode markdown")
    box = expected.file("sqlite-box.txt", SQLITE, refused="column|delimiter|table")
    shell(box.name, "tickets", ".mode box")
    shell(expected.file("sqlite-insert.sql", SQLITE, refused="SQL").name, "tickets", ".mode insert tickets")
    part = expected.file(
        "sqlite-rows.html", SQLITE, TICKETS, instead=({"refused": "web page|HTML"},), note="only TR tags"
    )
    shell(part.name, "tickets", ".mode html", ".headers on")
    shell(
        expected.file("sqlite-with-id.csv", SQLITE, TICKETS, warns=("id",)).name,
        "tickets",
        ".mode csv",
        ".headers on",
        columns="id, question, answer",
    )
    shell(
        expected.file("sqlite-objects.jsonl", SQLITE, ANSWERS, note="json_object").name,
        "answers",
        ".mode list",
        columns="json_object('prompt', question, 'completion', answer)",
    )
    shell(
        expected.file("sqlite-wrapped.json", SQLITE, TICKETS, note="json_group_array under 'rows'").name,
        "tickets",
        ".mode list",
        columns="json_object('rows', json_group_array(json_object('text', question, 'label', answer)))",
    )
    shutil.copyfile(database, expected.file("sqlite-tickets.db", SQLITE, refused="SQLite"))


def with_jq() -> None:
    source = json.dumps([{"prompt": q, "completion": a} for q, a in ANSWERS])
    tickets = json.dumps([{"text": q, "label": a} for q, a in TICKETS])

    def jq(name: str, data: str, *arguments: str) -> None:
        done = subprocess.run(["jq", *arguments], input=data.encode(), check=True, capture_output=True)
        (FILES / name).write_bytes(done.stdout)

    jq(expected.file("jq-compact.jsonl", JQ, ANSWERS).name, source, "-c", ".[]")
    jq(expected.file("jq-pretty.jsonl", JQ, ANSWERS, note="objects over several lines").name, source, ".[]")
    jq(expected.file("jq-pretty-list.json", JQ, ANSWERS).name, source, ".")
    jq(expected.file("jq-pairs.jsonl", JQ, TICKETS, note="lists of two").name, tickets, "-c", ".[] | [.text, .label]")
    jq(expected.file("jq-csv.csv", JQ, TICKETS).name, tickets, "-r", '["text","label"], (.[] | [.text, .label]) | @csv')
    jq(expected.file("jq-tsv.tsv", JQ, TICKETS).name, tickets, "-r", ".[] | [.text, .label] | @tsv")
    jq(
        expected.file("jq-by-text.json", JQ, TICKETS, instead=({"refused": "input|object|list"},)).name,
        tickets,
        "map({(.text): .label}) | add",
    )
    jq(
        expected.file("jq-data.json", JQ, ANSWERS, note="under 'data', with a version").name,
        source,
        '{version: "1.0", data: .}',
    )
    jq(
        expected.file("jq-train-test.json", JQ, refused="train.*test|test.*train", note="two lists").name,
        tickets,
        "{train: .[:8], test: .[8:]}",
    )
    jq(
        expected.file("jq-columns.json", JQ, TICKETS, note="an object of two lists").name,
        tickets,
        "{text: map(.text), label: map(.label)}",
    )
    jq(
        expected.file("jq-ascii.json", JQ, CHINESE).name,
        json.dumps([{"input": q, "output": a} for q, a in CHINESE]),
        "-a",
        ".",
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        with_r()
        with_mariadb(Path(name))
        with_sqlite(Path(name))
        with_jq()
    expected.write()
