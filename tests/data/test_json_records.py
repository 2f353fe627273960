"""JSON and JSONL to tables."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.data.json_records import looks_like_json, read_json, read_jsonl, read_records
from tunery.data.tables import BadCell, DecodedText, Table
from tunery.errors import DatasetInvalid
from tunery.types import TuningExample


def jsonl(text: str) -> Table:
    return read_jsonl(DecodedText(text, "utf-8"))


def as_json(text: str) -> Table:
    return read_json(DecodedText(text, "utf-8"))


def test_every_form_of_line_is_understood() -> None:
    """Own lines, chat lines, pairs and other names may follow each other."""
    lines = [
        {"text_input": "a", "output": "b"},
        {"textInput": "c", "output": "d"},
        {"messages": [{"role": "user", "content": "e"}, {"role": "assistant", "content": "f"}]},
        {"contents": [{"role": "user", "parts": [{"text": "g"}]}, {"role": "model", "parts": [{"text": "h"}]}]},
        ["i", "j"],
    ]

    table = jsonl("\n".join(map(json.dumps, lines)))

    assert table.columns == ("text_input", "output")
    assert [row.cells for row in table.rows] == [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h"), ("i", "j")]


@pytest.mark.parametrize("names", [("prompt", "completion"), ("input", "output"), ("input_text", "output_text")])
def test_other_names_become_columns(names: tuple[str, str]) -> None:
    """Names are kept as columns; which is which is decided by their mapping."""
    table = jsonl(json.dumps(dict(zip(names, ("a", "b"), strict=True))))

    assert (table.columns, table.rows[0].cells) == (names, ("a", "b"))


def test_all_broken_lines_are_reported() -> None:
    """Each with its line and character; empty lines count."""
    table = jsonl('{"text_input": "a", "output": "b"}\n\n{broken\n["c", "d"]\n[1,\n')

    assert [(problem.row, problem.kind) for problem in table.problems] == [(3, "broken-line"), (5, "broken-line")]
    assert str(table.problems[0]) == (
        "Row 3: not valid JSON, character 2: expecting property name enclosed in double quotes."
    )
    assert [row.number for row in table.rows] == [1, 4]


def test_windows_line_ends_are_no_text() -> None:
    """A carriage return before the line break is not part of the value."""
    assert jsonl('["a", "b"]\r\n["c", "d"]\r\n').problems == ()


def test_numbers_and_booleans_are_their_text() -> None:
    """7 stays "7", 0.10 stays "0.10", true stays "true"; null and NaN are nothing."""
    table = jsonl("[7, 0.10]\n[true, 1e3]\n[null, NaN]\n[123456789012345678901234567890, -0]")

    assert [row.cells for row in table.rows] == [
        ("7", "0.10"),
        ("true", "1e3"),
        (None, None),
        ("123456789012345678901234567890", "-0"),
    ]


def test_lists_and_objects_are_no_text() -> None:
    """They become bad cells, which count only where they are used."""
    table = jsonl('{"text_input": "a", "output": ["b"], "meta": {"x": 1}}')

    assert table.rows[0].cells == (
        "a",
        BadCell("not-text", "a list, not text."),
        BadCell("not-text", "an object, not text."),
    )


@pytest.mark.parametrize(
    ("value", "kind"), [("7", "a number"), ('"a"', "a text"), ("null", "null"), ("true", "a boolean")]
)
def test_a_line_that_is_no_record_is_reported(value: str, kind: str) -> None:
    """The message says what stands there."""
    assert str(jsonl(value).problems[0]) == f"Row 1: {kind}, expected an object with an input and an output."


def test_a_name_that_appears_twice_is_reported() -> None:
    """Nothing is dropped in silence."""
    table = jsonl('{"text_input": "a", "output": "b", "output": "c"}')

    assert "the name 'output' appears twice" in str(table.problems[0])


def test_deep_nesting_is_reported() -> None:
    """A hundred thousand brackets are a problem with a line, not a crash."""
    table = jsonl('["a", "b"]\n' + "[" * 100_000)

    assert str(table.problems[0]) == "Row 2: not valid JSON, brackets are nested too deeply."


OBJECTS = [{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}]
PLAIN = list(map(json.dumps, OBJECTS))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("\n".join(json.dumps(one, indent=2) for one in OBJECTS), (1, 5)),
        (",\n".join(PLAIN), (1, 2)),
        ("\n\n".join(PLAIN) + "\n", (1, 3)),
        ("".join(PLAIN), (1, 2)),
        (" , ".join(PLAIN) + ",", (1, 2)),
        ("".join(f"\x1e{one}\n" for one in PLAIN), (1, 2)),  # RFC 7464
        (json.dumps(OBJECTS), (1, 2)),
    ],
)
def test_objects_may_follow_each_other_in_any_way(text: str, rows: tuple[int, int]) -> None:
    """Over several lines, with commas, in one line; a row is the line an object starts in, else its place."""
    for table in (jsonl(text), as_json(text)):
        assert [(row.number, row.cells) for row in table.rows] == [(rows[0], ("a", "b")), (rows[1], ("c", "d"))]
        assert table.problems == ()


def test_a_break_in_objects_of_many_lines_is_one_problem() -> None:
    """Its line is named, not every line of the file."""
    text = "\n".join(json.dumps(one, indent=2) for one in OBJECTS).replace('"a",', '"a"')

    with pytest.raises(DatasetInvalid, match="Row 3: Not valid JSON, line 3") as raised:
        jsonl(text)

    assert len(raised.value.problems) == 1


def test_lists_may_begin_with_their_names() -> None:
    """A first list of usual names is the header; lists of more than two cells are columns."""
    table = jsonl('["Question", "Answer", "page"]\n["a", "b", 3]\n["c", "d", null]')

    assert table.columns == ("Question", "Answer", "page")
    assert [(row.number, row.cells) for row in table.rows] == [(2, ("a", "b", "3")), (3, ("c", "d", None))]
    assert as_json('[["text_input", "output"], ["a", "b"]]').rows[0].cells == ("a", "b")


def user(text: object) -> dict[str, object]:
    return {"role": "user", "content": text}


def assistant(text: object, **fields: object) -> dict[str, object]:
    return {"role": "assistant", "content": text, **fields}


def lines(*records: object) -> Table:
    return jsonl("\n".join(map(json.dumps, records)))


def said(table: Table) -> list[str]:
    return [str(problem) for problem in table.problems]


def test_fields_beside_messages_are_columns() -> None:
    """So they are listed as not used; fields without a value are left out."""
    talk = [user("a"), assistant("b")]
    table = lines({"messages": talk, "tools": [{}], "id": 7, "name": None, "output": "x", "tags": []})

    assert table.columns == ("text_input", "output", "tools", "id", "output (beside messages)")


def test_what_is_not_to_be_learned_is_a_column() -> None:
    """The label or weight of a record, and the weight of its answer, whatever service writes it."""
    talk = [user("a"), assistant("b")]

    for name in ("label", "kto_tag"):
        table = lines({"messages": talk, name: False})
        assert (table.columns[2], table.rows[0].cells) == ("label", ("a", "b", "false"))
    weights = ({"weight": 0}, {"weight": 0.0}, {"train": False}, {"loss": False}, {"weight": 0.5})
    found = [lines({"messages": [user("a"), assistant("b", **weight)]}).rows[0].cells[2] for weight in weights]
    assert found == ["0", "0", "0", "0", "1"]
    assert lines({"messages": talk, "weight": 0}).rows[0].cells == ("a", "b", "0")
    assert lines({"messages": [{**user("a"), "weight": 0}, assistant("b")]}).columns == ("text_input", "output")


def test_thoughts_are_left_out_and_said() -> None:
    """Once for all rows, with the number of them and the first."""
    parts = [{"text": "Hm. ", "thought": True}, {"text": "b"}]
    table = lines(
        {"messages": [user("a"), assistant("b")]},
        *({"contents": [user("a"), {"role": "model", "parts": parts}]} for _ in range(2)),
    )

    assert {row.cells for row in table.rows} == {("a", "b")}
    assert said(table) == ["2 rows have thoughts ('thought'), which were left out (first: row 2)."]


def test_the_preferred_answer_is_read_and_said() -> None:
    """As messages or as texts; without a prompt there is no example."""
    texts = {"prompt": "a", "chosen": "b", "rejected": "c"}
    talks = {name: [user("a"), assistant(text)] for name, text in (("chosen", "b"), ("rejected", "c"))}
    openai = {"input": {"messages": [user("a")], "tools": [{}]}, "preferred_output": [assistant("b")]}

    assert lines(texts).rows[0].cells == lines(talks).rows[0].cells == ("a", "b")
    assert said(lines(texts, texts)) == ["2 rows have 'chosen' and 'rejected'; only 'chosen' was read (first: row 1)."]
    assert said(lines({**openai, "non_preferred_output": [assistant("c")]})) == [
        "1 row has 'preferred_output' and 'non_preferred_output'; only 'preferred_output' was read (first: row 1).",
        "Not used, in messages: 'input.tools'.",
    ]
    alone = lines({"chosen": "Human: a", "rejected": "Human: b"})
    assert said(alone) == ["Row 1: there is a preferred and a rejected answer, but no prompt."]


def test_rejected_annotations_are_left_out() -> None:
    """Prodigy's `answer` is a verdict about the record, not its output."""
    record = {"text": "a", "label": "b", "_task_hash": 1}
    table = lines({**record, "answer": "accept"}, {**record, "answer": "reject"})

    assert [row.cells[:2] for row in table.rows] == [("a", "b")]
    assert said(table) == ["1 row was left out: 'answer' is 'reject' (first: row 2)."]


