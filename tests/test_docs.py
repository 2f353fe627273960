"""The docs are true: files and commands they name exist, links lead somewhere, and every room has its line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.engine.tiny_bases import WINDOW, make_folder
from tests.hub import hub_of
from tools import bases
from tunery import __version__
from tunery.engine.offered import offered_bases
from tunery.evaluation.verdict import LEAST_ROWS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/tunery"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "examples/README.md",
        ROOT / "benchmarks/README.md",
    ]
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
# what a change never goes to: entry points, and what is built into the package
NO_ROOMS = {"__init__.py", "__main__.py", "__pycache__", "py.typed"}
# rooms inside a room that have a line of their own
INNER_ROOMS = ("service/database/", "service/accounts/", "server/wire/", "server/oauth.py")


def anchor(heading: str) -> str:
    """Return the anchor GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file of the repository."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_changelog_begins_with_this_version() -> None:
    """Below what is not released yet stand the notes of the version that the package states, and it alone."""
    released = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert released[0] == __version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dynamic"] == ["version"]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_headings_lead_somewhere(page: Path) -> None:
    """Every link to a heading names one of the page it leads to."""
    missing = []
    for file, target in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
        text = (page.parent / file if file else page).read_text("utf-8")
        if target not in map(anchor, re.findall(r"^#+ (.+)$", text, re.MULTILINE)):
            missing.append(f"{file}#{target}")
    assert missing == []


@pytest.mark.parametrize("page", ["README.md", "docs/evaluation.md"])
def test_python_that_asks_for_a_verdict_holds_out_enough_rows(page: str) -> None:
    """With fewer rows than that, the verdict of the first lines people copy could only be "Too few rows to tell"."""
    code = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    (held_out,) = [re.findall(r"hold_out=([^,)]+)", each) for each in code if "evaluate().verdict" in each]

    assert [int(rows) >= LEAST_ROWS for rows in held_out] == [True]


def test_paths_in_prose_exist() -> None:
    """Every path in back quotes in README, CONTRIBUTING and the design names a file or folder of the repository."""
    missing = []
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs/design.md"):
        for path in re.findall(r"`((?:src|tests|docs|benchmarks|examples|tools)/[\w./-]+)`", page.read_text("utf-8")):
            if not (ROOT / path).exists():
                missing.append(f"{page.name}: {path}")
    assert missing == []


def test_paths_of_the_package_exist() -> None:
    """Every module or room in back quotes in CONTRIBUTING and the design is in the package or the repository."""
    missing = []
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "docs/design.md"):
        for path in re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", page.read_text("utf-8")):
            if not (PACKAGE / path).exists() and not (ROOT / path).exists():
                missing.append(f"{page.name}: {path}")
    assert missing == []


def test_every_room_has_a_line() -> None:
    """The table "Where does my change go?" has each module and folder of the package's root, and the inner rooms."""
    rooms = {f"{path.name}/" if path.is_dir() else path.name for path in PACKAGE.iterdir() if path.name not in NO_ROOMS}
    lines = set(re.findall(r"^\| `([\w/.]+)` \|", CONTRIBUTING, re.MULTILINE))

    assert {*rooms, *INNER_ROOMS, "studio/"} == lines


def test_commands_of_the_readme_exist() -> None:
    """Every `tunery …` in the README is a command of the command line."""
    known = subprocess.run(
        [sys.executable, "-m", "tunery", "--help"], capture_output=True, text=True, check=True
    ).stdout
    text = (ROOT / "README.md").read_text("utf-8")

    for command in re.findall(
        r"tunery (tune|generate|evaluate|rescue|data|models|bases|serve|doctor|backup|restore|login|keys|users)\b", text
    ):
        assert re.search(rf"^  {command} ", known, re.MULTILINE), command


def test_every_page_is_in_the_menu_of_the_site() -> None:
    """`make site` would publish the others without a way to them."""
    menu = re.findall(
        r": ([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2], re.MULTILINE
    )

    assert sorted(menu) == sorted(NAMES)


def test_the_table_of_bases_is_that_of_the_list() -> None:
    """docs/bases.md has the table that tools/bases.py makes from the list and from what the engine can do."""
    page = bases.PAGE.read_text("utf-8")

    assert page == bases.written(page), "python tools/bases.py"
    rows = {line.split("`")[1]: line for line in bases.table().splitlines() if line.startswith("| `")}
    assert "| Llama 3.2; terms to accept |" in rows["llama-3.2-1b-instruct"]
    assert "| fast | yes | no | yes |" in rows["qwen3-0.6b"]
    assert "| fast | yes | yes | no |" in rows["llama-3.2-1b-instruct"]
    assert "| fast | no | no | no |" in rows["gemma-3-270m-it"]


def test_the_list_is_brought_up_to_date_by_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a base's own files say fills what nobody had read; a base that the hub lacks stays as it is."""
    folder = make_folder(tmp_path / "shown", template="{{ strftime_now('%Y') }}{% if enable_thinking %}x{% endif %}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(bases, "LIST", tmp_path / "bases.json")
    before = offered_bases()
    with hub_of({"ibm-granite/granite-4.0-1b": folder}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        bases.refresh()

    after = {facts["name"]: facts for facts in json.loads((tmp_path / "bases.json").read_text("utf-8"))}
    granite = after.pop("granite-4.0-1b")
    assert (granite["family"], granite["context"], granite["rope_type"]) == ("llama", WINDOW, "default")
    assert (granite["clock"], granite["thinking"], granite["licence"]) == (True, True, "Apache-2.0")
    assert after == {name: asdict(base) for name, base in before.items() if name in after}
