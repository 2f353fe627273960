"""
The published guide for REST by curl: the same commands in a shell, trailing commas and `grep state` included.

Runs with any Python; each behaviour is one cell of the guide.
"""

import json
import os
import subprocess
import time

from record import KEY, URL, behaviour, say

SHELL = {**os.environ, "BASE_URL": URL, "access_token": os.environ["TUNERY_TOKEN"], "API_KEY": KEY}
HEADERS = "-H 'Content-Type: application/json' -H \"Authorization: Bearer ${access_token}\""
CREATION = """
      {
        "display_name": "number generator model",
        "base_model": "models/gemini-1.0-pro-001",
        "tuning_task": {
          "hyperparameters": {
            "batch_size": 2,
            "learning_rate": 0.001,
            "epoch_count":5,
          },
          "training_data": {
            "examples": {
              "examples": [
                {"text_input": "1", "output": "2",},
                {"text_input": "3", "output": "4",},
                {"text_input": "-3", "output": "-2",},
                {"text_input": "twenty two", "output": "twenty three",},
                {"text_input": "two hundred", "output": "two hundred one",},
                {"text_input": "ninety nine", "output": "one hundred",},
                {"text_input": "8", "output": "9",},
                {"text_input": "-98", "output": "-97",},
                {"text_input": "1,000", "output": "1,001",},
                {"text_input": "10,100,000", "output": "10,100,001",},
                {"text_input": "thirteen", "output": "fourteen",},
                {"text_input": "eighty", "output": "eighty one",},
                {"text_input": "one", "output": "two",},
                {"text_input": "three", "output": "four",},
                {"text_input": "seven", "output": "eight",}
              ]
            }
          }
        }
      }"""
S = {}


def shell(command):
    """Return what a command of the guide prints; `${modelname}` and others are those of a notebook's shell."""
    environment = SHELL | {name: value for name, value in S.items() if isinstance(value, str)}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=120)
    return done.stdout


def status_of(command):
    """Return the HTTP status and the error object of a command that is refused."""
    *body, status = shell(command + " -w '\\n%{http_code}'").splitlines()
    return [int(status), json.loads("\n".join(body))["error"]]


@behaviour("models.list")
def _():
    return [model["name"] for model in json.loads(shell(f"curl -s ${{BASE_URL}}/v1beta/models {HEADERS}"))["models"]]


@behaviour("create.dicts")
def _():
    S["data"] = CREATION
    command = f'curl -s -X POST ${{BASE_URL}}/v1beta/tunedModels {HEADERS} -d "$data" | tee tunemodel.json'
    operation = json.loads(shell(f'cd "$(mktemp -d)" && {command}'))
    S["operation"] = operation["name"]
    S["modelname"] = operation["metadata"]["tunedModel"]
    return operation


@behaviour("progress.state")
def _():
    seen = []
    give_up = time.monotonic() + 300
    while time.monotonic() < give_up:
        operation = json.loads(shell(f"curl -s ${{BASE_URL}}/v1/${{operation}} {HEADERS}"))
        metadata = operation["metadata"]
        seen.append([metadata.get("completedPercent"), len(metadata.get("snapshots", []))])
        if operation.get("done"):
            break
        time.sleep(0.2)
    return [seen[0], seen[-1], operation["response"]["state"]]


@behaviour("get.grep_state")
def _():
    return shell(f"curl -s ${{BASE_URL}}/v1beta/${{modelname}} {HEADERS} | grep state")


@behaviour("generate.text")
def _():
    body = """-d '{"contents": [{"parts": [{"text": "LXIII"}]}]}' 2> /dev/null"""
    return json.loads(shell(f"curl -s -X POST ${{BASE_URL}}/v1beta/${{modelname}}:generateContent {HEADERS} {body}"))


@behaviour("generate.stream")
def _():
    body = """-d '{"contents": [{"parts": [{"text": "LXIII"}]}]}'"""
    path = "${BASE_URL}/v1beta/${modelname}:streamGenerateContent?alt=sse"
    lines = shell(f"curl -s -N -X POST '{path}' {HEADERS} {body}".replace("'", '"', 2)).splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


@behaviour("list")
def _():
    page = json.loads(shell(f'curl -s "${{BASE_URL}}/v1beta/tunedModels?page_size=5" {HEADERS}'))
    return [model["name"] for model in page["tunedModels"]]


@behaviour("update.mask")
def _():
    body = """-d '{"description": "This is my model.",}'"""
    path = "${BASE_URL}/v1beta/${modelname}?update_mask=description"
    return json.loads(shell(f'curl -s -X PATCH "{path}" {HEADERS} {body}'))["description"]


@behaviour("permissions.create")
def _():
    body = """-d '{"grantee_type": "EVERYONE", "role": "READER",}'"""
    return json.loads(shell(f"curl -s -X POST ${{BASE_URL}}/v1beta/${{modelname}}/permissions {HEADERS} {body}"))


@behaviour("generate.by_key")
def _():
    body = """-H 'Content-Type: application/json' -d '{"contents":{"parts":{"text":"LXIII"}}}'"""
    return json.loads(
        shell(f'curl -s -X POST "${{BASE_URL}}/v1beta/${{modelname}}:generateContent?key=${{API_KEY}}" {body}')
    )


@behaviour("count_tokens")
def _():
    body = """-d '{"contents": [{"parts": [{"text": "one two"}]}]}'"""
    return json.loads(shell(f"curl -s -X POST ${{BASE_URL}}/v1beta/${{modelname}}:countTokens {HEADERS} {body}"))


@behaviour("cancel")
def _():
    body = CREATION.replace('"epoch_count":5', '"epoch_count":5000')
    S["data"] = body
    operation = json.loads(shell(f'curl -s -X POST ${{BASE_URL}}/v1beta/tunedModels {HEADERS} -d "$data"'))
    S["long"], S["other"] = operation["name"], operation["metadata"]["tunedModel"]
    cancelled = json.loads(shell(f"curl -s -X POST ${{BASE_URL}}/v1beta/${{long}}:cancel {HEADERS}"))
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        operation = json.loads(shell(f"curl -s ${{BASE_URL}}/v1beta/${{long}} {HEADERS}"))
        if operation.get("done"):
            break
        time.sleep(0.2)
    shell(f"curl -s -X DELETE ${{BASE_URL}}/v1beta/${{other}} {HEADERS}")
    return [cancelled, operation["error"]["code"]]


@behaviour("errors.key_only")
def _():
    S["data"] = CREATION
    return status_of('curl -s -X POST "${BASE_URL}/v1beta/tunedModels?key=${API_KEY}" -d "$data"')


@behaviour("errors.missing")
def _():
    return status_of(f"curl -s ${{BASE_URL}}/v1beta/tunedModels/missing {HEADERS}")


@behaviour("delete")
def _():
    first = json.loads(shell(f"curl -s -X DELETE ${{BASE_URL}}/v1beta/${{modelname}} {HEADERS}"))
    return [first, status_of(f"curl -s ${{BASE_URL}}/v1beta/${{modelname}} {HEADERS}")[0]]


say()
