"""Complete the documentation site as mkdocs builds it: project pages, descriptions, footer.

`mkdocs.yml` names this module under `hooks`. Pages link to files of the repository, such as
`../CHANGELOG.md`, so that the links also work in a checkout; on the site they lead to its pages.
"""

from __future__ import annotations

import html
import posixpath
import re
from typing import TYPE_CHECKING, Any

from dev.paths import ROOT
from pulumi_pika import __version__

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PROJECT_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""The files of the repository that are pages of the site, and the names that they have there."""
MOST_OF_DESCRIPTION = 160
"""As many characters of a description as search engines show."""
_LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")
_FENCE = re.compile(r"(^ *(`{3,}).*?^ *\2`*$)", re.DOTALL | re.MULTILINE)
_FIRST_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put version and licence into the footer."""
    config.copyright = f"pulumi_pika {__version__} · Licence: Apache 2.0"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are files of the repository."""
    from mkdocs.structure.files import File

    for source, name in PROJECT_PAGES.items():
        content = (ROOT / source).read_text()
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make links to files of the repository lead to their pages."""
    parts = _FENCE.split(markdown)
    # Each fenced block is two parts, of which the second is its fence.
    text, place = "", page.file.src_uri
    for at, part in enumerate(parts):
        if at % 3 == 0:
            text += _LINK.sub(lambda found: _moved(found, place), part)
        elif at % 3 == 1:
            text += part
    return text


def on_page_content(content: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Describe the page by its first sentences, and shorten its table of contents if it is long."""
    page.meta.setdefault("description", description(content))
    if page.file.src_uri in config.extra["flat_contents"]:
        for title in page.toc:
            for entry in title.children:
                entry.children.clear()
    return content


def description(content: str) -> str:
    """Return as many of the first sentences of a page as a description may have."""
    for found in _FIRST_PARAGRAPH.finditer(content):
        text = " ".join(html.unescape(_TAG.sub("", found[1])).split())
        whole = ""
        for sentence in re.split(r"(?<=[.:])\s", text):
            longer = f"{whole} {sentence}".strip()
            if whole and len(longer) > MOST_OF_DESCRIPTION:
                break
            whole = longer
        if whole:
            return whole
    return ""


def _moved(found: re.Match[str], place: str) -> str:
    """Return a link of the page at a place of the site, with the target that it has there."""
    before, target, anchor, after = found.groups("")
    if "://" in target:
        return found[0]
    of_site = {name: source for source, name in PROJECT_PAGES.items()}
    source = of_site.get(place, f"docs/{place}")
    named = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if named in PROJECT_PAGES:
        moved = PROJECT_PAGES[named]
    elif place in of_site and named.startswith("docs/"):
        moved = named.removeprefix("docs/")
    else:
        return found[0]
    return f"{before}{posixpath.relpath(moved, posixpath.dirname(place) or '.')}{anchor}{after}"
