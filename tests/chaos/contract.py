"""
Every operation of the OpenAPI document, called by schemathesis with all that its schemas allow and forbid (B-4).

    python -m tests.chaos.contract --cases 50000    # counts by role, and an example of each failure

Server, database and queues are real; only training, answers, reports and exports compute nothing. The server is new for
each role and round.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema

from tests.chaos import trainer
from tests.forked import fork_children
from tests.live import BASE, TUNED, Live, make_home, serving
from tunery.data.dataset import Dataset, preview
from tunery.errors import FailedPrecondition
from tunery.server import datasets, exports, serve
from tunery.service.access import TUNING
from tunery.service.answering import Answering
from tunery.service.reports import Reports
from tunery.service.worker import Worker

ROLES = ("nobody", "key", "reader", "owner")
PHASES = ("examples", "coverage", "fuzzing", "stateful")
READER = "reader@example.com"
# A schema cannot say all that a server requires (a base must exist), and JSON as Google's parser takes it is more than
# a schema allows (null stands for a field that is not set): these two are counted, the others are failures.
COUNTED = ("positive_data_acceptance", "negative_data_rejection")
_BAD_KEY = b"API key not valid."
_MODEL_IDS = [TUNED, BASE, "gemini-1.5-flash-001-tuning", "text-bison-001"]
_IDS = 0.6  # probability of an id that exists


@dataclass
class Found:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # check, operation, title
    examples: dict[tuple[str, str, str], str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)  # of schemathesis itself

    @property
    def cases(self) -> int:
        return self.statuses.total()

    @property
    def faults(self) -> list[str]:
        """Failures of the checks that must hold, each with an example."""
        wrong = [f"{key}: {self.examples[key]}" for key in self.failures if key[0] not in COUNTED]
        return wrong + self.errors

    def take(self, event: object) -> None:
        """Count an event of schemathesis."""
        if isinstance(event, events.NonFatalError | events.FatalError):
            self.errors.append(repr(getattr(event, "value", None) or getattr(event, "exception", None)))
        if not isinstance(event, events.ScenarioFinished):
            return
        recorder = event.recorder
        answered = {key: each.response for key, each in recorder.interactions.items() if each.response is not None}
        self.statuses.update(response.status_code for response in answered.values())
        self.phases[event.phase.value] += len(answered)
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    self._note(check.name, recorder, case_id, check.failure_info.failure)

    def _note(self, check: str, recorder: Any, case_id: str, failure: Failure) -> None:
        case, interaction = recorder.cases[case_id].value, recorder.interactions[case_id]
        if _is_googles_refusal(check, interaction.response):
            return
        key = (check, case.operation.label, failure.title)
        self.failures[key] += 1
        if key not in self.examples:
            response = interaction.response
            reply = f"{response.status_code} {response.content[:300]!r}" if response else "no reply"
            sent = f"{case.method} {case.formatted_path} {case.query} {str(case.body)[:200]}"
            self.examples[key] = f"{sent} → {reply}. {failure.message[:300]}"


def _is_googles_refusal(check: str, response: Any) -> bool:
    """Return whether a refusal is not 401, as Google's: 403 without credentials, 400 for a bad key, 429 for many."""
    if response is None:
        return False
    is_without = check == "missing_required_header" and response.status_code == 403
    is_bad_key = _BAD_KEY in response.content or response.status_code == 429
    return is_without or (check == "ignored_auth" and is_bad_key)


def explore(live: Live, role: str, examples: int, seed: int, *, phases: tuple[str, ...] = ()) -> Found:
    """Call a server as one role, with at most this many examples per operation and phase; without `phases`, in all."""
    found, config = Found(), _config(live, role, examples, seed, phases)
    schema = schemathesis.openapi.from_url(f"{live.address}/openapi.json", config=config)
    for event in from_schema(schema).execute():
        found.take(event)
    return found


