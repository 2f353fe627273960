"""The server goes to no address that a user names (B-6): every field that may hold one, and every way to write one."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from tests.data.made_workbooks import with_members, xlsx
from tests.server.api import EXAMPLES, Api
from tunery.data.dataset import Dataset, preview
from tunery.server import datasets

_LOOPBACK = [
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
    "017700000001", "0", "0.0.0.0", "127.0.0.1.", "localhost", "LOCALHOST", "localhost.", "localhost.localdomain",
    "foo.localhost", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[fe80::1%25lo]", "①②⑦.⓪.⓪.①", "127。0。0。1",
]  # fmt: skip
_INSIDE = [
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "[fd00:ec2::254]", "2852039166",
    "0xa9fea9fe", "0251.0376.0251.0376", "169.254.169.254.nip.io", "metadata.google.internal",
    "[::ffff:169.254.169.254]", "100.100.100.200", "192.0.0.192", "instance-data", "[fc00::1]", "224.0.0.1",
    "255.255.255.255",
]  # fmt: skip
_TRICKS = [
    "http://user@127.0.0.1/", "http://docs.google.com@127.0.0.1/", "http://127.0.0.1#@docs.google.com/",
    "http://docs.google.com\\@127.0.0.1/", "http://127.0.0.1:22/", "http://7f000001.rebind.test/", "//127.0.0.1/",
    "http://example.com/redirect?to=http://127.0.0.1/", "file:///etc/passwd", "file://localhost/etc/passwd",
    "ftp://127.0.0.1/", "gopher://127.0.0.1:25/_HELO", "dict://127.0.0.1:11211/stats", "ldap://127.0.0.1/", "jar:http://127.0.0.1!/",
    "data:text/csv,a", "\\\\127.0.0.1\\share", "hf://models/x", "s3://bucket/key", "gs://bucket/key",
]  # fmt: skip
ADDRESSES = [f"http://{host}/x" for host in (*_LOOPBACK, *_INSIDE)] + _TRICKS

_NETWORK = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostby",
    "socket.sendto",
    "urllib.Request",
    "http.client",
)
_seen: list[str] = []
_is_watching = False


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _is_watching and event.startswith(_NETWORK):
        _seen.append(f"{event} {arguments[-1]!r}")


sys.addaudithook(_note)  # it stays for good, but notes nothing outside these tests


@pytest.fixture
def outgoing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return a list of what goes out during the test; files are read in this process, where it can be seen."""
    global _is_watching
    monkeypatch.setattr(datasets, "read_guarded", Dataset.read)
    monkeypatch.setattr(datasets, "preview_guarded", preview)
    _seen.clear()
    _is_watching = True
    yield _seen
    _is_watching = False


def test_the_list_is_long_enough() -> None:
    """At least 60 addresses, each once."""
    assert len(set(ADDRESSES)) == len(ADDRESSES) >= 60


def test_a_connection_would_be_seen(outgoing: list[str]) -> None:
    """The watch notes what a client would do first."""
    import socket

    socket.getaddrinfo("127.0.0.1", 1)

    assert len(outgoing) == 1


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_field_leads_anywhere(api: Api, outgoing: list[str], address: str) -> None:
    """Names, files, schemas, clients, keys and headers with an address are taken as text or refused."""
    administrator = api.client("local", scope="https://www.googleapis.com/auth/cloud-platform")
    replies = [administrator.post(f"/v1beta/{path}", json=body) for path, body in _bodies(address)]
    replies += [_parsed(api.web, name, content, address) for name, content in _files(address)]
    replies += [
        api.web.get("/v1beta/tunedModels", headers={"Authorization": f"Bearer {_token(address)}"}),
        api.web.get("/v1beta/accounts/me", headers=_forwarded(address)),
        api.web.get(f"/oauth/authorize?{urlencode({'redirect_uri': address, 'request_uri': address})}"),
        api.web.get(f"/signin?{urlencode({'next': address})}", follow_redirects=False),
    ]

    assert outgoing == []
    assert [reply.status_code for reply in replies if reply.status_code >= 500 and reply.status_code != 503] == []


def _bodies(address: str) -> list[tuple[str, Any]]:
    contents = [{"parts": [{"text": address}]}]
    file = [{"parts": [{"fileData": {"fileUri": address, "mimeType": "text/csv"}}]}]
    schema = {"type": "object", "properties": {"a": {"$ref": address}}}
    task = {"trainingData": {"examples": {"examples": EXAMPLES}}}
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}
    structured = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    return [
        ("tunedModels", {"baseModel": address, "tuningTask": task}),
        ("tunedModels", {"tunedModelSource": {"tunedModel": address}, "tuningTask": task}),
        ("models/tiny:generateContent", {"contents": contents}),
        ("models/tiny:generateContent", {"contents": file}),
        (
            "models/tiny:generateContent",
            {
                "contents": contents,
                "generationConfig": {"responseSchema": schema, "responseMimeType": "application/json"},
            },
        ),
        ("openai/chat/completions", {"model": address, "messages": [{"role": "user", "content": "a"}]}),
        ("openai/chat/completions", {"model": "tiny", "messages": [image]}),
        ("openai/chat/completions", {"model": "tiny", "messages": [], "response_format": structured}),
        ("accounts/clients", {"name": "a", "redirectUris": [address]}),
        ("accounts/keys", {"label": "a", "publicKey": address, "address": "a@example.com"}),
        ("prompts:import", {"url": address, "name": address}),
    ]


def _files(address: str) -> list[tuple[str, bytes]]:
    link = f'<Relationship Id="r9" Type="x/externalLink" Target="{_quoted(address)}" TargetMode="External"/>'
    relations = (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{link}</Relationships>'
    )
    book = with_members(xlsx(("a", [["input", "output"], ["1", "2"]])), {"xl/externalLinks/_rels/l.rels": relations})
    entity = f'<!DOCTYPE rows SYSTEM "{address}" [<!ENTITY e SYSTEM "{address}"><!ENTITY % p SYSTEM "{address}"> %p;]>'
    page = f'<html><base href="{address}"><img src="{address}"><table><tr><td>a<td>b<tr><td>1<td>2</table>'
    return [
        ("a.csv", f'input,output\n"=WEBSERVICE(""{address}"")",2\n{address},3\n'.encode()),
        ("a.xml", f"{entity}<rows><row><a>&e;</a><b>1</b></row><row><a>2</a><b>3</b></row></rows>".encode()),
        ("a.html", page.encode()),
        ("a.json", json.dumps([{"$ref": address, "input": "1", "output": "2"}]).encode()),
        ("a.xlsx", book),
        (address, address.encode()),
    ]


def _parsed(web: TestClient, name: str, content: bytes, address: str) -> Any:
    query = urlencode({"fileName": name, "sheet": address if name == address else ""})
    headers = {"content-type": "application/octet-stream"}
    return web.post(f"/v1beta/datasets:parse?{query}", content=content, headers=headers)


def _token(address: str) -> str:
    header = {"alg": "RS256", "typ": "JWT", "kid": address, "jku": address, "x5u": address}
    claims = {"iss": address, "sub": address, "aud": address, "exp": 4_000_000_000}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join([*parts, "c2ln"])


def _forwarded(address: str) -> dict[str, str]:
    plain = address.encode("ascii", "ignore").decode()
    return dict.fromkeys(("X-Forwarded-Host", "Forwarded", "Referer", "X-Original-URL"), plain)


def _quoted(address: str) -> str:
    return address.replace("&", "&amp;").replace('"', "&quot;")
