"""
The few pages that the server draws itself: sign-in, consent, codes of devices. Plain HTML, no script.

Knows HTML and its headers; nothing of accounts. Everything that comes from outside goes through `escape`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem;color-scheme:light dark}"
    "h1{font-size:1.4rem}label{display:block;margin:1rem 0}input{display:block;width:100%;font:inherit;padding:.4rem;"
    "box-sizing:border-box}button{font:inherit;padding:.4rem 1.2rem;margin:1rem .5rem 0 0}"
    "[role=alert]{border-left:.3rem solid #c33;padding-left:.7rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def page(title: str, body: str, status: int = 200, *, sends_to: str = "") -> HTMLResponse:
    """
    Return a page; `body` is HTML. `sends_to` is where a form may end up besides this server.

    No other page can frame it or read it. Forms need a referrer of the same origin, else browsers hide where they are.
    """
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self' {_origin(sends_to)};"
        " base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    text = f"<h1>{escape(title)}</h1>{body}"
    document = f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{text}</body></html>'
    return HTMLResponse(document, status, headers)


def form(action: str, fields: str, buttons: Mapping[str, str], hidden: Mapping[str, str]) -> str:
    """Return a form; `buttons` are values of `decision` and what stands on them."""
    kept = "".join(f'<input type="hidden" name="{escape(n)}" value="{escape(v)}">' for n, v in hidden.items())
    ends = "".join(
        f'<button name="decision" value="{escape(value)}">{escape(label)}</button>' for value, label in buttons.items()
    )
    return f'<form method="post" action="{escape(action)}">{kept}{fields}{ends}</form>'


def field(label: str, name: str, kind: str = "text", *, value: str = "", fills: str = "off") -> str:
    """Return an input with its label; `fills` tells password managers what it is."""
    return (
        f'<label>{escape(label)}<input name="{escape(name)}" type="{kind}" value="{escape(value)}"'
        f' autocomplete="{fills}" required></label>'
    )


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def bullets(texts: list[str]) -> str:
    """Return a list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def alert(text: str) -> str:
    """Return a paragraph that says what went wrong."""
    return f'<p role="alert">{escape(text)}</p>' if text else ""


def _origin(uri: str) -> str:
    """Return the origin of an address for a policy; browsers follow `form-action` through redirects, too."""
    parts = urlsplit(uri)
    if not uri:
        return ""
    return "http:" if parts.netloc.startswith("[") else f"{parts.scheme}://{parts.netloc}"  # a policy has no IPv6
