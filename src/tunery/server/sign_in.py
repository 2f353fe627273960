"""
Signing browsers in and out: with a password, or with a link that works once. For the Studio and the consent page.

Knows forms, pages and cookies; whose password it is, the accounts say.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from html import escape
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from tunery.errors import InvalidArgument, ResourceExhausted, Unauthenticated
from tunery.server.http import HTTP_STATUS, MAX_FORM_BYTES, JsonReply, Parameters, form_of, read_limited, services_of
from tunery.server.security import clear_cookie, require_own_page, session_secret, set_cookie
from tunery.service.access import CLOUD_PLATFORM, GENERATIVE_LANGUAGE, RETRIEVER, TUNING, TUNING_READONLY
from tunery.service.account_values import LOCAL_USER, Client, Session
from tunery.service.accounts.oauth import COMMAND_LINE
from tunery.service.accounts.users import form_token

router = APIRouter(tags=["sign-in"], include_in_schema=False)


async def _credentials(request: Request) -> Parameters:
    """Read user and password from a form, or from JSON as our own pages send it."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return await form_of(request)
    try:
        fields = json.loads(await read_limited(request, MAX_FORM_BYTES))
    except (ValueError, RecursionError):
        raise InvalidArgument("The body must be a JSON object with user and password.") from None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise InvalidArgument("The body must be a JSON object with user and password.")
    return fields


Credentials = Annotated[Parameters, Depends(_credentials)]
Form = Annotated[Parameters, Depends(form_of)]


@router.get("/signin")
def show_sign_in(next: str = "/") -> Response:
    """Show the form for user and password."""
    return _sign_in_page(_own_path(next))


@router.post("/signin")
def sign_in(request: Request, fields: Credentials) -> Response:
    """Sign a browser in with a password; 401 if it is wrong, 429 after five wrong ones in a minute."""
    is_form = not request.headers.get("content-type", "").startswith("application/json")
    target = _own_path(fields.get("next", "/"))
    try:
        user = services_of(request).accounts.users.sign_in(fields.get("user", ""), fields.get("password", ""))
    except (Unauthenticated, ResourceExhausted) as error:
        if not is_form:
            raise
        return _sign_in_page(target, str(error), fields.get("user", ""), HTTP_STATUS[error.status])
    reply = RedirectResponse(target, 303) if is_form else JsonReply({"user": user.id})
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
def set_up(request: Request, token: str = "") -> Response:
    """Sign a browser in with a link that works once; a user without a password chooses one next."""
    accounts = services_of(request).accounts
    try:
        user = accounts.users.get(accounts.sessions.use_setup_link(token))
    except Unauthenticated as error:
        advice = html_paragraph("On the computer of the server, `tunery users link` prints a new one.")
        return html_page("This link does not work", html_alert(str(error)) + advice, 401)
    needs_password = user.id != LOCAL_USER and not user.has_password
    return _signed_in(request, user.id, RedirectResponse("/password" if needs_password else "/", 303))


@router.get("/password")
def show_password(request: Request) -> Response:
    """Show the form for a new password."""
    session = session_of(request)
    return sign_in_first(request) if session is None else _password_page(request, session)


@router.post("/password")
def change_password(request: Request, fields: Form) -> Response:
    """Change the password of who is signed in; all other browsers of this user are signed out."""
    session, accounts = session_of(request), services_of(request).accounts
    if session is None:
        return sign_in_first(request)
    require_form_token(request, fields)
    try:
        if accounts.users.get(session.user_id).has_password:
            accounts.users.sign_in(session.user_id, fields.get("current", ""))
        accounts.users.set_password(session.user_id, fields.get("password", ""))
    except (InvalidArgument, Unauthenticated, ResourceExhausted) as error:
        return _password_page(request, session, str(error), HTTP_STATUS[error.status])
    return _signed_in(request, session.user_id, RedirectResponse("/", 303))


def session_of(request: Request) -> Session | None:
    """Return the session of a browser, None if it is not signed in."""
    secret = session_secret(request)
    return services_of(request).accounts.sessions.find(secret) if secret else None


