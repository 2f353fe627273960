"""
Pictures of every screen, light and dark, with real data and the default base, into docs/studio/.

    python -m tests.studio.pictures [--home FOLDER]    # tunes the tickets of examples/ first, if that folder has none
    python -m tests.studio.pictures --only bases decide

Look at them after a change of the Studio: spacing, truncation, contrast, wording.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.studio import chromium
from tests.studio.accessibility import Theme
from tests.studio.hosts import DEFAULT, Host, make_default_home
from tests.studio.test_importing import seven_bad_rows
from tests.studio.visitor import Visitor, arrive

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "studio"
LOCAL = "local"
POLL_SECONDS = 0.5
THEMES: tuple[Theme, ...] = ("light", "dark")
SIZE = {"width": 1280, "height": 860}
TICKETS, LONG = "Ticket labels", "Next number, long run"


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    parser.add_argument("--only", nargs="+", metavar="SCREEN", help="screens to take (default: all)")
    asked = parser.parse_args()
    with _home(asked.home) as home, Host.on(home, DEFAULT) as host, chromium.browsing() as browser:
        tickets = _tickets(host, has_inquiries=not asked.only)
        running = _running(host)
        try:
            for theme in THEMES:
                _take(browser, host, theme, _screens(tickets, running), asked.only)
            if not asked.only:
                _take_narrow(browser, host, tickets)
        finally:
            host.call("DELETE", f"tunedModels/{running}")
    _make_small(asked.only or ["*"])


@contextmanager
def _home(given: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield make_default_home(given or Path(folder))


def _tickets(host: Host, *, has_inquiries: bool) -> str:
    """Return the id of a model tuned on tickets, with held-out rows."""
    for model in host.models():
        if model["displayName"] == TICKETS and model["state"] == "ACTIVE":
            return str(model["name"]).removeprefix("tunedModels/")
    model = _create(host, TICKETS, (ROOT / "examples" / "tickets.csv"), 3, holdOut="20%")
    _wait(lambda: host.operation(model).get("done"))
    _wait_for(host, f"tunedModels/{model}/evaluations")  # it comes by itself
    if has_inquiries:
        for what in ("examine", "dataCurve"):
            host.call("POST", f"tunedModels/{model}:{what}", {})
        for what in ("examinations", "dataCurves"):
            _wait_for(host, f"tunedModels/{model}/{what}")
    return model


def _wait_for(host: Host, inquiries: str) -> None:
    def is_found() -> bool:
        (newest,) = next(iter(host.call("GET", inquiries).values()), []) or ({"state": "RUNNING"},)
        assert newest["state"] != "FAILED", newest
        return bool(newest["state"] == "SUCCEEDED")

    _wait(is_found)


def _running(host: Host) -> str:
    model = _create(host, LONG, (ROOT / "examples" / "next-number.csv"), 50)
    _wait(lambda: host.operation(model)["metadata"].get("completedSteps", 0) > 5)
    return model


def _wait(is_so: Callable[[], object]) -> None:
    while not is_so():
        time.sleep(POLL_SECONDS)


def _create(host: Host, name: str, file: Path, epochs: int, **task: object) -> str:
    from tunery import Dataset

    examples = [{"textInput": row.text_input, "output": row.output} for row in Dataset.read(file).examples]
    settings = {"hyperparameters": {"epochCount": epochs}, "trainingData": {"examples": {"examples": examples}}}
    body = {"displayName": name, "baseModel": f"models/{DEFAULT}", "tuningTask": {**settings, **task}}
    return str(host.call("POST", "tunedModels", body)["metadata"]["tunedModel"]).removeprefix("tunedModels/")


def _take(
    browser: Browser, host: Host, theme: Theme, screens: dict[str, Callable[[Visitor], object]], only: list[str] | None
) -> None:
    newcomer = arrive(browser, host, host.new_user("ann"), color_scheme=theme, viewport=SIZE)
    owner = arrive(browser, host, LOCAL, color_scheme=theme, viewport=SIZE)
    for name, show in screens.items():
        if only and name not in only:
            continue
        visitor = newcomer if name.startswith("empty") else owner
        show(visitor)
        _shoot(visitor.page, f"{name}-{theme}")
    for visitor in (newcomer, owner):
        visitor.context.close()


def _take_narrow(browser: Browser, host: Host, tickets: str) -> None:
    """Take a few screens as a phone shows them."""
    phone = arrive(browser, host, LOCAL, viewport={"width": 320, "height": 700})
    for name, path in {"library": "/", "model": f"/models/{tickets}", "new": "/new"}.items():
        phone.goto(path)
        _settle(phone.page)
        _shoot(phone.page, f"{name}-narrow")
    phone.context.close()


def _screens(tickets: str, running: str) -> dict[str, Callable[[Visitor], object]]:
    model = f"/models/{tickets}"
    return {
        "empty-library": lambda visitor: visitor.goto("/"),
        "library": lambda visitor: visitor.goto("/"),
        "new-empty": lambda visitor: visitor.goto("/new"),
        "new-problems": _problems,
        "new-settings": _filled,
        "running": lambda visitor: visitor.goto(f"/models/{running}"),
        "cancel": _cancel,
        "model": lambda visitor: visitor.goto(model),
        "model-trust": lambda visitor: _trust(visitor, model),
        "model-epochs": lambda visitor: _scrolled_to(visitor, model, "Answers after each epoch"),
        "model-held-out": lambda visitor: _held_out(visitor, model),
        "model-data": lambda visitor: visitor.goto(f"{model}?tab=data"),
        "model-data-rows": lambda visitor: _scrolled_to(visitor, f"{model}?tab=data", "Examples as the model saw them"),
        "model-api": lambda visitor: visitor.goto(f"{model}?tab=api"),
        "share": lambda visitor: (visitor.goto(model), visitor.press("Share")),
        "export": lambda visitor: _export(visitor, model),
        "playground": lambda visitor: _compare(visitor, tickets),
        "decide": lambda visitor: _decide(visitor, tickets),
        "bases": lambda visitor: visitor.goto("/bases"),
        "accounts": lambda visitor: visitor.goto("/accounts"),
        "prompts": lambda visitor: visitor.goto("/prompts"),
        "prompt": _prompt,
        "activity": lambda visitor: visitor.goto("/activity"),
        "help": lambda visitor: visitor.goto("/help"),
    }


def _problems(visitor: Visitor) -> None:
    visitor.goto("/new")
    visitor.import_file("bad.csv", seven_bad_rows())
    expect(visitor.page.get_by_role("heading", name="Problems")).to_be_visible()


def _filled(visitor: Visitor) -> None:
    page = visitor.goto("/new")
    visitor.import_file("tickets.csv", (ROOT / "examples" / "tickets.csv").read_bytes())
    visitor.use_rows()
    visitor.open_settings()
    expect(page.get_by_text("on this machine")).to_be_visible(timeout=120_000)


def _cancel(visitor: Visitor) -> None:
    visitor.press("Cancel tuning")
    expect(visitor.page.get_by_role("alertdialog")).to_be_visible()


def _held_out(visitor: Visitor, model: str) -> None:
    page = visitor.goto(f"{model}?tab=heldOut")
    run = page.get_by_role("button", name="Run both models")
    expect(run.or_(page.get_by_text("Exact matches"))).to_be_visible()
    if run.count():
        run.click()
        expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=300_000)


def _scrolled_to(visitor: Visitor, path: str, heading: str) -> None:
    page = visitor.goto(path)
    _settle(page)
    page.get_by_role("heading", name=heading).evaluate("heading => heading.scrollIntoView()")


def _trust(visitor: Visitor, model: str) -> None:
    page = visitor.goto(model)
    summary = page.get_by_text("How far probabilities can be trusted")
    summary.click()
    summary.evaluate("summary => summary.scrollIntoView()")


def _decide(visitor: Visitor, tickets: str) -> None:
    page = visitor.goto(f"/playground?model=tunedModels/{tickets}")
    page.get_by_role("tab", name="Decide").click()
    page.get_by_label("Text to decide about").fill("The heater parts were to come on Tuesday. It's minus ten.")
    visitor.press("Decide")
    expect(page.get_by_role("region", name="Decision")).to_be_visible(timeout=120_000)


def _export(visitor: Visitor, model: str) -> None:
    """Take the adapter with a proof, the first time around; later the dialog shows it."""
    page = visitor.goto(model)
    visitor.press("Export")
    proofs = page.get_by_role("region", name="Checks")
    expect(page.get_by_label("Epoch", exact=True)).to_be_visible()  # the card is there
    if not proofs.is_visible():
        with page.expect_download(timeout=300_000):
            visitor.press("Download")
    expect(proofs).to_be_visible()


def _compare(visitor: Visitor, tickets: str) -> None:
    page = visitor.goto(f"/playground?model=tunedModels/{tickets}&with=models/{DEFAULT}")
    visitor.press("Pick a held-out example")
    visitor.press("Run")
    expect(page.get_by_text("tokens in")).to_have_count(2, timeout=120_000)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=120_000)


def _prompt(visitor: Visitor) -> None:
    visitor.press("New structured prompt")
    visitor.page.wait_for_url("**/prompts/*")


def _shoot(page: Page, name: str) -> None:
    _settle(page)
    FOLDER.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=FOLDER / f"{name}.png", animations="disabled", caret="hide")
    print(name)  # noqa: T201


def _make_small(names: list[str]) -> None:
    """Let pngquant, if it is installed, reduce pictures that were taken to a third of their size."""
    if shutil.which("pngquant") is None:
        print("pngquant is not installed; the pictures are three times as large as they need to be")  # noqa: T201
        return
    command = ["pngquant", "--force", "--ext", ".png", "--speed", "1", "--quality", "80-98"]
    subprocess.run([*command, *(path for name in names for path in FOLDER.glob(f"{name}-*.png"))], check=True)


def _settle(page: Page) -> None:
    page.wait_for_load_state("load")
    expect(page.get_by_text("Loading…")).to_have_count(0)
    page.wait_for_timeout(700)  # a picture of what the eye sees: charts and popovers have come to rest


if __name__ == "__main__":
    main()
