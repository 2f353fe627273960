"""
Pages that sign browsers in and out, with a password or a link that works once, and the pages of the OAuth flow.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tunery.errors import InvalidArgument, ResourceExhausted, Unauthenticated
from tunery.server.http import (
    HTTP_STATUS,
    MAX_FORM_BYTES,
    RETRY_SECONDS,
    JsonReply,
    Parameters,
    form_of,
    note_caller,
    read_limited,
    services_of,
)
from tunery.server.security import address_of, clear_cookie, require_own_page, session_secret, set_cookie
from tunery.server.shares import Places
from tunery.service.access import CLOUD_PLATFORM, GENERATIVE_LANGUAGE, RETRIEVER, TUNING, TUNING_READONLY
from tunery.service.accounts.credentials import REFRESH_DAYS
from tunery.service.accounts.oauth import COMMAND_LINE, REFRESH
from tunery.service.accounts.values import Client
from tunery.service.tuning import LOCAL_USER
from tunery.types import Caller

router = APIRouter(tags=["sign-in"], include_in_schema=False)

# A hash takes 64 MiB and a tenth of a second of a processor.
PASSWORDS = Places("passwords are being checked", size=2, line=16)


async def _credentials(request: Request) -> Parameters:
    """Read user and password from a form, or from JSON as our own pages send it."""
    if not _is_json(request):
        return await form_of(request)
    try:
        fields = json.loads(await read_limited(request, MAX_FORM_BYTES))
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise InvalidArgument("The body must be a JSON object with the strings `user` and `password`.")
    return fields


Credentials = Annotated[Parameters, Depends(_credentials)]
Form = Annotated[Parameters, Depends(form_of)]


@router.get("/signin")
def show_sign_in(next: str = "/") -> Response:
    """Show the sign-in form."""
    return _sign_in_page(_own_path(next))


@router.post("/signin")
async def sign_in(request: Request, fields: Credentials) -> Response:
    """Sign a browser in with a password; 401 if it is wrong, 429 after five wrong ones in a minute."""
    try:
        return await PASSWORDS.run(address_of(request), partial(_signed_in_with, request, fields))
    except (Unauthenticated, ResourceExhausted) as error:
        if _is_json(request):
            raise
        target = _own_path(fields.get("next", "/"))
        return _refused(_sign_in_page(target, str(error), fields.get("user", ""), HTTP_STATUS[error.status]))


def _signed_in_with(request: Request, fields: Parameters) -> Response:
    target = _own_path(fields.get("next", "/"))
    users, address = services_of(request).accounts.users, address_of(request)
    user = users.sign_in(fields.get("user", ""), fields.get("password", ""), address)
    reply = JsonReply({"user": user.id}) if _is_json(request) else RedirectResponse(target, 303)
    return _signed_in(request, user.id, reply)


@router.post("/signout")
def sign_out(request: Request) -> Response:
    """Sign a browser out."""
    secret = session_secret(request)
    if secret:
        require_own_page(request)
        services_of(request).accounts.sessions.end(secret)
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    reply: Response = RedirectResponse("/signin", 303) if is_form else JsonReply({})
    clear_cookie(reply, request)
    return reply


@router.get("/setup")
def show_set_up(request: Request, token: str = "") -> Response:
    """Ask before signing in with a link, because otherwise a link on any page could sign somebody in as its sender."""
    try:
        user_id = services_of(request).accounts.sessions.user_of_setup_link(token)
    except Unauthenticated as error:
        return _bad_link(error)
    about = html_paragraph(f"This link signs this browser in as {user_id}. If you did not ask for it, close the page.")
    return html_page("Sign in to tunery", about + html_form("/setup", "", {"signin": "Sign in"}, {"token": token}))


@router.post("/setup")
def set_up(request: Request, fields: Form) -> Response:
    """Sign a browser in with a link that works once; a user without a password then chooses one."""
    require_own_page(request)
    accounts = services_of(request).accounts
    try:
        user = accounts.users.get(accounts.sessions.use_setup_link(fields.get("token", "")))
    except Unauthenticated as error:
        return _bad_link(error)
    needs_password = user.id != LOCAL_USER and not user.has_password
    return _signed_in(request, user.id, RedirectResponse("/password" if needs_password else "/", 303))


def _bad_link(error: Unauthenticated) -> Response:
    advice = html_paragraph("Run `tunery users link` on the server's computer for a new link.")
    return html_page("Link not valid", html_alert(str(error)) + advice, 401)


@router.get("/password")
def show_password(request: Request) -> Response:
    """Show the form for a new password."""
    user_id = user_of(request)
    return sign_in_first(request) if user_id is None else _password_page(request, user_id)


@router.post("/password")
async def change_password(request: Request, fields: Form) -> Response:
    """Change the password of the signed-in user; all other browsers of this user are signed out."""
    try:
        return await PASSWORDS.run(address_of(request), partial(_password_changed, request, fields))
    except ResourceExhausted as error:
        return _refused(end_page("Try again", str(error), HTTP_STATUS[error.status]))


def _password_changed(request: Request, fields: Parameters) -> Response:
    user_id, accounts = user_of(request), services_of(request).accounts
    if user_id is None:
        return sign_in_first(request)
    require_form_token(request, fields)
    try:
        if accounts.users.get(user_id).has_password:
            accounts.users.sign_in(user_id, fields.get("current", ""))
        accounts.users.set_password(user_id, fields.get("password", ""))
    except (InvalidArgument, Unauthenticated, ResourceExhausted) as error:
        return _password_page(request, user_id, str(error), HTTP_STATUS[error.status])
    return _signed_in(request, user_id, RedirectResponse("/", 303))


def user_of(request: Request) -> str | None:
    """Return the user a browser is signed in as, None if it is not signed in."""
    secret = session_secret(request)
    session = services_of(request).accounts.sessions.find(secret) if secret else None
    if session is None or session.user_id is None:
        return None
    note_caller(request, Caller(session.user_id))
    return session.user_id


def sign_in_first(request: Request) -> Response:
    """Return a redirect to the sign-in form, which leads back to this address."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/signin?{urlencode({'next': wanted})}", 303)


