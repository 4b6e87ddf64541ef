"""What `doctor` says of this machine, of certificates, and of a host that lies or is silent."""

import http.server
import json
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.doctor import machine
from pulumi_pika.doctor.certificate_dates import validity
from pulumi_pika.doctor.finding import Finding
from pulumi_pika.doctor.machine import examine_machine

from ...support.command_line import ROOT, argv, call, environment
from ...support.daemons import make_certificate
from ...support.hostile import WHOLE, wrong_in


def by_code(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.code: finding for finding in findings}


@contextmanager
def serving(path: Path, tree: dict[str, Any], *, late: float = 0.0) -> Iterator[None]:
    """A server whose every answer is this, on a unix socket."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            # The socket has no address that Python could show.
            body = json.dumps({"type": "sync", "status_code": 200, "metadata": tree}).encode()
            if late:
                self.wfile.write(b"")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() - late)

        def log_message(self, *_: Any) -> None: ...

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

        def get_request(self) -> tuple[Any, Any]:
            connection, _ = super().get_request()
            return connection, ("unix", 0)

    server = Server(str(path), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def test_limits_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = ".".join(map(str, machine._OLDEST_PYTHON))
    sdk = ".".join(map(str, machine._OLDEST_SDK))
    assert project["requires-python"] == f">={python}"
    assert f"pulumi>={sdk},<4" in project["dependencies"]


def test_machine_without_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = by_code(examine_machine())
    assert found["python"].level == found["sdk"].level == "ok"
    assert found["pulumi"].level == "error"
    assert "https://www.pulumi.com/docs/install/" in found["pulumi"].advice
    assert found["openssl"].level == "note"


@pytest.mark.parametrize(
    ("script", "level", "text"),
    [
        ("echo v3.259.0", "ok", "pulumi command 3.259.0"),
        ("exit 3", "error", "fails: no output"),
        ("echo not a version", "error", "fails: not a version"),
    ],
)
def test_pulumi_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, level: str, text: str
) -> None:
    program = tmp_path / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = list(examine_machine())
    found = by_code(iter(findings))
    assert (found["pulumi"].level, text in found["pulumi"].text) == (level, True)
    assert ("language_plugin" in found) == (level == "ok")


def test_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_LITTLE", 2**80)
    assert by_code(examine_machine())["machine_space"].level == "warning"


def test_validity(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "one")
    first, last = validity(made.certificate.read_text())
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=5)
    assert last - first == timedelta(days=3650)
    # A year after 2049 is written in another form.
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-key", str(made.key), "-subj", "/CN=late"),
            *("-days", "12000", "-out", str(tmp_path / "late.crt")),
        ],
        check=True,
    )
    first, last = validity((tmp_path / "late.crt").read_text())
    assert last - first == timedelta(days=12000)


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"]
)
def test_no_certificate(text: str) -> None:
    with pytest.raises(ValueError, match="certificate"):
        validity(text)


def test_host_that_is_not_there(tmp_path: Path) -> None:
    done = call("doctor", "--socket", str(tmp_path / "none"), directory=tmp_path)
    shown = done.stdout.decode()
    assert done.returncode == 1
    assert re.search(r"ERROR .*the socket does not exist", shown)
    assert "nothing else of the host was checked" in shown
    assert "Traceback" not in done.stderr.decode()


def test_no_host_is_named(tmp_path: Path) -> None:
    env = {**environment(), "INCUS_REMOTE": "nowhere", "INCUS_CONF": str(tmp_path)}
    done = call("doctor", "--json", directory=tmp_path, env=env)
    tree = json.loads(done.stdout)
    assert done.returncode == 1
    [finding] = [it for it in tree["findings"] if it["subject"] == "host"]
    assert (finding["code"], finding["level"]) == ("connection", "error")
    assert "nowhere" in finding["text"]
    assert tree["version"] == 1
    assert tree["counts"]["error"] >= 1


def test_wrong_arguments(tmp_path: Path) -> None:
    for arguments in (["--socket=/x", "--remote=y"], ["--connect-timeout=0"], ["--type=box"]):
        assert call("doctor", *arguments, directory=tmp_path).returncode == 2


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("text", WHOLE)
def test_hostile_host(tmp_path: Path, text: str, as_json: bool) -> None:
    tree = {
        "auth": "trusted",
        "environment": {"server_version": text, "driver": text, "server_name": text},
    }
    path = tmp_path / "s"
    with serving(path, tree):
        done = call(
            *("doctor", "--socket", str(path), *(["--json"] if as_json else [])),
            directory=tmp_path,
        )
    shown = done.stdout.decode()
    assert done.returncode == 1
    assert wrong_in(shown) == []
    assert wrong_in(done.stderr.decode()) == []


def test_clock(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with serving(path, {"auth": "untrusted"}, late=3600.0):
        shown = call("doctor", "--socket", str(path), directory=tmp_path).stdout.decode()
    assert re.search(r"WARNING +this machine's clock is 3[56]\d\d s ahead of the host's", shown)
    assert re.search(r"ERROR .*does not trust this client", shown)


def test_silent_host_shows_progress(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        process = subprocess.Popen(
            argv("doctor", "--socket", str(path)),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == b"waiting for an answer: 2 s\n"
        finally:
            process.kill()
            process.wait()
            process.stderr.close() if process.stderr else None


def test_help_is_cheap(tmp_path: Path) -> None:
    program = (
        "import runpy, sys\n"
        "sys.argv = ['x', 'doctor', '--help']\n"
        "try:\n"
        "    runpy.run_module('pulumi_pika', run_name='__main__', alter_sys=True)\n"
        "finally:\n"
        "    print(sorted({'pulumi', 'pydantic', 'requests', 'yaml', 'grpc'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True
    )
    assert done.stdout.endswith(b"\n[]\n")
