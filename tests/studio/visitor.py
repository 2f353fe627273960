"""
A user of the Studio: signs in, goes to a screen, does what users do by the words they read.

The one place that knows how actions that many journeys share are done; what only one journey does stands in its test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.studio.hosts import Host
from tests.studio.watch import Watch


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

    def press(self, name: str) -> None:
        """Press the button or link with exactly this name."""
        self.page.get_by_role("button", name=name, exact=True).or_(
            self.page.get_by_role("link", name=name, exact=True)
        ).first.click()

    def import_file(self, name: str, content: bytes) -> None:
        """Choose a file on the screen of a new tuned model."""
        self.page.locator("input[type=file]").first.set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        )

    def use_rows(self) -> None:
        """Take the rows of the file that is shown into the examples."""
        self.page.get_by_role("button", name=re.compile(r"^Import \d+ examples")).click()

    def name(self, name: str) -> None:
        """Type the name of the new tuned model."""
        self.page.get_by_role("textbox", name="Name", exact=True).fill(name)

    def tune(self) -> str:
        """Press Tune; returns the id of the tuned model whose page opens."""
        self.page.get_by_role("button", name="Tune", exact=True).click()
        self.page.wait_for_url("**/studio/models/*")
        return self.page.url.rpartition("/")[2]

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
        reply = self.context.request.post(
            f"{self.host.address}/v1beta/tunedModels", data=body, headers={"Origin": self.host.address}
        )
        assert reply.ok, reply.text()
        return str(reply.json()["metadata"]["tunedModel"]).removeprefix("tunedModels/")
