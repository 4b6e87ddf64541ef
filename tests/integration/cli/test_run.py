"""Jobs through the command line, with a real daemon."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ...support.command_line import (
    DEFAULTS,
    Runner,
    argv,
    call,
    ended,
    first_line,
    heed_signals,
    until,
)
from ...support.proxy import (
    Answer,
    Forward,
    Proxy,
    Request,
    hold,
)

RED, YELLOW, DIM = "\x1b[31m", "\x1b[33m", "\x1b[2m"


def test_output_and_outputs(runner: Runner) -> None:
    runner.write(
        policies={**DEFAULTS, "output_collection": {"mode": "always", "artifact_globs": ["**"]}}
    )
    done = runner.run(
        "sh",
        "-c",
        'echo hello; echo made > /run/pika-cloud/artifacts/a.txt; echo "$0" "$1"',
        "two words",
        "$HOME",
        options=("--output-dir", "home"),
    )
    said = done.stderr.decode()
    assert done.returncode == 0, said
    # The arguments are as they were given; nothing expands them.
    assert done.stdout == b"hello\ntwo words $HOME\n"
    assert re.search(rf"^{runner.name}: completed in \d+\.\d s$", said, re.MULTILINE)
    home = runner.directory / "home"
    assert f"outputs in {home}: 2 files, 27 B\n" in said
    assert re.search(r"^  artifacts/a\.txt  5 B$", said, re.MULTILINE)
    assert (home / "artifacts" / "a.txt").read_text() == "made\n"
    assert (home / "output.log").read_bytes() == done.stdout
    assert "\x1b" not in said
    assert not runner.there


@pytest.mark.parametrize("code", [1, 7, 255])
def test_exit_code_is_the_commands(runner: Runner, code: int) -> None:
    done = runner.run("sh", "-c", f"echo before; exit {code}")
    assert done.returncode == code
    assert done.stdout == b"before\n"
    assert f"the command ended with exit code {code}" in done.stderr.decode()
    assert not runner.there


def test_result_file_that_disagrees(runner: Runner) -> None:
    result = json.dumps({"schema_version": 2, "status": "failed", "message": "by itself"})
    done = runner.run("sh", "-c", f"echo '{result}' > /run/pika-cloud/result.json")
    assert done.returncode == 1
    assert b"the result file contradicts that" in done.stderr
    # The exit code is not the command's own, so that it is said why even so.
    done = runner.run(
        "sh", "-c", f"echo '{result}' > /run/pika-cloud/result.json", options=("--quiet",)
    )
    assert done.returncode == 1
    assert b"by itself" in done.stderr


def test_output_is_the_same_bytes(runner: Runner) -> None:
    # Every byte, in an order with no end of a line at the end, and more than one read takes.
    table = "".join(f"\\{number:03o}" for number in range(256))
    script = (
        f"printf '{table}' > /t; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do cat /t /t > /u; "
        "mv /u /t; done; cat /t /t /t; printf '\\377end'"
    )
    done = runner.run("sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout == bytes(range(256)) * 2**12 * 3 + b"\xffend"


def test_quiet(runner: Runner) -> None:
    event = json.dumps({"seq": 1, "kind": "step", "message": "one"})
    script = f"echo '{event}' > /run/pika-cloud/events.jsonl; echo out; exit 3"
    done = runner.run("sh", "-c", script, options=("--quiet", "--output-dir", "home"))
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"")
    assert (runner.directory / "home" / "output.log").exists()


def test_json(runner: Runner) -> None:
    done = runner.run(
        "printf", "\\033[31mred\\r\\nend\\377", options=("--json", "--output-dir", "home")
    )
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert done.stdout.count(b"\n") == 1
    assert found["status"] == "completed"
    assert found["exit_code"] == 0
    assert found["attempts"] == 1
    assert found["collected_files"][0]["path"] == "output.log"
    assert found["collected_files"][0]["size"] == 14
    # The output is shown, and cannot command a terminal.
    said = done.stderr.decode()
    assert "\N{REPLACEMENT CHARACTER}[31mred\nend\N{REPLACEMENT CHARACTER}\n" in said
    assert "\x1b" not in said
    assert f"{runner.name}: completed" in said


def test_json_of_a_failed_job(runner: Runner) -> None:
    done = runner.run("sh", "-c", "exit 4", options=("--json", "--quiet"))
    assert done.returncode == 4
    assert json.loads(done.stdout)["exit_code"] == 4
    assert done.stderr == b""


def test_environment_and_user(runner: Runner) -> None:
    done = runner.run(
        "sh",
        "-c",
        'id -u; id -g; echo "$GIVEN|$TAKEN|$EMPTY|${OTHER-unset}"',
        options=(
            *("--user", "1234", "--env", "GIVEN=it's = so", "--env", "TAKEN", "--env", "EMPTY="),
        ),
        TAKEN="from here",
        OTHER="stays here",
    )
    assert done.stdout.decode() == "1234\n1234\nit's = so|from here||unset\n"
    done = runner.run("sh", "-c", "id -u; id -g", options=("--user", "12:34"))
    assert done.stdout.decode() == "12\n34\n"
    assert runner.run("id", "-u").stdout == b"0\n"


def test_time_limit(runner: Runner) -> None:
    # Without the limit it would last longer than the test waits.
    done = runner.run("sh", "-c", "echo begun; sleep 600", options=("--timeout", "3"))
    assert done.returncode == 124
    assert done.stdout == b"begun\n"
    assert b"timed out after" in done.stderr
    assert not runner.there


def test_image_that_is_not_there(runner: Runner) -> None:
    incus = {"project": "default", "profile": "default", "image_alias": "pika/none"}
    runner.write(incus=incus)
    done = runner.run("true")
    assert done.returncode == 125
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: incus.image_alias: image pika/none does not exist")


def test_output_directory_that_cannot_be(runner: Runner) -> None:
    (runner.directory / "file").write_text("")
    done = runner.run("true", options=("--output-dir", "file"))
    assert done.returncode == 125
    assert b"Traceback" not in done.stderr
    assert b"internal error in pulumi_pika" not in done.stderr
    assert not runner.there


def test_spec_by_standard_input_and_yaml(runner: Runner) -> None:
    runner.write()
    spec = (runner.directory / "spec.json").read_bytes()
    for file, stdin in (("-", spec), ("spec.yaml", b"")):
        (runner.directory / "spec.yaml").write_bytes(spec)  # JSON is YAML
        done = call(
            *("run", "--type", "container", file, "--", "cat"),
            directory=runner.directory,
            stdin=stdin,
            env=runner.environment,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == b""


def test_options_of_the_instance(runner: Runner) -> None:
    profile = f"{runner.name}-further"
    runner.sandbox.daemon.request("POST", "/profiles", {"name": profile})
    process = runner.begin(
        *("sh", "-c", "echo begun; sleep 60"),
        options=("--description", "what it is for", "--profile", profile),
    )
    try:
        assert first_line(process) == b"begun\n"
        found = runner.client.get(f"/1.0/instances/{runner.name}").data
        assert found["description"] == "what it is for"
        assert found["profiles"] == [profile, "default"]
    finally:
        process.send_signal(signal.SIGTERM)
        _output, said = ended(process)
        runner.sandbox.daemon.request("DELETE", f"/profiles/{profile}")
    assert process.returncode == 143, said


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_interruption_removes_the_instance(runner: Runner, number: int, code: int) -> None:
    process = runner.begin("sh", "-c", "echo begun; sleep 60")
    assert first_line(process) == b"begun\n"
    assert runner.there
    process.send_signal(number)
    _output, said = ended(process)
    assert process.returncode == code
    assert "interrupted: cleaning up" in said
    assert "Traceback" not in said
    assert not runner.there


def test_interruption_while_the_instance_is_made_leaves_none(
    runner: Runner, tmp_path: Path
) -> None:
    processes: list[subprocess.Popen[bytes]] = []

    def interrupt(request: Request, forward: Forward) -> Answer:
        # It goes on its way all the same, and gets there after the process looked for it.
        processes[0].send_signal(signal.SIGINT)
        time.sleep(0.3)
        return forward(request)

    with Proxy(runner.sandbox.socket, tmp_path / "proxy") as proxy:
        proxy.on("POST", "/1.0/instances", interrupt)
        process = subprocess.Popen(
            argv(*runner.arguments("sleep", "60")),
            cwd=runner.directory,
            env={**runner.environment, "INCUS_SOCKET": str(proxy.socket)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=heed_signals,
        )
        processes.append(process)
        ended(process)

    assert process.returncode == 130
    assert not runner.there


def test_single_word_is_a_text_for_the_shell(runner: Runner) -> None:
    done = runner.run("echo one; exit $((1 + 2))")
    assert done.returncode == 3
    assert done.stdout == b"one\n"


def test_signals_at_once_are_one(runner: Runner) -> None:
    process = runner.begin("sh", "-c", "echo begun; sleep 60")
    assert first_line(process) == b"begun\n"
    # Two of a kind could come as one. That of the lower number is handled first.
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _output, said = ended(process)
    assert process.returncode == 130
    assert "interrupted again" not in said
    assert not runner.there


def test_second_interruption_says_what_is_left(runner: Runner) -> None:
    go = threading.Event()
    with Proxy(runner.sandbox.socket, runner.directory / "p.socket") as proxy:
        # It makes the clean-up last.
        rule = proxy.on("PUT", "/1.0/instances/[^/]+/state", hold(go))
        process = runner.begin(
            *("sh", "-c", "echo begun; sleep 60"),
            options=("--socket", str(runner.directory / "p.socket")),
        )
        try:
            assert first_line(process) == b"begun\n"
            process.send_signal(signal.SIGINT)
            until(lambda: rule.applied)
            time.sleep(0.6)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _output, said = ended(process)
        finally:
            go.set()
    assert process.returncode == 130
    assert "interrupted again: the cleanup was not finished." in said
    assert f"`incus delete --force --project default {runner.name}`" in said
    assert "Traceback" not in said
    # What it says of the next run is so.
    done = runner.run("echo", "once more")
    assert done.stdout == b"once more\n", done.stderr
    assert not runner.there


def test_ignored_interruption_stays_ignored(runner: Runner) -> None:
    """As of what a shell runs in the background."""
    runner.write()
    command = " ".join(argv(*runner.arguments("sh", "-c", "'echo begun; sleep 2; echo end'")))
    process = subprocess.Popen(
        ["sh", "-c", f"trap '' INT; exec {command}"],
        cwd=runner.directory,
        env=runner.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert first_line(process) == b"begun\n"
    process.send_signal(signal.SIGINT)
    output, said = ended(process)
    assert (process.returncode, output) == (0, b"end\n"), said


def test_closed_standard_output_ends_it(runner: Runner) -> None:
    process = runner.begin("sh", "-c", "while true; do echo line; sleep 0.1; done")
    assert first_line(process) == b"line\n"
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _output, said = ended(process)
    assert process.returncode == 141
    assert "the reader of standard output ended" in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert not runner.there


def test_standard_output_that_was_never_open(runner: Runner) -> None:
    """Nothing else may get its number: what is written to it would go there."""
    command = " ".join(argv(*runner.arguments("echo", "hello", options=("--output-dir", "home"))))
    done = subprocess.run(
        ["sh", "-c", f"{command} <&- >&-"],
        cwd=runner.directory,
        env=runner.environment,
        stderr=subprocess.PIPE,
    )
    assert done.returncode == 0, done.stderr
    assert (runner.directory / "home" / "output.log").read_bytes() == b"hello\n"


def test_full_standard_output(runner: Runner) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            argv(*runner.arguments("echo", "hello")),
            cwd=runner.directory,
            env=runner.environment,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 125
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not runner.there


def test_progress_without_a_terminal(runner: Runner) -> None:
    done = runner.run("sh", "-c", "sleep 6.5; echo end")
    lines = [line for line in done.stderr.decode().splitlines() if "running" in line]
    assert lines, done.stderr.decode()
    said = [
        re.fullmatch(
            rf"{runner.name}: running, (\d+) of 3600 s, 0 B of output(; silent for \d+ s)?", line
        )
        for line in lines
    ]
    elapsed = [int(it[1]) for it in said if it]
    assert len(elapsed) == len(lines), lines
    # Every five seconds of the whole, or later on a machine that is busy; never sooner.
    assert all(later - sooner >= 5 - 1 for sooner, later in pairwise(elapsed)), lines


def on_terminal(
    runner: Runner, *command: str, options: tuple[str, ...] = (), stdout_too: bool, **more: str
) -> tuple[int, str, bytes]:
    """Runs it with a terminal as its standard error; the exit code, and what both show."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            argv(*runner.arguments(*command, options=options)),
            cwd=runner.directory,
            env={**runner.environment, "TERM": "xterm", **more},
            stdin=subprocess.DEVNULL,
            stdout=theirs if stdout_too else subprocess.PIPE,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other end was closed (EIO)
                break
            if not data:
                break
            shown += data
    finally:
        os.close(ours)
    output, _ = process.communicate(timeout=60)
    return process.returncode, shown.decode().replace("\r\n", "\n"), output or b""


