"""
A hostile page in a browser whose user is signed in (B-10): it changes, reads and frames nothing.

The page stands at a foreign name, at this machine's other name, and at another port of it, which shares its cookies.
That pages of the Studio break no content security policy is checked by every test of this folder.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.studio import chromium
from tests.studio.hosts import Host
from tests.studio.visitor import sign_in

NAMES = ("evil.test", "127.0.0.1", "localhost")
REBOUND = "rebound.test"
ARGUMENTS = (
    f"--host-resolver-rules=MAP evil.test 127.0.0.1, MAP {REBOUND} 127.0.0.1",
    "--disable-features=LocalNetworkAccessChecks",  # what protects here is the server, not a new browser
)

# what a hostile page knows: `there` is the server; each returns when the browser has done what it does
_TOOLS = """
window.sent = (options, path) => fetch(there + path, {credentials: "include", ...options})
  .then(() => "sent", () => "refused");
window.posted = (path, fields, kind, sandbox) => new Promise((done) => {
  const frame = document.createElement("iframe");
  if (sandbox) frame.sandbox = "allow-forms allow-scripts";
  const form = Object.entries(fields)
    .map(([name, value]) => `<input name='${name}' value='${value}'>`).join("");
  frame.onload = () => { frame.onload = () => done("sent"); setTimeout(() => done("silent"), 3000); };
  const submit = sandbox ? "onload='setTimeout(() => document.forms[0].submit(), 300)'" : "";
  const target = `action='${there}${path}' enctype='${kind}'`;
  frame.srcdoc = `<body ${submit}><form method=post ${target}>${form}</form>`;
  document.body.append(frame);
  if (!sandbox) setTimeout(() => frame.contentDocument.forms[0].submit(), 300);
});
window.loaded = (tag, name, path) => new Promise((done) => {
  const element = document.createElement(tag);
  element.onload = () => done("loaded");
  element.onerror = () => done("refused");
  element[name] = there + path;
  if (tag === "link") element.rel = "stylesheet";
  document.body.append(element);
});
window.read = (path, options) => fetch(there + path, {credentials: "include", ...options})
  .then((reply) => reply.text()).then((text) => text.length ? "read" : "empty", () => "refused");
