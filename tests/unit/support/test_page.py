"""The reader of pages sees what a sample says, and refuses what nobody would run."""

from pathlib import Path

import pytest

from ...support.docs.page import BadPage, parse
from ...support.docs.shell import Shell, prints_as_said


def test_steps_of_a_page() -> None:
    page = parse(
        "text\n\n<!-- test: run mkdir x -->\n\n"
        '```python title="a.py"\nx\n```\n\n'
        "<!-- test: exit 2 -->\n\n```console\n$ one \\\n> more\nsaid\n$ two\n```\n\n"
        "<!-- test: preview -->\n\n```python\nimport pulumi\n```\n\n"
        "<!-- test: not run: no such forge -->\n\n```console\n$ never\n```\n\n"
        "```text\nno code\n```\n"
    )
    assert [step.kind for step in page.steps] == ["commands", "file", "commands", "program"]
    one, two = page.steps[2].commands
    assert (one.text, one.prints, one.line, one.ends) == ("one \\\nmore", "said", 12, 0)
    assert (two.text, two.prints, two.ends) == ("two", None, 2)
    assert page.steps[3].only_preview
    assert page.not_run == ("line 26: no such forge",)


@pytest.mark.parametrize(
    "text",
    [
        "```\nls\n```\n",
        "```sh\nls\n```\n",
        "text\n\n    indented\n",
        "```console\noutput of nothing\n```\n",
        "<!-- test: frobnicate -->\n",
        "<!-- test: exit 1 -->\n\n```text\nx\n```\n",
        "<!-- test: exit 1 -->\n",
    ],
)
def test_what_nobody_would_run_is_refused(text: str) -> None:
    with pytest.raises(BadPage):
        parse(text)


@pytest.mark.parametrize(
    ("said", "printed", "as_said"),
    [
        ("one\ntwo", "\none\ntwo\n", True),
        ("one", "one\ntwo", False),
        ("one\n[...]", "one\ntwo\nthree", True),
        ("[...]\nthree", "one\ntwo\nthree", True),
        ("[...]\ntwo", "one\ntwo\nthree", False),
        ("in [...] s", "in 1.2 s", True),
        ("in [...] s", "in 1.2\ns", False),
        ("one\n[...]\ntwo", "one\ntwo", True),
        ("a.c", "abc", False),
    ],
)
def test_what_is_printed_is_what_is_said(said: str, printed: str, as_said: bool) -> None:
    assert prints_as_said(said, printed) is as_said


def test_shell_lasts(tmp_path: Path) -> None:
    with Shell(tmp_path, {"PATH": "/usr/bin:/bin"}) as shell:
        assert shell.run("mkdir -p a/b; cd a/b; export X='1 2'") == ("", 0)
        assert shell.run('echo "$X"; pwd; cat') == (f"1 2\n{tmp_path}/a/b\n", 0)
        assert shell.run("echo wrong >&2; false") == ("wrong\n", 1)
        assert shell.say("is $X") == "is 1 2"
        with pytest.raises(AssertionError, match="ended the shell"):
            shell.run("exit 3")
