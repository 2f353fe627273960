"""
google-generativeai with the credentials of `tunery login`, found as Google's libraries find them; each call is said.

Every host that is looked up or connected to is said too.
"""

import os
import socket
import sys

import google.generativeai as genai
from google.api_core.client_options import ClientOptions

MAX_SAID = 3


def said(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        target = arguments[1] if event == "socket.connect" else arguments
        print("reached", target if isinstance(target, str) else target[0])  # noqa: T201


assert socket  # loaded before the hook, which would name it otherwise
sys.addaudithook(said)
genai.configure(transport="rest", client_options=ClientOptions(api_endpoint=os.environ["TUNERY_URL"]))
for _ in range(MAX_SAID):
    print("answered", *(model.name for model in genai.list_tuned_models()), next(genai.list_models()).name)  # noqa: T201
