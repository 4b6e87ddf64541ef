"""One shell that lasts, and whether what it prints is what a page says."""

import os
import re
import secrets
import selectors
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

TIMEOUT = 300.0
"""Seconds for one command."""
ANYTHING = "[...]"


class Shell:
    """A bash that commands are typed into; their standard input is empty."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )

    def __enter__(self) -> "Shell":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def run(self, command: str) -> tuple[str, int]:
        """What a command prints, both streams in one, and its exit code.

        Raises:
            AssertionError: it does not end, or ends the shell.
        """
        assert self._process.stdin is not None
        end = f"end-{secrets.token_hex(8)}"
        # In braces, not in a subshell: `cd` and `export` last.
        text = f"{{ {command}\n}} </dev/null\nprintf '\\n{end} %d\\n' $?\n"
        self._process.stdin.write(text.encode())
        return self._read(re.compile(rb"\n%s (\d+)\n" % end.encode()), command)

    def say(self, text: str) -> str:
        """Text with the shell's variables filled in."""
        shown, code = self.run(f'printf %s "{text}"')
        assert code == 0, shown
        return shown

    def directory(self) -> Path:
        """Where the shell is."""
        return Path(self.run("pwd")[0].rstrip("\n"))

    def _read(self, end: re.Pattern[bytes], command: str) -> tuple[str, int]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + TIMEOUT
        read = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while (match := end.search(read)) is None:
                assert selector.select(deadline - time.monotonic()), (
                    f"no end after {TIMEOUT:.0f} s: {command}\n{read.decode(errors='replace')}"
                )
                piece = os.read(self._process.stdout.fileno(), 65536)
                assert piece, f"ended the shell: {command}\n{read.decode(errors='replace')}"
                read += piece
        return read[: match.start()].decode(errors="replace"), int(match[1])


def prints_as_said(said: str, printed: str) -> bool:
    """Whether what was printed is what the page says; `[...]` stands for anything."""
    lines = [line.rstrip() for line in said.strip("\n").splitlines()]
    pattern = ""
    for line in lines:
        if line.strip() == ANYTHING:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.split(ANYTHING)) + r"\n"
    text = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines()) + "\n"
    return re.fullmatch(pattern, text) is not None
