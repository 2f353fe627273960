"""
The Studio's files at /studio, if they were built: a web page that calls the public API like any other client.

Knows where the build lies and which headers it gets; nothing of what is in it.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

STUDIO = Path(__file__).parent / "studio"

# React Aria writes one style element (touch-action of what is pressed); the browser tests see it if that text changes.
_REACT_ARIA_STYLE = "'sha256-38RhXrc7EdReTKsOm23ZPOCUgniTUUcjky8QOOrQx6o='"
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_REACT_ARIA_STYLE}; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_NOT_BUILT = """<!doctype html><title>tunery</title><h1>The Studio was not built</h1>
<p>The API works as ever. To have the Studio, run <code>make studio</code> in the source folder
and start the server again.</p>"""


def add_frontend(app: FastAPI, folder: Path = STUDIO) -> None:
    """Let an app serve the Studio, or a page that tells how to build it."""

    @app.get("/", include_in_schema=False)
    @app.get("/studio", include_in_schema=False)
    def root() -> Response:
        return RedirectResponse("/studio/")

    if (folder / "assets").is_dir():
        app.mount("/studio/assets", _Hashed(directory=folder / "assets"))
        app.mount("/studio/samples", StaticFiles(directory=folder / "samples"))

    @app.get("/studio/{page:path}", include_in_schema=False)
    def studio(page: str, _request: Request) -> Response:
        if not (folder / "index.html").is_file():
            return HTMLResponse(_NOT_BUILT, headers=_HEADERS)
        file = folder / ("icon.svg" if page == "icon.svg" else "index.html")  # pages are made in the browser
        return FileResponse(file, headers=_HEADERS)


class _Hashed(StaticFiles):
    """Files whose names change with their content: kept by browsers for good."""

    def file_response(self, *arguments: object, **options: object) -> Response:
        """Return the reply for a file."""
        reply = super().file_response(*arguments, **options)  # type: ignore[arg-type]
        reply.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return reply


_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}
