"""What a release is made of: the sdist, and the wheel that it builds."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pulumi_pika
from dev.paths import ROOT
from dev.supported import NEWEST, OLDEST

from .environment import Built, build

SCHEMAS = (
    "pulumi_pika/schema/runtime-spec.schema.json",
    "pulumi_pika/report/schema/report.schema.json",
)


def test_twine_has_nothing_to_say(built: Built) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", built.wheel, built.sdist],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_wheel_has_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = wheel.namelist()
        for schema in SCHEMAS:
            assert "properties" in json.loads(wheel.read(schema))
        licence = wheel.read(f"{built.info}/licenses/LICENSE")
        contents = {name: wheel.read(name) for name in names if not name.startswith(built.info)}
    assert licence == (ROOT / "LICENSE").read_bytes()
    package = ROOT / "pulumi_pika"
    ours = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "pulumi_pika/py.typed" in ours
    # The tests, the tools and whatever else is in the checkout would be somebody's `import tests`.
    assert contents == ours


def test_sdist_builds_the_same_wheel_as_the_checkout(built: Built, tmp_path: Path) -> None:
    # The one in `built` is built from the sdist.
    from_checkout = build(ROOT, tmp_path, "--wheel")
    assert from_checkout.name == built.wheel.name
    assert from_checkout.read_bytes() == built.wheel.read_bytes()


def test_sdist_has_what_its_tests_need(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    for needed in (
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "pyproject.toml",
        "dev/__main__.py",
        "tests/conftest.py",
        "tests/vectors/runtime_specs.jsonl",
        *SCHEMAS,
    ):
        assert needed in names
    assert not [name for name in names if name.startswith(".venv") or "__pycache__" in name]


def test_all_say_the_same_version(built: Built) -> None:
    version = pulumi_pika.__version__
    metadata = built.metadata
    assert metadata["Version"] == version
    assert built.wheel.name == f"pika_incus-{version}-py3-none-any.whl"
    assert built.sdist.name == f"pika_incus-{version}.tar.gz"
    titles = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert titles[0] == version


def test_metadata_state_the_pythons_that_are_tested(built: Built) -> None:
    metadata = built.metadata
    prefix = "Programming Language :: Python :: 3."
    named = [
        int(text.removeprefix(prefix))
        for text in metadata.get_all("Classifier", [])
        if text.startswith(prefix)
    ]
    oldest, newest = (int(end.python.partition(".")[2]) for end in (OLDEST, NEWEST))
    assert named == list(range(oldest, newest + 1))
    assert metadata["Requires-Python"] == f">={OLDEST.python}"
    lowest = f">={OLDEST.engine.rpartition('.')[0]}"
    (pulumi,) = (text for text in built.dependencies if re.match(r"pulumi\b", text))
    assert lowest in pulumi.removeprefix("pulumi").split(",")
