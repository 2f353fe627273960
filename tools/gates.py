"""
Record what a reorganisation must not change, and compare two recordings.

    python -m tools.gates record AFTER.json [--middle FOLDER] [--resume-from FOLDER]
    python -m tools.gates compare BEFORE.json AFTER.json     exit 1 and a list if they differ

Records the tunery of the interpreter that runs it, through its public doors: the package, the command, the server, the
files. `--middle` keeps a data folder whose tuning job was killed at a checkpoint; `--resume-from` goes on with such a
folder of another version. Digests depend on the processor: compare recordings of one machine. Needs the default base.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import re
import shutil
import sqlite3
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import tunery
from tools.place import BASE, SOURCE, Place, kill, safetensors, serving

MIDDLE_STEP = 4  # of six: after an epoch has ended
TUNE = ["tune", "rows.jsonl", "--id", "gate", "--epochs", "2", "--hold-out", "4", "--seed", "7", "--json", "--yes"]
PROMPTS = ["Where is parcel 3?", "Where is parcel 40?", "Why was I charged twice?", "Name three colours.", "Hi"]
ROWS = [(f"Where is parcel {n}?", "delivery" if n % 2 else "billing") for n in range(16)]

COMMANDS: dict[str, list[str]] = {  # in this order, in one data folder
    "tune": TUNE,
    "evaluate": ["evaluate", "gate", "--json"],
    "evaluate a file": ["evaluate", "gate", "rows.jsonl", "--rows", "6", "--json"],
    "generate": ["generate", "gate", "Where is parcel 3?", "--json"],
    "generate, sampled": ["generate", "gate", "Where is it?", "--temperature", "1", "--top-k", "9", "--seed", "3"],
    "generate, labels": ["generate", "gate", "Where is it?", "--labels", "billing,delivery,bug", "--json"],
    "generate, constrained": ["generate", "gate", "Where is it?", "--constrain-to-training-outputs", "--json"],
    "generate, schema": ["generate", BASE, "My age", "--json-schema", "schema.json", "--max-output-tokens", "30"],
    "answers of the tuned model": ["generate", "gate", "--input", "prompts.jsonl", "--max-output-tokens", "24"],
    "answers of the base": ["generate", BASE, "--input", "prompts.jsonl", "--max-output-tokens", "24"],
    "models list": ["models", "list", "--json"],
    "models show": ["models", "show", "gate", "--json"],
    "export adapter": ["models", "export", "gate", "--to", "out/adapter", "--no-prove", "--json"],
    "export merged": ["models", "export", "gate", "--to", "out/merged", "--format", "merged", "--no-prove", "--json"],
    "export gguf": ["models", "export", "gate", "--to", "out/gguf", "--format", "gguf", "--no-prove", "--json"],
    "bases list": ["bases", "list", "--json"],
    "data check": ["data", "check", "rows.jsonl", "--json"],
    "data check, bad": ["data", "check", "bad.csv", "--json"],
    "data preview": ["data", "preview", "table.csv", "--json"],
    "data surgery": ["data", "surgery", "doubtful.csv", "--fix", "fixed.csv", "--json"],
    "keys create": ["keys", "create", "--label", "gate", "--json"],
    "keys create, file": ["keys", "create", "--service-account", "machine.json", "--json"],
    "keys list": ["keys", "list", "--json"],
    "users add": ["users", "add", "ann@example.com", "--password", "--admin", "--json"],
    "users list": ["users", "list", "--json"],
    "backup": ["backup", "library.tar", "--json"],
    "restore": ["restore", "library.tar", "--json"],  # into a data folder of its own
}
ERRORS: dict[str, list[str]] = {
    "no such file": ["tune", "nothing.csv"],
    "a file that cannot be read as rows": ["tune", "broken.xlsx"],
    "rows that cannot be used": ["data", "check", "bad.csv"],
    "no such model": ["generate", "nothing", "Hello"],
    "no such model to show": ["models", "show", "nothing"],
    "no such base": ["tune", "rows.jsonl", "--base-model", "nothing"],
    "no such option": ["tune", "rows.jsonl", "--nothing"],
    "no such command": ["nothing"],
    "a number that is none": ["tune", "rows.jsonl", "--epochs", "many"],
    "no epochs": ["tune", "rows.jsonl", "--epochs", "0"],
    "a bad rate": ["tune", "rows.jsonl", "--learning-rate", "-1"],
    "a bad id": ["tune", "rows.jsonl", "--id", "No Id"],
    "an id that is taken": ["tune", "rows.jsonl", "--id", "gate", "--seed", "8"],
    "too many rows held out": ["tune", "rows.jsonl", "--hold-out", "99"],
    "a bad temperature": ["generate", "gate", "Hello", "--temperature", "9"],
    "nothing to resume": ["tune", "rows.jsonl", "--resume", "--id", "another"],
    "no rows to evaluate on": ["evaluate", BASE],
    "no such key": ["keys", "revoke", "nothing"],
    "no such user": ["users", "disable", "nobody@example.com"],
    "no server": ["login", "--local"],
    "a file that is there": ["backup", "rows.jsonl"],
    "tuned models that are there": ["restore", "library.tar"],
}

Recording = dict[str, Any]


def record(middle: Path | None, resume_from: Path | None) -> Recording:
    """Return everything that is compared."""
    recording = {"commands": command_tree(), "package": package(), "source": source()}
    with tempfile.TemporaryDirectory(prefix="gates-") as folder:
        place = Place(Path(folder), "home")
        write_inputs(place.folder)
        recording["json"] = {name: output(place, *arguments) for name, arguments in COMMANDS.items()}
        recording["errors"] = {name: place.run(*arguments).returncode for name, arguments in ERRORS.items()}
        recording["openapi"], recording["server"] = server(place)
        recording["tables"] = tables(place.home)
        recording["layout"] = layout(place.home)
        recording["files"] = digests(place.home / "models")
        recording["exports"] = digests(place.folder / "out")
        other = Place(place.folder, "other", dtype="bfloat16")
        assert other.run(*TUNE, "--no-verdict").returncode == 0
        recording["bfloat16"] = digests(other.home / "models")
        killed = Place(place.folder, "killed")
        recording["checkpoint"] = killed_at_checkpoint(killed)
        if middle is not None:
            shutil.copytree(killed.home, middle, symlinks=True)
        recording["resumed"] = resumed(killed)
        if resume_from is not None:
            shutil.copytree(resume_from, place.folder / "continued", symlinks=True)
            recording["resumed from the other"] = resumed(Place(place.folder, "continued"))
    return recording


def write_inputs(folder: Path) -> None:
    def lines(*rows: dict[str, str]) -> str:
        return "".join(json.dumps(row) + "\n" for row in rows)

    files = {
        "rows.jsonl": lines(*({"text_input": text, "output": output} for text, output in ROWS)),
        "prompts.jsonl": lines(*({"text_input": text} for text in PROMPTS)),
        "bad.csv": "text_input,output\nhello,\n,there\n",
        "broken.xlsx": "PK no workbook",
        "table.csv": "Frage;Antwort;Nr\n" + "".join(f"Wo ist {n}?;Ä{n};{n}\n" for n in range(9)),
        "doubtful.csv": "text_input,output\n" + "one,Yes\none,Yes\none,no\ntwo,yes\nthree, yes\nfour,no\n" * 4,
        "schema.json": json.dumps({"type": "object", "properties": {"age": {"type": "integer"}}}),
    }
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")


def output(place: Place, *arguments: str) -> object:
    """Return status and standard output of a command, without what differs between two runs."""
    done = place.run(*arguments)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = done.stdout.splitlines()
    return {"status": done.returncode, "output": stable(found, place.folder)}


def killed_at_checkpoint(place: Place) -> Recording:
    """Kill the tuning job at MIDDLE_STEP; return its checkpoint."""
    path = kill(place, [*TUNE, "--no-verdict"], MIDDLE_STEP)
    header, data = safetensors(path)
    state = json.loads(header.pop("__metadata__")["checkpoint"])
    assert state["step"] == MIDDLE_STEP, f"Killed at step {state['step']} instead; run again on a quieter machine."
    state["snapshots"] = [snapshot[:3] for snapshot in state["snapshots"]]  # the fourth is the time
    return {"header": state, "tensors": header, "sha256": hashlib.sha256(data).hexdigest()}


def resumed(place: Place) -> Recording:
    """Go on with the killed job; the files must be those of a job that was left alone."""
    done = place.run(*TUNE, "--no-verdict", "--resume")
    assert done.returncode == 0, done.stderr
    assert str(MIDDLE_STEP + 1) in done.stderr, f"It began again instead of at step {MIDDLE_STEP + 1}: {done.stderr}"
    return digests(place.home / "models")


def digests(folder: Path) -> Recording:
    """Return the digest of each file below a folder; of JSON the content, without times."""
    found: Recording = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = hide_ids(path.relative_to(folder).as_posix())
        if path.name == "manifest.json":
            files = json.loads(path.read_text())["files"]
            found[name] = {key: entry for key, entry in files.items() if not key.startswith(("tuning.", "loss."))}
            found[name] |= {key: "<digest of times>" for key in files if key.startswith(("tuning.", "loss."))}
        elif path.name in ("tuning.json", "model-card.json"):
            found[name] = stable(json.loads(path.read_text()), folder)
        elif path.name == "model-card.md":
            found[name] = "<sentences>"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def server(place: Place) -> tuple[Recording, Recording]:
    """Return the OpenAPI document of a started server, and what it answers to some requests."""
    with serving(place) as (address, token):

        def get(path: str) -> Any:
            asked = urllib.request.Request(address + path, headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(asked, timeout=60) as reply:
                return json.loads(reply.read())

        document = get("/openapi.json")
        paths = [path for path, item in document["paths"].items() if "get" in item and "{" not in path]
        replies = {}
        for path in sorted(path for path in paths if path.startswith("/v1")):
            try:
                replies[path] = stable(get(path), place.folder)
            except urllib.error.HTTPError as error:
                replies[path] = error.code
        replies["/v1beta/tunedModels/gate"] = stable(get("/v1beta/tunedModels/gate"), place.folder)
        replies["link"] = output(place, "users", "link")
        replies["login"] = output(place, "login", "--print-token")
    return openapi(document), replies


def openapi(document: Any, *, is_names: bool = False) -> Any:
    """Return an OpenAPI document without its sentences, lists of objects and words as mappings, to tell additions."""
    if isinstance(document, dict):
        free = () if is_names else ("description", "summary", "title", "examples", "example", "servers", "tags", "info")
        return {
            name: openapi(value, is_names=name in ("properties", "schemas", "paths", "responses") and not is_names)
            for name, value in document.items()
            if name not in free
        }
    if isinstance(document, list):
        if document and all(isinstance(value, dict) and "in" in value for value in document):
            return {f"{value['in']} {value['name']}": openapi(value) for value in document}
        if document and all(isinstance(value, str) for value in document):
            return dict.fromkeys(document, True)
        return [openapi(value) for value in document]
    return document


def command_tree() -> Recording:
    """Return every command with its options and arguments."""
    import typer

    from tunery.cli.main import app

    return _command(typer.main.get_command(app))


def _command(command: Any) -> Recording:
    parameters = {}
    for parameter in command.params:
        kind = parameter.type_descriptor.annotation
        facts = {name: getattr(parameter, name, None) for name in _PARAMETER}
        facts |= {"type": getattr(kind, "__name__", str(kind)), "default": str(parameter.default)}
        if isinstance(kind, type) and issubclass(kind, Enum):
            facts["type"] = [choice.value for choice in kind]
        parameters[parameter.name] = facts
    children = {name: _command(child) for name, child in getattr(command, "commands", {}).items()}
    return {"parameters": parameters, "commands": children}


_PARAMETER = ("opts", "secondary_opts", "required", "multiple", "is_flag", "nargs", "envvar", "min", "max")


def package() -> Recording:
    """Return the public names of the package and their parameters."""
    found: Recording = {"names": sorted(tunery.__all__)}
    for name in tunery.__all__:
        value = getattr(tunery, name)
        found[name] = parameters_of(value)
        if inspect.isclass(value):
            public = {member: thing for member, thing in inspect.getmembers(value) if not member.startswith("_")}
            found[f"{name}.*"] = {member: parameters_of(thing) for member, thing in public.items()}
    return found


def parameters_of(value: object) -> object:
    """Return names, kinds and defaults; annotations are free."""
    if not callable(value):
        return type(value).__name__
    found = []
    for parameter in inspect.signature(value).parameters.values():
        default = "<function>" if inspect.isfunction(parameter.default) else repr(parameter.default)
        found.append(f"{parameter.kind.name} {parameter.name} {default}")
    return found


def source() -> Recording:
    """Return the environment variables that the source names, and the prefixes of secrets."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(SOURCE.rglob("*.py")))
    return {
        "environment": sorted(set(re.findall(r"\bTUNERY_[A-Z_]+\b", text))),
        "prefixes": sorted(set(re.findall(r"\btny_[a-z]+_", text))),
    }


