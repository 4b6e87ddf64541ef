"""The command as a user runs it."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.cli import report_command as command
from pulumi_pika.report.gate import CONDITIONS
from pulumi_pika.report.markdown import FEWEST_CHARS, MOST_CHARS
from pulumi_pika.report.report_model import Report, schema
from pulumi_pika.report.terminal import terminal

from ...support.previews import (
    NAMES,
    PREVIEWS,
    ROOT,
    call,
    environment,
    of_tree,
    recorded,
)

REPLACE = str(PREVIEWS / "replace.json")


def test_formats() -> None:
    piped = call(stdin=recorded("replace"))
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert piped.stdout.startswith(b"<!-- pulumi_pika report: pika-test/test -->\n")
    assert call("-", stdin=recorded("replace")).stdout == piped.stdout
    assert call(REPLACE).stdout == piped.stdout
    assert call(REPLACE, "--format", "markdown").stdout == piped.stdout
    shown = call(REPLACE, "--format", "terminal").stdout
    assert shown.startswith(b"Preview of pika-test/test\n2 to replace, 6 unchanged\n")
    assert b"\x1b" not in shown
    made = Report.model_validate_json(call(REPLACE, "--format", "json").stdout)
    assert [change.name for change in made.changes] == ["db", "web"]


def test_title() -> None:
    assert b"\n### Ours &#38; theirs\n" in call(REPLACE, "--title", "Ours & theirs").stdout
    shown = call(REPLACE, "--title", "Ours & theirs", "--format", "terminal").stdout
    assert shown.startswith(b"Ours & theirs\n")


def test_output(tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    done = call(REPLACE, "--output", str(file), "--fail-on", "delete-data")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"gate failed: delete-data\n"
    assert "- data is deleted (delete-data): db\n" in file.read_text()
    done = call(REPLACE, "--output", str(tmp_path / "no" / "report.md"))
    assert done.returncode == 2
    assert b"error: could not write " in done.stderr
    assert done.stderr.endswith(b": No such file or directory\n")


@pytest.mark.parametrize(
    ("name", "fail_on", "code"),
    [
        ("replace", "delete,restart,errors", 0),
        ("replace", "delete, replace", 1),
        ("replace", "delete-data", 1),
        ("delete", "delete", 1),
        ("restart", "restart", 1),
        ("restart", "replace,delete,delete-data,errors", 0),
        ("finding", "warnings", 1),
        ("update", "any-change", 1),
        ("update", "warnings,errors,delete,replace,restart,delete-data", 0),
        ("invalid", "errors", 1),
        ("invalid", "any-change", 0),
        ("job", "delete", 0),
        ("same", ",".join(CONDITIONS), 0),
        ("sames", ",".join(CONDITIONS), 0),
    ],
)
def test_gate(name: str, fail_on: str, code: int) -> None:
    done = call(str(PREVIEWS / f"{name}.json"), "--fail-on", fail_on)
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(b"<!-- pulumi_pika report"), "the report is written all the same"
    assert (b"Gate failed" in done.stdout) == (code == 1)
    assert done.stderr.startswith(b"gate failed: ") == (code == 1)


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ((), b"", "`standard input` is not a valid preview: it is empty"),
        ((), b"Previewing update (dev):\n", "run `pulumi preview` with --json"),
        ((), b"{}", "`standard input` is not a valid preview: it is JSON, but has neither"),
        ((), b"\xff\xfe", "`standard input` is not a valid preview: it is not UTF-8 text (byte 0)"),
        (("/nowhere/p.json",), b"", "could not read /nowhere/p.json: No such file"),
        ((".",), b"", "could not read .: Is a directory"),
        (("\x1b[31m",), b"", "could not read"),
        (
            ("--fail-on", "replaced"),
            b"",
            "'replaced' is not a valid condition: use replace, delete",
        ),
        (("--max-chars", "10"), b"", "'10' is not an integer of at least 1000"),
        (("--format", "html"), b"", "invalid choice: 'html'"),
        (("a", "b"), b"", "unrecognized arguments: b"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], stdin: bytes, said: str) -> None:
    done = call(*arguments, stdin=stdin)
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in text
    assert "Traceback" not in text
    assert "\x1b" not in text


def test_closed_output_is_no_traceback() -> None:
    text = " ".join([sys.executable, "-m", "pulumi_pika", "report", REPLACE])
    done = subprocess.run(
        ["sh", "-c", f"{text} >/dev/full"], env=environment(), capture_output=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith(
        b"error: could not write to standard output: No space left on device. "
    )


def on_terminal(*arguments: str, **env: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pulumi_pika", "report", *arguments],
        env=environment(TERM="xterm", **env),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # the other end was closed (EIO)
        pass
    os.close(ours)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def test_terminal() -> None:
    shown = on_terminal(REPLACE)
    assert "\x1b[31m! deletes data\x1b[0m db: with all its data: volume db-state\n" in shown
    assert "\x1b[35mreplace runtime web\x1b[0m: incus.image_alias\n" in shown
    without = on_terminal(REPLACE, NO_COLOR="1")
    assert "\x1b" not in without
    assert re.sub(r"\x1b\[\d+m", "", shown) == without
    assert on_terminal(REPLACE, "--format", "markdown").startswith("<!--")


def test_tables_of_the_terminal_are_aligned() -> None:
    shown = call(str(PREVIEWS / "update.json"), "--format", "terminal").stdout.decode()
    lines = shown.splitlines()
    head = next(line for line in lines if line.startswith("  device "))
    rows = [line for line in lines if line.startswith("  pk-")]
    assert len(rows) == 3
    for column in ("kind", "source -> guest path", "mode"):
        at = head.index(column)
        assert all(row[at - 1] == " " and row[at] != " " for row in rows), column
    assert "  memory        64 MiB -> 96 MiB" in lines


def test_names_cannot_command_the_terminal() -> None:
    text = recorded("restart").replace("security.nesting", "\\u001b]0;title\\u0007\\u202ex")
    shown = call("--format", "terminal", stdin=text).stdout.decode()
    assert "title" in shown
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", shown)


def with_everywhere(value: Any, odd: str) -> Any:
    """The tree with a text added to every text in it, and to keys that a program may choose."""
    if isinstance(value, dict):
        return {
            (f"{key}{odd}" if key in CHOSEN else key): with_everywhere(item, odd)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [with_everywhere(item, odd) for item in value]
    return f"{value}{odd}" if isinstance(value, str) else value


CHOSEN = ("create", "update", "same", "replace", "delete", "security.nesting")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("colours", [False, True])
def test_nothing_of_others_commands_the_terminal(name: str, colours: bool) -> None:
    odd = "\x1b[2J\x1b]0;OWNED\x07\u202e\u200b\nForged: line"
    tree = json.loads(recorded(name))
    made = with_everywhere(tree, odd)
    # What decides on the step has to be as it is, for there to be a report.
    for one, other in zip(made["steps"], tree["steps"], strict=True):
        one["op"] = other["op"]
    for one, other in zip(
        made.get("diagnostics") or [], tree.get("diagnostics") or [], strict=True
    ):
        one["severity"] = other["severity"]
    # An operation that the summary counts has its steps; these are of another package.
    urn = "urn:pulumi:test::pika-test::random:index:Id::name"
    for op, count in (made.get("changeSummary") or {}).items():
        made["steps"] += [{"op": op, "urn": urn}] * count
    text = terminal(of_tree(made), title=f"x{odd}", colours=colours)
    if colours:
        text = re.sub("\x1b\\[(?:0|1|2|31|32|33|35)m", "", text)
    assert "OWNED" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u200b]", text)
    assert not any(line.strip().startswith("Forged") for line in text.splitlines())


def test_published_schema_is_current() -> None:
    """To write it again: see the end of docs/report.md."""
    file = ROOT / "pulumi_pika" / "report" / "schema" / "report.schema.json"
    assert json.loads(file.read_text()) == schema()


def test_schema_fits_what_is_written() -> None:
    """Without a validator at hand: the required names are those that are there."""
    parts = schema()["$defs"]
    for name in NAMES:
        tree = json.loads(call(str(PREVIEWS / f"{name}.json"), "--format", "json").stdout)
        assert set(tree) == set(schema()["required"])
        for change in tree["changes"]:
            assert set(change) == set(parts["Change"]["required"])
            for value in change["values"]:
                assert set(value) == set(parts["Value"]["required"])


def test_what_the_command_says_twice() -> None:
    assert command._CONDITIONS == CONDITIONS
    shown = call("--help").stdout.decode()
    assert all(f"\n  {name}" in shown for name in CONDITIONS)
    assert str(MOST_CHARS) in shown
    assert str(FEWEST_CHARS) in shown


def test_the_report_needs_neither_pulumi_nor_a_client() -> None:
    program = (
        "import sys\n"
        "from pulumi_pika.__main__ import main\n"
        f"main(['report', {REPLACE!r}, '--output', '/dev/null'])\n"
        "main(['report', '--format', 'json', '--output', '/dev/null', " + repr(REPLACE) + "])\n"
        "print(sorted({'pulumi', 'requests', 'grpc', 'yaml'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
