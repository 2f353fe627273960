"""Makes the files that pandas, polars and Hugging Face datasets write. Needs these three, openpyxl, odfpy, tabulate."""

from __future__ import annotations

import json
from importlib.metadata import version

import datasets
import pandas as pd
import polars as pl
from texts import ANSWERS, CHINESE, CITIES, EMOJI, POLISH, RUSSIAN, TICKETS, Expected, Rows

expected = Expected("frames")
PANDAS = f"pandas {version('pandas')}"
POLARS = f"polars {version('polars')}"
DATASETS = f"Hugging Face datasets {version('datasets')}"


def frame(rows: Rows, first: str = "text", second: str = "label") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[first, second])


def joined(names: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    return ["\n".join(f"{n}: {t}" for n, t in zip(names, row, strict=True) if t) for row in rows]


def pandas_csv() -> None:
    tickets = frame(TICKETS, "problem", "team")
    tickets.to_csv(expected.file("pandas-index.csv", PANDAS, TICKETS, note="unnamed index column"))
    frame(ANSWERS, "question", "answer").to_csv(
        expected.file("pandas-multiline.csv", PANDAS, ANSWERS), index=False, lineterminator="\r\n"
    )
    frame(CITIES, "Ort", "Vergleich").to_csv(
        expected.file("pandas-bom-semicolon.csv", PANDAS, CITIES), index=False, sep=";", encoding="utf-8-sig"
    )
    frame(RUSSIAN, "текст", "отдел").to_csv(
        expected.file("pandas-utf16.csv", PANDAS, RUSSIAN), index=False, encoding="utf-16"
    )
    labels = [(text, ("NA", "null", "None", "NaN")[i % 4]) for i, (text, _) in enumerate(TICKETS)]
    frame(labels).to_csv(expected.file("pandas-labels-na.csv", PANDAS, labels), index=False)
    frame(TICKETS).to_csv(expected.file("pandas-quote-all.csv", PANDAS, TICKETS), index=False, quoting=1)
    holes = frame(TICKETS)
    holes.loc[[2, 7], "label"] = None
    whole = [row for i, row in enumerate(TICKETS) if i not in (2, 7)]
    holes.to_csv(expected.file("pandas-missing-label.csv", PANDAS, whole, row_errors=(4, 9)), index=False)
    cities = frame(CITIES, "prompt", "completion")
    cities.index.name = "id"
    cities.to_csv(expected.file("pandas-named-index.csv", PANDAS, CITIES, warns=("id",)))
    escaped = [(t.replace("\n", " "), a.replace("\n", " ")) for t, a in ANSWERS]
    frame(escaped, "question", "answer").to_csv(
        expected.file(
            "pandas-backslash-quotes.csv",
            PANDAS,
            escaped,
            instead=({"refused": "quote|backslash|escape"},),
            note="doublequote=False, escapechar backslash",
        ),
        index=False,
        doublequote=False,
        escapechar="\\",
    )
    frame(TICKETS).to_csv(
        expected.file("pandas-gzip.csv.gz", PANDAS, refused="gzip"),
        index=False,
        compression={"method": "gzip", "mtime": 1},
    )
    split = frame(POLISH)
    split.insert(0, "Unnamed: 0", range(len(split)))
    split.to_csv(
        expected.file("pandas-index-twice.csv", PANDAS, POLISH, note="an index saved, read and saved again"), index=True
    )
    frame(TICKETS).to_csv(expected.file("pandas-no-header.csv", PANDAS, TICKETS), index=False, header=False)
    grouped = frame(TICKETS).assign(month=["May", "June"] * 6, number=range(1, 13)).set_index(["month", "number"])
    grouped.to_csv(expected.file("pandas-two-indexes.csv", PANDAS, TICKETS, warns=("month", "number")))


def pandas_json() -> None:
    tickets, cities = frame(TICKETS, "input", "output"), frame(CITIES, "question", "answer")
    for orient in ("records", "split", "index", "columns", "values", "table"):
        tickets.to_json(expected.file(f"pandas-{orient}.json", PANDAS, TICKETS), orient=orient)
    cities.to_json(expected.file("pandas-lines.jsonl", PANDAS, CITIES), orient="records", lines=True, force_ascii=False)
    cities.to_json(expected.file("pandas-indent.json", PANDAS, CITIES), orient="records", indent=2)
    frame(EMOJI, "text", "label").to_json(expected.file("pandas-emoji-columns.json", PANDAS, EMOJI))


def pandas_books() -> None:
    frame(TICKETS).to_excel(expected.file("pandas-index.xlsx", f"{PANDAS}, openpyxl", TICKETS))
    frame(CHINESE, "问题", "类别").to_excel(
        expected.file("pandas-plain.xlsx", f"{PANDAS}, xlsxwriter", CHINESE), index=False, engine="xlsxwriter"
    )
    frame(ANSWERS, "prompt", "completion").to_excel(
        expected.file("pandas-plain.ods", f"{PANDAS}, odfpy", ANSWERS), index=False, engine="odf"
    )
    path = expected.file("pandas-three-sheets.xlsx", PANDAS, TICKETS, warns=("test",))
    with pd.ExcelWriter(path, engine="openpyxl") as book:
        frame(TICKETS).to_excel(book, sheet_name="train", index=False)
        frame(TICKETS[:4]).to_excel(book, sheet_name="test", index=False)
        frame(TICKETS[4:6]).to_excel(book, sheet_name="notes", index=False)
    moved = expected.file("pandas-startrow.xlsx", PANDAS, CITIES, note="table begins at C4")
    frame(CITIES, "text", "label").to_excel(moved, index=False, startrow=3, startcol=2)
    dates = pd.DataFrame(
        {
            "question": [f"When did parcel {n} arrive?" for n in range(1, 9)],
            "answer": pd.to_datetime([f"2024-03-{n:02}" for n in range(11, 19)]),
        }
    )
    rows = [(f"When did parcel {n - 10} arrive?", f"2024-03-{n:02}") for n in range(11, 19)]
    late = [(question, f"{day} 00:00:00") for question, day in rows]
    dates.to_excel(
        expected.file(
            "pandas-dates.xlsx",
            PANDAS,
            late,
            instead=({"rows": rows}, {"rows": rows, "warns": ["format|date|00:00"]}),
            note="the format YYYY-MM-DD HH:MM:SS shows the midnight",
        ),
        index=False,
    )


def pandas_others() -> None:
    frame(CITIES).to_html(
        expected.file("pandas-table.html", PANDAS, CITIES, instead=({"refused": "web page|HTML"},)), index=False
    )
    frame(TICKETS).to_markdown(
        expected.file(
            "pandas-markdown.md", PANDAS, TICKETS, instead=({"refused": "Markdown|delimiter|column"},), note="aligned"
        ),
        index=False,
    )
    frame(TICKETS).to_parquet(expected.file("pandas-tickets.parquet", PANDAS, refused="Parquet"))
    frame(TICKETS[:6]).to_pickle(expected.file("pandas-tickets.pkl", PANDAS, refused="not a text file|CSV"))
    frame(CITIES).to_xml(expected.file("pandas-cities.xml", PANDAS, refused="XML"))
    expected.file("pandas-print.txt", PANDAS, refused="column|delimiter", note="print(frame)").write_text(
        frame(CITIES).to_string(), "utf-8"
    )


def with_polars() -> None:
    tickets = pl.DataFrame(TICKETS, schema=["text", "category"], orient="row")
    answers = pl.DataFrame(ANSWERS, schema=["instruction", "response"], orient="row")
    tickets.write_csv(expected.file("polars-comma.csv", POLARS, TICKETS))
    answers.write_csv(expected.file("polars-tab.tsv", POLARS, ANSWERS), separator="\t")
    answers.write_csv(expected.file("polars-bar-bom.csv", POLARS, ANSWERS), separator="|", include_bom=True)
    answers.write_ndjson(expected.file("polars-lines.ndjson", POLARS, ANSWERS))
    tickets.write_json(expected.file("polars-rows.json", POLARS, TICKETS))
    tickets.write_excel(expected.file("polars-table.xlsx", POLARS, TICKETS, note="an Excel table with filter buttons"))
    holes = tickets.with_columns(
        pl.when(pl.int_range(pl.len()) == 5).then(None).otherwise(pl.col("category")).alias("category")
    )
    whole = TICKETS[:5] + TICKETS[6:]
    holes.write_csv(
        expected.file(
            "polars-null-word.csv",
            POLARS,
            [*TICKETS[:5], (TICKETS[5][0], "NULL"), *TICKETS[6:]],
            warns=("NULL|missing",),
        ),
        null_value="NULL",
    )
    holes.write_ndjson(expected.file("polars-null.ndjson", POLARS, whole, row_errors=(6,)))
    tickets.with_row_index().write_csv(
        expected.file("polars-row-index.csv", POLARS, TICKETS, warns=("index",), note="with_row_index")
    )
    tickets.write_parquet(expected.file("polars-tickets.parquet", POLARS, refused="Parquet"))
    tickets.write_ipc(expected.file("polars-tickets.arrow", POLARS, refused="not a text file|Arrow|Feather"))
    flags = [(text, "true" if label == "billing" else "false") for text, label in TICKETS]
    pl.DataFrame([(t, o == "true") for t, o in flags], schema=["text", "is_billing"], orient="row").write_csv(
        expected.file("polars-booleans.csv", POLARS, flags)
    )
    tickets.write_csv(
        expected.file("polars-quote-all.csv", POLARS, TICKETS), quote_style="always", line_terminator="\r\n"
    )


def with_datasets() -> None:
    data = datasets.Dataset.from_list([{"question": q, "answer": a} for q, a in ANSWERS])
    data.to_json(expected.file("datasets-lines.jsonl", DATASETS, ANSWERS))
    data.to_json(expected.file("datasets-list.json", DATASETS, ANSWERS), lines=False, orient="records")
    data.to_csv(expected.file("datasets-plain.csv", DATASETS, ANSWERS))
    chats = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}], "source": "shop"}
        for q, a in ANSWERS
    ]
    datasets.Dataset.from_list(chats).to_json(
        expected.file("datasets-messages.jsonl", DATASETS, ANSWERS, warns=("source",))
    )
    labels = datasets.ClassLabel(names=["delivery", "billing", "technical"])
    features = datasets.Features({"text": datasets.Value("string"), "label": labels})
    classes = datasets.Dataset.from_list([{"text": t, "label": o} for t, o in TICKETS], features=features)
    numbers = [(text, str(labels.str2int(label))) for text, label in TICKETS]
    classes.to_csv(
        expected.file("datasets-class-numbers.csv", DATASETS, numbers, note="ClassLabel is stored as its number")
    )
    talks = [{"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]} for q, a in TICKETS]
    datasets.Dataset.from_list(talks).to_json(expected.file("datasets-sharegpt.jsonl", DATASETS, TICKETS))
    dolly = [
        ("Which city is named?", "Order 17 was sent to Lyon.", "Lyon"),
        ("Which city is named?", "The customer moved from Ghent to Bruges; the parcel went to Bruges.", "Bruges"),
        ("What was ordered?", "Order 18: two lamps and a cable.", "two lamps and a cable"),
        ("What was ordered?", "Order 19: a tent for four.", "a tent for four"),
        ("Name a colour.", "", "blue"),
        ("Who signed for it?", "Left with the neighbour, Ms Ito, at noon.", "Ms Ito"),
    ]
    rows = list(zip(joined(("instruction", "context"), [d[:2] for d in dolly]), [d[2] for d in dolly], strict=True))
    lone = [(d[0], row[1]) if not d[1] else row for d, row in zip(dolly, rows, strict=True)]
    datasets.Dataset.from_list(
        [{"instruction": i, "context": c, "response": r, "category": "qa"} for i, c, r in dolly]
    ).to_json(
        expected.file(
            "datasets-dolly.jsonl",
            DATASETS,
            rows,
            warns=("category",),
            instead=({"rows": lone, "warns": ["category"]},),
        )
    )
    system = [("Answer in German.", "Say hello", "hallo"), ("Answer in French.", "Say hello", "bonjour")]
    system += [("Answer in German.", "Say thanks", "danke"), ("Answer in French.", "Say thanks", "merci")]
    system += [("Answer in German.", "Say goodbye", "tschüss"), ("Answer in French.", "Say goodbye", "au revoir")]
    datasets.Dataset.from_list([{"system": s, "prompt": p, "completion": c} for s, p, c in system]).to_json(
        expected.file("datasets-system-column.jsonl", DATASETS, [(f"{s}\n\n{p}", c) for s, p, c in system])
    )
    pairs = [
        {"prompt": [{"role": "user", "content": q}], "completion": [{"role": "assistant", "content": a}]}
        for q, a in ANSWERS
    ]
    datasets.Dataset.from_list(pairs).to_json(
        expected.file(
            "datasets-prompt-messages.jsonl", DATASETS, ANSWERS, note="TRL's conversational prompt-completion"
        )
    )
    kto = [
        {"prompt": t, "completion": o if i % 3 else "no idea", "label": bool(i % 3)} for i, (t, o) in enumerate(TICKETS)
    ]
    kept = [row for i, row in enumerate(TICKETS) if i % 3]
    datasets.Dataset.from_list(kto).to_json(
        expected.file(
            "datasets-kto.jsonl",
            DATASETS,
            kept,
            warns=("label", "4"),
            instead=({"rows": kept, "row_errors": [1, 4, 7, 10]},),
            note="label false: an undesired completion",
        )
    )
    best = [{"prompt": q, "chosen": a, "rejected": "I do not know."} for q, a in ANSWERS]
    datasets.Dataset.from_list(best).to_json(
        expected.file(
            "datasets-preference.jsonl",
            DATASETS,
            ANSWERS,
            warns=("rejected",),
            instead=({"refused": "chosen|rejected"},),
        )
    )
    expected.file("datasets-viewer.json", "https://huggingface.co/docs/dataset-viewer/rows", TICKETS).write_text(
        json.dumps(
            {
                "features": [
                    {"feature_idx": 0, "name": "text", "type": {"dtype": "string", "_type": "Value"}},
                    {"feature_idx": 1, "name": "label", "type": {"dtype": "string", "_type": "Value"}},
                ],
                "rows": [
                    {"row_idx": i, "row": {"text": t, "label": o}, "truncated_cells": []}
                    for i, (t, o) in enumerate(TICKETS)
                ],
                "num_rows_total": len(TICKETS),
                "num_rows_per_page": 100,
                "partial": False,
            }
        )
    )


if __name__ == "__main__":
    for make in (pandas_csv, pandas_json, pandas_books, pandas_others, with_polars, with_datasets):
        make()
    expected.write()