"""
_PROMPT = '{body: JSON.stringify({displayName: "stolen"}), method: "POST"'
WRITES = {
    "text": f'sent({_PROMPT}, mode: "no-cors"}}, "/v1beta/prompts")',
    "json": f'sent({_PROMPT}, headers: {{"Content-Type": "application/json"}}}}, "/v1beta/prompts")',
    "beacon": 'Promise.resolve(navigator.sendBeacon(there + "/v1beta/prompts", "{}")).then(() => "sent")',
    "beacon with json": 'Promise.resolve(navigator.sendBeacon(there + "/v1beta/prompts", new Blob(["{}"],'
    ' {type: "application/json"}))).then(() => "sent", () => "refused")',
    "form as text": """posted("/v1beta/prompts", {'{"displayName":"': '"}'}, "text/plain")""",
    "form": 'posted("/v1beta/prompts", {displayName: "stolen"}, "application/x-www-form-urlencoded")',
    "form with a file": 'posted("/v1beta/datasets:parse", {file: "a,b"}, "multipart/form-data")',
    "form without an origin": """posted("/v1beta/prompts", {'{"displayName":"': '"}'}, "text/plain", true)""",
    "signing out": 'posted("/signout", {}, "application/x-www-form-urlencoded")',
    "signing in as another": 'posted("/signin", {user: "eve@example.com", password: "correct horse battery"},'
    ' "application/x-www-form-urlencoded")',
    "consent": 'posted("/oauth/authorize", {decision: "allow", request: "client_id=tunery", form_token: "x"},'
    ' "application/x-www-form-urlencoded")',
    "a device": 'posted("/oauth/device", {decision: "allow", user_code: "BBBB-BBBB", form_token: "x"},'
    ' "application/x-www-form-urlencoded")',
    "a token": 'sent({method: "POST", body: "{}", mode: "no-cors"}, "/v1beta/accounts/tokens")',
    "deleting": 'sent({method: "DELETE"}, PROMPT)',
    "changing": f'sent({{...{_PROMPT}}}, method: "PATCH"}}, PROMPT)',
    "another method by header": 'sent({method: "POST", headers: {"X-HTTP-Method-Override": "DELETE"}}, PROMPT)',
    "changing with GET": 'sent({mode: "no-cors"}, "/v1beta/prompts?displayName=stolen&method=POST")',
}
READS = {
    "prompts": 'read("/v1beta/prompts")',
    "without credentials": 'read("/v1beta/serverInfo", {credentials: "omit"})',
    "opaque": 'read("/v1beta/prompts", {mode: "no-cors"})',
    "as a script": 'loaded("script", "src", "/v1beta/prompts")',
    "as a picture": 'loaded("img", "src", "/studio/icon.svg")',
    "as a style": 'loaded("link", "href", "/v1beta/prompts")',
    "a socket": 'new Promise((done) => { const socket = new WebSocket(there.replace("http", "ws") + "/v1beta/prompts");'
    ' socket.onopen = () => done("read"); socket.onerror = () => done("refused"); })',
    "a window": 'new Promise((done) => { const other = window.open(there + "/studio/"); setTimeout(() => {'
    ' try { done(other && other.document.body.innerText.length > 0 ? "read" : "refused"); }'
    ' catch { done("refused"); } }, 1500); })',
}
FRAMED = ("/studio/", "/signin", "/oauth/authorize", "/oauth/device", "/v1beta/prompts")


@dataclass
class Attack:
    """A browser with a signed-in user, and where the hostile page is."""

    context: BrowserContext
    host: Host
    port: int
    prompt: str

    def page_at(self, name: str) -> Page:
        """Open the hostile page at a name of its server."""
        page = self.context.new_page()
        page.goto(f"http://{name}:{self.port}/")
        page.evaluate(f"window.there = '{self.host.address}'; window.PROMPT = '/v1beta/{self.prompt}'; {_TOOLS}")
        return page

    def state(self) -> list[Any]:
        """Return all that an attempt could have changed, the sign-in included."""
        paths = ("prompts", "tunedModels", "accounts/me")
        mine = [self.context.request.get(f"{self.host.address}/v1beta/{path}").json() for path in paths]
        kinds = ("users", "groups", "keys", "tokens", "clients")
        return mine + [self.host.call("GET", f"accounts/{kind}") for kind in kinds]


@pytest.fixture(scope="module")
def attack(browser: Browser, host: Host) -> Iterator[Attack]:
    """Return a browser of its own, for names that only it resolves, with a user who has a prompt."""
    hostile = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=hostile.serve_forever)
    thread.start()
    own = browser.browser_type.launch(executable_path=chromium.find(), args=[*chromium.ARGUMENTS, *ARGUMENTS])
    try:
        context = own.new_context()
        page = context.new_page()
        sign_in(page, host.link(host.new_user("ann")))
        prompt = page.evaluate("fetch('/v1beta/prompts', {method: 'POST', body: '{}'}).then((reply) => reply.json())")
        yield Attack(context, host, hostile.server_port, prompt["name"])
    finally:
        own.close()
        hostile.shutdown()
        thread.join()
        hostile.server_close()


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>hostile</title><body>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_changed(attack: Attack, name: str) -> None:
    """Seventeen ways to send a request with the user's cookie leave everything as it was."""
    before, page = attack.state(), attack.page_at(name)

    for script in WRITES.values():
        with page.expect_request(f"{attack.host.address}/**"):
            page.evaluate(script)

    assert attack.state() == before
    assert before[2]["user"].startswith("ann")
    page.close()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_read(attack: Attack, name: str) -> None:
    """No reply, script, picture, style, socket or window of the server can be read."""
    page = attack.page_at(name)

    results = {way: page.evaluate(script) for way, script in READS.items()}

    assert {way: result for way, result in results.items() if result not in ("refused", "empty")} == {}
    page.close()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_framed(attack: Attack, name: str) -> None:
    """Frames, objects and embedded pages of the server stay empty."""
    page = attack.page_at(name)

    for path in FRAMED:
        for tag, attribute in (("iframe", "src"), ("object", "data"), ("embed", "src")):
            element = f"<{tag} {attribute}='{attack.host.address}{path}'></{tag}>"
            page.evaluate("(element) => document.body.insertAdjacentHTML('beforeend', element)", element)
    page.wait_for_timeout(1000)
    shown = [frame.url for frame in page.frames[1:] if frame.url.startswith(attack.host.address)]

    assert len(page.frames) > len(FRAMED)
    assert shown == []
    page.close()


def test_a_name_that_is_bound_to_this_machine_gets_nothing(attack: Attack) -> None:
    """After DNS rebinding a page has the server's address as its own origin; every request is 403."""
    page, before = attack.context.new_page(), attack.state()
    address = f"http://{REBOUND}:{attack.host.port}"

    reply = page.goto(f"{address}/studio/")
    page.route(f"{address}/hostile", lambda route: route.fulfill(content_type="text/html", body="from the time before"))
    page.goto(f"{address}/hostile")
    asked = page.evaluate(
        """Promise.all(["/v1beta/prompts", "/v1beta/serverInfo", "/healthz", "/signin", "/setup?token=x"].flatMap(
             (path) => ["GET", "POST"].map((method) => fetch(path, {method}).then((reply) => reply.status))))"""
    )

    assert reply is not None
    assert reply.status == 403
    assert set(asked) == {403}
    assert attack.state() == before
    page.close()
