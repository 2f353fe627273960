"""Every operation of the OpenAPI document, called by every kind of caller."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from starlette.testclient import TestClient

from tests.server.accounts_app import Clock, make_accounts
from tests.server.conftest import new_home
from tests.service.samples import tuned
from tunery.engine.catalog import Catalog
from tunery.errors import Unavailable
from tunery.server.app import make_app
from tunery.service.access import CLOUD_PLATFORM, RETRIEVER, SCOPES, TUNING, TUNING_READONLY
from tunery.service.bases import Downloads
from tunery.service.creation import Creation
from tunery.service.library import Library
from tunery.service.reports import DataChecks, DataCurves, Evaluations
from tunery.types import Caller, GranteeType, Role

OWNER, WRITER, READER, MEMBER, STRANGER = (
    f"{name}@example.com" for name in ("owner", "writer", "reader", "member", "x")
)
GROUP = "team@example.com"

# The rule of each operation; an operation that is not listed here fails the test.
RULES = {
    "ListModels": "known",
    "GetModel": "known",
    "GenerateContent": "known",
    "StreamGenerateContent": "known",
    "CountTokens": "known",
    "GenerateText": "known",
    "CountTextTokens": "known",
    "GenerateContentTuned": "use",
    "StreamGenerateContentTuned": "use",
    "CountTokensTuned": "use",
    "GenerateTextTuned": "use",
    "CreateDecision": "use",
    "CreateOpenAIDecision": "use",
    "CreateTunedModel": "create",
    "ListTunedModels": "list",
    "GetTunedModel": "read",
    "GetOperation": "read",
    "ListOperations": "read",
    "ListPermissions": "read",
    "GetPermission": "read",
    "UpdateTunedModel": "write",
    "CancelOperation": "write",
    "CancelTunedModel": "write",
    "StartTunedModelNext": "write",
    "DeleteOperation": "write",
    "CreatePermission": "write",
    "UpdatePermission": "write",
    "DeletePermission": "write",
    "DeleteTunedModel": "own",
    "TransferOwnership": "own",
    "GetTunedModelLog": "read",
    "EvaluateTunedModel": "write",
    "GetEvaluation": "read",
    "ListTunedModelExamples": "examples",
    "ListEpochAnswers": "examples",
    "ListEvaluations": "read",
    "ExamineTunedModel": "write",
    "CancelEvaluation": "write",
    "CancelExamination": "write",
    "CancelDataCurve": "write",
    "GetExamination": "read",
    "ListExaminations": "read",
    "DrawDataCurve": "write",
    "GetDataCurve": "read",
    "ListDataCurves": "read",
    "GetModelCard": "read",
    "ExportTunedModel": "read",
    "ListExportFormats": "read",
    "ParseDataset": "create",
    "CreatePrompt": "create",
    "ImportPrompt": "create",
    "UpdatePrompt": "create",
    "DeletePrompt": "create",
    "ListPrompts": "list",
    "GetPrompt": "list",
    "ExportPrompt": "list",
    "ListBases": "known",
    "GetBase": "known",
    "SearchBases": "administer",
    "AddBase": "administer",
    "FetchBase": "administer",
    "StopBase": "administer",
    "RemoveBase": "administer",
    "GetServerInfo": "open",
    "GetHealth": "unguarded",
    "GetReadiness": "unguarded",
    "GetMe": "open",
    "ListUsers": "administer",
    "CreateUser": "administer",
    "UpdateUser": "administer",
    "CreateSetupLink": "administer",
    "ListGroups": "administer",
    "SetGroup": "administer",
    "DeleteGroup": "administer",
    "ListKeys": "administer",
    "CreateKey": "administer",
    "DeleteKey": "administer",
    "ListTokens": "administer",
    "DeleteToken": "administer",
    "ListClients": "administer",
    "ListAuditEvents": "administer",
    "CreateClient": "administer",
    "DeleteClient": "administer",
    "CreateLogin": "fresh sign-in",
    "CreateToken": "fresh sign-in",
}
# Their model is in the body, and their errors have another shape: test_openai.py tests them.
ELSEWHERE = {"CreateChatCompletion", "CreateCompletion", "ListOpenAIModels", "GetOpenAIModel"}
ADMINISTRATORS = {"administrator", "administrator for tuning"}
WRITERS, READERS = {"tuning as owner", "everything as owner"}, {"readonly as owner"}
ALLOWED = {
    "create": WRITERS | {"tuning as writer", "tuning as reader", "tuning as member", "tuning as stranger"},
    "own": WRITERS,
    "write": WRITERS | {"tuning as writer"},
    "read": WRITERS | READERS | {"tuning as writer", "tuning as reader", "tuning as member"},
    "use": WRITERS
    | READERS
    | {"tuning as writer", "tuning as reader", "tuning as member", "retriever as owner", "both, token of the owner"},
}
ALLOWED["list"] = ALLOWED["create"] | READERS
ALLOWED["examples"] = ALLOWED["write"] | READERS
for rule in ("create", "own", "write", "read", "examples", "list"):
    ALLOWED[rule] = ALLOWED[rule] | {"both, token of the owner"}
for rule in ("create", "list"):
    ALLOWED[rule] = ALLOWED[rule] | ADMINISTRATORS
SIGNED_IN = ALLOWED["list"] | {"retriever as owner", "retriever as stranger"}
ALLOWED["administer"], ALLOWED["fresh sign-in"] = {"administrator"}, set()
ALLOWED["open"] = SIGNED_IN | {"key", "nobody"}
ALLOWED["unguarded"] = ALLOWED["open"] | {"no such token", "expired token", "revoked token", "good key, bad token"}
ALLOWED["known"] = SIGNED_IN | {"key"}
EVERYONE_MAY_USE = SIGNED_IN | {"key"}

BODIES: dict[str, Any] = {
    "CreateTunedModel": {
        "displayName": "x",
        "baseModel": "models/none-of-ours",
        "tuningTask": {"trainingData": {"examples": {"examples": [{"textInput": "1", "output": "2"}]}}},
    },
    "EvaluateTunedModel": {},
    "ExamineTunedModel": {},
    "UpdateTunedModel": {"description": "new"},
    "CreatePermission": {"granteeType": "USER", "emailAddress": "new@example.com", "role": "READER"},
    "UpdatePermission": {"role": "READER"},
    "TransferOwnership": {"emailAddress": "new@example.com"},
}
GENERATION = {"contents": [{"parts": [{"text": "1"}]}]}
IN_THE_BODY = {"CreateDecision", "CreateOpenAIDecision"}  # their model
DECISION = {"state": "1", "questions": {"next": {"type": "choice", "criteria": {"2": None, "3": None}}}}


class Operation(NamedTuple):
    name: str
    verb: str
    path: str


class _NobodyAnswers:
    """Replaces the answering child: a call that gets here was let in."""

    def ask(self, *_: object) -> int:
        raise Unavailable("let in")

    count = ask

    def require_room(self, *_: object) -> None:
        pass

    def drop(self, _number: int) -> None:
        pass


class World:
    """A server's app on a library, with every kind of caller."""

    def __init__(self, library: Library) -> None:
        self.library, self.clock, self.numbers = library, Clock(), itertools.count(1)
        self.accounts = make_accounts(library, self.clock)
        for address in (OWNER, WRITER, READER, MEMBER, STRANGER):
            self.accounts.users.add(address)
        self.accounts.users.set_group(GROUP, [MEMBER])
        catalog = Catalog(library.folder.path)
        services = SimpleNamespace(
            library=library,
            catalog=catalog,
            accounts=self.accounts,
            answering=_NobodyAnswers(),
            creation=Creation(library, catalog, cast(Any, _NobodyAnswers())),
            evaluations=Evaluations(library, cast(Any, _NobodyAnswers()), catalog),
            data_checks=DataChecks(library, catalog),
            data_curves=DataCurves(library, catalog),
            downloads=Downloads(catalog),
            worker=SimpleNamespace(wake=lambda: None, usage_of=lambda _task_id: None),
            address="http://127.0.0.1:8000",
        )
        app = make_app(cast(Any, services))
        self.document = app.openapi()
        self.web = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
        self.callers = self._callers()

    def _callers(self) -> dict[str, dict[str, str]]:
        _, key = self.accounts.keys.create("a key")
        old = self._token(OWNER, TUNING, days=1)
        self.clock.go_on(days=2)
        revoked = self._token(OWNER, TUNING)
        found = self.accounts.tokens.find(revoked)
        assert found is not None
        self.accounts.tokens.revoke(found)
        return {
            "nobody": {},
            "key": {"x-goog-api-key": key},
            "bad key": {"x-goog-api-key": "AIza-not-ours"},
            "no such token": {"authorization": "Bearer nonsense"},
            "expired token": {"authorization": f"Bearer {old}"},
            "revoked token": {"authorization": f"Bearer {revoked}"},
            "good key, bad token": {"authorization": "Bearer nonsense", "x-goog-api-key": key},
            "both, token of the owner": _bearer(self._token(OWNER, TUNING)) | {"x-goog-api-key": "AIza-not-ours"},
            "tuning as owner": _bearer(self._token(OWNER, TUNING)),
            "everything as owner": _bearer(self._token(OWNER, CLOUD_PLATFORM)),
            "readonly as owner": _bearer(self._token(OWNER, TUNING_READONLY)),
            "retriever as owner": _bearer(self._token(OWNER, RETRIEVER)),
            "tuning as writer": _bearer(self._token(WRITER, TUNING)),
            "tuning as reader": _bearer(self._token(READER, TUNING)),
            "tuning as member": _bearer(self._token(MEMBER, TUNING)),
            "tuning as stranger": _bearer(self._token(STRANGER, TUNING)),
            "retriever as stranger": _bearer(self._token(STRANGER, RETRIEVER)),
            "administrator": _bearer(self._token("local", CLOUD_PLATFORM)),
            "administrator for tuning": _bearer(self._token("local", TUNING)),
        }

    def _token(self, user: str, scope: str, days: int = 30) -> str:
        return self.accounts.tokens.create_plain(user, [scope], days)[1]

    def model(self, *, is_for_everyone: bool = False) -> str:
        """Return the id of a new ACTIVE tuned model with a writer, a reader and a group."""
        model = tuned(self.library, user_id=OWNER, id=f"m{next(self.numbers)}")
        owner, sharing = Caller(OWNER, frozenset(SCOPES)), self.library.sharing
        sharing.create(owner, model.id, GranteeType.USER, WRITER, Role.WRITER)
        sharing.create(owner, model.id, GranteeType.USER, READER, Role.READER)
        sharing.create(owner, model.id, GranteeType.GROUP, GROUP, Role.READER)
        if is_for_everyone:
            sharing.create(owner, model.id, GranteeType.EVERYONE, None, Role.READER)
        return model.id

    def ask(self, operation: Operation, caller: str, model_id: str) -> int:
        """Return the status with which an operation is answered; a second after the last, or wrong keys would wait."""
        self.clock.go_on(seconds=2)
        model = self.library.find(model_id) if model_id else None
        is_base = operation.path.startswith("/v1beta/models")
        values = {
            "model_id": "gemini-1.0-pro" if is_base else model_id,
            "operation_id": model.task.operation_id if model else "",
            "permission_id": self.library.sharing.of_model(model_id)[2].id if model else "",
        }
        path = re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], "x@example.net"), operation.path)
        body = BODIES.get(operation.name, GENERATION if ":" in path else None)
        if "Text" in operation.name:
            body = {"prompt": {"text": "1"}}
        if operation.name in IN_THE_BODY:
            body = {**DECISION, "model": f"tunedModels/{model_id}"}
        return self.web.request(operation.verb, path, json=body, headers=self.callers[caller]).status_code


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return a server for all tests of this file; each test makes its own model."""
    home = tmp_path_factory.mktemp("matrix") / "home"
    with new_home(request, home) as shared, Library.own(home, shared=shared) as library:
        yield World(library)


def operations(document: dict[str, Any]) -> dict[str, Operation]:
    """Return the operations of the tuning API by name."""
    found = {}
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            found[operation["operationId"]] = Operation(operation["operationId"], verb.upper(), path)
    return found


def test_every_operation_has_a_rule(world: World) -> None:
    """A route without a rule fails the test."""
    assert set(operations(world.document)) == set(RULES) | ELSEWHERE


@pytest.mark.parametrize("name", RULES)
def test_only_allowed_callers_come_in(world: World, name: str) -> None:
    """Every caller is let in or refused exactly as the table says; refusals are 401, 403, or 400 for a bad key."""
    operation = operations(world.document)[name]
    let_in = set()
    model_id = world.model() if "{model_id}" in operation.path or name in IN_THE_BODY else ""

    for caller in world.callers:
        status = world.ask(operation, caller, model_id)
        if status not in (401, 403) and caller != "bad key":
            let_in.add(caller)
            if RULES[name] in ("write", "own"):  # who was let in has changed it
                model_id = world.model()

    assert let_in == ALLOWED[RULES[name]]


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule == "use"])
def test_everyone_may_use_what_is_shared_with_everyone(world: World, name: str) -> None:
    """A model shared with everyone answers every caller with a token or a key."""
    operation = operations(world.document)[name]
    model_id = world.model(is_for_everyone=True)

    let_in = {
        caller
        for caller in world.callers
        if caller != "bad key" and world.ask(operation, caller, model_id) not in (401, 403)
    }

    assert let_in == EVERYONE_MAY_USE


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        ("nobody", 403),
        ("key", 403),
        ("bad key", 400),
        ("no such token", 401),
        ("expired token", 401),
        ("revoked token", 401),
        ("good key, bad token", 401),
        ("retriever as owner", 403),
        ("tuning as stranger", 403),
    ],
)
def test_each_refusal_has_its_status(world: World, caller: str, status: int) -> None:
    """Missing or insufficient credentials are 403, bad tokens 401, bad keys 400."""
    operation = operations(world.document)["GetTunedModel"]

    assert world.ask(operation, caller, world.model()) == status


@pytest.mark.parametrize("name", sorted(IN_THE_BODY))
def test_every_known_caller_may_ask_a_base_to_decide(world: World, name: str) -> None:
    """A base in the body is for the callers that may generate with it, and for nobody else."""
    path = operations(world.document)[name].path
    let_in = set()

    for caller, headers in world.callers.items():
        world.clock.go_on(seconds=2)
        reply = world.web.post(path, json={**DECISION, "model": "gemini-1.0-pro"}, headers=headers)
        if reply.status_code not in (401, 403) and caller != "bad key":
            let_in.add(caller)

    assert let_in == ALLOWED["known"]


def test_a_key_alone_on_tuning_gets_the_famous_refusal(world: World) -> None:
    """The reply to a bare API key is the one printed in the guides."""
    reply = world.web.get("/v1beta/tunedModels", headers=world.callers["key"])

    error = reply.json()["error"]
    assert (error["code"], error["status"], error["message"]) == (
        403,
        "PERMISSION_DENIED",
        "Request had insufficient authentication scopes.",
    )
    assert error["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            "domain": "googleapis.com",
            "metadata": {
                "service": "generativelanguage.googleapis.com",
                "method": "google.ai.generativelanguage.v1beta.ModelService.ListTunedModels",
            },
        }
    ]
    assert reply.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