def test_status_line(runner: Runner) -> None:
    event = json.dumps({"seq": 1, "kind": "step", "message": "one \x1b[31m"})
    script = f"echo '{event}' > /run/pika-cloud/events.jsonl; sleep 3; echo out; exit 3"
    code, shown, output = on_terminal(runner, "sh", "-c", script, stdout_too=False)
    assert (code, output) == (3, b"out\n")
    assert f"{DIM}{runner.name}: starting\x1b[0m" in shown
    event_line = rf"{runner.name}: \[\d s\] step: one \N{{REPLACEMENT CHARACTER}}\[31m\n"
    assert re.search(event_line, shown), shown
    drawn = re.findall(r"\r\x1b\[K\x1b\[2m([^\x1b]*)\x1b\[0m", shown)
    assert any(re.search(r"running, [1-9] of 3600 s, 0 B of output", line) for line in drawn), shown
    # Drawn over: none of it is a line, and nothing of it is left below the last one.
    assert "running" not in "".join(screen_of(shown))
    assert screen_of(shown)[-1] == ""
    assert f"{RED}{runner.name}: failed after" in shown


def test_status_line_and_output_on_one_terminal(runner: Runner) -> None:
    script = "printf 'part '; sleep 2.2; echo whole; sleep 3"
    code, shown, _ = on_terminal(runner, "sh", "-c", script, stdout_too=True)
    assert code == 0
    assert "part whole\n" in shown, "something came into the midst of the line"
    assert f"{DIM}{runner.name}: running" in shown
    assert screen_of(shown)[0] == "part whole"


