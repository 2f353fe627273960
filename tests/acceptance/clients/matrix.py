"""
The journeys of all clients, and the page of their results: `docs/compatibility.md`.

    python -m tests.acceptance.clients.matrix            write the page from the last results
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.clients.environments import CACHE, JAVASCRIPT, ROOT, SYSTEM

SCRIPTS = Path(__file__).parent / "journeys"
RESULTS = CACHE / "results"
PAGE = ROOT / "docs" / "compatibility.md"


@dataclass(frozen=True)
class Journey:
    """A client, its environment, and the script that runs it."""

    client: str
    title: str
    environment: str
    script: Path
    arguments: Sequence[str] = ()


_ALL = (
    Journey(
        "google-generativeai-0.8.6",
        "google-generativeai 0.8.6",
        "google-generativeai-0.8.6",
        SCRIPTS / "legacy.py",
        ("100",),
    ),
    Journey(
        "google-generativeai-0.7.2",
        "google-generativeai 0.7.2",
        "google-generativeai-0.7.2",
        SCRIPTS / "legacy.py",
        ("5",),
    ),
    Journey("google-genai-1.46.0", "google-genai 1.46.0", "google-genai-1.46.0", SCRIPTS / "genai.py"),
    Journey("google-genai-3.4.0", "google-genai 3.4.0", "google-genai-3.4.0", SCRIPTS / "genai.py"),
    Journey("google-genai-js", "@google/genai 3.1.0", JAVASCRIPT, SCRIPTS / "genai.mjs"),
    Journey("generative-ai-js", "@google/generative-ai 0.24.1", JAVASCRIPT, SCRIPTS / "generative_ai.mjs"),
    Journey("curl", "curl", SYSTEM, SCRIPTS / "curl_guide.py"),
    Journey("langchain", "langchain-google-genai 4.4.2", "langchain-google-genai-4.4.2", SCRIPTS / "langchain_chat.py"),
)
JOURNEYS: Mapping[str, Journey] = {journey.client: journey for journey in _ALL}

# behaviours as users call them; the first name that a journey reports counts
ROWS: Mapping[str, Sequence[str]] = {
    "list base models": ("models.list",),
    "create, with examples": ("create.dicts",),
    "create, with examples in `extra_body`": ("create.extra_body",),
    "create from tuples, columns, DataFrame, CSV, JSON, messages": ("create.forms",),
    "create from a tuned model": ("create.tuned_model",),
    "watch: operation, `wait_bar`, `result()`": ("progress.wait_bar",),
    "watch: state": ("progress.state", "get.creating"),
    "snapshots": ("snapshots.data_frame", "snapshots"),
    "list tuned models": ("list",),
    "list page by page": ("list.pages",),
    "update": ("update.mask", "update"),
    "delete": ("delete",),
    "cancel": ("cancel.operation", "cancel"),
    "permissions": ("permissions.create",),
    "transfer ownership": ("permissions.transfer",),
    "generate": ("generate.text",),
    "generate, streamed": ("generate.stream",),
    "generate, asynchronously": ("generate.async",),
    "count tokens": ("count_tokens",),
    "`generate_text` of PaLM": ("generate_text",),
}

_HEAD = """# Which client can do what

```
make clients
```

This runs each unmodified client against a running `tunery serve`.
Then `python -m tests.acceptance.clients.matrix` writes the results into this page.

- *yes*: it works, and a test checks it.
- *no*: the client itself refuses, or leaves out something that is needed; the reasons are below.
- *·*: the client has no such call.

OpenAI's client has its own tests; [openai.md](openai.md) lists its differences.
[clients.md](clients.md) shows how to point a client here, [troubleshooting.md](troubleshooting.md) helps with errors.
"""


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of the page for the results of all clients."""
    titles = [JOURNEYS[client].title for client in JOURNEYS]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    reasons: list[str] = []
    for row, behaviours in ROWS.items():
        cells = [_cell(row, JOURNEYS[client].title, results[client], behaviours, reasons) for client in JOURNEYS]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([_HEAD, *lines, "", "## Reasons", "", *notes, ""])


def last_results() -> dict[str, dict[str, Any]]:
    """Return the results of the last test run. Raises FileNotFoundError if a client is missing."""
    return {client: json.loads((RESULTS / f"{client}.json").read_text("utf-8")) for client in JOURNEYS}


def _cell(row: str, title: str, outcomes: Mapping[str, Any], behaviours: Sequence[str], reasons: list[str]) -> str:
    outcome = next((outcomes[name] for name in behaviours if name in outcomes), None)
    if outcome is None:
        return "·"
    if "value" in outcome:
        return "yes"
    reason = outcome.get("cannot", "fails")
    reasons.append(f"{title}, {row.replace('`', '')}: {reason}.")
    return f"no ({len(reasons)})"


if __name__ == "__main__":
    PAGE.write_text(page(last_results()), "utf-8")
