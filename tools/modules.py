"""
Write docs/modules.md: every module of the package with the first sentence of its docstring.

    python tools/modules.py          write the page
    python tools/modules.py --check  exit 1 if it is out of date
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "tunery"
PAGE = ROOT / "docs" / "modules.md"

HEAD = """# Modules

One line per file, from its opening docstring. Written by `tools/modules.py`; a test says when it is out of date.
"""


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for folder in sorted({path.parent for path in SOURCE.rglob("*.py")}):
        modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        name = folder.relative_to(SOURCE.parent).as_posix()
        purpose = first_sentence(folder / "__init__.py") if (folder / "__init__.py").exists() else ""
        parts.append(f"\n## `{name}/`\n\n{purpose}\n\n" + "".join(row(path) for path in modules))
    return "".join(parts)


def row(path: Path) -> str:
    return f"- `{path.name}`: {first_sentence(path)}\n"


def first_sentence(path: Path) -> str:
    """Return the first paragraph of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        return 0 if PAGE.read_text("utf-8") == page() else 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
