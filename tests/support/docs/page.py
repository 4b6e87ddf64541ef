"""A page of the documentation as steps: what its samples, and the comments between them, say to do.

A sample is a fenced block, and does what its language says:

- `console`: lines that begin with `$ ` are commands of one shell that lasts as long as the page
  (`> ` goes on with one). What stands below is what they print; `[...]` stands for anything, alone
  on a line for any lines. A command with nothing below may print what it likes.
- with `title="PATH"`: a file, written there.
- `python` without a title: a whole Pulumi program, which is brought up, and has no change after.
- `json`, `yaml`, `toml` without a title: well-formed.
- `text`, `mermaid`, `markdown`: no code.

HTML comments that begin with `test:` are steps, too, and do not show on the page:

- `run COMMANDS`: done in the shell.
- `exit N`: the last command of the next block ends with N.
- `preview`: the next program is only previewed.
- `stands A for B`: A in what follows is B, in which the shell's variables are filled in.
- `remote NAME`, `cluster NAME`: there is another host, named by variables; see `session.py`.
- `page PATH`: all that another page says, which continues this one.
- `not run: WHY`: the next block cannot be run here.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROSE: Final = ("text", "mermaid", "markdown")
DATA: Final = ("json", "yaml", "toml")
_DIRECTIVE: Final = re.compile(r"<!--\s*test:\s*(.*?)\s*-->", re.DOTALL)
_TITLE: Final = re.compile(r'title="([^"]+)"')
_NOT_RUN: Final = "not run:"


class BadPage(AssertionError):
    """The page has a sample that cannot be understood; where, and why."""


@dataclass(frozen=True)
class Command:
    """A command of a shell, and what it is to print; None where that does not matter."""

    text: str
    prints: str | None
    line: int
    ends: int = 0


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        kind: `commands`, `file`, `program`, `data`, `stands`, `host`, `page`.
        line: where it begins.
        text: the block's own text, or the directive's argument.
        name: the file's path, the data's language, or the host's kind.
        commands: of `commands`.
        only_preview: of a program.
    """

    kind: str
    line: int
    text: str
    name: str = ""
    commands: tuple[Command, ...] = field(default=())
    only_preview: bool = False


@dataclass(frozen=True)
class Page:
    """The steps of a page, and what it says is not run, with the reasons."""

    steps: tuple[Step, ...]
    not_run: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Whether there is anything to do but to look."""
        return any(step.kind in ("commands", "program", "host", "data") for step in self.steps)


def read_page(path: Path) -> Page:
    """Reads a page.

    Raises:
        BadPage: a sample has no language, or one that nobody knows how to run.
    """
    return parse(path.read_text())


def parse(text: str) -> Page:
    """As `read_page`, of its text."""
    steps: list[Step] = []
    not_run: list[str] = []
    said: dict[str, str] = {}
    for token in MarkdownIt().parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            for match in _DIRECTIVE.finditer(token.content):
                steps += _directive(match[1], line, said)
        elif token.type == "code_block":
            raise BadPage(f"line {line}: an indented block; fence it, and say its language")
        elif token.type == "fence":
            if why := said.pop(_NOT_RUN, ""):
                not_run.append(f"line {line}: {why}")
            else:
                steps += _sample(token, line, said)
            if said:
                raise BadPage(f"line {line}: {', '.join(said)} does not fit this block")
    if said:
        raise BadPage(f"{', '.join(said)} is followed by no block")
    return Page(tuple(steps), tuple(not_run))


def _directive(text: str, line: int, said: dict[str, str]) -> Iterator[Step]:
    word, _, rest = text.partition(" ")
    rest = rest.strip()
    if text.startswith(_NOT_RUN):
        said[_NOT_RUN] = text.removeprefix(_NOT_RUN).strip() or "no reason"
    elif word in ("exit", "preview"):
        said[word] = rest
    elif word == "run":
        yield Step("commands", line, rest, commands=(Command(rest, None, line),))
    elif word in ("stands", "page"):
        yield Step(word, line, rest)
    elif word in ("remote", "cluster"):
        yield Step("host", line, rest, name=word)
    else:
        raise BadPage(f"line {line}: no such step: {text}")


def _sample(token: Token, line: int, said: dict[str, str]) -> Iterator[Step]:
    language, _, more = token.info.strip().partition(" ")
    title = _TITLE.search(more)
    if title is not None:
        yield Step("file", line, token.content, name=title[1])
    elif language == "console":
        commands = tuple(_commands(token.content, line + 1, int(said.pop("exit", 0))))
        yield Step("commands", line, token.content, commands=commands)
    elif language == "python":
        only_preview = said.pop("preview", None) is not None
        yield Step("program", line, token.content, only_preview=only_preview)
    elif language in DATA:
        yield Step("data", line, token.content, name=language)
    elif language not in PROSE:
        raise BadPage(f"line {line}: nobody knows how to run `{language}`")


def _commands(text: str, line: int, ends: int) -> Iterator[Command]:
    found: list[tuple[str, list[str], int]] = []
    for number, row in enumerate(text.splitlines(), line):
        if row.startswith("$ "):
            found.append((row[2:], [], number))
        elif not found:
            raise BadPage(f"line {number}: a console begins with a command, after `$ `")
        elif row.startswith("> ") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{row[2:]}", [], found[-1][2])
        else:
            found[-1][1].append(row)
    for at, (command, printed, number) in enumerate(found, 1):
        # Shows what is wrong with the sample itself, as a shell would at a later time.
        shlex.split(command, comments=True)
        prints = "\n".join(printed) if printed else None
        yield Command(command, prints, number, ends if at == len(found) else 0)
