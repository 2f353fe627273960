"""
Keeps the chat templates of other people's bases within bounds.

A template is a program: it can loop or double a text without end. One that could is tried in a child process, with
limits, when its base is added; when it is rendered, its steps are counted.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunery.errors import InvalidArgument

MAX_STEPS = 1_000_000  # lines of the compiled template, about a second; a thousand turns take 30,000
MAX_CHARACTERS = 1_000_000  # of what it writes around a few words
MAX_MEMORY_BYTES = 512 * 1024 * 1024
MAX_CPU_SECONDS = 10
MAX_WAIT_SECONDS = 60

# What makes more of a text than there was. Without these a template grows with its turns alone.
_GROWING = re.compile(
    r"range|\*|\d{4}|\bset\b|macro|lipsum|center|indent|wordwrap|just|zfill|format|replace|join|expandtabs|%\s*\("
)
_TRIED = (
    [("user", "x")],
    [("system", "x"), ("user", "y")],
    [("user", "x"), ("assistant", "y"), ("user", "word " * 200)],
)
_SOURCE = "<template>"  # the file name of what jinja compiles


@contextmanager
def bounded_steps() -> Iterator[None]:
    """Raise jinja2's TemplateError in a template that takes more than MAX_STEPS in this block."""
    from jinja2 import TemplateError

    left = MAX_STEPS

    def count(_frame: Any, event: str, _value: Any) -> Any:
        nonlocal left
        left -= event == "line"
        if left < 0:
            raise TemplateError(f"it takes more than {MAX_STEPS:,} steps")
        return count

    def begin(frame: Any, _event: str, _value: Any) -> Any:
        return count if frame.f_code.co_filename == _SOURCE else None

    before = sys.gettrace()
    sys.settrace(begin)
    try:
        yield
    finally:
        sys.settrace(before)


def require_bounded(template: object, where: str) -> None:
    """Raise InvalidArgument for a chat template that breaks a limit; `where` is the base it belongs to."""
    if not isinstance(template, str) or not _GROWING.search(template) or not importlib.util.find_spec("resource"):
        return
    command = [sys.executable, "-P", "-m", "tunery.engine.chat_templates"]
    try:
        done = subprocess.run(command, input=template.encode(), capture_output=True, timeout=MAX_WAIT_SECONDS)
        is_bounded = done.returncode == 0
    except subprocess.TimeoutExpired:
        is_bounded = False
    if not is_bounded:
        raise InvalidArgument(
            f"The chat template of {where} takes more than {MAX_CPU_SECONDS} s,"
            f" {MAX_MEMORY_BYTES // 2**20} MB or {MAX_CHARACTERS:,} characters to render a few words,"
            " so tunery does not use it."
        )


def templates_in(folder: Path) -> list[object]:
    """Return the chat templates of a base in transformers' layout."""
    found: list[object] = []
    for path in (folder / "chat_template.jinja", *sorted(folder.glob("additional_chat_templates/*.jinja"))):
        if path.is_file():
            found.append(path.read_text("utf-8", errors="replace"))
    for name in ("tokenizer_config.json", "chat_template.json"):
        if (folder / name).is_file():
            stated = json.loads((folder / name).read_text("utf-8")).get("chat_template")
            named = [entry.get("template") for entry in stated if isinstance(entry, dict)] if _is_list(stated) else []
            found += [stated, *named]
    return found


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def main() -> None:
    """Render the template on standard input; fail if it breaks a limit."""
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    template = sys.stdin.buffer.read().decode("utf-8", errors="replace")
    _limit_myself()
    for turns in _TRIED:
        said = [{"role": role, "content": text} for role, text in turns]
        try:
            with bounded_steps():
                (text,), _ = render_jinja_template([said], chat_template=template, add_generation_prompt=True)
        except TemplateError as error:
            if "steps" in str(error):
                raise
            continue  # it rejects these turns, or is none: the base says so when it is used
        if len(text) > MAX_CHARACTERS:
            raise ValueError("too many characters")


def _limit_myself() -> None:
    """Leave room beyond what this process has already taken."""
    import resource  # POSIX only; the parent never starts a child without it

    used = resource.getrusage(resource.RUSAGE_SELF)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _has_proc() else 2**32
    for kind, value in (
        (resource.RLIMIT_AS, size + MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + MAX_CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _has_proc() -> bool:
    return Path("/proc/self/statm").exists()


if __name__ == "__main__":
    main()
