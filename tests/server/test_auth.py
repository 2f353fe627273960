"""Credentials in a request: headers in any case, keys in the query, a token next to a key."""

from __future__ import annotations

import pytest

from tests.server.accounts_app import browser, make_app
from tests.server.api import OWNER, Api, error_of
from tunery.service.accounts.accounts import Accounts


def secret_of(api: Api) -> str:
    return str(api.client(OWNER).headers["authorization"]).removeprefix("Bearer ")


@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_header_and_scheme_in_any_case(api: Api, name: str, scheme: str) -> None:
    """Google's REST transport sends `authorization`, curl guides send `Authorization`."""
    headers = {name: f"{scheme} {secret_of(api)}"}

    assert api.client().get("/v1beta/tunedModels", headers=headers).status_code == 200


@pytest.mark.parametrize("place", ["header", "query"])
def test_a_key_in_header_or_query(api: Api, place: str) -> None:
    """`x-goog-api-key` and `?key=` mean the same."""
    key = api.accounts.keys.create("a key")[1]
    given = {"headers": {"x-goog-api-key": key}} if place == "header" else {"params": {"key": key}}

    assert api.client().get("/v1beta/models", **given).status_code == 200  # type: ignore[arg-type]
    assert error_of(api.client().get("/v1beta/tunedModels", **given))["code"] == 403  # type: ignore[arg-type]


def test_keys_in_urls_can_be_refused(accounts: Accounts) -> None:
    """`--no-keys-in-urls` keeps keys out of the logs of proxies and the histories of browsers; headers go on."""
    accounts.keys_in_urls = False
    key = accounts.keys.create("a key")[1]
    with browser(make_app(accounts)) as web:
        refused = web.get("/v1beta/whoami", params={"key": key})

        assert (refused.status_code, "x-goog-api-key" in refused.text) == (400, True)
        assert web.get("/v1beta/whoami", headers={"x-goog-api-key": key}).json()["hasKey"]


@pytest.mark.parametrize("key", ["nonsense", ""])
def test_the_token_decides(api: Api, key: str) -> None:
    """A key next to a good token is ignored; a good key does not repair a bad token."""
    good = {"authorization": f"Bearer {secret_of(api)}", "x-goog-api-key": key}
    bad = {"authorization": "Bearer nonsense", "x-goog-api-key": api.accounts.keys.create("a key")[1]}

    assert api.client().get("/v1beta/tunedModels", headers=good).status_code == 200
    assert error_of(api.client().get("/v1beta/models", headers=bad))["code"] == 401


def test_a_program_learns_that_credentials_are_missing(api: Api) -> None:
    """The refusal of an unknown caller has a reason; that of a key for tuned models has none, since no key helps."""
    key = api.accounts.keys.create("a key")[1]
    nobody = error_of(api.client().get("/v1beta/models"))
    with_key = error_of(api.client(key=key).get("/v1beta/tunedModels"))

    assert [detail["reason"] for detail in nobody["details"]] == ["CREDENTIALS_MISSING"]
    assert "CREDENTIALS_MISSING" not in str(with_key)
