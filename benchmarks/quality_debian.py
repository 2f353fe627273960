"""
Rows from Debian's package lists: a long description and its synopsis, and a wish with five descriptions to choose from.

`apt-get update` fetches the lists into `.cache/`, about 16 MB, from where the sources of this machine say, so the rows
depend on its release of Debian. Descriptions have the licences of their source packages; no row is kept.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from benchmarks.quality_sources import CACHE, duplicate_key
from tunery.types import TuningExample

LISTS = CACHE / "apt"
CHOICES = "ABCDE"
LEAST_CHARACTERS, MOST_CHARACTERS = 160, 480  # of a description; longer ones are cut at the end of a sentence
CHOICE_CHARACTERS = 160  # of a description beside four others
LEAST_WORDS = 4  # of a synopsis
SYNOPSIS_INSTRUCTIONS = "Sum up the description of this program in one short line, without its name.\n\nDescription: "
SEARCH_INSTRUCTIONS = "Which of these programs is wanted? Reply with its letter.\n\nWanted: "


@dataclass(frozen=True, slots=True)
class Package:
    """A binary package, one for each source package."""

    source: str
    section: str
    synopsis: str
    description: str  # without the synopsis, in one line


def synopsis_rows(packages: Sequence[Package]) -> list[TuningExample]:
    """Return a row for each package: description and synopsis."""
    return [TuningExample(cut(package.description, MOST_CHARACTERS), package.synopsis) for package in packages]


def search_rows(packages: Sequence[Package], seed: int) -> list[TuningExample]:
    """
    Return a row for each package: its synopsis is the wish, and its description is one of five of the same section.

    The other four are drawn from `packages` too, so that two parts of a split share no description. Sections with fewer
    than five packages are left out.
    """
    random = Random(seed)
    sections: dict[str, list[Package]] = defaultdict(list)
    for package in packages:
        sections[package.section].append(package)
    rows = []
    for package in packages:
        others = [other for other in sections[package.section] if other is not package]
        if len(others) < len(CHOICES) - 1:
            continue
        shown = [package, *random.sample(others, len(CHOICES) - 1)]
        random.shuffle(shown)
        lines = (
            f"{letter}: {cut(one.description, CHOICE_CHARACTERS)}" for letter, one in zip(CHOICES, shown, strict=True)
        )
        rows.append(TuningExample("\n".join((package.synopsis, *lines)), CHOICES[shown.index(package)]))
    return rows


def wish_and_choices(body: str) -> tuple[str, dict[str, str]]:
    """Return the wish of a row and its descriptions by letter."""
    wish, *lines = body.split("\n")
    return wish, {letter: text for letter, _, text in (line.partition(": ") for line in lines)}


def first_sentence(body: str) -> str:
    """Return the first sentence of a description, without the full stop."""
    return re.split(r"(?<=[.!?])\s", body, maxsplit=1)[0].rstrip(".")


def cut(text: str, characters: int) -> str:
    """Return the sentences of a text that fit, or, if not even the first does, the words."""
    if len(text) <= characters:
        return text
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s)", text[: characters + 1])]
    return text[: ends[-1]] if ends else text[:characters].rpartition(" ")[0] + " ..."


@cache
def read_packages() -> tuple[Package, ...]:
    """Return the packages of the lists, which are fetched if they are missing, in an order of their own."""
    if not (LISTS / "lists").exists():
        fetch_lists()
    paragraphs = {kind: "\n\n".join(_read(kind)) for kind in ("Packages", "Translations")}
    found = tuple(parse_packages(paragraphs["Packages"], paragraphs["Translations"]))
    if not found:
        raise ValueError(f"The lists in {LISTS} hold no descriptions; remove that folder and try again.")
    return found


def parse_packages(packages: str, translations: str) -> Iterator[Package]:
    """
    Yield one package of each source package, in the order of the sources, each synopsis and shortened description once.

    Left out are those with a short description, or a synopsis of a few words, and libraries and files that go with
    another package, of which there are thousands with hardly a word of their own.
    """
    texts = {found["Description-md5"]: found["Description-en"] for found in _paragraphs(translations)}
    seen: set[str] = set()
    by_source = {}
    for found in _paragraphs(packages):
        by_source.setdefault(found.get("Source", found["Package"]).partition(" ")[0], found)
    for source, found in sorted(by_source.items()):
        synopsis, _, rest = texts.get(found.get("Description-md5", ""), "").partition("\n")
        description = _one_line(rest)
        keys = {duplicate_key(synopsis), duplicate_key(cut(description, CHOICE_CHARACTERS))}
        if (
            found.get("Section", "libs") in ("libs", "libdevel", "oldlibs", "debug", "localization", "fonts")
            or len(description) < LEAST_CHARACTERS
            or len(synopsis.split()) < LEAST_WORDS
            or keys & seen
        ):
            continue
        seen |= keys
        yield Package(source, found["Section"], synopsis.strip(), description)


def _one_line(text: str) -> str:
    """Return the paragraphs before the first list of a long description, in one line."""
    lines = []
    for line in text.splitlines():
        if line.startswith(("  ", " *", " -")):  # set off, as lists are
            break
        lines.append("" if line.strip() == "." else line.strip())
    return " ".join(" ".join(lines).split())


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each paragraph; lines that go on with a field keep their breaks."""
    for block in re.split(r"\n{2,}", text.strip()):
        yield {
            name: value
            for name, _, value in (part.partition(": ") for part in re.split(r"\n(?=\S)", block.strip("\n")))
        }


def fetch_lists() -> None:
    """Fetch the package lists and the descriptions in English into `.cache/`; the machine's own lists stay."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (LISTS / folder).mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", *_options(), "--quiet", "--error-on=any", "update"], check=True)


def _read(kind: str) -> Iterator[str]:
    """Yield the lists of a kind, "Packages" or "Translations"."""
    command = ["apt-get", *_options(), "indextargets", "--format", "$(FILENAME)", f"Created-By: {kind}"]
    for path in subprocess.check_output(command, text=True).splitlines():
        yield subprocess.check_output(["/usr/lib/apt/apt-helper", "cat-file", path], text=True)


def _options() -> list[str]:
    return ["-o", f"Dir::State::Lists={LISTS / 'lists'}", "-o", f"Dir::Cache={LISTS / 'cache'}",
            "-o", "Acquire::Languages=en", "-o", "APT::Sandbox::User=root"]  # fmt: skip