def sign_in_first(request: Request) -> Response:
    """Return a reply that sends a browser to sign in and back to where it wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/signin?{urlencode({'next': wanted})}", 303)


def form_token_of(request: Request) -> str:
    """Return the value that forms of this browser carry."""
    return form_token(session_secret(request) or "")


def require_form_token(request: Request, fields: Parameters) -> None:
    """Raise InvalidArgument unless a form was drawn for this browser."""
    if not hmac.compare_digest(fields.get("form_token", "").encode(), form_token_of(request).encode()):
        raise InvalidArgument("This form is not valid any more. Go back, load the page again and repeat.")


def _signed_in(request: Request, user_id: str, reply: Response) -> Response:
    """Give a browser a new session; the one it had ends."""
    accounts = services_of(request).accounts
    earlier = session_secret(request)
    if earlier:
        accounts.sessions.end(earlier)
    set_cookie(reply, request, accounts.sessions.start(user_id))
    return reply


def _own_path(path: str) -> str:
    """Return a path on this server, `/` for anything that a browser could read as another place."""
    is_own = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_own else "/"


def _sign_in_page(target: str, problem: str = "", user: str = "", status: int = 200) -> Response:
    fields = html_field("User", "user", value=user, fills="username")
    fields += html_field("Password", "password", "password", fills="current-password")
    advice = html_paragraph("No password yet? On the computer of the server, `tunery users link` prints a link.")
    drawn = html_form("/signin", fields, {"signin": "Sign in"}, {"next": target})
    return html_page("Sign in to tunery", html_alert(problem) + drawn + advice, status)


def _password_page(request: Request, session: Session, problem: str = "", status: int = 200) -> Response:
    user = services_of(request).accounts.users.get(session.user_id)
    fields = ""
    if user.has_password:
        fields += html_field("Password until now", "current", "password", fills="current-password")
    fields += html_field("New password", "password", "password", fills="new-password")
    drawn = html_form("/password", fields, {"change": "Save"}, {"form_token": form_token_of(request)})
    about = html_paragraph(f"For {user.id}. At least 8 characters; 15 or more are better.")
    return html_page("Choose a password", html_alert(problem) + about + drawn, status)


_MEANING = {
    CLOUD_PLATFORM: "Everything you can do here; for an administrator also users and keys",
    TUNING: "Tune models, and see, use, share and delete your tuned models",
    TUNING_READONLY: "See and use your tuned models",
    RETRIEVER: "Nothing here; old programs ask for it",
    GENERATIVE_LANGUAGE: "Ask base models",
}
_DECISIONS = {"allow": "Allow", "deny": "Deny"}


def consent_page(client: Client, user_id: str, scope: str, redirect_uri: str, query: str, form_token: str) -> Response:
    """Return the page for a program that opened the browser; `query` is its request, to be decided on."""
    hidden = {"request": query, "form_token": form_token}
    body = _wish(client, user_id, scope)
    body += html_paragraph(f"After that you are sent to {redirect_uri}.")
    body += html_form("/oauth/authorize", "", _DECISIONS, hidden)
    return html_page("Allow access?", body, sends_to=redirect_uri)


def code_page(action: str, form_token: str, user_code: str = "", problem: str = "", status: int = 200) -> Response:
    """Return the page on which the code of a device is typed."""
    field = html_field("Code", "user_code", value=user_code)
    drawn = html_form(action, field, {"find": "Continue"}, {"form_token": form_token})
    about = html_paragraph("Type the code that the other device shows. Did nobody here ask for it? Then close this.")
    return html_page("Sign in another device", html_alert(problem) + about + drawn, status)


def device_page(action: str, client: Client, user_id: str, scope: str, user_code: str, form_token: str) -> Response:
    """Return the page on which a user decides about a device."""
    hidden = {"user_code": user_code, "form_token": form_token}
    body = _wish(client, user_id, scope)
    body += html_paragraph(f"Only go on if the code {user_code} is on a screen before you.")
    return html_page("Allow access?", body + html_form(action, "", _DECISIONS, hidden))


def end_page(title: str, text: str, status: int = 200) -> Response:
    """Return a page that says how it ended."""
    return html_page(title, html_paragraph(text), status)


def _wish(client: Client, user_id: str, scope: str) -> str:
    wish = html_paragraph(f"{client.name or client.id} wants to act for you, {user_id}:")
    wish += html_bullets([_MEANING[name] for name in scope.split(" ")])
    if client.id == COMMAND_LINE:
        wish += html_paragraph("It keeps this access, for up to 90 days, or as long as you told it to.")
    return wish


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem;color-scheme:light dark}"
    "h1{font-size:1.4rem}label{display:block;margin:1rem 0}input{display:block;width:100%;font:inherit;padding:.4rem;"
    "box-sizing:border-box}button{font:inherit;padding:.4rem 1.2rem;margin:1rem .5rem 0 0}"
    "[role=alert]{border-left:.3rem solid #c33;padding-left:.7rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def html_page(title: str, body: str, status: int = 200, *, sends_to: str = "") -> HTMLResponse:
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


def html_form(action: str, fields: str, buttons: Mapping[str, str], hidden: Mapping[str, str]) -> str:
    """Return a form; `buttons` are values of `decision` and what stands on them."""
    kept = "".join(f'<input type="hidden" name="{escape(n)}" value="{escape(v)}">' for n, v in hidden.items())
    ends = "".join(
        f'<button name="decision" value="{escape(value)}">{escape(label)}</button>' for value, label in buttons.items()
    )
    return f'<form method="post" action="{escape(action)}">{kept}{fields}{ends}</form>'


def html_field(label: str, name: str, kind: str = "text", *, value: str = "", fills: str = "off") -> str:
    """Return an input with its label; `fills` tells password managers what it is."""
    return (
        f'<label>{escape(label)}<input name="{escape(name)}" type="{kind}" value="{escape(value)}"'
        f' autocomplete="{fills}" required></label>'
    )


def html_paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def html_bullets(texts: list[str]) -> str:
    """Return a list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def html_alert(text: str) -> str:
    """Return a paragraph that says what went wrong."""
    return f'<p role="alert">{escape(text)}</p>' if text else ""


def _origin(uri: str) -> str:
    """Return the origin of an address for a policy; browsers follow `form-action` through redirects, too."""
    parts = urlsplit(uri)
    if not uri:
        return ""
    return "http:" if parts.netloc.startswith("[") else f"{parts.scheme}://{parts.netloc}"  # a policy has no IPv6
