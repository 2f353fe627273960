"""
What a page of the Studio must never do, noted while it is used: errors, forbidden content, requests to other places.

Every visit has a watch; a test that provokes a refusal of the server says so with `allow`.
"""

from __future__ import annotations

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, WebError

# Chromium reports each breach of the content security policy as this event too, with what it would have done
_REPORT_BREACHES = """
addEventListener("securitypolicyviolation", (breach) =>
  console.error(`content security policy: ${breach.violatedDirective} ${breach.blockedURI}`));
"""
_LOCAL = ("data:", "blob:", "about:")


class Watch:
    """Notes what pages of a browser context do wrong."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self._address, self._allowed = f"{address}/", ()
        self._found: list[str] = []
        context.add_init_script(_REPORT_BREACHES)
        context.on("console", self._hear)
        context.on("weberror", self._fail)
        context.on("request", self._ask)

    def allow(self, *parts: str) -> None:
        """Take what contains one of these for expected."""
        self._allowed = (*self._allowed, *parts)

    @property
    def complaints(self) -> list[str]:
        """What was wrong and not allowed."""
        return [found for found in self._found if not any(part in found for part in self._allowed)]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._found.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _fail(self, error: WebError) -> None:
        self._found.append(f"uncaught: {error.error}")

    def _ask(self, request: Request) -> None:
        if not request.url.startswith((self._address, *_LOCAL)):
            self._found.append(f"request to another origin: {request.url}")