def test_long_status_line_is_cut(runner: Runner) -> None:
    long = runner.name + "-" + "x" * (62 - len(runner.name))
    narrow = Runner(runner.directory, runner.sandbox, runner.client, long)
    code, shown, _ = on_terminal(narrow, "sleep", "3", stdout_too=False)
    assert code == 0
    drawn = re.findall(r"\x1b\[2m([^\x1b]*)\x1b\[0m", shown)
    assert max(map(len, drawn)) == 79
    assert f"{long}: completed in" in shown


@pytest.mark.parametrize(
    ("more", "options"),
    [({"NO_COLOR": "1"}, ()), ({"TERM": "dumb"}, ()), ({}, ("--quiet",))],
)
def test_terminals_without_colours(
    runner: Runner, more: dict[str, Any], options: tuple[str, ...]
) -> None:
    code, shown, _ = on_terminal(
        runner, "sh", "-c", "sleep 1.5; exit 3", options=options, stdout_too=False, **more
    )
    assert code == 3
    assert "m" not in re.findall(r"\x1b\[[0-9;]*(.)", shown), "colours"
    if "TERM" in more or options:
        assert "\x1b" not in shown
    if options:
        assert shown == ""
    else:
        assert f"{runner.name}: failed after" in shown


def screen_of(shown: str) -> list[str]:
    """The lines that a terminal has at the end, of what was sent to it."""
    lines = [""]
    for part in re.split(r"(\n|\r\x1b\[K|\x1b\[[0-9;]*m)", shown):
        if part == "\n":
            lines.append("")
        elif part == "\r\x1b[K":
            lines[-1] = ""
        elif not part.startswith("\x1b["):
            lines[-1] += part
    return lines


def test_much_output_takes_little_memory(runner: Runner) -> None:
    """What is passed on is not kept."""
    process = runner.begin("sh", "-c", "head -c 209715200 /dev/zero", options=("--quiet",))
    assert process.stdout is not None
    taken, most = 0, 0
    while data := process.stdout.read(4 * 1024 * 1024):
        taken += len(data)
        status = Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        most = max(most, int(found.group(1)) if found else 0)
    _output, said = ended(process)
    assert process.returncode == 0, said
    assert taken == 209715200
    assert most
    assert most < 200 * 1024, f"{most} KiB"
    until(lambda: not runner.there)
