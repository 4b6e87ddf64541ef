"""The command line without a daemon: help, arguments, and what is wrong with a spec."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika import __version__
from pulumi_pika.__main__ import main
from pulumi_pika.cli.job_execution import exit_code
from pulumi_pika.jobs.job_run import JobOutcome

from ...support.command_line import (
    argv,
    call,
    environment,
    heed_signals,
    spec_of,
)

NO_DAEMON = ("--socket", "/nowhere/unix.socket")


def refused(directory: Path, *arguments: str, stdin: bytes = b"") -> str:
    done = call("run", *arguments, "--", "true", directory=directory, stdin=stdin)
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert done.stdout == b""
    assert "Traceback" not in said
    return said


def write(directory: Path, text: str, name: str = "spec.json") -> str:
    (directory / name).write_text(text)
    return name


def problems(said: str) -> dict[str, str]:
    """The problems by property or option. Those of the spec have their place in the file."""
    lines = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert f": {len(lines)} problem" in said.splitlines()[0]
    found = {}
    for line in lines:
        parts = re.fullmatch(r"(spec\.\w+:\d+:\d+: )?(\S+): (.*)", line)
        assert parts is not None, line
        assert bool(parts[1]) != parts[2].startswith("--"), line
        found[parts[2]] = parts[3]
    return found


def test_help_is_cheap(tmp_path: Path) -> None:
    # The same process, so that what it imported can be asked.
    program = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_module('pulumi_pika', run_name='__main__', alter_sys=True)\n"
        "finally:\n"
        "    print(sorted({'pulumi', 'pydantic', 'requests', 'yaml', 'grpc'} & set(sys.modules)))\n"
    )
    for arguments in (["--help"], ["run", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage: python -m pulumi_pika")
        assert done.stdout.endswith("\n[]\n"), "it imported what it does not need"


def test_help_names_every_option(tmp_path: Path) -> None:
    shown = call("run", "--help", directory=tmp_path).stdout.decode()
    assert shown.startswith("usage: python -m pulumi_pika run [OPTION...] SPEC -- COMMAND")
    for option in ("--timeout", "--user", "--env", "--output-dir", "--remote", "--json", "--quiet"):
        assert option in shown
    for code in ("124", "125", "130", "143", "141"):
        assert code in shown


def test_version(tmp_path: Path) -> None:
    assert call("--version", directory=tmp_path).stdout.decode() == f"pulumi_pika {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["fly"], "'fly'"),
        (["run"], "SPEC"),
        (["run", "spec.json"], "the command is missing: put it after `--`"),
        (["run", "spec.json", "--"], "the command is missing: put it after `--`"),
        (["run", "spec.json", "true"], "unrecognized arguments: true"),
        (["run", "--tim", "3", "spec.json", "--", "true"], "--tim"),
        (["run", "--timeout", "soon", "spec.json", "--", "true"], "--timeout: invalid int"),
        (["run", "--user", "me", "spec.json", "--", "true"], "'me' is not UID or UID:GID"),
        (["run", "--user", "1:", "spec.json", "--", "true"], "'1:' is not UID or UID:GID"),
        (["run", "--type", "jail", "spec.json", "--", "true"], "'jail'"),
        (["run", "--remote", "a", "--socket", "b", "s", "--", "true"], "not allowed with"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = call(*arguments, directory=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("module", "function", "arguments", "code"),
    [
        ("plan_command", "_run", ["plan", "spec.json"], 2),
        ("import_command", "_run", ["import"], 2),
        ("report_command", "_run", ["report"], 2),
        ("job_execution", "read_spec", ["run", "spec.json", "--", "true"], 125),
    ],
)
def test_fault_of_our_own_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    module: str,
    function: str,
    arguments: list[str],
    code: int,
) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError("what nobody foresaw")

    monkeypatch.setattr(import_module(f"pulumi_pika.cli.{module}"), function, fault)

    assert main(arguments) == code

    output, said = capfd.readouterr()
    assert output == ""
    (line,) = said.splitlines()
    assert line.startswith("error: internal error in pulumi_pika (ZeroDivisionError at ")
    assert "what nobody foresaw" in line


@pytest.mark.parametrize(
    ("arguments", "standard_input"),
    [
        (["plan", "spec.json"], None),
        (["plan", "--json", "[]"], None),
        (["report", "-"], b'{"steps": [], "duration": 1}'),
    ],
)
def test_closed_output_is_an_exit_code(
    tmp_path: Path, arguments: list[str], standard_input: bytes | None
) -> None:
    write(tmp_path, json.dumps(spec_of("fine")))
    write(tmp_path, "[]", "[]")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        argv(*arguments),
        cwd=tmp_path,
        env=environment(),
        input=standard_input or b"",
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["plan", "report"])
def test_every_command_can_be_interrupted(tmp_path: Path, command: str, number: int) -> None:
    process = subprocess.Popen(
        argv(command, "-"),
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_signals,
    )
    # Python ends by SIGINT itself if an interruption hits code that an import compiles.
    deadline = time.monotonic() + 60
    while not _reads_standard_input(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    output, said = process.communicate(timeout=60)
    assert (process.returncode, output, said) == (128 + number, b"", b"interrupted\n")


def _reads_standard_input(pid: int) -> bool:
    """Whether a process waits in read(2) of its descriptor 0 (proc(5), syscall)."""
    number, *arguments = Path(f"/proc/{pid}/syscall").read_text().split()
    return number in ("0", "63") and arguments[:1] == ["0x0"]


def test_spec_that_cannot_be_read(tmp_path: Path) -> None:
    assert refused(tmp_path, "no.json") == (
        "error: could not read no.json: No such file or directory\n"
    )
    assert "Is a directory" in refused(tmp_path, str(tmp_path))
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    assert "it is not UTF-8 text (byte 7)" in refused(tmp_path, "latin.json")
    assert "more than 4,194,304 bytes" in refused(tmp_path, "/dev/zero")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "identity": {,}\n}', "line 2, column 16: "),
        ("", "is not a valid JSON file: line 1, column 1: expecting value"),
        ("[]", "it contains a list, not an object"),
        ("null", "it contains nothing, not an object"),
        ("3", "it contains a number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"metadata": ' + '{"a": ' * 200 + "1" + "}" * 201, "nested too deeply"),
        ("9" * 5000, "is not a valid JSON file"),
    ],
)
def test_no_json(tmp_path: Path, text: str, said: str) -> None:
    shown = refused(tmp_path, write(tmp_path, text))
    assert shown.startswith("error: `spec.json` is not a valid ")
    assert said in shown
    assert len(shown.splitlines()) == 1


def test_no_yaml(tmp_path: Path) -> None:
    shown = refused(tmp_path, write(tmp_path, "a: b\nc: [1\n", "spec.yaml"))
    assert "is not a valid YAML file: line 3, column 1: " in shown
    shown = refused(tmp_path, write(tmp_path, "a: 2024-13-45\n", "spec.yml"))
    assert "is not a valid YAML file: month must be in 1..12" in shown
    shown = refused(tmp_path, write(tmp_path, "labels:\n  1: x\n", "spec.yml"))
    assert "the key 1 in labels is not a string" in shown
    shown = refused(tmp_path, write(tmp_path, "metadata: &a\n  again: *a\n", "spec.yml"))
    assert "nested too deeply" in shown
    laughs = "metadata:\n  a0: &a0 [x]\n" + "".join(
        f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    assert "more than 100,000 values" in refused(tmp_path, write(tmp_path, laughs, "spec.yml"))
    shown = refused(tmp_path, write(tmp_path, "identity:\n  runtime_id: a\n", "spec.cfg"))
    assert "the name of a YAML file must end with .yaml or .yml" in shown


def test_all_problems_at_once(tmp_path: Path) -> None:
    spec = spec_of(
        "fine",
        provider="docker",
        resource={},
        mounts=[
            {"kind": "cache", "source": "", "guest_path": "/x", "mode": "read_only"},
            {"kind": "cash", "source": "a", "guest_path": "y", "mode": "read_only"},
        ],
        labels={"a.b": 3},
    )
    spec["identity"] = {"runtime_id": 3, "instance_nam": "x"}
    options = [
        *("--timeout", "0", "--exec-within", "-1", "--max-attempts", "101"),
        *("--env", "1X=2", "--user", "5000000000", "--storage-pool", "a/b"),
    ]
    found = problems(refused(tmp_path, *options, write(tmp_path, json.dumps(spec))))
    assert set(found) == {
        "provider",
        "resource",
        "identity.runtime_id",
        "identity.instance_name",
        "identity.instance_nam",
        "mounts[0].source",
        "mounts[1].kind",
        "mounts[1].guest_path",
        'labels["a.b"]',
        "--timeout",
        "--exec-within",
        "--max-attempts",
        "--env",
        "--user",
        "--storage-pool",
    }
    assert found["resource"] == "is not an argument; did you mean `resources`?"
    assert found["provider"] == "must be one of 'incus'"
    assert found["identity.instance_name"] == "is required"
    assert found["--timeout"] == "must be at least 1"


def test_problems_are_said_once_each(tmp_path: Path) -> None:
    spec = spec_of("not a name", lifecycle_root="/run/other")
    said = refused(
        tmp_path,
        "--user",
        "5000000000",
        *("--env", "1X=2"),
        *("--env", "PIKA_NOT_SET"),
        write(tmp_path, json.dumps(spec)),
    )
    lines = said.splitlines()[1:]
    assert len(lines) == len(set(lines))
    places = [re.sub(r"^\s*(spec\.json:\d+:\d+: )?", "", line).split(": ")[0] for line in lines]
    assert places.count("--user") == 1
    assert places.count("--env") == 2
    assert places.count("identity.instance_name") == 1
    assert "lifecycle_root" in places


DOUBLED = """\
identity: {runtime_id: a, instance_name: fine}
incus: {project: default, profile: default, image_alias: a}
incus: {project: other, profile: default, image_alias: a}
description: the file has none
labels: {a: 3}
"""


def test_the_problems_of_a_file_are_those_that_plan_tells(tmp_path: Path) -> None:
    file = write(tmp_path, DOUBLED, "spec.yaml")
    said = refused(tmp_path, "--timeout", "0", file)
    assert "  spec.yaml:3:1: incus: is a duplicate key; first in line 2, column 1\n" in said
    assert "  spec.yaml:4:1: description: is not an argument" in said
    assert "  spec.yaml:5:13: labels.a: must be a string\n" in said
    assert said.endswith("  --timeout: must be at least 1\n")
    assert said.startswith("error: spec.yaml: 4 problems\n")

    planned = call("plan", file, directory=tmp_path)
    assert planned.returncode == 2
    lines = planned.stderr.decode().splitlines()
    assert lines[1:] == said.splitlines()[1:4]


def test_control_characters_of_a_spec_do_not_reach_the_terminal(tmp_path: Path) -> None:
    said = refused(tmp_path, write(tmp_path, json.dumps(spec_of("\x1b[31mred"))))
    assert "\x1b" not in said
    assert "[31mred" in said


@pytest.mark.parametrize("way", ["json", "yaml", "standard input", "descriptor"])
def test_a_good_spec_gets_as_far_as_the_host(tmp_path: Path, way: str) -> None:
    spec = json.dumps(spec_of("fine"))
    files = {
        "json": write(tmp_path, spec),
        "yaml": write(
            tmp_path,
            "identity: {runtime_id: a, instance_name: fine}\n"
            "incus: {project: default, profile: default, image_alias: none}\n",
            "spec.YAML",
        ),
        "standard input": "-",
        "descriptor": "/dev/stdin",
    }
    done = call(
        "run", *NO_DAEMON, files[way], "--", "true", directory=tmp_path, stdin=spec.encode()
    )
    assert done.returncode == 125, done.stderr
    assert b"/nowhere/unix.socket" in done.stderr
    assert b"Traceback" not in done.stderr


def test_host_that_is_not_there(tmp_path: Path) -> None:
    file = write(tmp_path, json.dumps(spec_of("fine")))
    done = call("run", "--remote", "elsewhere", file, "--", "true", directory=tmp_path)
    assert done.returncode == 125
    assert done.stderr.startswith(b"error: remote 'elsewhere' does not exist in ")
    assert len(done.stderr.splitlines()) == 1


def test_closed_standard_input(tmp_path: Path) -> None:
    command = " ".join(argv("run", "-", "--", "true"))
    done = subprocess.run(
        ["sh", "-c", f"{command} <&-"], cwd=tmp_path, env=environment(), capture_output=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ")
    assert b"standard input" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("completed", 0, 0),
        ("completed", None, 0),
        ("failed", 7, 7),
        ("failed", 255, 255),
        ("failed", 256, 1),
        ("failed", -1, 1),
        ("failed", 0, 1),
        ("failed", None, 1),
        ("timed_out", 143, 124),
        ("timed_out", None, 124),
        ("lost", None, 125),
        ("lost", 3, 125),
    ],
)
def test_exit_codes(status: Any, code: int | None, expected: int) -> None:
    assert exit_code(JobOutcome(status, code, "", 1.0, "", 1)) == expected
