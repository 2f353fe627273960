"""The examples of a tuned model are for its owner and writers, and for readers if the owner shares them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.live import Live, make_home, serving
from tunery.service.access import SCOPES, TUNING
from tunery.types import GranteeType, Role

MODEL = "secrets"
ADDRESS = f"/v1beta/tunedModels/{MODEL}"
CANARY = "canary7f3a"
# without a common beginning or end, which readers need to ask the model as its examples do
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu")
EXAMPLES = [{"textInput": f"{word} {CANARY} {word}", "output": f"{word[::-1]}{CANARY}"} for word in WORDS]
EXAMPLES += [{"textInput": f"twice {CANARY}", "output": f"{output}{CANARY}"} for output in ("one", "two")]  # doubtful
READER, STRANGER, WRITER = "reader@example.com", "stranger@example.com", "writer@example.com"
# each as a reader may send it; what they start, and what they show
OWN_ROWS = {"trainingData": {"examples": {"examples": [{"textInput": "a", "output": "b"}]}}}
BODIES: dict[str, Any] = {
    "EvaluateTunedModel": {},
    "ExamineTunedModel": {},
    "CreateTunedModel": {"tunedModelSource": {"tunedModel": f"tunedModels/{MODEL}"}, "tuningTask": OWN_ROWS},
}
ANSWERS = {"GenerateContentTuned", "StreamGenerateContentTuned", "GenerateTextTuned"}  # what was learned may be said


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server with a tuned model that a reader and a writer share, with all reports about it."""
    home = make_home(tmp_path_factory.mktemp("examples"))
    with serving(home, evaluates=False) as live, live.client() as client:
        live.tune(client, MODEL, EXAMPLES, hold_out="3")
        for address, role in ((READER, Role.READER), (WRITER, Role.WRITER)):
            shared = {"granteeType": GranteeType.USER, "emailAddress": address, "role": role}
            client.post(f"{ADDRESS}/permissions", json=shared).raise_for_status()
        for address in (READER, WRITER, STRANGER):
            live.services.accounts.users.add(address)
        for verb, noun in (("evaluate", "evaluation"), ("examine", "examination")):
            assert live.found_out(client, MODEL, verb, noun)["state"] == "SUCCEEDED"
        yield live


@contextmanager
def asking(live: Live, user: str, *scopes: str) -> Iterator[httpx2.Client]:
    secret = live.services.accounts.tokens.create_plain(user, list(scopes or (TUNING,)), 1)[1]
    with live.client(secret) as client:
        yield client


@contextmanager
def shared(live: Live) -> Iterator[None]:
    with live.client() as owner:
        for is_shared in (True, False):
            reply = owner.patch(ADDRESS, params={"updateMask": "examplesShared"}, json={"examplesShared": is_shared})
            assert reply.json().get("examplesShared", False) is is_shared
            if is_shared:
                yield


def operations(live: Live) -> Iterator[tuple[str, str, str]]:
    """Yield name, method and path of each operation, with the model in its place."""
    with live.client() as client:
        document = client.get("/openapi.json").json()
        operation = client.get(f"{ADDRESS}/operations").json()["operations"][0]["name"].rpartition("/")[2]
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            filled = path.replace("{model_id}", MODEL).replace("{operation_id}", operation)
            if method in ("get", "post") and "{" not in filled and described["operationId"] not in ANSWERS:
                yield described["operationId"], method, filled


def replies(live: Live, client: httpx2.Client) -> Iterator[tuple[str, httpx2.Response]]:
    """Yield what each operation replies, asked in all ways that may show more."""
    more = [{}, {"heldOut": "true"}, {"fixed": "true"}, {"extensions": "true"}, {"format": "markdown"}]
    for name, method, path in operations(live):
        for query in more if method == "get" else more[:1]:
            yield (
                name,
                client.request(method, path, params=query, json=BODIES.get(name, {}) if method == "post" else None),
            )


@pytest.mark.parametrize("user", [READER, STRANGER])
def test_nobody_else_is_given_a_row_by_any_route(live: Live, user: str) -> None:
    """Whatever a reader or a stranger asks, no reply has a text of the examples; sampled answers are left out."""
    with asking(live, user, *SCOPES) as client:
        found = {
            name: reply for name, reply in replies(live, client) if CANARY in reply.text or CANARY in str(reply.headers)
        }

    assert found == {}


def test_the_search_for_rows_finds_them(live: Live) -> None:
    """The writer is given rows by the routes that have them, so the test above looks in the right places."""
    with asking(live, WRITER) as client:
        found = {name for name, reply in replies(live, client) if CANARY in reply.text}

    assert found >= {"ListTunedModelExamples", "GetEvaluation", "GetExamination"}


def test_the_owner_shares_them_with_readers(live: Live) -> None:
    """Then readers see examples, held-out rows and the rows of the verdict, but no findings; strangers see nothing."""
    with asking(live, READER) as reader, asking(live, STRANGER) as stranger:
        for query in ({}, {"heldOut": "true"}):
            refused = reader.get(f"{ADDRESS}/examples", params=query)
            assert refused.status_code == 403
            assert "Only its owner and writers may see the examples of tunedModels/secrets." in refused.text
        with shared(live):
            assert reader.get(ADDRESS).json()["examplesShared"] is True
            assert CANARY in reader.get(f"{ADDRESS}/examples").text
            assert CANARY in reader.get(f"{ADDRESS}/examples", params={"heldOut": "true"}).text
            assert CANARY in reader.get(f"{ADDRESS}:evaluation").text
            assert reader.get(f"{ADDRESS}/examples", params={"fixed": "true"}).status_code == 403
            assert CANARY not in reader.get(f"{ADDRESS}:examination").text
            assert stranger.get(f"{ADDRESS}/examples").status_code == 403
        assert reader.get(f"{ADDRESS}/examples").status_code == 403


def test_only_the_owner_shares_them(live: Live) -> None:
    """A writer may change other fields, but gives nobody the rows."""
    with asking(live, WRITER) as writer:
        refused = writer.patch(ADDRESS, params={"updateMask": "examplesShared"}, json={"examplesShared": True})
        assert refused.status_code == 403
        assert writer.patch(ADDRESS, params={"updateMask": "description"}, json={"description": "x"}).status_code == 200
        assert "examplesShared" not in writer.get(ADDRESS).json()


def test_who_may_only_read_sees_what_the_role_allows(live: Live) -> None:
    """A token for reading shows its owner's rows."""
    readonly = next(scope for scope in SCOPES if scope.endswith("readonly"))
    with asking(live, WRITER, readonly) as client:
        assert client.get(f"{ADDRESS}/examples").status_code == 200
