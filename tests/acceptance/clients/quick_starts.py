"""
The quick starts of `docs/clients.md`: what stands under each heading, and how it is run.

A snippet is run as it is printed, in the environment of its client, with the address of a server in place of the one
on the page. Knows the page; nothing of what the snippets do.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.client_venv import client_python
from tests.acceptance.clients import environments
from tests.acceptance.test_openai_client import OPENAI

PAGE = environments.ROOT / "docs" / "clients.md"
ADDRESS = "http://127.0.0.1:8000"
TABLES = ("What a call may ask for", "What is not offered")
RUN_SECONDS = 300

_BLOCK = re.compile(r"^```(bash|python|javascript)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SUFFIXES = {"bash": ".sh", "python": ".py", "javascript": ".mjs"}


@dataclass(frozen=True)
class QuickStart:
    """A snippet and its language."""

    language: str
    text: str

    def written(self, folder: Path, name: str, url: str) -> Path:
        """Write the snippet for a server at `url` into a folder, under a name of its own; return the file."""
        assert ADDRESS in self.text, "the snippet has no address to be replaced"
        file = folder / f"quick_start_{re.sub('[^a-z0-9]+', '_', name.lower())}{_SUFFIXES[self.language]}"
        file.write_text(self.text.replace(ADDRESS, url), "utf-8")
        return file


def quick_starts() -> dict[str, QuickStart]:
    """Return the quick starts of the page by their headings."""
    found = {}
    for section in PAGE.read_text("utf-8").split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        blocks = [QuickStart(*match.groups()) for match in _BLOCK.finditer(text)]
        if heading not in TABLES:
            assert len(blocks) == 1, f"{heading} has {len(blocks)} snippets"
            found[heading] = blocks[0]
    return found


def run(heading: str, folder: Path, url: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a quick start in the environment of its client; raises environments.Unavailable if there is none."""
    command = COMMANDS[heading]()
    place = environments.javascript_folder() if quick_starts()[heading].language == "javascript" else folder
    file = quick_starts()[heading].written(place, heading, url)
    return subprocess.run(
        [*command, str(file)], cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS
    )


def _python(name: str) -> Callable[[], list[str]]:
    return lambda: [str(environments.python_of(name))]


def _bash() -> list[str]:
    bash = shutil.which("bash")
    if bash is None or shutil.which("curl") is None:
        raise environments.Unavailable("this machine has no bash or no curl")
    return [bash, "-eu"]


def _node() -> list[str]:
    return [str(environments.node())]


def _openai() -> list[str]:
    assert sys.executable
    return [str(client_python("openai", OPENAI))]


COMMANDS: Mapping[str, Callable[[], list[str]]] = {
    "curl": _bash,
    "google-generativeai": _python("google-generativeai-0.8.6"),
    "google-genai before 1.47": _python("google-genai-1.46.0"),
    "google-genai 1.47 and newer": _python("google-genai-3.4.0"),
    "@google/genai": _node,
    "@google/generative-ai": _node,
    "LangChain": _python("langchain-google-genai-4.4.2"),
    "OpenAI": _openai,
}
