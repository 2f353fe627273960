"""
What axe-core and the width of the page say about a screen, as sentences; none is what is wanted.

axe-core comes with the development packages of `studio/`; nothing of it is in the Studio itself.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page

AXE = Path(__file__).parents[2] / "studio" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
NARROW = 320  # CSS pixels, WCAG 2.2 success criterion 1.4.10
ZOOMED = 640  # what is left of 1,280 at 200 %, 1.4.4
HEIGHT = 800

Theme = Literal["light", "dark"]

_RUN = """async (rules) => {
  const inTags = await axe.run(document, { runOnly: rules });
  const { violations: unlike } = await axe.run(document, { runOnly: { type: "rule", values: ["landmark-unique"] } });
  return [...inTags.violations, ...unlike].flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} at ${target.join(" ")}: ${failureSummary}`));
}"""
_MOVING = """() => [...document.querySelectorAll("body *")]
  .filter((element) => {
    const { animationName, transitionProperty, transitionDuration } = getComputedStyle(element);
    const lasts = transitionDuration.split(", ").some((duration) => parseFloat(duration) > 0);
    return animationName !== "none" || (transitionProperty !== "none" && lasts);
  })
  .map((element) => `${element.outerHTML.slice(0, 80)} moves`).slice(0, 5)"""
# an open menu moves to its place in the narrower window in the frame after the resize
_SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_WIDER = """() => [...document.querySelectorAll("body *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => element.outerHTML.slice(0, 120))"""


def faults(page: Page) -> list[str]:
    """Return all that is wrong with the screen as it stands: in both themes, when it is narrow, what still moves."""
    found = [f"{theme}: {fault}" for theme in ("light", "dark") for fault in violations(page, theme)]
    found += [f"reduced motion: {fault}" for fault in page.evaluate(_MOVING)]  # `violations` has asked for it
    return found + [f"{width} px: {fault}" for width in (NARROW, ZOOMED) for fault in sideways(page, width)]


def violations(page: Page, theme: Theme) -> list[str]:
    """Return what axe-core finds in a theme."""
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.evaluate(_axe())
    return list(page.evaluate(_RUN, RULES))


def sideways(page: Page, width: int) -> list[str]:
    """Return what makes the page scroll sideways at a width; afterwards the window is as wide as it was."""
    before = page.viewport_size
    assert before is not None
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.evaluate(_SETTLED)
    scrolled = page.evaluate("document.documentElement.scrollWidth")
    found = [] if scrolled <= width else [f"{scrolled} px wide because of {page.evaluate(_WIDER)[:5]}"]
    page.set_viewport_size(before)
    return found


@cache
def _axe() -> str:
    assert AXE.is_file(), "axe-core is not installed: make studio-test"
    return AXE.read_text("utf-8")
