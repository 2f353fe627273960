"""
The table of bases in docs/bases.md, made from the list that tunery comes with, and the list brought up to date.

    python tools/bases.py             # write the table into docs/bases.md
    python tools/bases.py --refresh   # first ask the hub what the files of each base say, and correct the list
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tunery.engine import offered
from tunery.engine.catalog import CONFIG_FILES, EMBEDDED
from tunery.engine.chat_templates import asks_for_date, knows_thinking, templates_in
from tunery.engine.families import FAMILIES
from tunery.engine.fetch import fetch_from_hub, list_hub
from tunery.engine.gguf_export import architecture_of
from tunery.engine.offered import OfferedBase, offered_bases
from tunery.errors import FailedPrecondition, TuneryError
from tunery.files import temporary_folder

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "bases.md"
LIST = Path(offered.__file__).with_name("bases.json")
START, END = "<!-- made by tools/bases.py -->\n", "<!-- end -->\n"
HEADS = ("base", "size", "licence", "languages", "context", "road", "GGUF", "clock", "thinking", "good at")
DEFAULT = OfferedBase(
    name=EMBEDDED.name,
    repository="",
    display_name=EMBEDDED.display_name,
    parameters=EMBEDDED.parameters or 0,
    licence=EMBEDDED.licence,
    languages="English",
    context=EMBEDDED.input_token_limit,
    good_at="The default: labels, extracting and rewriting in English on any machine.",
    gated=False,
    family="llama",
    rope_type="default",
    clock=False,
    thinking=False,
)


def table() -> str:
    """Return the table in Markdown; what nobody could read is empty."""
    lines = [" | ".join(HEADS), " | ".join("---" for _ in HEADS)]
    lines += [" | ".join(_row(base)) for base in (DEFAULT, *offered_bases().values())]
    return "".join(f"| {line} |\n" for line in lines)


def _row(base: OfferedBase) -> tuple[str, ...]:
    millions = base.parameters / 1e6
    size = f"{millions:,.0f} M" if millions < 1000 else f"{millions / 1000:.1f} B"
    licence = f"{base.licence}; terms to accept" if base.gated else base.licence
    road = "" if base.family is None else "fast" if base.family in FAMILIES else "fallback"
    facts = (road, _said(_has_gguf(base)), _said(base.clock), _said(base.thinking))
    return (f"`{base.name}`", size, licence, base.languages or "", f"{base.context:,}", *facts, base.good_at)


def _said(fact: bool | None) -> str:
    return "" if fact is None else "yes" if fact else "no"


def _has_gguf(base: OfferedBase) -> bool | None:
    if base.family is None:
        return None
    try:
        architecture_of({"model_type": base.family, "rope_scaling": {"rope_type": base.rope_type or "default"}})
    except FailedPrecondition:
        return False
    return True if base.rope_type else None


def written(page: str) -> str:
    """Return the page with the table of today."""
    before, _, rest = page.partition(START)
    return before + START + table() + END + rest.partition(END)[2]


def read_from_hub(base: OfferedBase) -> OfferedBase:
    """Return a base of the list with what its own files on the hub say; raises the errors of `fetch_from_hub`."""
    listing = list_hub(base.repository, None)
    wanted = [name for name in (*CONFIG_FILES, "chat_template.jinja") if name in listing.files]
    with temporary_folder() as folder:
        fetch_from_hub(base.repository, listing.commit, {name: listing.files[name] for name in wanted}, folder)
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        templates = templates_in(folder)
    positions = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return replace(
        base,
        family=config["model_type"],
        context=config.get("max_position_embeddings", base.context),
        rope_type=positions.get("rope_type", positions.get("type", "default")),
        clock=any(map(asks_for_date, templates)),
        thinking=any(map(knows_thinking, templates)),
    )


def refresh() -> None:
    """Correct the list by what the hub says; bases that cannot be read stay as they are, with the reason."""
    bases = []
    for base in offered_bases().values():
        try:
            bases.append(read_from_hub(base))
        except TuneryError as error:
            sys.stderr.write(f"{base.name}: {error}\n")
            bases.append(base)
        if bases[-1] != base:
            sys.stderr.write(f"{base.name}: {base} is now {bases[-1]}\n")
    lines = ",\n".join(f"  {json.dumps(asdict(base), ensure_ascii=False)}" for base in bases)
    LIST.write_text(f"[\n{lines}\n]\n", "utf-8")
    offered_bases.cache_clear()


def main() -> None:
    """Write the table, after a refresh if that is asked for."""
    if "--refresh" in sys.argv:
        refresh()
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
