"""
What programs can read about this server before they talk to it: RFC 8414 for sign-in, RFC 9728 for the API.

Static but for the address.
"""

from __future__ import annotations

from tunery.service.access import SCOPES
from tunery.service.accounts.oauth import CODE, DEVICE, KEY_FILE, REFRESH


def authorization_server(address: str) -> dict[str, object]:
    """Return the metadata of the authorization server (RFC 8414)."""
    with_secret = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": address,
        "authorization_endpoint": f"{address}/oauth/authorize",
        "token_endpoint": f"{address}/oauth/token",
        "device_authorization_endpoint": f"{address}/oauth/device_authorization",
        "revocation_endpoint": f"{address}/oauth/revoke",
        "introspection_endpoint": f"{address}/oauth/introspect",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [CODE, REFRESH, DEVICE, KEY_FILE],
        "token_endpoint_auth_methods_supported": [*with_secret, "none"],
        "revocation_endpoint_auth_methods_supported": [*with_secret, "none"],
        "introspection_endpoint_auth_methods_supported": with_secret,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }


def protected_resource(address: str) -> dict[str, object]:
    """Return the metadata of the API (RFC 9728)."""
    return {
        "resource": address,
        "authorization_servers": [address],
        "scopes_supported": list(SCOPES),
        "bearer_methods_supported": ["header"],
        "resource_name": "tunery",
    }
