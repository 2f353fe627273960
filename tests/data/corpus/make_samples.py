# ruff: noqa: E501 - XML and JSON as the programs write them, in one line
"""
Makes files in the byte forms of PowerShell and Notepad, and in the forms of cited public samples.

The programs were not at hand; what they write is known from the addresses. No text or row was copied.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any
from xml.sax.saxutils import escape

from texts import (
    ANSWERS,
    ARABIC,
    CHINESE,
    CITIES,
    EMOJI,
    GREEK,
    JAPANESE,
    KOREAN,
    POLISH,
    RUSSIAN,
    TICKETS,
    Expected,
    Rows,
)

expected = Expected("samples")

EXPORT_CSV = (
    "https://learn.microsoft.com/en-us/powershell/module/microsoft.powershell.utility/export-csv?view=powershell-5.1"
)
ENCODINGS = (
    "https://learn.microsoft.com/en-us/powershell/module/microsoft.powershell.core/about/about_character_encoding"
)
JSON_51 = "https://learn.microsoft.com/en-us/powershell/module/microsoft.powershell.utility/convertto-json?view=powershell-5.1"
NOTEPAD = "https://gist.github.com/jtacoma/ffff32743f89229d7df2"
EXCEL_TEXT = "http://strata.uga.edu/8370/rtips/textFiles.html"
EXCEL_UNICODE = "http://www.herongyang.com/Unicode/Excel-Save-File-in-Unicode-Text-txt.html"
SAP_CSV = "https://wiki.scn.sap.com/wiki/display/ABAP/Excel+files+-+CSV+format"
NUMBERS = "https://drjackhwhelper.com/export-summary-this-document-was-exported-from-numbers-972677"
FORMS = "https://support.google.com/docs/answer/139706"
VERTEX = "https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-supervised-tuning-about"
PALM = "https://cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-tuning-migrate-from-palm-api"
OPENAI = "https://platform.openai.com/docs/guides/supervised-fine-tuning"
OPENAI_DPO = "https://developers.openai.com/api/docs/guides/direct-preference-optimization"
AZURE_TOOLS = "https://learn.microsoft.com/en-us/azure/ai-services/openai/how-to/fine-tuning-functions"
BEDROCK = "https://docs.aws.amazon.com/bedrock/latest/userguide/preparing-text-data.html"
COHERE = "https://docs.cohere.com/docs/chat-preparing-the-data"
LLAMA_FACTORY = "https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md"
PRODIGY = "https://gist.github.com/vanatteveldt/6af3b7ef8a7d22f87ddda828e162fa81"
MONGO = "https://www.mongodb.com/docs/database-tools/mongoexport/"
QUALTRICS = "https://www.qualtrics.com/support/survey-platform/data-and-analysis-module/data/download-data/understanding-your-dataset/"
SURVEYMONKEY = "https://gist.github.com/sfirke/c26a90d13d43b2c4a4c5e5c3a8b372a5"
ANKI = "https://docs.ankiweb.net/importing/text-files.html"
POSTGRES = "https://www.postgresql.org/docs/current/sql-copy.html"
MAKERSUITE = "https://github.com/langchain-ai/langchainjs/blob/main/libs/langchain-community/src/experimental/hubs/makersuite/googlemakersuitehub.ts"


def csv_text(rows: Sequence[Sequence[str]], delimiter: str = ",", end: str = "\r\n", everywhere: bool = False) -> str:
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if everywhere else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    return text.getvalue()


def write(
    name: str, by: str, data: str | bytes, rows: Rows | None = None, encoding: str = "utf-8", **kind: Any
) -> None:
    path = expected.file(name, by, rows, **kind)
    path.write_bytes(data if isinstance(data, bytes) else data.encode(encoding))


def lines(values: Sequence[object]) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def chat(question: str, answer: str, system: str = "", **more: Any) -> dict[str, Any]:
    first = [{"role": "system", "content": system}] if system else []
    talk = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": [*first, *talk], **more}


def powershell() -> None:
    table = [("text", "label"), *TICKETS]
    typed = "#TYPE System.Management.Automation.PSCustomObject\r\n"
    write("powershell-type-line.csv", EXPORT_CSV, typed + csv_text(table, everywhere=True), TICKETS, "ascii")
    selected = "#TYPE Selected.System.Management.Automation.PSCustomObject\r\n"
    cities = csv_text([("Ort", "Vergleich"), *CITIES], ";", everywhere=True)
    write(
        "powershell-culture-default.csv",
        EXPORT_CSV,
        selected + cities,
        CITIES,
        "cp1252",
        note="-UseCulture -Encoding Default",
    )
    write("powershell-utf8.csv", EXPORT_CSV, "\ufeff" + csv_text([("text", "label"), *EMOJI], everywhere=True), EMOJI)
    write(
        "powershell-redirected.csv",
        ENCODINGS,
        ("\ufeff" + csv_text([("text", "label"), *RUSSIAN], everywhere=True)).encode("utf-16-le"),
        RUSSIAN,
        note="ConvertTo-Csv > file",
    )
    lost = [
        (text.encode("ascii", "replace").decode(), label.encode("ascii", "replace").decode()) for text, label in CITIES
    ]
    write(
        "powershell-ascii-lost.csv",
        EXPORT_CSV,
        csv_text([("Ort", "Vergleich"), *lost], everywhere=True),
        lost,
        note="5.1 writes ASCII: letters became question marks before; nothing can tell",
    )
    pretty = (
        json.dumps([{"text": t, "label": o} for t, o in TICKETS], indent=4)
        .replace("\n", "\r\n")
        .replace('": "', '":  "')
    )
    write("powershell-json-utf16.json", JSON_51, ("\ufeff" + pretty + "\r\n").encode("utf-16-le"), TICKETS)
    counted = json.dumps({"value": [{"text": t, "label": o} for t, o in TICKETS], "Count": len(TICKETS)}, indent=4)
    write(
        "powershell-value-count.json",
        JSON_51,
        counted.replace("\n", "\r\n"),
        TICKETS,
        note="under 'value', beside Count",
    )
    jsonl = "".join(json.dumps({"prompt": q, "completion": a}) + "\r\n" for q, a in ANSWERS)
    write("powershell-lines-utf16.jsonl", ENCODINGS, ("\ufeff" + jsonl).encode("utf-16-le"), ANSWERS)


def notepad() -> None:
    def table(rows: Rows, delimiter: str) -> str:
        return csv_text([("text", "label"), *rows], delimiter)

    write(
        "notepad-bom.jsonl",
        NOTEPAD,
        "\ufeff" + lines([{"input": q, "output": a} for q, a in EMOJI]).replace("\n", "\r\n"),
        EMOJI,
    )
    write("notepad-utf16-le.txt", NOTEPAD, ("\ufeff" + table(JAPANESE, "\t")).encode("utf-16-le"), JAPANESE)
    write("notepad-utf16-be.csv", NOTEPAD, ("\ufeff" + table(ARABIC, ",")).encode("utf-16-be"), ARABIC)
    curly: Rows = [
        (text.replace("'", "’").replace('"no signal"', "“no signal”"), f"{label} – 5 €") for text, label in TICKETS
    ]
    write("notepad-ansi-1252.csv", NOTEPAD, table(curly, ";"), curly, "cp1252", warns=("cp1252|1252",))
    for name, rows, encoding, delimiter in [
        ("notepad-ansi-1250.csv", POLISH, "cp1250", ";"),
        ("notepad-ansi-1251.csv", RUSSIAN, "cp1251", ";"),
        ("notepad-ansi-1253.csv", GREEK, "cp1253", "\t"),
        ("notepad-ansi-1256.csv", ARABIC, "cp1256", ","),
        ("notepad-ansi-932.csv", JAPANESE, "cp932", ","),
        ("notepad-ansi-936.csv", CHINESE, "gbk", ","),
        ("notepad-ansi-949.csv", KOREAN, "cp949", ","),
    ]:
        right = {"rows": rows, "warns": ["guess|detected|read as"]}
        write(
            name,
            NOTEPAD,
            table(rows, delimiter),
            rows,
            encoding,
            needs={"encoding": encoding},
            asked="encoding",
            instead=(right,),
        )


def excel_text() -> None:
    table = [("text", "label"), *TICKETS]
    write("excel-sep-line.csv", SAP_CSV, "sep=;\r\n" + csv_text(table, ";"), TICKETS)
    write("excel-csv-utf8.csv", EXCEL_TEXT, "\ufeff" + csv_text([("问题", "类别"), *CHINESE], ","), CHINESE)
    write("excel-german.csv", EXCEL_TEXT, csv_text([("Ort", "Vergleich"), *CITIES], ";"), CITIES, "cp1252")
    write(
        "excel-unicode-text.txt",
        EXCEL_UNICODE,
        ("\ufeff" + csv_text([("text", "label"), *CHINESE], "\t")).encode("utf-16-le"),
        CHINESE,
    )
    plain = [(t, o) for t, o in TICKETS]
    write(
        "excel-macintosh.csv",
        EXCEL_TEXT,
        csv_text([("text", "label"), *plain], ",", "\r"),
        plain,
        note="lines end with CR",
    )
    mac = [
        ("Où est mon colis ?", "livraison"),
        ("Deux fois débité", "paiement"),
        ("L'écran reste noir", "panne"),
        ("Puis-je changer l'adresse ?", "livraison"),
        ("Envoyez-moi la facture, s'il vous plaît", "paiement"),
        ("Pas de son à l'été", "panne"),
    ]
    write(
        "excel-mac-roman.csv",
        EXCEL_TEXT,
        csv_text([("texte", "étiquette"), *mac], ";", "\r"),
        mac,
        "mac_roman",
        needs={"encoding": "mac_roman"},
        asked="encoding",
        instead=({"rows": mac, "warns": ["guess|detected|read as"]},),
    )
    lost = csv_text([("text", "label", "note"), *[(t, o, "") for t, o in TICKETS]], ";").replace(";\r\n", "\r\n", 5)
    write(
        "excel-lost-last-cells.csv",
        "https://support.microsoft.com/kb/77295",
        lost,
        TICKETS,
        note="rows without their last empty cell",
    )
    amounts: Rows = [(f"Betrag {n},50 € am {n}. Mai", f"{n},50") for n in range(1, 9)]
    write("excel-decimal-comma.csv", SAP_CSV, csv_text([("Text", "Betrag"), *amounts], ";"), amounts, "cp1252")
    empty = csv_text(
        [("text", "label", "", ""), *[(t, o, "", "") for t, o in TICKETS], ("", "", "", ""), ("", "", "", "")], ","
    )
    write("excel-empty-columns.csv", SAP_CSV, empty, TICKETS, note="empty columns and rows at the end")
    page = "".join(f"<tr><td>{escape(t)}</td><td>{escape(o)}</td></tr>" for t, o in [("text", "label"), *TICKETS])
    html = f'<html xmlns:x="urn:schemas-microsoft-com:office:excel"><head><meta charset="utf-8"></head><body><table>{page}</table></body></html>'
    write(
        "excel-web-report.xls",
        "https://blogs.msdn.microsoft.com/vsofficedeveloper/2008/03/11/excel-2007-extension-warning-on-opening-excel-workbook-from-a-web-site-2/",
        html,
        TICKETS,
        instead=({"refused": "web page|HTML"},),
    )
    mail = EmailMessage()
    mail["X-Document-Type"] = "Workbook"
    mail.set_content(html, "html", cte="quoted-printable")
    write(
        "excel-single-file-page.xls",
        "https://learn.microsoft.com/en-us/office/vba/api/excel.xlfileformat",
        mail.as_bytes(),
        TICKETS,
        instead=({"refused": "web page|HTML|MHTML"},),
    )


def wps_and_numbers() -> None:
    right = {"rows": CHINESE, "warns": ["guess|detected|read as"]}
    write(
        "wps-gbk.csv",
        "https://wps-oss.com/blogs/577454568",
        csv_text([("问题", "类别"), *CHINESE]),
        CHINESE,
        "gbk",
        needs={"encoding": "gb18030"},
        asked="encoding",
        instead=(right,),
    )
    write(
        "numbers-table-name.csv",
        NUMBERS,
        "Table 1\r\n" + csv_text([("text", "label"), *CITIES], ";"),
        CITIES,
        warns=("title|above|skipped|row 1|Table 1",),
        note="with the name of the table",
    )


def google() -> None:
    question = "What is your message to the support team? Please describe your problem in one or two sentences."
    form = [
        ("Timestamp", question, "Which team should answer?"),
        *[(f"5/{n}/2024 10:0{n % 10}:12", t, o) for n, (t, o) in enumerate(TICKETS, start=1)],
    ]
    write(
        "google-forms-responses.csv",
        FORMS,
        csv_text(form, everywhere=True),
        TICKETS,
        needs={"input_column": question, "output_column": "Which team should answer?"},
        instead=({"rows": TICKETS, "warns": ["Timestamp"]},),
        note="headers are whole questions",
    )
    write(
        "google-sheets.tsv",
        "https://support.google.com/docs/answer/40608",
        "\r\n".join(f"{t}\t{o}" for t, o in [("text", "label"), *TICKETS]),
        TICKETS,
        note="no quotes, no last line end",
    )
    write(
        "gemini-quickstart.json",
        "https://ai.google.dev/gemini-api/docs/model-tuning/tutorial",
        json.dumps([{"text_input": q, "output": a} for q, a in ANSWERS], indent=1),
        ANSWERS,
    )
    body = {
        "display_name": "tickets",
        "base_model": "models/gemini-1.5-flash-001-tuning",
        "tuning_task": {
            "hyperparameters": {"epoch_count": 5},
            "training_data": {"examples": {"examples": [{"text_input": t, "output": o} for t, o in TICKETS]}},
        },
    }
    write(
        "gemini-rest-body.json",
        "https://ai.google.dev/gemini-api/docs/model-tuning/rest",
        json.dumps(body),
        TICKETS,
        instead=({"refused": "examples|training_data"},),
        note="the body of the create call",
    )
    system = "You sort tickets of a shop."
    contents = [
        {
            "systemInstruction": {"role": "system", "parts": [{"text": system}]},
            "contents": [{"role": "user", "parts": [{"text": t}]}, {"role": "model", "parts": [{"text": o}]}],
        }
        for t, o in TICKETS
    ]
    write("vertex-system.jsonl", VERTEX, lines(contents), [(f"{system}\n\n{t}", o) for t, o in TICKETS])
    older = [
        {
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": t},
                {"role": "model", "content": o},
            ]
        }
        for t, o in TICKETS
    ]
    write("vertex-1.0-messages.jsonl", PALM, lines(older), [(f"{system}\n\n{t}", o) for t, o in TICKETS])
    write("palm-text-bison.jsonl", PALM, lines([{"input_text": q, "output_text": a} for q, a in ANSWERS]), ANSWERS)
    bison = [
        {"context": system, "messages": [{"author": "user", "content": t}, {"author": "assistant", "content": o}]}
        for t, o in TICKETS
    ]
    write("palm-chat-bison.jsonl", PALM, lines(bison), [(f"{system}\n\n{t}", o) for t, o in TICKETS])
    turns = [
        *contents[:4],
        {
            "contents": [
                {"role": r, "parts": [{"text": t}]}
                for r, t in [
                    ("user", "Hello"),
                    ("model", "Hello, what is it?"),
                    ("user", "My parcel"),
                    ("model", "delivery"),
                ]
            ]
        },
        *contents[4:],
    ]
    write(
        "vertex-one-long-talk.jsonl",
        VERTEX,
        lines(turns),
        [(f"{system}\n\n{t}", o) for t, o in TICKETS],
        row_errors=(5,),
    )
    columns = [
        {"columnId": "c1", "displayName": "ticket:", "isInput": True},
        {"columnId": "c2", "displayName": "team:", "isInput": False},
    ]
    bound = [
        {"columnBindings": {"c1": t, "c2": o}, "rowId": f"r{n}", "rowsUsed": n < 5} for n, (t, o) in enumerate(TICKETS)
    ]
    studio = {
        "dataPrompt": {"preamble": system, "columns": columns, "rows": bound, "rowsUsed": [f"r{n}" for n in range(5)]},
        "runSettings": {"temperature": 0.7, "model": "models/text-bison-001"},
        "testExamples": [{"inputBindings": {"c1": "Where is it?"}}],
    }
    write(
        "aistudio-structured",
        MAKERSUITE,
        json.dumps(studio, indent=2),
        [(f"{system}\nticket: {t}", o) for t, o in TICKETS],
        note="no ending, as in Google Drive",
    )
    talk = {
        "runSettings": {"temperature": 1.0, "model": "models/gemini-1.5-flash"},
        "systemInstruction": {},
        "chunkedPrompt": {
            "chunks": [{"text": "Hello", "role": "user"}, {"text": "Hello!", "role": "model"}],
            "pendingInputs": [],
        },
    }
    write("aistudio-chat", MAKERSUITE, json.dumps(talk, indent=2), refused="chat prompt")
    write(
        "aistudio-import.csv",
        "https://ai.google.dev/gemini-api/docs/model-tuning/tutorial",
        csv_text([("ticket:", "team:"), *TICKETS]),
        TICKETS,
        note="prefixes with a colon as headers",
    )


def openai() -> None:
    system = "Answer with the team only."
    write(
        "openai-chat-system.jsonl",
        OPENAI,
        lines([chat(t, o, system) for t, o in TICKETS]),
        [(f"{system}\n\n{t}", o) for t, o in TICKETS],
    )
    weighted = [chat(t, o if n % 3 else "WRONG") for n, (t, o) in enumerate(TICKETS)]
    for number, line in enumerate(weighted):
        line["messages"][1]["weight"] = 1 if number % 3 else 0
    kept = [row for n, row in enumerate(TICKETS) if n % 3]
    write(
        "openai-weight.jsonl",
        OPENAI,
        lines(weighted),
        kept,
        warns=("weight", "4"),
        instead=({"rows": kept, "row_errors": [1, 4, 7, 10]},),
    )
    parts = [
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": q}]},
                {"role": "assistant", "content": [{"type": "text", "text": a}]},
            ]
        }
        for q, a in ANSWERS
    ]
    write("openai-content-parts.jsonl", OPENAI, lines(parts), ANSWERS)
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
    }
    tools = [chat(t, o, tools=[], parallel_tool_calls=False) for t, o in TICKETS]
    tools[3] = {"messages": [{"role": "user", "content": "Where is order 17?"}, call], "tools": []}
    write(
        "openai-tool-call.jsonl",
        AZURE_TOOLS,
        lines(tools),
        TICKETS[:3] + TICKETS[4:],
        row_errors=(4,),
        note="row 4 answers with a tool call, no text",
    )
    long = [chat(q, a) for q, a in ANSWERS]
    long[2]["messages"] += [{"role": "user", "content": "Thanks"}, {"role": "assistant", "content": "You are welcome."}]
    write("openai-one-long-talk.jsonl", OPENAI, lines(long), ANSWERS[:2] + ANSWERS[3:], row_errors=(3,))
    prepared: Rows = [(f"{t}\n\n###\n\n", f" {o} END") for t, o in TICKETS]
    write(
        "openai-prepared.jsonl",
        "https://github.com/openai/openai-python/blob/v0.28.1/openai/validators.py",
        lines([{"prompt": p, "completion": c} for p, c in prepared]),
        prepared,
        warns=("END|blank|whitespace",),
        note="the separators of the old tool stay; they are named",
    )
    best = [
        {
            "input": {"messages": [{"role": "user", "content": q}], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": a}],
            "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
        }
        for q, a in ANSWERS
    ]
    write(
        "openai-preference.jsonl",
        OPENAI_DPO,
        lines(best),
        ANSWERS,
        warns=("non_preferred_output",),
        instead=({"refused": "preferred|preference|text"},),
    )
    developer = [
        {
            "messages": [
                {"role": "developer", "content": system},
                {"role": "user", "content": t},
                {"role": "assistant", "content": o},
            ]
        }
        for t, o in TICKETS
    ]
    write("openai-developer-role.jsonl", OPENAI, lines(developer), [(f"{system}\n\n{t}", o) for t, o in TICKETS])
    batch = [
        {
            "custom_id": f"r{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": t}]},
        }
        for n, (t, _) in enumerate(TICKETS)
    ]
    write(
        "openai-batch-requests.jsonl",
        "https://platform.openai.com/docs/guides/batch",
        lines(batch),
        refused="body|answer|output|text",
        note="requests without answers",
    )


def other_apis() -> None:
    system = "You help in a shop."
    nova = [
        {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": system}],
            "messages": [{"role": "user", "content": [{"text": t}]}, {"role": "assistant", "content": [{"text": o}]}],
        }
        for t, o in TICKETS
    ]
    write("bedrock-conversation.jsonl", BEDROCK, lines(nova), [(f"{system}\n\n{t}", o) for t, o in TICKETS])
    claude = [{"system": system, **chat(t, o)} for t, o in TICKETS]
    write("bedrock-messages-system.jsonl", BEDROCK, lines(claude), [(f"{system}\n\n{t}", o) for t, o in TICKETS])
    cohere = [
        {
            "messages": [
                {"role": "System", "content": system},
                {"role": "User", "content": t},
                {"role": "Chatbot", "content": o},
            ]
        }
        for t, o in TICKETS
    ]
    write("cohere-chat.jsonl", COHERE, lines(cohere), [(f"{system}\n\n{t}", o) for t, o in TICKETS])
    alpaca = [{"instruction": "Name the team.", "input": t, "output": o} for t, o in TICKETS[:8]] + [
        {"instruction": t, "input": "", "output": o} for t, o in TICKETS[8:]
    ]
    named = [(f"instruction: Name the team.\ninput: {t}", o) for t, o in TICKETS[:8]]
    write(
        "alpaca.json",
        "https://github.com/tatsu-lab/stanford_alpaca",
        json.dumps(alpaca, indent=4),
        named + [(f"instruction: {t}", o) for t, o in TICKETS[8:]],
        instead=({"rows": named + TICKETS[8:]},),
    )
    history = [{**line, "system": system, "history": []} for line in alpaca[:8]]
    write(
        "alpaca-system-history.json",
        LLAMA_FACTORY,
        json.dumps(history, indent=2),
        [(f"{system}\n\n{t}", o) for t, o in named],
        warns=("history",),
    )
    gpt = [
        {"conversations": [{"from": "human", "value": t}, {"from": "gpt", "value": o}], "system": system, "tools": "[]"}
        for t, o in TICKETS
    ]
    write(
        "sharegpt-system-tools.json",
        LLAMA_FACTORY,
        json.dumps(gpt, indent=1),
        [(f"{system}\n\n{t}", o) for t, o in TICKETS],
    )
    gpt = [
        {"id": f"identity_{n}", "conversations": [{"from": "human", "value": t}, {"from": "gpt", "value": o}]}
        for n, (t, o) in enumerate(TICKETS)
    ]
    gpt[6]["conversations"] = [
        *gpt[6]["conversations"],
        {"from": "human", "value": "Thanks"},
        {"from": "gpt", "value": "You are welcome"},
    ]
    write("sharegpt-one-long.json", LLAMA_FACTORY, json.dumps(gpt), TICKETS[:6] + TICKETS[7:], row_errors=(7,))
    prodigy = [
        {
            "text": t,
            "label": o if n % 4 else "billing",
            "_input_hash": -n,
            "_task_hash": n,
            "answer": "accept" if n % 4 else "reject",
        }
        for n, (t, o) in enumerate(TICKETS)
    ]
    kept = [row for n, row in enumerate(TICKETS) if n % 4]
    write(
        "prodigy-accept-reject.jsonl",
        PRODIGY,
        lines(prodigy),
        kept,
        warns=("reject|answer",),
        instead=({"rows": kept, "row_errors": [1, 5, 9]}, {"refused": "answer"}),
        note="'answer' is the verdict of a person, not an output",
    )
    mongo = [
        {"_id": {"$oid": f"65f{n:021x}"}, "question": q, "answer": a, "createdAt": {"$date": "2024-05-01T00:00:00Z"}}
        for n, (q, a) in enumerate(ANSWERS)
    ]
    write(
        "mongoexport.json",
        MONGO,
        lines(mongo),
        ANSWERS,
        warns=("_id", "createdAt"),
        note="a line each, but named .json",
    )
    qa = [
        {
            "id": f"q{n}",
            "title": "Orders",
            "context": f"Order {n} was sent to {c}.",
            "question": "Where was it sent?",
            "answers": {"text": [c], "answer_start": [16]},
        }
        for n, c in enumerate(("Lyon", "Ghent", "Bruges", "Basel", "Turin", "Nice"))
    ]
    write("squad-answers.jsonl", "https://huggingface.co/datasets/rajpurkar/squad", lines(qa), refused="answers")
    pairs = {"questions": [t for t, _ in TICKETS], "answers": [o for _, o in TICKETS]}
    write(
        "two-lists.json",
        "https://pandas.pydata.org/docs/reference/api/pandas.DataFrame.to_dict.html",
        json.dumps(pairs),
        TICKETS,
    )
    rows = ",\n".join(json.dumps({"prompt": t, "completion": o}) for t, o in TICKETS)
    write(
        "commas-between-lines.jsonl",
        "https://github.com/projectdiscovery/nuclei/issues/5879",
        rows + "\n",
        TICKETS,
    )


def exports() -> None:
    write(
        "anki-notes.txt",
        ANKI,
        "#separator:tab\n#html:true\n" + "".join(f"{t}\t{o}\n" for t, o in CITIES),
        CITIES,
        instead=({"rows": CITIES, "warns": ["separator|title|above|skipped"]},),
    )
    survey = [
        ("StartDate", "Q1", "Q2"),
        ("Start Date", "What is your problem?", "Which team?"),
        ('{"ImportId":"startDate"}', '{"ImportId":"QID1"}', '{"ImportId":"QID2"}'),
        *[("2024-05-01", t, o) for t, o in TICKETS],
    ]
    told = {"rows": [(r[1], r[2]) for r in survey[1:]], "warns": ["ImportId|header|row 2|row 3"]}
    write(
        "qualtrics.csv",
        QUALTRICS,
        csv_text(survey),
        TICKETS,
        needs={"input_column": "Q1", "output_column": "Q2"},
        instead=(told, {"refused": "header"}),
        note="three header rows",
    )
    monkey = [
        ("Respondent ID", "What is your problem?", "Which team?"),
        ("", "Open-Ended Response", "Response"),
        *[(str(10 + n), t, o) for n, (t, o) in enumerate(TICKETS)],
    ]
    told = {"rows": [(r[1], r[2]) for r in monkey[1:]], "warns": ["Open-Ended|header|row 2|no other row"]}
    write(
        "surveymonkey.csv",
        SURVEYMONKEY,
        csv_text(monkey),
        TICKETS,
        needs={"input_column": "What is your problem?", "output_column": "Which team?"},
        instead=(told, {"refused": "header"}),
        note="two header rows",
    )
    copy = "".join(f"{n}\t{t}\t{o}\t\\N\n" for n, (t, o) in enumerate(TICKETS, start=1))
    write(
        "postgres-copy.txt",
        POSTGRES,
        copy,
        TICKETS,
        needs={"input_column": "column 2", "output_column": "column 3"},
        note=r"no header; the fourth column is \N",
    )
    write(
        "postgres-copy.csv",
        POSTGRES,
        csv_text([("id", "question", "answer"), *[(str(n), q, a) for n, (q, a) in enumerate(ANSWERS)]], end="\n"),
        ANSWERS,
        warns=("id",),
    )
    dump = (
        "--\n-- PostgreSQL database dump\n--\n\nCOPY public.tickets (text, label) FROM stdin;\n"
        + "".join(f"{t}\t{o}\n" for t, o in TICKETS)
        + "\\.\n"
    )
    write("postgres-dump.sql", "https://www.postgresql.org/docs/current/app-pgdump.html", dump, refused="SQL")
    comments = "# exported 2024-05-01\n# do not edit\n" + csv_text([("text", "label"), *TICKETS], end="\n")
    write(
        "comment-lines.csv",
        "https://specs.frictionlessdata.io/csv-dialect/",
        comments,
        TICKETS,
        warns=("title|above|skipped|row 1|comment",),
    )
    notion = [
        ("Name", "Tags", "Question", "Answer"),
        *[(f"Card {n}", "shop, faq", q, a) for n, (q, a) in enumerate(ANSWERS, start=1)],
    ]
    write(
        "notion.csv",
        "https://www.notion.com/help/export-your-content",
        "\ufeff" + csv_text(notion, end="\n"),
        ANSWERS,
        warns=("Name", "Tags"),
    )
    write(
        "sign-in-page.csv",
        "https://support.google.com/docs/answer/183965",
        "<!doctype html><html><head><title>Sign in, please</title></head>\n<body><p>To continue, sign in</p>\n<form></form></body></html>\n",
        refused="web page|HTML",
    )
    write(
        "error-message.json",
        "https://jsonapi.org/format/#errors",
        '{"error": {"code": 403, "message": "The caller does not have permission", "status": "PERMISSION_DENIED"}}',
        refused="list|examples|column|error",
    )
    write(
        "python-repr.jsonl",
        "https://github.com/facebookresearch/dynabench/issues/740",
        "".join(f"{ {'prompt': t, 'completion': o} }\n" for t, o in CITIES),
        refused="JSON",
    )


if __name__ == "__main__":
    for make in (powershell, notepad, excel_text, wps_and_numbers, google, openai, other_apis, exports):
        make()
    expected.write()
