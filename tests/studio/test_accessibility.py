"""The checks of screens find what they are there for."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.studio.accessibility import faults

BAD = """<!doctype html><html lang="en"><title>Bad</title><main><h1>Bad</h1>
<img src="data:,"><b style="transition: color 1s">moving</b>
<p style="width: 900px">wide</p><p style="color: #aaa; background: #fff">pale</p></main></html>"""


def test_faults_are_found(browser: Browser) -> None:
    """A picture without words, pale text, a wide paragraph and what moves are named, in each theme and width."""
    page = browser.new_page()
    page.set_content(BAD)

    found = "\n".join(faults(page))
    page.close()

    for theme in ("light", "dark"):
        assert f"{theme}: image-alt at img" in found
        assert f"{theme}: color-contrast at p:nth-child(5)" in found
    assert 'reduced motion: <b style="transition: color 1s">' in found
    assert "320 px: 9" in found
    assert "640 px: 9" in found