def tables(home: Path) -> Recording:
    """Return tables, columns, indexes and constraints, and the rows without what differs between two runs."""
    with sqlite3.connect(f"file:{home / 'tunery.sqlite3'}?mode=ro", uri=True) as database:
        master = database.execute("SELECT name, type, sql FROM sqlite_master ORDER BY name").fetchall()
        found: Recording = {"schema": {name: [kind, " ".join((sql or "").split())] for name, kind, sql in master}}
        for name in [name for name, kind, _ in master if kind == "table"]:
            columns = database.execute(f"PRAGMA table_info({name})").fetchall()
            names = [column[1] for column in columns]
            rows = [dict(zip(names, row, strict=True)) for row in database.execute(f"SELECT * FROM {name}")]
            found[name] = {"columns": columns, "rows": sorted(map(stable, map(_row, rows)), key=json.dumps)}
    return found


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its JSON read; the curve is in another section, and heartbeats depend on the clock."""
    row = {key: json.loads(value) if str(value)[:1] in ("{", "[") else value for key, value in row.items()}
    for name in ("snapshots", "heartbeat", "manifest_sha256", "sha256", "secret_sha256", "password_hash", "public_key"):
        if row.get(name) is not None:
            row[name] = f"<{name}>"
    return row


def layout(home: Path) -> list[str]:
    """Return what lies where in a data folder, and who may read it."""
    modes = {path.relative_to(home).as_posix(): path.lstat().st_mode & 0o777 for path in home.rglob("*")}
    return sorted({f"{mode:o} {hide_ids(path)}" for path, mode in modes.items()})


_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S*")
_SECRET = re.compile(r"\b(tny_[a-z]+_)\w+")
_UNSTABLE = re.compile(r"(seconds|_time|Time|^time|duration|^versions?|^created|^free\w*|address|[Ss]peed|^pid|^port)$")
_SENTENCE = ("message", "title", "text", "description", "advice", "detail", "hint", "url")


def stable(value: Any, folder: Path | None = None, key: str = "") -> Any:
    """Return a document without times, ids, secrets, paths and sentences."""
    if isinstance(value, dict):
        return {name: stable(entry, folder, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [stable(entry, folder, key) for entry in value]
    if _UNSTABLE.search(key) and value is not None:
        return f"<{key}>"
    if not isinstance(value, str):
        return value
    if key in _SENTENCE and " " in value:
        return "<sentence>"
    if key in ("id", "operation_id", "family", "client_id", "private_key_id") and re.fullmatch(r"[a-z0-9]{12,}", value):
        return f"<{key}>"
    text = value.replace(str(folder), "<folder>") if folder else value
    text = re.sub(r"http://127\.0\.0\.1:\d+", "<address>", _SECRET.sub(r"\1...", _TIME.sub("<time>", text)))
    return re.sub(r"operations/\w+", "operations/<id>", hide_ids(text))


def hide_ids(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)


def differences(before: Any, after: Any, where: str = "") -> Iterator[tuple[str, str, bool]]:
    """Yield each difference: where, what, and whether something was only added."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            if name not in before:
                yield f"{where}/{name}", f"added {_short(after[name])}", True
            elif name not in after:
                yield f"{where}/{name}", f"gone, was {_short(before[name])}", False
            else:
                yield from differences(before[name], after[name], f"{where}/{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from differences(left, right, f"{where}/{number}")
    elif before != after:
        yield where, f"{_short(before)} -> {_short(after)}", False


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]} ..."


