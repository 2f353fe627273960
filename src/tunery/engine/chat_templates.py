"""
Renders chat templates the way transformers does, and keeps templates written by other people within bounds.

A template is a program in jinja2's sandbox: it can loop, or double a text, without end. A template that could is tried
in a child process with limits when its base is added; whenever it is rendered, its steps are counted.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from tunery.errors import InvalidArgument
from tunery.types import Rendering

MAX_STEPS = 1_000_000  # executed lines of the compiled template, about a second; a thousand turns take 30,000
MAX_CHARACTERS = 1_000_000  # of the text it renders for a few words
MAX_MEMORY_BYTES = 512 * 1024 * 1024
MAX_CPU_SECONDS = 10
MAX_WAIT_SECONDS = 60

# Operations that can make a text longer. Without them, the result grows only with the turns.
_GROWING = re.compile(
    r"range|\*|\d{4}|\bset\b|macro|lipsum|center|indent|wordwrap|just|zfill|format|replace|join|expandtabs|%\s*\("
)
_TRIED = (
    [("user", "x")],
    [("system", "x"), ("user", "y")],
    [("user", "x"), ("assistant", "y"), ("user", "word " * 200)],
)
_SOURCE = "<template>"  # the file name that jinja gives to compiled templates


def rendered(
    template: str,
    turns: Sequence[Mapping[str, str]],
    *,
    add_generation_prompt: bool = False,
    date: datetime | None = None,
    **variables: object,
) -> str:
    """
    Return the text of a conversation: messages with `role` and `content`.

    `variables` are other values that a template may use, such as `bos_token` or `enable_thinking`; `date` is the time
    that `strftime_now` formats, by default the time of the call. Raises jinja2's TemplateError if the template rejects
    the turns or takes too many steps.
    """
    given = {"tools": None, "documents": None, "strftime_now": (date or datetime.now()).strftime, **variables}
    with bounded_steps():
        messages = [dict(turn) for turn in turns]
        return str(_compiled(template).render(messages=messages, add_generation_prompt=add_generation_prompt, **given))


def asks_for_date(template: str) -> bool:
    """Say whether a template asks the clock, so that the prompt of tomorrow differs from today's."""
    return "strftime_now" in template


def knows_thinking(template: str) -> bool:
    """Say whether a template can be told not to let the model think."""
    return "enable_thinking" in template


def settled(template: str, rendering: Rendering) -> str:
    """Return a template with date and thinking written in, for programs that would ask their own clock."""
    if rendering.date is not None:
        date = rendering.date
        template = _ASKED_DATE.sub(lambda asked: repr(date.strftime(asked["format"])), template)
    if rendering.thinking is None or not knows_thinking(template):
        return template
    line = "\n" if template.startswith("\n") else ""  # the first one behind a block is not written
    return f"{{% set enable_thinking = {str(rendering.thinking).lower()} %}}{line}{template}"


_ASKED_DATE = re.compile(r"""strftime_now\(\s*(?P<quote>["'])(?P<format>[^"'\\]*)(?P=quote)\s*\)""")


@lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> Any:
    """Return jinja2's sandbox with the flags, filters and functions of transformers' `apply_chat_template`."""
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.nodes import CallBlock
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """{% generation %}: marks what a model learns; here it is treated as ordinary text."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

        def _text(self, caller: Callable[[], str]) -> str:
            return caller()

    class PlainNamespace(Namespace):
        """Namespaces must not give access to Python's attributes with underscores."""

        def __init__(*args: Any, **values: Any) -> None:
            for name in dict(*args[1:], **values):
                PlainNamespace._require_plain(name)
            Namespace.__init__(*args, **values)

        def __setitem__(self, name: str, value: Any) -> None:
            PlainNamespace._require_plain(name)
            super().__setitem__(name, value)

        @staticmethod
        def _require_plain(name: object) -> None:
            if isinstance(name, str) and name.startswith("_"):
                raise SecurityError(f"a namespace cannot keep {name!r}")

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:  # jinja2's own escapes HTML
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {"raise_exception": raise_exception, "namespace": PlainNamespace}
    return environment


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

    template = sys.stdin.buffer.read().decode("utf-8", errors="replace")
    _limit_myself()
    for turns in _TRIED:
        said = [{"role": role, "content": text} for role, text in turns]
        try:
            text = rendered(template, said, add_generation_prompt=True)
        except TemplateError as error:
            if "steps" in str(error):
                raise
            continue  # it rejects these turns or is not a template; this is reported when the base is used
        if len(text) > MAX_CHARACTERS:
            raise ValueError("too many characters")


def _limit_myself() -> None:
    """Allow more than this process has already used."""
    if sys.platform == "win32":  # where the parent starts no child
        raise NotImplementedError
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    statm = Path("/proc/self/statm")
    size = int(statm.read_text("ascii").split()[0]) * resource.getpagesize() if statm.exists() else 2**32
    for kind, value in (
        (resource.RLIMIT_AS, size + MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + MAX_CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    main()