@contextmanager
def contract_server() -> Iterator[Live]:
    """Yield a new server with a tuned model that the reader may read."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of schemathesis
        fork_children(patch)
        _compute_nothing(patch)
        with serving(make_home(Path(folder)), evaluates=False) as live, live.client() as client:
            live.tune(client, TUNED)
            shared = {"granteeType": "USER", "emailAddress": READER, "role": "READER"}
            client.post(f"/v1beta/tunedModels/{TUNED}/permissions", json=shared).raise_for_status()
            live.services.accounts.users.add(READER)
            yield live


def _compute_nothing(patch: pytest.MonkeyPatch) -> None:
    """Let what needs a child for seconds be over at once; other tests are about that."""
    patch.setattr(serve, "Worker", functools.partial(Worker, main=trainer.main))
    patch.setattr(serve, "Answering", functools.partial(Answering, main=trainer.answering))
    patch.setattr(Reports, "_run_child", _no_report)
    patch.setattr(exports, "exported", lambda *_: None)
    patch.setattr(datasets, "read_guarded", Dataset.read)
    patch.setattr(datasets, "preview_guarded", preview)


def _no_report(*_: object) -> NoReturn:
    raise FailedPrecondition("Nothing is computed here.")


def _config(live: Live, role: str, examples: int, seed: int, phases: tuple[str, ...]) -> SchemathesisConfig:
    words = {"models": _MODEL_IDS, "bases": [f"models/{BASE}"], "operations": [], "permissions": []}
    with live.client() as client:
        for kind in ("operations", "permissions"):
            page = client.get(f"/v1beta/tunedModels/{TUNED}/{kind}").json()
            words[kind] = [each["name"].rpartition("/")[2] for each in page.get(kind, [])]
    bound = {
        "path.model_id": "models",
        "path.operation_id": "operations",
        "path.permission_id": "permissions",
        "body.baseModel": "bases",
        "body.model": "models",
    }
    wanted = phases or PHASES
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "base-url": live.address,
            **_credentials(live, role),
            "continue-on-failure": True,
            "suppress-health-check": ["filter_too_much"],  # of the generator; what it filters are its own cases
            "generation": {"max-examples": examples, "database": "none", "no-shrink": True},
            "phases": {name: {"enabled": name in wanted} for name in PHASES},
            "checks": {
                "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "501"]},  # 501: see DeleteOperation
            },
            "dictionaries": {name: {"values": values} for name, values in words.items() if values},
            "parameters": {
                place: {"dictionary": name, "probability": _IDS} for place, name in bound.items() if words[name]
            },
        }
    )


def _credentials(live: Live, role: str) -> dict[str, Any]:
    match role:
        case "nobody":
            return {}
        case "key":
            return {"auth": {"openapi": {"key": {"api_key": live.key}}}}
        case "reader":
            bearer = live.services.accounts.tokens.create_plain(READER, [TUNING], 1)[1]
        case _:
            bearer = live.token
    return {"auth": {"openapi": {"token": {"bearer": bearer}}}}


def main() -> None:
    """Explore as each role in turn until there are enough cases; exit with 1 if a check failed that must hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--examples", type=int, default=50, help="per operation and phase in one round")
    parser.add_argument("--role", choices=ROLES, action="append")
    parser.add_argument("--phase", choices=PHASES, action="append")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    cases, faults, begin, seed = 0, 0, time.monotonic(), 0
    while cases < given.cases:
        seed += 1
        for role in given.role or ROLES:
            with contract_server() as live:
                found = explore(live, role, given.examples, seed, phases=tuple(given.phase or ()))
            cases += found.cases
            faults += len(found.faults)
            _say(role, found, cases, time.monotonic() - begin)
    sys.exit(1 if faults else 0)


def _say(role: str, found: Found, cases: int, seconds: float) -> None:
    counted = Counter(check for check, *_ in found.failures.elements())
    facts = {"statuses": dict(sorted(found.statuses.items())), "phases": dict(found.phases), "failures": dict(counted)}
    sys.stdout.write(f"{role}: {found.cases} cases, {cases} in all after {seconds:.0f} s; {json.dumps(facts)}\n")
    sys.stdout.writelines(f"  {fault}\n" for fault in found.faults)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
