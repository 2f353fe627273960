"""
A user of the Studio: signs in, goes to a screen, does what users do by the words they read.

The one place that knows how actions that many journeys share are done; what only one journey does stands in its test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.studio.chromium import ACTION_MS
from tests.studio.hosts import Host
from tests.studio.watch import Watch


def arrive(browser: Browser, host: Host, user: str = "", **options: Any) -> Visitor:
    """Open a browser of its own for a user, who is signed in, or for a stranger."""
    context = browser.new_context(**options)
    context.set_default_timeout(ACTION_MS)
    context.tracing.start(snapshots=True)
    visitor = Visitor(user, host, context, Watch(context, host.address), context.new_page())
    if user:
        sign_in(visitor.page, host.link(user))
    return visitor


def sign_in(page: Page, link: str) -> None:
    """Open a link that signs in once, and press its button."""
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/setup" not in url)


@dataclass(frozen=True)
class Visitor:
    """A user in a browser of his own, with one page open."""

    user: str
    host: Host
    context: BrowserContext
    watch: Watch
    page: Page

    TUNE_MS: ClassVar = 240_000  # the tuning process has a low priority, and tests keep all cores busy

    def goto(self, path: str) -> Page:
        """Load a screen by its address below /studio, and wait for its heading."""
        self.page.goto(f"{self.host.address}/studio{path}")
        expect(self.heading).to_be_visible()
        return self.page

    @property
    def heading(self) -> Locator:
        """The one heading of the screen."""
        return self.page.get_by_role("heading", level=1)

    def without_evaluations(self) -> Visitor:
        """Show models as if none had been evaluated, which the server does by itself sooner or later."""
        self.page.route("**/evaluations*", lambda route: route.fulfill(json={}))
        return self

    def press(self, name: str) -> None:
        """Press the button or link with exactly this name."""
        self.page.get_by_role("button", name=name, exact=True).or_(
            self.page.get_by_role("link", name=name, exact=True)
        ).first.click()

    def choose(self, menu: str, item: str) -> None:
        """Open a menu by the name of its button and choose an item."""
        self.press(menu)
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    def import_file(self, name: str, content: bytes) -> None:
        """Choose a file on the screen of a new tuned model."""
        self.page.locator("input[type=file]").first.set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        )

    def use_rows(self) -> None:
        """Take the rows of the file that is shown into the examples."""
        self.page.get_by_role("button", name=re.compile(r"^Import [\d,]+ examples")).click()

    def name(self, name: str) -> None:
        """Type the name of the new tuned model."""
        self.page.get_by_role("textbox", name="Name", exact=True).fill(name)

    def tune(self) -> str:
        """Press Tune; returns the id of the tuned model whose page opens."""
        self.page.get_by_role("button", name="Tune", exact=True).click()
        self.page.wait_for_url("**/studio/models/*")
        return self.page.url.rpartition("/")[2]

    def delete(self, model: str) -> None:
        """Delete a tuned model, when no page is left that asks how it is: it would rightly be told that it is gone."""
        for page in self.context.pages:
            page.goto("about:blank")
        self.call("DELETE", f"tunedModels/{model}")

    def wait_until_ready(self) -> None:
        """Wait on the page of a tuned model until it can be used."""
        expect(self.page.get_by_text("Ready", exact=True)).to_be_visible(timeout=self.TUNE_MS)

    def open_settings(self) -> None:
        """Open the advanced settings of the form."""
        self.press("Advanced settings")

    def create(
        self,
        display_name: str,
        *,
        rows: int = 8,
        epochs: int = 2,
        batch_size: int = 4,
        learning_rate: float = 0.001,
        **task: object,
    ) -> str:
        """Create a tuned model from this user's own session, without the form; returns its id."""
        examples = [{"textInput": str(number), "output": str(number + 1)} for number in range(rows)]
        body = {
            "displayName": display_name,
            "baseModel": "models/tiny",
            "tuningTask": {
                "hyperparameters": {"epochCount": epochs, "batchSize": batch_size, "learningRate": learning_rate},
                "trainingData": {"examples": {"examples": examples}},
                **task,
            },
        }
        operation = self.call("POST", "tunedModels", body)
        return str(operation["metadata"]["tunedModel"]).removeprefix("tunedModels/")

    def operation(self, model: str) -> dict[str, Any]:
        """Return the operation that makes a tuned model."""
        return dict(self.call("GET", f"tunedModels/{model}/operations?extensions=true")["operations"][0])

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return the document of a request that must succeed, made in this user's own session."""
        reply = self.context.request.fetch(
            f"{self.host.address}/v1beta/{path}", method=method, data=body, headers={"Origin": self.host.address}
        )
        assert reply.ok, reply.text()
        return reply.json()
