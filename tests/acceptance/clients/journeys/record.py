"""
What a journey writes down: each behaviour once, in order, as values that JSON can hold.

Runs inside the environments of the clients, so it needs nothing but Python. A behaviour ends in a value, in
`Cannot` (the client itself refuses), or in an exception that nobody expected; the journey goes on with the next one.
"""

import json
import os
import sys
import time
import traceback
import urllib.request

URL = os.environ["TUNERY_URL"]
TOKEN = os.environ["TUNERY_TOKEN"]
KEY = os.environ["TUNERY_KEY"]
GUIDE_BASE = "models/gemini-1.5-flash-001-tuning"
PAIRS = [
    ("1", "2"),
    ("3", "4"),
    ("-3", "-2"),
    ("twenty two", "twenty three"),
    ("two hundred", "two hundred one"),
    ("ninety nine", "one hundred"),
    ("8", "9"),
    ("-98", "-97"),
    ("1,000", "1,001"),
    ("10,100,000", "10,100,001"),
    ("thirteen", "fourteen"),
    ("eighty", "eighty one"),
    ("one", "two"),
    ("three", "four"),
    ("seven", "eight"),
]  # of the published quick start

_outcomes = {}


class Cannot(Exception):
    """The client refuses by itself, whatever the server could do."""


def behaviour(name):
    """Run a function now and write down how it ended, under a name."""

    def run(function):
        began = time.monotonic()
        try:
            _outcomes[name] = {"value": function()}
        except Cannot as error:
            _outcomes[name] = {"cannot": str(error)}
        except Exception as error:  # noqa: BLE001  # whatever it is belongs into the record
            _outcomes[name] = {"raised": seen(error), "traceback": traceback.format_exc()}
        _outcomes[name]["seconds"] = round(time.monotonic() - began, 2)
        return function

    return run


def seen(error):
    """Return an exception as the user of a client sees it."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return {"type": type(error).__name__, "kinds": kinds, "code": _number(error), "text": str(error)}


def error_of(function):
    """Return the exception that a call raises, as its user sees it; None if it raises none."""
    try:
        function()
    except Exception as error:  # noqa: BLE001  # its user sees it whatever it is
        return seen(error)
    return None


def say():
    """Print what was written down; the last line of every journey."""
    json.dump(_outcomes, sys.stdout)


def raw(path, method="GET", body=None):
    """Return the JSON of a request that no client stands before."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"Authorization": "Bearer " + TOKEN}, method=method)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def wait_until_done(name):
    """Wait until a tuned model is not CREATING any more."""
    give_up = time.monotonic() + 300
    while raw("/v1beta/" + name)["state"] == "CREATING":
        assert time.monotonic() < give_up, name
        time.sleep(0.1)


def data_of(name):
    """Return what the server remembers of the data of a tuned model: rows and digest."""
    data = raw("/v1beta/" + name)["tuningTask"]["data"]
    return [data["rows"], data["sha256"]]


def _number(error):
    code = getattr(error, "code", None)
    return int(code) if isinstance(code, int) else None
