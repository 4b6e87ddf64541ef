"""Links to files of the repository lead to pages of the site; a page is described by its text."""

from types import SimpleNamespace
from typing import Any

import pytest

from dev.site_hooks import MOST_OF_DESCRIPTION, description, on_page_markdown


def _moved(markdown: str, place: str) -> str:
    page: Any = SimpleNamespace(file=SimpleNamespace(src_uri=place))
    return on_page_markdown(markdown, page)


@pytest.mark.parametrize(
    ("place", "link", "moved"),
    [
        ("upgrading.md", "../CHANGELOG.md", "changelog.md"),
        ("reference/index.md", "../../SECURITY.md", "../security.md"),
        ("reference/index.md", "../../CHANGELOG.md#added", "../changelog.md#added"),
        ("changelog.md", "docs/upgrading.md#upgrade", "upgrading.md#upgrade"),
        ("changelog.md", "docs/reference/cli.md", "reference/cli.md"),
        ("contributing.md", "CHANGELOG.md", "changelog.md"),
        ("upgrading.md", "support.md", "support.md"),
        ("upgrading.md", "#upgrade", "#upgrade"),
        ("changelog.md", "https://keepachangelog.com/", "https://keepachangelog.com/"),
        ("changelog.md", "LICENSE", "LICENSE"),
    ],
)
def test_links(place: str, link: str, moved: str) -> None:
    assert _moved(f"See [it]({link}), and more.", place) == f"See [it]({moved}), and more."


def test_samples_stay_as_they_are() -> None:
    sample = "```text\n[a](../CHANGELOG.md)\n```\n"
    assert _moved(f"{sample}[a](../CHANGELOG.md)\n", "x.md") == f"{sample}[a](changelog.md)\n"


def test_a_description_is_whole_sentences_without_markup() -> None:
    first = "A <code>volume</code> &amp; its\ndata."
    assert description(f"<h1>Title</h1><p>{first} More.</p>") == "A volume & its data. More."
    long = f"{'word ' * 30}end."
    assert description(f"<p>Short one. {long}</p>") == "Short one."
    assert len(long) < MOST_OF_DESCRIPTION
    assert description("<p><img></p><p>Text.</p>") == "Text."
    assert description("<ul></ul>") == ""