def test_one_cause_in_all_rows_is_one_sentence() -> None:
    """With the number of rows; where some rows can be used, each of the others is named."""
    long = {"messages": [user("a"), assistant("b")] * 2}
    called = {"messages": [user("a"), assistant("b", tool_calls=[{}])]}
    sentence = "4 messages; only one question with one answer is supported."

    assert said(lines(*[long] * 24)) == [f"All 24 rows (first: row 1): {sentence}"]
    assert said(lines(called, *[long] * 2, called)) == [
        "2 of 4 rows (first: row 1): a message has 'tool_calls'; only text can be used.",
        f"2 of 4 rows (first: row 2): {sentence}",
    ]
    assert said(lines(long, long, {"messages": [user("a"), assistant("b")]}))[0] == f"Row 1: {sentence}"


def test_lines_of_different_forms_share_their_columns() -> None:
    """Chat lines beside prompts and completions, and names in other letters; what was moved is said."""
    mixed = lines({"messages": [user("a"), assistant("b")]}, OBJECTS[1], OBJECTS[1])

    assert (mixed.columns, [row.cells for row in mixed.rows]) == (
        ("text_input", "output"),
        [("a", "b"), ("c", "d"), ("c", "d")],
    )
    moved = "'prompt' as 'text_input' and 'completion' as 'output'"
    assert said(mixed) == [f"2 rows have differently named fields: {moved} (first: row 2)."]
    letters = lines({"Prompt": "a", "completion": "b"}, {"prompt": "c", "Completion": "d"})
    assert (letters.columns, letters.rows[1].cells) == (("Prompt", "completion"), ("c", "d"))