def compare(before: Recording, after: Recording) -> int:
    """Print the differences; return 1 if there is one that is not permitted."""
    continued = after.pop("resumed from the other", before["resumed"])
    before.pop("resumed from the other", None)
    found = [*differences(before, after), *differences(before["resumed"], continued, "/resumed from the other")]
    found += differences(weights(after["files"]), weights(after["resumed"]), "/resumed, beside an undisturbed job")
    wrong = 0
    for where, what, is_added in found:
        is_permitted = is_added and where.startswith(("/openapi/", "/server/"))
        wrong += not is_permitted
        sys.stdout.write(f"{'added   ' if is_permitted else 'DIFFERS '}{where}: {what}\n")
    sys.stdout.write(f"{wrong} differences, {len(found) - wrong} permitted additions\n")
    return 1 if wrong else 0


def weights(files: Recording) -> Recording:
    """Return the digests of adapters by their place below the claim of a task."""
    return {name.split("/", 2)[2]: value for name, value in files.items() if name.endswith(".safetensors")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recorder, comparer = commands.add_parser("record"), commands.add_parser("compare")
    for name in ("file", "--middle", "--resume-from"):
        recorder.add_argument(name, type=Path)
    for name in ("before", "after"):
        comparer.add_argument(name, type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return compare(json.loads(given.before.read_text()), json.loads(given.after.read_text()))
    found = record(given.middle, given.resume_from)
    given.file.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
