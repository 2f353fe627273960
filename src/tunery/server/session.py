"""
Signing browsers in and out: with a password, or with a link that works once. For the Studio and the consent page.

Knows forms, pages and cookies; whose password it is, the accounts say.
"""

from __future__ import annotations

import hmac
import json
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from tunery.errors import InvalidArgument, ResourceExhausted, Unauthenticated
from tunery.server import pages
from tunery.server.body import read_limited
from tunery.server.cookies import clear_cookie, require_own_page, session_secret, set_cookie
from tunery.server.errors import HTTP_STATUS
from tunery.server.forms import MAX_FORM_BYTES, Parameters, form_of
from tunery.server.replies import JsonReply
from tunery.server.services import services_of
from tunery.service.account_values import LOCAL_USER, Session
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
        advice = pages.paragraph("On the computer of the server, `tunery users link` prints a new one.")
        return pages.page("This link does not work", pages.alert(str(error)) + advice, 401)
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
    fields = pages.field("User", "user", value=user, fills="username")
    fields += pages.field("Password", "password", "password", fills="current-password")
    advice = pages.paragraph("No password yet? On the computer of the server, `tunery users link` prints a link.")
    drawn = pages.form("/signin", fields, {"signin": "Sign in"}, {"next": target})
    return pages.page("Sign in to tunery", pages.alert(problem) + drawn + advice, status)


def _password_page(request: Request, session: Session, problem: str = "", status: int = 200) -> Response:
    user = services_of(request).accounts.users.get(session.user_id)
    fields = ""
    if user.has_password:
        fields += pages.field("Password until now", "current", "password", fills="current-password")
    fields += pages.field("New password", "password", "password", fills="new-password")
    drawn = pages.form("/password", fields, {"change": "Save"}, {"form_token": form_token_of(request)})
    about = pages.paragraph(f"For {user.id}. At least 8 characters; 15 or more are better.")
    return pages.page("Choose a password", pages.alert(problem) + about + drawn, status)
