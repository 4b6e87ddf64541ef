"""The site builds without a warning, and has what it is to have."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import pulumi_pika
from dev.field_docs import field_docs, section
from dev.paths import ROOT

COLUMNS = 80
"""As many characters of a line of code as a page shows beside both side bars."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert done.returncode == 0, done.stderr
    assert not said, done.stderr
    return target


def test_every_page_is_there(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("")
        folder = name.parent if name.name == "index" else name
        assert (site / folder / "index.html").is_file(), page


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    pages = "".join(path.read_text() for path in (site / "reference").rglob("*.html"))
    anchors = set(re.findall(r'id="pulumi_pika\.(\w+)"', pages))

    assert set(pulumi_pika.__all__) - {"__version__"} <= anchors


def test_every_field_of_a_public_class_is_in_the_reference(site: Path) -> None:
    pages = "".join(path.read_text() for path in (site / "reference").rglob("*.html"))
    anchors = set(re.findall(r'id="pulumi_pika\.(\w+\.\w+)"', pages))
    # A field is at its class, or at the base that it comes from.
    fields = {
        f"{name}.{field}": {f"{base.__name__}.{field}" for base in found.__mro__}
        for name in pulumi_pika.__all__
        if isinstance(found := getattr(pulumi_pika, name), type)
        # Of a section `Attributes:` the site makes a list, without anchors.
        and not section(found.__doc__ or "", "Attributes")
        for field in field_docs(found)
        if not field.startswith("_")
    }

    assert len(fields) > 200
    assert [field for field, places in fields.items() if not places & anchors] == []


def test_tables_of_arguments_are_tables(site: Path) -> None:
    page = (site / "reference" / "persistent-volume" / "index.html").read_text()
    assert '<td><a id="restore_from"></a><code>restore_from</code><br>string</td>' in page
    assert '<h3 id="timeouts"><code>timeouts</code>' in page


def test_every_table_names_its_columns(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert not re.search(r"<th[^>]*>\s*</th>", path.read_text()), path


def test_every_page_has_a_description_of_its_own(site: Path) -> None:
    found = {}
    for path in site.rglob("index.html"):
        text = re.search(r'<meta name="description" content="([^"]*)"', path.read_text())
        assert text, path
        assert 30 < len(text[1]) < 300, (path, text[1])
        found[path] = text[1]
    assert len(set(found.values())) == len(found)


def test_ids_are_unique(site: Path) -> None:
    for path in (site / "reference").rglob("index.html"):
        # Those of Material itself begin with underscores.
        ids = re.findall(r' id="([^"_][^"]*)"', path.read_text())
        assert len(set(ids)) == len(ids), (path, {it for it in ids if ids.count(it) > 1})


@pytest.mark.parametrize("name", ["changelog", "contributing", "security"])
def test_files_of_the_repository_are_pages(site: Path, name: str) -> None:
    page = (site / name / "index.html").read_text()
    first = (ROOT / f"{name.upper()}.md").read_text().splitlines()[0].removeprefix("# ")
    assert re.search(rf'<h1 id="[^"]*">{first}<', page)
    assert 'href="docs/' not in page
    assert 'href="../' in page


def test_links_to_files_of_the_repository_lead_to_pages(site: Path) -> None:
    assert 'href="../changelog/"' in (site / "upgrading" / "index.html").read_text()


def test_the_frame_of_a_page(site: Path) -> None:
    page = (site / "concepts" / "index.html").read_text()
    assert f"pulumi_pika {pulumi_pika.__version__} · Licence: Apache 2.0" in page
    assert 'href="../assets/favicon.svg"' in page
    assert 'src="../assets/logo.svg"' in page
    tabs = re.findall(r'class="md-tabs__link">\s*([^<]*?)\s*<', page)
    assert tabs == ["Get started", "How-to", "Reference", "Background", "Project"]


def test_a_page_has_one_name(site: Path) -> None:
    """The navigation has no labels of its own, and a title is short enough for one."""
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2].partition("\n\n")[0]
    pages = re.findall(r"([\w/-]+)\.md$", navigation, re.MULTILINE)
    assert len(pages) > 25
    assert not re.search(r":\s+\S+\.md$", navigation, re.MULTILINE)
    for name in set(pages) - {"index"}:
        folder = name.removesuffix("index") or "."
        title = re.search(r"<h1[^>]*>([^<]*)", (site / folder / "index.html").read_text())
        assert title, name
        assert len(title[1]) <= 40, title[1]


def test_consoles_can_be_told_from_programs(site: Path) -> None:
    page = (site / "index.html").read_text()
    assert '<div class="language-console highlight">' in page
    styles = (ROOT / "docs" / "assets" / "extra.css").read_text()
    assert ".language-console .gp" in styles


def test_the_front_page_begins_with_what_it_is(site: Path) -> None:
    page = (site / "index.html").read_text().partition('<article class="')[2]
    order = ["<h1", "is a Pulumi provider", "md-button", "IncusRuntime", "preview.svg"]
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    assert page.count('class="md-button') == 2


def test_the_table_of_contents_of_error_messages_has_chapters_only(site: Path) -> None:
    page = (site / "troubleshooting" / "index.html").read_text()
    contents = page.partition('data-md-component="toc"')[2].partition("</nav>")[0]
    assert 5 < contents.count("md-nav__link") < 20


PROGRAMS = sorted(path for path in ROOT.glob("examples/*/*.py") if path.parent.name != "ci")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda it: it.stem)
def test_code_is_not_cut(page: Path) -> None:
    if page.stem == "troubleshooting":
        pytest.skip("its samples are printed messages")
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "fence" and token.info.split(" ")[0] in ("python", "yaml", "json", "sh"):
            long = [line for line in token.content.splitlines() if len(line) > COLUMNS]
            assert not long


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda it: f"{it.parent.name}/{it.name}")
def test_code_of_examples_is_not_cut(program: Path) -> None:
    assert not [line for line in program.read_text().splitlines() if len(line) > COLUMNS]


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    page = (site / "index.html").read_text()
    loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="(https?:[^"]*)"', page)
    loaded += re.findall(r'<link[^>]* rel="stylesheet"[^>]* href="(https?:[^"]*)"', page)

    assert not loaded


def test_readme_links_to_what_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_every_example_is_shown(site: Path) -> None:
    page = (site / "examples" / "index.html").read_text()
    for example in (ROOT / "examples").rglob("*.py"):
        name = example.relative_to(ROOT)
        if name.parts[1] != "ci":
            assert f">{name}<" in page, name
    assert "--8&lt;--" not in page