def form_token_of(request: Request) -> str:
    """
    Return a value that forms of this browser carry, so that no other page can send them; it depends on the cookie.
    """
    return hashlib.sha256(f"form {session_secret(request) or ''}".encode()).hexdigest()


def require_form_token(request: Request, fields: Parameters) -> None:
    """Raise InvalidArgument unless a form was rendered for this browser."""
    if not hmac.compare_digest(fields.get("form_token", "").encode(), form_token_of(request).encode()):
        raise InvalidArgument("This form has expired. Go back, reload the page and try again.")


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == "application/json"


def _signed_in(request: Request, user_id: str, reply: Response) -> Response:
    """Give a browser a new session; its previous one ends."""
    accounts = services_of(request).accounts
    note_caller(request, Caller(user_id))
    earlier = session_secret(request)
    if earlier:
        accounts.sessions.end(earlier)
    set_cookie(reply, request, accounts.sessions.start(user_id))
    return reply


def _refused(page: Response) -> Response:
    if page.status_code == HTTP_STATUS[ResourceExhausted.status]:
        page.headers["Retry-After"] = str(RETRY_SECONDS)
    return page


def _own_path(path: str) -> str:
    """Return a path on this server, or `/` for anything that a browser could interpret as another address."""
    is_own = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_own else "/"


def _sign_in_page(target: str, problem: str = "", user: str = "", status: int = 200) -> Response:
    fields = html_field("User", "user", value=user, fills="username")
    fields += html_field("Password", "password", "password", fills="current-password")
    advice = html_paragraph("No password yet? Run `tunery users link` on the server's computer for a sign-in link.")
    drawn = html_form("/signin", fields, {"signin": "Sign in"}, {"next": target})
    return html_page("Sign in to tunery", html_alert(problem) + drawn + advice, status)


