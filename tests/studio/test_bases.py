"""Base models: get one from a hub, stop, resume, use and remove it; what goes wrong; what other users see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.chaos.served import wait_until
from tests.engine.tiny_bases import make_folder, make_gguf
from tests.hub import Hub
from tests.studio.accessibility import faults
from tests.studio.conftest import Visit
from tests.studio.hosts import Host
from tests.studio.test_keyboard import tab_to
from tests.studio.visitor import Visitor

QWEN, SMOL = "Qwen3 0.6B", "SmolLM2 360M Instruct"
ARRIVAL_MS = 60_000


@pytest.fixture
def admin(visit: Visit, host: Host, hub: Hub) -> Iterator[Visitor]:
    """Return the owner of the server; the hub has no faults before and afterwards, and nothing from it stays."""
    yield visit(host, user="local")
    hub.refuses, hub.breaks, hub.gated, hub.wrong, hub.holds = 0, 0, set(), set(), False
    hub.go_on.set()
    for base in host.call("GET", "bases")["bases"]:
        if base["isPresent"] and base["name"] != "tiny":
            host.call("DELETE", f"bases/{base['name']}?force=true")


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=re.compile(f"^{re.escape(name)}"))


def test_get_stop_resume_use_remove(admin: Visitor, hub: Hub) -> None:
    """A base comes with a bar, stops and goes on by keyboard, is tuned, and says who needs it before it goes."""
    page = admin.goto("/bases")
    qwen = card(page, QWEN)
    expect(qwen).to_contain_text("600 M parameters · Apache-2.0 · context 40,960 tokens · 119 languages")
    expect(qwen).to_contain_text(re.compile(r"Tuning: fits( in \d bits)? \(\d\.\d GB\)"))
    hub.holds = True
    hub.go_on.clear()
    tab_to(page, f"Get {QWEN}")
    page.keyboard.press("Enter")
    expect(qwen.get_by_role("progressbar")).to_be_visible()
    expect(qwen.get_by_role("progressbar")).not_to_have_attribute("aria-valuenow", "0")
    assert faults(page) == []

    expect(page.get_by_role("button", name=f"Stop {QWEN}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(qwen).to_contain_text(re.compile(r"Stopped at \d+ MB of \d+ MB\. Nothing that has arrived is lost\."))
    hub.holds = False
    hub.go_on.set()
    asked = len(hub.asked)
    expect(page.get_by_role("button", name=f"Resume {QWEN}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{QWEN} is on this machine.")).to_be_visible(timeout=ARRIVAL_MS)
    assert any(headers.get("Range") for _, headers in hub.asked[asked:])

    rows = [{"textInput": str(number), "output": str(number + 1)} for number in range(8)]
    task = {"hyperparameters": {"epochCount": 1}, "trainingData": {"examples": {"examples": rows}}}
    body = {"displayName": "Needs it", "baseModel": "models/qwen3-0.6b", "tuningTask": task}
    model = admin.call("POST", "tunedModels", body)["metadata"]["tunedModel"].removeprefix("tunedModels/")
    wait_until(lambda: admin.operation(model).get("done"))
    page = admin.goto("/bases")
    admin.press(f"Remove {QWEN}")
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_contain_text("1 tuned model can't answer without it: Needs it.")
    assert faults(page) == []
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text(re.compile(f"{QWEN} was removed; .* are free again"))).to_be_visible()
    expect(page.get_by_role("button", name=f"Get {QWEN}")).to_be_visible()
    admin.delete(model)


def test_each_fault_says_what_to_do(admin: Visitor, hub: Hub) -> None:
    """Refused, gated and changed files end in a sentence; the same button tries again, and then the base comes."""
    page = admin.goto("/bases")
    alert = card(page, SMOL).get_by_role("alert")
    hub.refuses = 503
    admin.press(f"Get {SMOL}")
    expect(alert).to_contain_text("status 503. Try again later.")
    hub.refuses, hub.gated = 0, {"HuggingFaceTB/SmolLM2-360M-Instruct"}
    admin.press(f"Try again {SMOL}")
    expect(alert).to_contain_text("is gated: accept its terms on")
    hub.gated, hub.wrong = set(), {"model.safetensors"}
    admin.press(f"Try again {SMOL}")
    expect(alert).to_contain_text("It was discarded; try again")
    assert faults(page) == []
    hub.wrong, hub.breaks = set(), 1

    admin.press(f"Try again {SMOL}")

    expect(page.get_by_text(f"{SMOL} is on this machine.")).to_be_visible(timeout=ARRIVAL_MS)


def test_a_model_of_the_hub(admin: Visitor, hub: Hub) -> None:
    """The hub is searched, what it finds comes, and a name that it does not know is refused in words."""
    admin.watch.allow("503")
    page = admin.goto("/bases")
    words = page.get_by_role("textbox", name="Name or path")
    words.fill("other")
    words.press("Enter")
    expect(page.get_by_role("list", name="Found on the hub")).to_contain_text(
        "tiny-labs/Other apache-2.0 · 7 downloads"
    )
    assert faults(page) == []
    admin.press("Get tiny-labs/Other")
    expect(page.get_by_text("tiny-labs/Other is on this machine.")).to_be_visible(timeout=ARRIVAL_MS)

    words.fill("no-such/model")
    admin.press("Get")
    expect(page.get_by_text("The hub has no no-such/model, or it is private.")).to_be_visible()
    hub.refuses = 503
    admin.press("Search")
    expect(page.get_by_text("status 503. Try again later.")).to_be_visible()


def test_a_folder_and_a_file_on_the_server(admin: Visitor, tmp_path: Path) -> None:
    """A path adds a folder at once and a GGUF file after its conversion; each shows the speed to expect; both go."""
    admin.watch.allow("400")
    page = admin.goto("/bases")
    expect(card(page, QWEN)).to_contain_text(re.compile(r"Tunes about [\d,]+ tokens a second here \(.+\)"))
    path = page.get_by_role("textbox", name="Name or path")
    path.fill(str(tmp_path))
    admin.press("Get")
    expect(page.get_by_text("has no model.safetensors")).to_be_visible()
    assert faults(page) == []
    for name, place in {
        "own-folder": make_folder(tmp_path / "own-folder"),
        "Tiny": make_gguf(tmp_path / "own-file.gguf"),
    }.items():
        path.fill(str(place))
        admin.press("Get")
        expect(page.get_by_text(f"{name} is on this machine.")).to_be_visible(timeout=ARRIVAL_MS)

        admin.press(f"Remove {name}")
        page.get_by_role("alertdialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_text(re.compile(f"{name} was removed"))).to_be_visible()
    assert (tmp_path / "own-folder" / "model.safetensors").is_file()


def test_others_see_what_there_is(ann: Visitor) -> None:
    """A user who is no administrator reads the list, and has no buttons that would be refused."""
    page = ann.goto("/bases")

    expect(page.get_by_text("Only administrators can download and remove base models.")).to_be_visible()
    expect(card(page, QWEN)).to_contain_text("Apache-2.0")
    expect(page.get_by_role("button", name=re.compile("^(Get|Remove|Search)"))).to_have_count(0)
