"""Structured prompts over HTTP: kept, changed, exported, imported, and seen by their owner alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.live import Live
from tunery.data.dataset import Dataset
from tunery.server.prompts import _csv, _jsonl, aistudio_file, structured_prompt_of
from tunery.service.access import TUNING

NUMBERS: dict[str, Any] = {
    "displayName": "Numbers",
    "preamble": "Count on.",
    "columns": [{"prefix": "input:", "isInput": True}, {"prefix": "output:"}],
    "rows": [{"cells": ["1", "2"]}, {"cells": ["", ""]}, {"cells": ["3", "4"]}],
    "testRows": [{"cells": ["7"]}],
    "tuning": {"epochCount": 3},
}


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client
        for prompt in client.get("/v1beta/prompts").json().get("prompts", []):
            client.delete(f"/v1beta/{prompt['name']}")


def made(client: httpx2.Client, **changes: Any) -> str:
    """Keep a prompt and return its address."""
    reply = client.post("/v1beta/prompts", json=NUMBERS | changes)
    assert reply.status_code == 200, reply.text
    return f"/v1beta/{reply.json()['name']}"


def test_a_prompt_is_kept_as_it_was_given(client: httpx2.Client) -> None:
    """Preamble, columns, rows, test rows and the settings of the page come back; short rows are filled up."""
    found = client.get(made(client)).json()

    assert {name: found[name] for name in ("displayName", "preamble", "rows", "tuning")} == {
        name: NUMBERS[name] for name in ("displayName", "preamble", "rows", "tuning")
    }
    assert found["columns"] == [{"prefix": "input:", "isInput": True}, {"prefix": "output:", "isInput": False}]
    assert found["testRows"] == [{"cells": ["7", ""]}]
    assert found["rowCount"] == 3


def test_a_change_in_another_place_is_not_overwritten(client: httpx2.Client) -> None:
    """With the time that the caller knows, a patch is refused once somebody else has changed the prompt."""
    address = made(client)
    known = client.get(address).json()["updateTime"]
    first = client.patch(address, params={"ifUpdateTime": known}, json={"displayName": "First"})
    assert first.status_code == 200, first.text

    second = client.patch(address, params={"ifUpdateTime": known}, json={"displayName": "Second"})
    assert second.status_code == 400
    assert second.json()["error"]["status"] == "FAILED_PRECONDITION"
    assert "was changed in another place" in second.json()["error"]["message"]
    assert client.get(address).json()["displayName"] == "First"
    again = client.patch(address, params={"ifUpdateTime": first.json()["updateTime"]}, json={"displayName": "Third"})
    assert again.json()["displayName"] == "Third"


def test_lists_are_short_and_have_pages(client: httpx2.Client) -> None:
    """Rows are left out of lists; a page ends where it should and the next begins there; words filter by name."""
    for number in range(3):
        made(client, displayName=f"Prompt {number}")

    first = client.get("/v1beta/prompts", params={"pageSize": 2}).json()
    second = client.get("/v1beta/prompts", params={"pageSize": 2, "pageToken": first["nextPageToken"]}).json()
    found = client.get("/v1beta/prompts", params={"filter": "prompt 1"}).json()

    names = [prompt["displayName"] for prompt in [*first["prompts"], *second["prompts"]]]
    assert names == ["Prompt 2", "Prompt 1", "Prompt 0"]
    assert "nextPageToken" not in second
    assert "rows" not in first["prompts"][0]
    assert [prompt["displayName"] for prompt in found["prompts"]] == ["Prompt 1"]


def test_a_change_leaves_what_is_not_named(client: httpx2.Client) -> None:
    """Without a mask all parts in the body change, with one only those named; unknown parts are refused."""
    address = made(client)

    plain = client.patch(address, json={"preamble": "Count back."}).json()
    masked = client.patch(address, params={"updateMask": "rows"}, json={"rows": [], "preamble": "no"}).json()
    wrong = client.patch(address, params={"updateMask": "owner"}, json={})

    assert (plain["preamble"], plain["rowCount"], plain["displayName"]) == ("Count back.", 3, "Numbers")
    assert (masked["preamble"], masked["rowCount"]) == ("Count back.", 0)
    assert wrong.status_code == 400


def test_what_is_deleted_is_gone(client: httpx2.Client) -> None:
    """A deleted prompt is not found, nor deleted twice."""
    address = made(client)

    assert client.delete(address).json() == {}
    assert client.get(address).status_code == 404
    assert client.delete(address).status_code == 404


def test_examples_carry_preamble_and_prefixes(client: httpx2.Client) -> None:
    """The csv and jsonl exports hold the inputs the model gets; rows without text are left out."""
    address = made(client)

    table = client.get(f"{address}:export", params={"format": "csv"}).text
    lines = client.get(f"{address}:export", params={"format": "jsonl"}).text

    assert table.splitlines()[0] == "text_input,output"
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"text_input": "Count on.\ninput: 1", "output": "2"},
        {"text_input": "Count on.\ninput: 3", "output": "4"},
    ]
    assert client.get(f"{address}:export", params={"format": "pdf"}).status_code == 400


def test_a_file_of_ai_studio_comes_in_and_goes_out(client: httpx2.Client) -> None:
    """What was exported for AI Studio is imported with the same preamble, columns and rows."""
    file = client.get(f"{made(client)}:export", params={"format": "aistudio"}).json()

    reply = client.post("/v1beta/prompts:import", params={"displayName": "Again"}, json=file)

    found = reply.json()
    assert reply.status_code == 200
    assert (found["displayName"], found["preamble"]) == ("Again", "Count on.")
    assert found["rows"] == [{"cells": ["1", "2"]}, {"cells": ["3", "4"]}]
    assert [column["isInput"] for column in found["columns"]] == [True, False]


def test_an_exported_file_can_be_parsed_as_data(client: httpx2.Client) -> None:
    """datasets:parse takes a structured prompt file as it takes a table."""
    file = client.get(f"{made(client)}:export").content

    found = client.post("/v1beta/datasets:parse", params={"fileName": "Numbers"}, content=file).json()

    assert found["format"] == "aistudio"
    assert found["examples"][0] == {"textInput": "Count on.\ninput: 1", "output": "2", "row": 1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"chunkedPrompt": {"chunks": []}}, "a chat prompt of AI Studio"),
        ({"text_input": []}, "no dataPrompt"),
    ],
)
def test_other_files_are_refused_by_name(client: httpx2.Client, body: Any, said: str) -> None:
    """Chats and other JSON hold no rows."""
    reply = client.post("/v1beta/prompts:import", json=body)

    assert reply.status_code == 400
    assert said in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"displayName": "x" * 41},
        {"columns": [{"prefix": "a"}] * 257},
        {"tuning": {"long": "x" * 20_001}},
        {"rows": [{"cells": [1]}]},
        {"rowz": []},
    ],
)
def test_what_cannot_be_kept_is_refused(client: httpx2.Client, body: Any) -> None:
    """Names, widths, settings and types have limits."""
    assert client.post("/v1beta/prompts", json=body).status_code == 400


def test_others_do_not_learn_of_it(live: Live, client: httpx2.Client) -> None:
    """Somebody else finds no such prompt, whatever is done with it, and none in the list."""
    address = made(client)
    live.services.accounts.users.add("somebody@example.com")
    _, token = live.services.accounts.tokens.create_plain("somebody@example.com", [TUNING], 1)

    with live.client(token) as other:
        seen = [
            other.get(address),
            other.patch(address, json={"preamble": "mine"}),
            other.delete(address),
            other.get(f"{address}:export"),
        ]
        listed = other.get("/v1beta/prompts").json()

    assert [reply.status_code for reply in seen] == [404] * 4
    assert listed == {}
    assert client.get(address).json()["preamble"] == "Count on."


# a file of control characters is no text file
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n\r\x85"), max_size=20).filter(
    str.strip
)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1), TEXTS.map(str.strip))
def test_every_export_is_read_back(rows: list[tuple[str, str]], preamble: str) -> None:
    """As CSV, JSONL and AI Studio's file, whatever line ends the texts hold."""
    columns = [{"prefix": "input:", "is_input": True}, {"prefix": "output:", "is_input": False}]
    document = {"preamble": preamble, "columns": columns, "rows": [list(row) for row in rows]}
    prompt = structured_prompt_of(document)
    meant = [(prompt.text_input(row), row.cells[1]) for row in prompt.rows]

    files = {"a.csv": _csv(prompt), "a.jsonl": _jsonl(prompt), "a": json.dumps(aistudio_file(document))}
    with TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.write_bytes(text.encode())
            # short texts may look like another delimiter's
            examples = Dataset.read(path, delimiter="," if name == "a.csv" else None).examples
            assert [(example.text_input, example.output) for example in examples] == meant, name