def _password_page(request: Request, user_id: str, problem: str = "", status: int = 200) -> Response:
    fields = ""
    if services_of(request).accounts.users.get(user_id).has_password:
        fields += html_field("Current password", "current", "password", fills="current-password")
    fields += html_field("New password", "password", "password", fills="new-password")
    drawn = html_form("/password", fields, {"change": "Save"}, {"form_token": form_token_of(request)})
    about = html_paragraph(f"For {user_id}. At least 8 characters; 15 or more is better.")
    return html_page("Choose a password", html_alert(problem) + about + drawn, status)


_MEANING = {
    CLOUD_PLATFORM: "Everything you can do here, including users and keys if you are an administrator",
    TUNING: "Tune models, and view, use, share and delete your tuned models",
    TUNING_READONLY: "View and use your tuned models",
    RETRIEVER: "Nothing here; older programs ask for it",
    GENERATIVE_LANGUAGE: "Use base models",
}
_DECISIONS = {"allow": "Allow", "deny": "Deny"}


def consent_page(client: Client, user_id: str, scope: str, redirect_uri: str, query: str, form_token: str) -> Response:
    """Return the page on which a user decides about a program; `query` is the program's request."""
    hidden = {"request": query, "form_token": form_token}
    body = _request_of(client, user_id, scope)
    body += html_paragraph(f"You will then be sent to {redirect_uri}.")
    body += html_form("/oauth/authorize", "", _DECISIONS, hidden)
    return html_page("Allow access?", body, sends_to=redirect_uri)


def code_page(action: str, form_token: str, user_code: str = "", problem: str = "", status: int = 200) -> Response:
    """Return the page on which a user types the code of a device."""
    field = html_field("Code", "user_code", value=user_code)
    drawn = html_form(action, field, {"find": "Continue"}, {"form_token": form_token})
    about = html_paragraph("Type the code shown on the other device. If you did not start this, close the page.")
    return html_page("Sign in another device", html_alert(problem) + about + drawn, status)


def device_page(action: str, client: Client, user_id: str, scope: str, user_code: str, form_token: str) -> Response:
    """Return the page on which a user decides about a device."""
    hidden = {"user_code": user_code, "form_token": form_token}
    body = _request_of(client, user_id, scope)
    body += html_paragraph(f"Continue only if you see the code {user_code} on your own device.")
    return html_page("Allow access?", body + html_form(action, "", _DECISIONS, hidden))


def end_page(title: str, text: str, status: int = 200) -> Response:
    """Return a page with a result."""
    return html_page(title, html_paragraph(text), status)


def _request_of(client: Client, user_id: str, scope: str) -> str:
    text = html_paragraph(f"{client.name or client.id} wants to act for you, {user_id}:")
    text += html_bullets([_MEANING[name] for name in scope.split(" ")])
    return text + html_paragraph(f"It keeps this access for up to {_life_of(client)}.")


def _life_of(client: Client) -> str:
    if client.id == COMMAND_LINE:
        return f"{REFRESH_DAYS} days, or for as long as you chose"
    seconds = REFRESH_DAYS * 86_400 if REFRESH in client.grant_types else client.access_seconds
    return f"{seconds // 86_400} days" if seconds >= 86_400 else f"{seconds // 60} minutes"


