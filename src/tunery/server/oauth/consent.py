"""
The pages on which a user decides whether a program may act for him.

Knows words and forms; nothing of Authlib.
"""

from __future__ import annotations

from starlette.responses import Response

from tunery.server import pages
from tunery.service.access import CLOUD_PLATFORM, GENERATIVE_LANGUAGE, RETRIEVER, TUNING, TUNING_READONLY
from tunery.service.account_values import Client
from tunery.service.accounts.oauth import COMMAND_LINE

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
    body += pages.paragraph(f"After that you are sent to {redirect_uri}.")
    body += pages.form("/oauth/authorize", "", _DECISIONS, hidden)
    return pages.page("Allow access?", body, sends_to=redirect_uri)


def code_page(action: str, form_token: str, user_code: str = "", problem: str = "", status: int = 200) -> Response:
    """Return the page on which the code of a device is typed."""
    field = pages.field("Code", "user_code", value=user_code)
    drawn = pages.form(action, field, {"find": "Continue"}, {"form_token": form_token})
    about = pages.paragraph("Type the code that the other device shows. Did nobody here ask for it? Then close this.")
    return pages.page("Sign in another device", pages.alert(problem) + about + drawn, status)


def device_page(action: str, client: Client, user_id: str, scope: str, user_code: str, form_token: str) -> Response:
    """Return the page on which a user decides about a device."""
    hidden = {"user_code": user_code, "form_token": form_token}
    body = _wish(client, user_id, scope)
    body += pages.paragraph(f"Only go on if the code {user_code} is on a screen before you.")
    return pages.page("Allow access?", body + pages.form(action, "", _DECISIONS, hidden))


def end_page(title: str, text: str, status: int = 200) -> Response:
    """Return a page that says how it ended."""
    return pages.page(title, pages.paragraph(text), status)


def _wish(client: Client, user_id: str, scope: str) -> str:
    wish = pages.paragraph(f"{client.name or client.id} wants to act for you, {user_id}:")
    wish += pages.bullets([_MEANING[name] for name in scope.split(" ")])
    if client.id == COMMAND_LINE:
        wish += pages.paragraph("It keeps this access, for up to 90 days, or as long as you told it to.")
    return wish