def test_fields_that_stand_beside_each_other_are_not_mixed() -> None:
    """An answer and a response in one record are two columns, also where another record lacks one."""
    table = lines({"prompt": "a", "answer": "b", "response": "x"}, {"prompt": "c", "response": "y"})

    assert table.columns == ("prompt", "answer", "response")
    assert table.rows[1].cells == ("c", None, "y")


def test_lists_of_messages_are_conversations() -> None:
    """Also without a name for the list, and with a system message."""
    talks = [[{"role": "system", "content": "S"}, user("a"), assistant("b")]] * 2

    assert [row.cells for row in as_json(json.dumps(talks)).rows] == [("S\n\na", "b")] * 2


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "[" * 900 + "]" * 900, "content": "a"}]},
        {"prompt": 10**5000, "completion": float("inf")},
        {"prompt": {"messages": [1]}, "completion": {"text": 1}},
    ],
)
def test_no_record_is_a_crash(record: dict[str, object]) -> None:
    """Endless numbers and odd parts are problems of their row or cells."""
    read_records([record])


def test_deep_objects_are_no_crash() -> None:
    """At any depth that Python's decoder reads."""
    for depth in (10, 300, 900, 990):
        with suppress(DatasetInvalid):
            as_json('{"messages": [{"role": ' + "[" * depth + "]" * depth + "}]}")
        with suppress(DatasetInvalid):
            as_json('{"a":' * depth + "1" + "}" * depth)


@pytest.mark.parametrize(
    "text",
    [
        '[{"q": "a", "r": "b"}, {"q": "c", "r": "d"}]',
        '{"q": ["a", "c"], "r": ["b", "d"]}',
        '{"q": {"0": "a", "5": "c"}, "r": {"5": "d", "0": "b"}}',
        '{"examples": {"examples": [{"q": "a", "r": "b"}, {"q": "c", "r": "d"}]}}',
    ],
)
def test_json_may_be_rows_or_columns(text: str) -> None:
    """A list of objects, an object of columns (also as pandas writes it), and the body of a create call are one."""
    table = as_json(text)

    assert table.columns == ("q", "r")
    assert [(row.number, row.cells) for row in table.rows] == [(1, ("a", "b")), (2, ("c", "d"))]


def test_a_single_object_is_one_row() -> None:
    """Also when it is a chat line, whose messages are no column; a line of JSONL may have any names."""
    assert as_json('{"prompt": "a", "completion": "b"}').rows[0].cells == ("a", "b")
    assert jsonl('{"q": "a", "r": "b"}').rows[0].cells == ("a", "b")
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    assert as_json(json.dumps(chat)).rows[0].cells == ("a", "b")


