"""Examinations over HTTP, on a running server with a tiny base: the suspicious rows of a tuned model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.live import TUNED, Live, make_home, serving
from tunery.service.access import TUNING
from tunery.types import Caller, GranteeType, Role

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "omega")
# each twice but for a sign, so that some copy of each odd number of held-out rows is tuned on
EXAMPLES = [
    *({"textInput": text, "output": "yes" if at % 2 else "no"} for at, w in enumerate(WORDS) for text in (w, w + "!")),
    {"textInput": "x" * 700, "output": "no"},
    {"textInput": "one more", "output": "Yes"},
    {"textInput": "again", "output": "no"},
    {"textInput": "again", "output": "yes"},
]
ADDRESS = f"/v1beta/tunedModels/{TUNED}"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server with a tuned model whose examples have everything that can be doubtful."""
    home = make_home(tmp_path_factory.mktemp("examinations"))
    with serving(home, evaluates=False) as live, live.client() as client:
        live.tune(client, TUNED, EXAMPLES, hold_out="3")
        yield live


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


@pytest.fixture(scope="module")
def found(live: Live) -> dict[str, Any]:
    """Return the examination of the model, once it is there."""
    with live.client() as client:
        before = client.get(f"{ADDRESS}:examination")
        assert (before.status_code, client.get(f"{ADDRESS}/examinations").json()) == (404, {})
        assert ":examine" in before.json()["error"]["message"]
        return examined(live, client)


def examined(live: Live, client: httpx2.Client, **how: int) -> dict[str, Any]:
    """Have the model examined, and return what was found."""
    found = live.found_out(client, TUNED, "examine", "examination", **how)
    assert found["state"] == "SUCCEEDED", found
    return found


def test_all_kinds_of_doubtful_rows_are_found(found: dict[str, Any]) -> None:
    """What needs no model, and what the base's window and the model's losses say."""
    report = found["report"]

    assert (report["rows"], report["heldOutRows"]) == (25, 3)
    kinds = {finding["kind"] for finding in report["findings"]}
    assert {"NEAR_DUPLICATE", "CONTRADICTION", "HELD_OUT_COPY", "LABEL_VARIANT", "CUT_ROW", "STILL_WRONG"} >= kinds
    assert kinds >= {"NEAR_DUPLICATE", "HELD_OUT_COPY", "CUT_ROW", "STILL_WRONG"}
    assert sum(count["findings"] for count in report["counts"]) == len(report["findings"])


def test_findings_name_rows_as_the_list_of_examples_has_them(client: httpx2.Client, found: dict[str, Any]) -> None:
    """Row, other row and held-out row count from 1, and their texts stand beside them."""
    learned = client.get(f"{ADDRESS}/examples", params={"pageSize": 100}).json()["examples"]
    held_out = client.get(f"{ADDRESS}/examples", params={"pageSize": 100, "heldOut": "true"}).json()["examples"]

    for finding in found["report"]["findings"]:
        assert finding["example"] == learned[finding["row"] - 1]
        if "otherRow" in finding:
            assert finding["otherExample"] == learned[finding["otherRow"] - 1]
            assert f"row {finding['otherRow']}" in finding["message"]
        if finding["kind"] == "HELD_OUT_COPY":
            assert finding["otherExample"] == held_out[finding["heldOutRow"] - 1]


def test_readers_see_counts_and_no_row(live: Live, found: dict[str, Any]) -> None:
    """A reader is told how many rows are doubtful, not which."""
    accounts = live.services.accounts
    accounts.users.add("reader@example.com")
    live.services.library.sharing.create(
        Caller("local", frozenset({TUNING})), TUNED, GranteeType.USER, "reader@example.com", Role.READER
    )
    with live.client(accounts.tokens.create_plain("reader@example.com", [TUNING], 30)[1]) as client:
        seen = client.get(f"{ADDRESS}:examination").json()
        listed = client.get(f"{ADDRESS}/examinations").json()["examinations"]
        refused = client.post(f"{ADDRESS}:examine")

    assert seen["report"]["counts"] == found["report"]["counts"]
    assert seen["report"]["findings"] == []
    assert listed == [seen]
    assert refused.status_code == 403


