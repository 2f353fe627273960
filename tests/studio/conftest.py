"""
A server, a browser and users for the journeys; all but the users are shared by the tests of this folder.

Scope "package": Playwright keeps an event loop running, which tests elsewhere would stumble over.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.chaos.served import wait_until
from tests.hub import Hub, hub_of
from tests.studio import chromium
from tests.studio.hosts import Host, make_home
from tests.studio.visitor import Visitor, arrive

_FAILED = pytest.StashKey[bool]()

Visit = Callable[..., Visitor]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note on each test whether it failed: its fixtures keep evidence then."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Return the browser of this folder's tests."""
    with chromium.browsing() as browser:
        yield browser


@pytest.fixture(scope="package")
def home(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001 (no browser, no work)
    """Return a data folder with a tiny base."""
    return make_home(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="package")
def hub(home: Path) -> Iterator[Hub]:
    """Return the hub that the server asks; the tiny base stands for two bases of the list and for another model."""
    names = ("Qwen/Qwen3-0.6B", "HuggingFaceTB/SmolLM2-360M-Instruct", "tiny-labs/Other")
    with hub_of(dict.fromkeys(names, home.parent / "base")) as hub:
        yield hub


@pytest.fixture(scope="package")
def host(home: Path, hub: Hub) -> Iterator[Host]:
    """Return the server of this folder's tests; each test has a user of its own, and so a library of its own."""
    of_the_hub = {"HF_HUB_OFFLINE": "", "HF_ENDPOINT": hub.address, "HF_HOME": str(home.parent / "hf"), "HF_TOKEN": ""}
    with Host.on(home, environment=of_the_hub) as host:
        yield host


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """
    Return a function that lets somebody visit a server: `visit(host, "ann")` signs a new user in.

    When the test ends, nothing that pages must never do may have happened.
    """
    visitors: list[Visitor] = []
    with ExitStack() as stack:

        def visiting(host: Host, name: str | None = "ann", *, user: str = "") -> Visitor:
            wanted = user or (host.new_user(name) if name else "")
            visitors.append(arrive(browser, host, wanted))
            stack.callback(visitors[-1].context.close)
            return visitors[-1]

        yield visiting
        complaints = [complaint for visitor in visitors for complaint in visitor.watch.complaints]
        if request.node.stash.get(_FAILED, False) or complaints:
            for number, visitor in enumerate(visitors):
                chromium.keep_evidence(visitor.context, f"{request.node.name}-{number}")
    assert complaints == []


@pytest.fixture
def ann(visit: Visit, host: Host) -> Visitor:
    """Return a user who has just signed in for the first time."""
    return visit(host)


@pytest.fixture(scope="package")
def make_model() -> Callable[[Visitor], str]:
    """Return a function that gives a user a model tuned on numbers, with two held-out rows, when it is ready."""

    def made(visitor: Visitor) -> str:
        model = visitor.create("Numbers", rows=12, holdOut=2)
        wait_until(lambda: visitor.operation(model).get("done"))
        return model

    return made
