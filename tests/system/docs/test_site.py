"""The site builds without a warning, and has what it is to have."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pulumi_pika
from dev.field_docs import field_docs, section
from dev.paths import ROOT


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
    fields = {
        f"{name}.{field}"
        for name in pulumi_pika.__all__
        if isinstance(found := getattr(pulumi_pika, name), type)
        # Of a section `Attributes:` the site makes a list, without anchors.
        and not section(found.__doc__ or "", "Attributes")
        for field in field_docs(found)
    }

    assert len(fields) > 200
    assert fields - anchors == set()


def test_arguments_are_described(site: Path) -> None:
    page = (site / "reference" / "resources" / "index.html").read_text()
    for argument in ("restore_from", "server_fingerprint", "image", "spec"):
        assert f"<code>{argument}</code>" in page, argument


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
