"""Values as Python: what is read back is what was written, and no formatter has a word to say."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulumi_pika.imports.codegen import (
    Origin,
    secret_commands,
    write_program,
)
from pulumi_pika.imports.pyformat import argument, quoted
from pulumi_pika.imports.reader import Imported
from pulumi_pika.imports.secret_detection import Secret, looks_secret, text_looks_secret
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


SECRET = [
    *(
        (f"environment.{name}", "x")
        for name in [
            *("API_TOKEN", "db_password", "Ssh_Key", "CLIENT_SECRET", "DB_PASS", "MYSQL_PWD"),
            *("SMTP_AUTH", "SENTRY_DSN", "SESSION_COOKIE", "PRIV", "AWS_CREDS", "ROOTPW", "PIN"),
            *(
                "DBPASS",
                "passwd",
                "AUTHORIZATION",
                "XAUTHORITY",
                "WIFI_PSK",
                "JWT",
                "SLACK_WEBHOOK",
            ),
            *("CONNECTION_STRING", "DB_CONN_STR", "password_hash", "SALT", "LICENSE", "MY_PW_2"),
        ]
    ),
    ("user.deploy-token", "x"),
    ("user.pw", "x"),
    ("smbios11.password", "x"),
    ("systemd.credential.db", "x"),
    ("systemd.credential-binary.db", "eA=="),
    *(
        (key, value)
        for key in ("environment.X", "user.note", "raw.lxc", "oci.entrypoint")
        for value in [
            *("postgres://u:x@db/x", "redis://:x@h", "https://x@h/y", "git+https://u:p@h/r.git"),
            "-----BEGIN OPENSSH PRIVATE KEY-----\nx",
            "Server=db;User=u;Password=x",
            *("host=db password=x", "https://h/x?sig=x", "https://h/?access_token=x"),
            "Authorization: Bearer x",
            *("curl -u me --pass=x h", "ghp_0123456789abcdef", "glpat-0123456789abcdef"),
            *("AKIAIOSFODNN7EXAMPLE", "xoxb-1234567890-abc", "eyJhbGciOiJIUzI1NiJ9.e30.x"),
            *("$6$salt$hash", "$2b$12$abcdefgh", "pul-0123456789abcdef"),
            *("bob:x@proxy:3128", "scott/tiger@db", "proxy=bob:a/b@[::1]:3128", ":x@redis"),
            *("use 'bob:x@proxy'", "sqlplus scott/tiger@//db/x"),
            "https://hooks.slack.com/services/T00/B00/x",
            "hooks.slack.com/triggers/x",
            *("https://discord.com/api/webhooks/1/x", "https://discordapp.com/api/webhooks/1/x"),
            "https://a.webhook.office.com/webhookb2/x",
            "https://outlook.office.com/webhook/x",
            "https://api.telegram.org/bot123:abcdefghij",
            *("wpa-psk hunter2", "wpa-psk=hunter2", "psk: x", "iface w inet dhcp\n wpa-psk x"),
        ]
    ),
    *(
        (key, value)
        for key in ("environment.X", "user.note")
        for value in [
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "/w2b9Zk1QpLmN+xYz/aBcDe==",
            "c2VjcmV0LXZhbHVl=",
            "A1b2-C3d4_E5f6-G7h8_I9",
        ]
    ),
    ("environment.X", "9f86d081884c7d659a2feaa0c55ad015"),
    ("user.x", "wJalrXUtnFEMI/K7MDENG1bPxRfiCYEXAMPLEKEY"),
    ("cloud-init.network-config", "wifis: {w: {access-points: {a: {password: x}}}}"),
    ("user.network-config", "tunnels: {wg: {key: x}}"),
    *(
        (key, value)
        for key in (
            *("cloud-init.user-data", "cloud-init.vendor-data", "user.user-data"),
            *("user.vendor-data", "user.meta-data"),
        )
        for value in [
            "#cloud-config\nchpasswd: x\n",
            "#cloud-config\npassword: x\n",
            "#cloud-config\nruncmd: [a]\n",
            "#cloud-config\npackages: []\nwrite_files: [{content: x}]\n",
            "#cloud-config\n# the token: x\npackages: []\n",
            "#!/bin/sh\nmake\n",
            "#!/bin/sh\n",
            "Content-Type: multipart/mixed",
            "## template: jinja\n{% raw %}",
            "H4sIAAAAAAAAA",
            "- [",
        ]
    ),
]
PLAIN = [
    ("environment.EDITOR", "token"),
    ("environment.AUTHOR", "x"),
    ("environment.PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"),
    ("environment.LANG", "en_GB.UTF-8"),
    ("environment.URL", "https://example.com:8080/a/b?page=2"),
    ("environment.REPLICAS", "3"),
    ("environment.SHIPPING", "x"),
    ("environment.HOST", "internal-production-eu-west-1.example.com"),
    ("user.note", "x"),
    ("user.note", "the auth service"),
    ("user.mail", "me@example.com"),
    ("user.mail", "mailto:me@example.com"),
    ("user.git", "git@github.com:org/repo.git"),
    ("user.unit", "/etc/systemd/system/getty@tty1.service"),
    ("user.image", "docker.io/library/alpine@sha256:1234"),
    ("user.url", "https://example.com/@me/webhook-docs"),
    ("user.path", "/home/bob/Projects/pika/src/main"),
    ("user.time", "12:30"),
    ("security.syscalls.deny", "x"),
    ("security.idmap.base", "100000"),
    ("limits.kernel.keys", "x"),
    ("cloud-init.ssh-keys.mine", "root:gh:somebody"),
    ("cloud-init.user-data", "#cloud-config\npackages: []\n"),
    ("cloud-init.user-data", "#x\n"),
    ("user.vendor-data", "#cloud-config\ntimezone: UTC\nhostname: a\n"),
    ("user.network-config", "version: 2\nethernets: {eth0: {dhcp4: true}}\n"),
    ("raw.idmap", "both 1000 1000"),
    ("image.os", "Debian"),
]


@pytest.mark.parametrize(("key", "value"), SECRET)
def test_what_looks_secret(key: str, value: str) -> None:
    assert looks_secret(key, value)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("the build agent of Bob", False),
        ("Debian bookworm amd64 (20240101_05:24)", False),
        ("reset the password on Monday", True),
        ("token hunter2", True),
        ("bob:x@proxy:3128", True),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", True),
    ],
)
def test_a_description_that_looks_secret(text: str, secret: bool) -> None:
    assert text_looks_secret(text) == secret


@pytest.mark.parametrize(("key", "value"), PLAIN)
def test_what_does_not_look_secret(key: str, value: str) -> None:
    assert not looks_secret(key, value)


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
    return [*found, *(Imported(text, skip_reasons=[text, text]) for text in HOSTILE)]


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
    assert set(declared) == {imported.name for imported in found if not imported.skip_reasons}
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
    for found in ([], [Imported("a", skip_reasons=["why"])]):
        text = write_program(found, origin)
        compile(text, "program", "exec")
        assert "import pulumi" not in text.replace("pulumi_pika import", "")