def test_a_base_that_has_changed_is_refused(live: Live, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its losses would say nothing about the tuned model."""
    monkeypatch.setattr(type(live.services.catalog), "digest", lambda _self, _name: "another")

    reply = client.post(f"{ADDRESS}:examine")

    assert reply.status_code == 400
    assert "is not the one" in reply.json()["error"]["message"]


def test_outputs_are_doubted_by_models_that_have_not_seen_the_row(
    live: Live, client: httpx2.Client, found: dict[str, Any]
) -> None:
    """With folds rows are doubted as likely mislabelled instead of as still wrong; the rest is found as before."""
    by_folds = examined(live, client, foldCount=2)["report"]

    def of(report: dict[str, Any], kind: str) -> list[dict[str, Any]]:
        return [finding for finding in report["findings"] if finding["kind"] == kind]

    assert (by_folds["foldCount"], found["report"].get("foldCount")) == (2, None)
    assert of(by_folds, "STILL_WRONG") == []
    assert all("tuned without this row" in finding["message"] for finding in of(by_folds, "LIKELY_MISLABELLED"))
    assert of(by_folds, "LIKELY_MISLABELLED")
    for kind in ("NEAR_DUPLICATE", "HELD_OUT_COPY", "CUT_ROW", "LABEL_VARIANT"):
        assert of(by_folds, kind) == of(found["report"], kind)


@pytest.mark.parametrize("folds", [0, 1, 11])
def test_folds_out_of_range_are_refused(client: httpx2.Client, folds: int) -> None:
    """Before anything is tuned, with the range."""
    reply = client.post(f"{ADDRESS}:examine", json={"foldCount": folds})

    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == f"fold_count must be 2 to 10, not {folds}."


def test_examples_come_with_the_fixes_of_the_data_check(client: httpx2.Client, found: dict[str, Any]) -> None:
    """Rows to leave out are gone and outputs are replaced; `fixedRows` counts both."""
    report = found["report"]
    changes = {finding["row"] for finding in report["findings"] if finding["isDropped"] or "newOutput" in finding}
    dropped = {finding["row"] for finding in report["findings"] if finding["isDropped"]}
    outputs = {finding["row"]: finding["newOutput"] for finding in report["findings"] if "newOutput" in finding}
    learned = client.get(f"{ADDRESS}/examples", params={"pageSize": 100}).json()["examples"]

    fixed = client.get(f"{ADDRESS}/examples", params={"pageSize": 100, "fixed": "true"}).json()

    assert report["fixedRows"] == len(changes) > 0
    assert fixed["examples"] == [
        {**example, "output": outputs.get(row, example["output"])}
        for row, example in enumerate(learned, 1)
        if row not in dropped
    ]
    assert fixed["totalSize"] == len(learned) - len(dropped)
    both = client.get(f"{ADDRESS}/examples", params={"fixed": "true", "heldOut": "true"})
    assert both.status_code == 400


def test_fixed_examples_are_for_writers_as_findings_are(live: Live, found: dict[str, Any]) -> None:
    """A reader with whom the examples are shared does not see which of them are doubtful."""
    assert found["report"]["fixedRows"]
    live.services.accounts.users.add("other@example.com")
    live.services.library.sharing.create(
        Caller("local", frozenset({TUNING})), TUNED, GranteeType.USER, "other@example.com", Role.READER
    )
    token = live.services.accounts.tokens.create_plain("other@example.com", [TUNING], 30)[1]
    live.services.library.update(TUNED, examples_shared=True)
    with live.client(token) as reader:
        assert reader.get(f"{ADDRESS}/examples").status_code == 200
        assert reader.get(f"{ADDRESS}/examples", params={"fixed": "true"}).status_code == 403
