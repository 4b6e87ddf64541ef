"""Write the sections of pages that come from code, between two comments that name them.

Run as `python3 dev docs`. A page has `<!-- arguments of IncusRuntime: written by python3 dev docs
-->`, the section, and `<!-- end -->`. `tests/unit/dev/test_page_sections.py` fails if a section is
not up to date.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from dev import example_tables, resource_tables
from dev.paths import ROOT

_SECTION = re.compile(
    r"(?P<begin><!-- (?P<what>[\w ]+) of (?P<name>\w+): written by `python3 dev docs` -->\n)"
    r".*?(?P<end><!-- end -->)",
    re.DOTALL,
)


def _resource(write: Callable[..., str]) -> Callable[[str], str]:
    return lambda name: write(resource_tables.resources()[name])


SECTIONS: dict[str, Callable[[str], str]] = {
    "arguments": _resource(resource_tables.argument_section),
    "outputs": _resource(resource_tables.output_section),
    "configuration": example_tables.section,
}
"""What writes the section of each kind, from the name in its comment."""


def pages() -> list[Path]:
    """Return the pages that may have such sections."""
    return sorted((ROOT / "docs").rglob("*.md"))


def fill(text: str) -> str:
    """Return a page with each of its sections written again."""

    def section(found: re.Match[str]) -> str:
        content = SECTIONS[found["what"]](found["name"])
        return f"{found['begin']}\n{content}\n\n{found['end']}"

    return _SECTION.sub(section, text)


def names(text: str) -> list[tuple[str, str]]:
    """Return the kind and the name of each section of a page."""
    return [(found["what"], found["name"]) for found in _SECTION.finditer(text)]


def write() -> None:
    """Write all sections of all pages."""
    for page in pages():
        before = page.read_text()
        after = fill(before)
        if after != before:
            page.write_text(after)


if __name__ == "__main__":
    write()
