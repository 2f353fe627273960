"""
List the sentences that users read: README, docs, help texts of the commands, and messages in the source.

    python -m tools.sentences                     all of them, each with its place
    python -m tools.sentences --sample 100 --seed 1    some drawn at random, for a reader to mark
"""

from __future__ import annotations

import argparse
import ast
import random
import re
from collections.abc import Iterator
from pathlib import Path

import click
import typer

from tunery.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *map(str, sorted(Path("docs").rglob("*.md")))]
MIN_WORDS = 4


def main() -> None:
    """Print the sentences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = list(dict.fromkeys([*pages(), *helps(typer.main.get_command(app), "tunery"), *messages()]))
    if options.sample:
        found = sorted(random.Random(options.seed).sample(found, options.sample))
    for place, sentence in found:
        print(f"{place}: {sentence}")  # noqa: T201


def pages() -> Iterator[tuple[str, str]]:
    """Yield the sentences of README and docs, without code and tables of figures."""
    for page in PAGES:
        is_code = False
        for line in (ROOT / page).read_text("utf-8").splitlines():
            if line.startswith("```"):
                is_code = not is_code
            elif not is_code:
                cells = line.strip("|").split("|") if line.startswith("|") else [line]
                for cell in cells:
                    yield from sentences(page, cell)


def helps(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Yield the help texts of a command, its options and its subcommands."""
    yield from sentences(f"{name} --help", command.help or "")
    for parameter in command.params:
        yield from sentences(f"{name} --help", getattr(parameter, "help", None) or "")
    for child, found in (getattr(command, "commands", None) or {}).items():
        yield from helps(found, f"{name} {child}")


def messages() -> Iterator[tuple[str, str]]:
    """Yield the texts of errors, problems and other messages in the source, with `…` for values."""
    for path in sorted((ROOT / "src" / "tunery").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                    if (text := _text(argument)) and re.search(r"[a-z] .*[.!?]\s*$", text):
                        yield from sentences(str(path.relative_to(ROOT)), text)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)  # type: ignore[misc]
    return ""


def sentences(place: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the sentences of a text that have at least four words."""
    plain = " ".join(text.replace("**", "").split()).lstrip("-#> ")
    for sentence in re.split(r"(?<=[.!?:;])\s+(?=[A-Z`…])", plain):
        if len(re.findall(r"[A-Za-z]{2,}", sentence)) >= MIN_WORDS:
            yield place, sentence


if __name__ == "__main__":
    main()
