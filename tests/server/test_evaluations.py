"""Evaluations over HTTP, on a running server with a tiny base."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.live import TUNED, Live, make_home, serving


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server that evaluates when it is asked, with one tuned model that has held-out rows."""
    home = make_home(tmp_path_factory.mktemp("evaluations"))
    with serving(home, evaluates=False) as live, live.client() as client:
        live.tune(client, TUNED, rows=16, hold_out="6")
        yield live


@pytest.fixture
def client(live: Live) -> Iterator[httpx2.Client]:
    with live.client() as client:
        yield client


def test_there_is_none_before_it_is_asked_for(client: httpx2.Client) -> None:
    """404, with what to call."""
    reply = client.get(f"/v1beta/tunedModels/{TUNED}:evaluation")

    assert reply.status_code == 404
    assert ":evaluate" in reply.json()["error"]["message"]


def test_held_out_rows_are_answered_by_everybody(live: Live, client: httpx2.Client) -> None:
    """The report has all contenders, the sentence and the rows, and stays for the next look."""
    found = live.found_out(client, TUNED, "evaluate", "evaluation")

    report = found["report"]
    assert (found["state"], report["rows"], report["source"]) == ("SUCCEEDED", 6, "held-out rows")
    names = [one["name"] for one in report["contenders"]]
    assert names == ["majority", "similar", "base", "base_examples", "tuned"]
    assert report["verdict"]["kind"] == "TOO_FEW_ROWS"
    assert report["worstRows"][0]["answers"].keys() == set(names)
    assert [row["answers"].keys() for row in report["answeredRows"]] == [{"base", "tuned"}] * 6
    assert client.get(f"/v1beta/tunedModels/{TUNED}:evaluation").json() == found


def test_examples_that_are_sent_take_the_place_of_held_out_rows(live: Live, client: httpx2.Client) -> None:
    """With recorded answers of another model beside them."""
    examples = [{"textInput": str(n), "output": str(n + 1)} for n in range(100, 121)]
    recorded = {"title": "old", "answers": [str(n + 1) for n in range(100, 121)]}

    how = {"examples": {"examples": examples}, "source": "new.csv", "recorded": recorded}
    report = live.found_out(client, TUNED, "evaluate", "evaluation", **how)["report"]

    assert (report["rows"], report["source"]) == (21, "new.csv")
    old = next(one for one in report["contenders"] if one["name"] == "recorded")
    assert (old["title"], old["figures"][0]["value"]) == ("old", 1.0)


def test_candidates_choose_among_labels_as_the_model_is_served(live: Live, client: httpx2.Client) -> None:
    """Base and tuned model give a label where the outputs are labels, and the tuned model any text if it is set so."""
    rows = [{"textInput": f"message {n}", "output": ("bug", "billing")[n % 2]} for n in range(40)]
    live.tune(client, "labelled", rows, hold_out="20")
    prompt = {"contents": [{"parts": [{"text": "message 7"}]}], "generationConfig": {"temperature": 0}}

    limited = live.found_out(client, "labelled", "evaluate", "evaluation")["report"]
    served = client.post("/v1beta/tunedModels/labelled:generateContent", json=prompt).json()["candidates"][0]
    client.patch("/v1beta/tunedModels/labelled", json={"constrainToTrainingOutputs": False})
    free = live.found_out(client, "labelled", "evaluate", "evaluation")["report"]

    answers = [row["answers"] for row in (*limited["bestRows"], *limited["worstRows"])]
    names = ["majority", "similar", "states", "base", "base_examples", "tuned"]
    assert [one["name"] for one in limited["contenders"]] == names
    assert [one["name"] for one in limited["contenders"] if one["isLimited"]] == ["base", "base_examples", "tuned"]
    assert {said for each in answers for said in each.values()} <= {"bug", "billing"}
    assert served["content"]["parts"][0]["text"] in ("bug", "billing")
    assert limited["verdict"]["text"].endswith("Base and tuned model chose among the labels.")
    assert limited["calibration"]["text"].startswith("20 rows are too few to tell")
    assert sum(part["rows"] for part in limited["calibration"]["bins"]) == 20
    assert [one["name"] for one in free["contenders"] if one["isLimited"]] == ["base", "base_examples"]
    assert not {row["answers"]["tuned"] for row in free["worstRows"]} & {"bug", "billing"}


def test_wrong_requests_are_refused_at_once(client: httpx2.Client) -> None:
    """Recorded answers without their rows, and a number of rows that makes no sense."""
    rows = client.post(f"/v1beta/tunedModels/{TUNED}:evaluate", json={"recorded": {"answers": []}})
    wrong = client.post(f"/v1beta/tunedModels/{TUNED}:evaluate", json={"maxRows": 0})

    assert (rows.status_code, wrong.status_code) == (400, 400)
    assert "must be sent with the examples" in rows.json()["error"]["message"]
    assert "maxRows must be between 1 and 500" in wrong.json()["error"]["message"]