def test_missing_fields_are_empty_cells() -> None:
    """Objects need not have the same names."""
    assert [row.cells for row in as_json('[{"q": "a"}, {"r": "b"}]').rows] == [("a", None), (None, "b")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"text"', "a text; a list of examples is needed"),
        ("12", "a number; a list"),
        ("null", "null; a list"),
        ('[{"a": 1},\n{"a" 2}]', "Row 2: Not valid JSON, line 2, character 6"),
        ('{"q": ["a"], "r": []}', "Column 'r' has 0 values, 'q' has 1"),
        ("[" * 100_000, "nested too deeply"),
        ("[{'a': 'b'}]", "how Python prints dictionaries, not JSON. Write each record with json.dumps"),
    ],
)
def test_what_is_no_list_of_examples_is_refused(text: str, message: str) -> None:
    """The message says what it is or where it breaks."""
    with pytest.raises(DatasetInvalid, match=message):
        as_json(text)


def test_records_may_come_from_pandas() -> None:
    """Numbers become text as in a spreadsheet, NaN a missing cell."""
    table = read_records([{"q": 7.0, "r": float("nan")}, {"q": 0.1 + 0.2, "r": True}])

    assert [row.cells for row in table.rows] == [("7", None), ("0.3", "true")]


def test_rows_that_all_name_other_columns_are_refused() -> None:
    """The table they would span is not built."""
    with pytest.raises(DatasetInvalid, match="20,000 columns, limit 256"):
        jsonl("\n".join(f'{{"k{number}": 1}}' for number in range(20_000)))


@pytest.mark.parametrize(
    ("text", "suffix", "form"),
    [
        ('{"a": 1}\n{"a": 2}\n', ".csv", "jsonl"),
        ('["a", "b"]\n["c", "d"]', "", "jsonl"),
        ('{broken\n{"a": 2}\n{"a": 3}', "", "jsonl"),
        ('{"a": 1}', ".jsonl", "jsonl"),
        ('{"a": 1}', "", "json"),
        ('[\n{"a": 1},\n{"a": 2}\n]', ".txt", "json"),
        ('[{"a": 1},\n {"a": 2', ".json", "json"),
        ("not json", ".json", "json"),
        ("not json", ".jsonl", "jsonl"),
        ("text,label\na,b", ".csv", None),
        ("[greeting] hello,x\n[parting] bye,y\n", ".csv", None),
        ("{name} hello,x\n{name} bye,y\n", ".csv", None),
        ("{'a': 1}\n{'a': 2}", ".txt", "json"),
        ('{"a": 1}{"a": 2}', ".jsonl", "jsonl"),
    ],
)
def test_json_is_recognised_by_content(text: str, suffix: str, form: str | None) -> None:
    """The name of the file decides only when the content does not."""
    assert looks_like_json(text, suffix) == form


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1), st.booleans())
def test_lines_come_back(pairs: list[tuple[str, str]], ascii_only: bool) -> None:
    """Any texts, escaped or not, come back unchanged."""
    text = "\n".join(json.dumps({"text_input": a, "output": b}, ensure_ascii=ascii_only) for a, b in pairs)

    assert [row.cells for row in jsonl(text).rows] == pairs


# fmt: off
NAMES = st.text() | st.sampled_from([
    "messages", "contents", "conversations", "prompt", "completion", "chosen", "rejected", "input", "output", "role",
    "from", "content", "value", "parts", "text", "thought", "type", "label", "weight", "system", "context", "data",
    "tool_calls", "rows", "row", "columns", "index", "schema", "fields", "examples", "0", "1",
])
# fmt: on
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["user", "assistant", "gpt", "text"]),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(NAMES, values, max_size=4),
    max_leaves=16,
)


@settings(deadline=None)
@given(JSON)
def test_any_json_gives_a_table_or_a_sentence(value: object) -> None:
    """No value leads to another exception than DatasetInvalid."""
    with suppress(DatasetInvalid):
        as_json(json.dumps(value))


MESSAGES = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "from", "author", "content", "value", "parts", "weight"]), JSON, max_size=3
    )
)


@settings(deadline=None)
@given(st.sampled_from(["messages", "contents", "conversations", "prompt", "chosen"]), MESSAGES, NAMES, JSON)
def test_any_messages_give_a_table_or_a_sentence(field: str, messages: object, name: str, beside: object) -> None:
    """The same for what looks like a conversation, with another field beside it."""
    with suppress(DatasetInvalid):
        as_json(json.dumps([{field: messages, name: beside}]))


def test_examples_are_records() -> None:
    """A TuningExample is taken as it is."""
    assert read_records([TuningExample("a", "b")]).rows[0].cells == ("a", "b")
