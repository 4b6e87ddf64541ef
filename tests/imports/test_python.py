"""Values as Python: what is read back is what was written, and no formatter has a word to say."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulumi_pika.imports.program import Origin, secret_commands, write_program
from pulumi_pika.imports.python import argument, quoted
from pulumi_pika.imports.read import Imported
from pulumi_pika.imports.secret import Secret, looks_secret
from pulumi_pika.text_safety import visible

HOSTILE = (
    '"""\nimport os  # \' \\',
    "{0} %s ${x}",
    "\u202eright to left\u2028\x1b[31m\x85",
    "lone \udc80",
    "é 日本 \U0001f600",
    "\\",
    "'" * 3,
    "a\r\nb\n\n",
    "",
)


@given(st.text())
def test_texts_come_back(text: str) -> None:
    literal = quoted(text)
    assert eval(literal) == text
    assert len(literal.splitlines()) <= 1
    assert literal.isprintable()


@given(st.text())
def test_comments_are_one_line(text: str) -> None:
    assert visible(text).isprintable()


trees = st.recursive(
    st.text(max_size=40) | st.booleans() | st.integers(0, 10**6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=12,
)


@given(trees)
def test_trees_come_back(tree: Any) -> None:
    assert eval(f"dict(\n{argument('tree', tree)}\n)") == {"tree": tree}


@pytest.mark.parametrize(
    ("key", "value", "secret"),
    [
        ("environment.API_TOKEN", "x", True),
        ("environment.db_password", "x", True),
        ("environment.Ssh_Key", "x", True),
        ("environment.CLIENT_SECRET", "x", True),
        ("environment.EDITOR", "token", False),
        ("user.deploy-token", "x", True),
        ("user.note", "x", False),
        ("security.syscalls.deny", "x", False),
        ("limits.kernel.keys", "x", False),
        ("cloud-init.user-data", "#cloud-config\nchpasswd: x\n", True),
        ("cloud-init.user-data", "#cloud-config\npackages: []\n", False),
    ],
)
def test_what_looks_secret(key: str, value: str, secret: bool) -> None:
    assert looks_secret(key, value) is secret


def hostile_instances() -> list[Imported]:
    found = [
        Imported(
            name,
            {
                "identity": {"runtime_id": text, "instance_name": name},
                "labels": {text * 3: text * 9},
                "running": None,
                "config": {text: text, "environment.KEY": Secret(name, "environment.KEY")},
                "devices": {f"d{n}": {"type": "disk", "path": text} for n in range(3)},
                "cloud_init_user_data": Secret(name, "cloud-init.user-data"),
                "description": text,
                "adopt": True,
            },
            notes=[text],
        )
        # Names that are no names in Python, or others' of the program, or alike as such.
        for name, text in zip(
            ["class", "1st", "host", "config", "pulumi", "a-b", "a_b", "a.b", "match"],
            HOSTILE,
            strict=True,
        )
    ]
    return [*found, *(Imported(text, refused=[text, text]) for text in HOSTILE)]


@pytest.mark.parametrize("where", [{}, {"remote": "pr'od"}, {"socket": '/run/"x"'}])
def test_hostile_program(tmp_path: Path, where: dict[str, str]) -> None:
    origin = Origin(project="p'", host="\nimport os", **where)
    found = hostile_instances()
    text = write_program(found, origin)
    assert text == write_program(found[::-1], origin)
    declared: dict[str, Any] = {}

    class Pulumi:
        class Config:
            def require_secret(self, name: str) -> tuple[str, str]:
                return ("secret", name)

        class ResourceOptions:
            def __init__(self, provider: Any) -> None:
                assert provider == ("host", where)

    def runtime(name: str, *, opts: Any = None, **arguments: Any) -> str:
        assert name not in declared
        assert (opts is not None) == bool(where)
        declared[name] = arguments
        return name

    names: dict[str, Any] = {
        "pulumi": Pulumi,
        "IncusRuntime": runtime,
        "IncusHost": lambda _name, **arguments: ("host", arguments),
    }
    body = "\n".join(
        line for line in text.splitlines() if not line.startswith(("import ", "from "))
    )
    exec(compile(body, "program", "exec"), names)
    assert set(declared) == {imported.name for imported in found if not imported.refused}
    for imported in found[:9]:
        given = declared[imported.name]
        for field in ("identity", "labels", "running", "devices", "description", "adopt"):
            assert given[field] == imported.arguments[field]
        assert given["config"]["environment.KEY"][0] == "secret"
    secrets = {of["config"]["environment.KEY"][1] for of in declared.values()}
    assert len(secrets) == 9, "two secrets of one name"
    commands = secret_commands(found, origin)
    assert len(commands) == 18
    assert "| pulumi config set --secret class-environment-KEY" in text
    assert ("pr'\"'\"'od:a.b" in text) == ("remote" in where)

    file = tmp_path / "program.py"
    file.write_text(text)
    ruff = [sys.executable, "-m", "ruff", "--version"]
    if subprocess.run(ruff, capture_output=True).returncode == 0:
        check = [*ruff[:3], "format", "--isolated", "--diff", str(file)]
        done = subprocess.run(check, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        check = [*ruff[:3], "check", "--isolated", "--select", "E9,F", str(file)]
        done = subprocess.run(check, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_to_declare() -> None:
    origin = Origin(project="p", host="h")
    for found in ([], [Imported("a", refused=["why"])]):
        text = write_program(found, origin)
        compile(text, "program", "exec")
        assert "import pulumi" not in text.replace("pulumi_pika import", "")