# the colours of the Studio, see studio/src/css/tokens.css
_STYLE = (
    ":root{--page:#f6f7f9;--card:#fff;--text:#191d25;--soft:#565e6d;--line:#d8dce3;--field:#7a8291;--accent:#3350c8;"
    "--on:#fff;--bad:#ad241d;color-scheme:light dark}"
    "@media(prefers-color-scheme:dark){:root{--page:#0d1015;--card:#1a1e26;--text:#e8ebf0;--soft:#a9b2c1;--line:#313844;"
    "--field:#8891a2;--accent:#9db2ff;--on:#10131a;--bad:#ffb0aa}}"
    "body{font:15px/1.5 system-ui,sans-serif;background:var(--page);color:var(--text);margin:0;padding:12vh 1rem 2rem;"
    "overflow-wrap:anywhere}main{box-sizing:border-box;max-width:26rem;margin:0 auto;padding:1.5rem;"
    "background:var(--card);border:1px solid var(--line);border-radius:12px}"
    ".brand{display:flex;gap:.5rem;align-items:center;margin:0 0 1rem;font-size:17px;font-weight:680;color:var(--text)}"
    "h1{font-size:1.4rem;line-height:1.25;margin:0 0 .5rem}p,li{color:var(--soft)}label{display:block;margin:1rem 0}"
    "input{display:block;width:100%;font:inherit;padding:.45rem .75rem;margin-top:.25rem;box-sizing:border-box;"
    "background:var(--card);color:var(--text);border:1px solid var(--field);border-radius:8px}"
    "button{font:inherit;font-weight:560;padding:.45rem 1.2rem;margin:.5rem .5rem 0 0;border:1px solid var(--accent);"
    "border-radius:8px;background:var(--accent);color:var(--on);cursor:pointer}"
    "button+button{background:none;color:var(--text);border-color:var(--field)}"
    ":focus-visible{outline:3px solid var(--accent);outline-offset:2px}"
    "[role=alert]{border-left:.3rem solid var(--bad);padding-left:.7rem;color:var(--text)}"
)
_BRAND = (
    '<p class="brand"><svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32"'
    ' rx="7" fill="#3b5bdb"/><path d="M6 9c5 0 6 12 10 12s3-5 10-6" fill="none" stroke="#fff" stroke-width="3"'
    ' stroke-linecap="round"/></svg>tunery</p>'
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def html_page(title: str, body: str, status: int = 200, *, sends_to: str = "") -> HTMLResponse:
    """
    Return a page; `body` is HTML. `sends_to` is an address outside of this server that a form may lead to.

    No other page can frame or read it. Without the referrer policy same-origin, browsers would send forms with Origin:
    null.
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
    text = f"<main>{_BRAND}<h1>{escape(title)}</h1>{body}</main>"
    document = f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{text}</body></html>'
    return HTMLResponse(document, status, headers)


def html_form(action: str, fields: str, buttons: Mapping[str, str], hidden: Mapping[str, str]) -> str:
    """Return a form; `buttons` maps values of `decision` to labels."""
    kept = "".join(f'<input type="hidden" name="{escape(n)}" value="{escape(v)}">' for n, v in hidden.items())
    ends = "".join(
        f'<button name="decision" value="{escape(value)}">{escape(label)}</button>' for value, label in buttons.items()
    )
    return f'<form method="post" action="{escape(action)}">{kept}{fields}{ends}</form>'


def html_field(label: str, name: str, kind: str = "text", *, value: str = "", fills: str = "off") -> str:
    """Return an input with its label; `fills` is its `autocomplete`, for password managers."""
    return (
        f'<label>{escape(label)}<input name="{escape(name)}" type="{kind}" value="{escape(value)}"'
        f' autocomplete="{fills}" required></label>'
    )


def html_paragraph(text: str) -> str:
    """Return a paragraph of plain text; text between backquotes is code."""
    return "<p>" + re.sub("`([^`]*)`", r"<code>\1</code>", escape(text)) + "</p>"


def html_bullets(texts: list[str]) -> str:
    """Return a list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def html_alert(text: str) -> str:
    """Return a paragraph with an error, nothing for no error."""
    return f'<p role="alert">{escape(text)}</p>' if text else ""


def _origin(uri: str) -> str:
    """Return the origin of an address for `form-action`, which browsers also apply to redirects."""
    parts = urlsplit(uri)
    if not uri:
        return ""
    # a policy cannot contain IPv6 addresses
    return "http:" if parts.netloc.startswith("[") else f"{parts.scheme}://{parts.netloc}"
