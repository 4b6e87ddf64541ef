"""Write a report of a preview for its reviewer: `python -m pulumi_pika report`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..report.text import one_line
from .text_file import (
    STANDARD_INPUT,
    Unreadable,
    read_text,
    shown_name,
)

if TYPE_CHECKING:
    from ..report.report_model import Condition, Report

_LARGEST: Final = 512 * 1024 * 1024
_CONDITIONS: Final = (
    "replace", "delete", "delete-data", "stop-keeping-data", "restart", "warnings", "any-change",
    "errors",
)  # fmt: skip
"""The conditions of `report.gate`, repeated here so that `--help` needs no import; a test compares
them."""

_EPILOG = """\
Where the terminal is no place for it (standard output is none, or --output is given) the report is
Markdown. NO_COLOR takes the colours away.

conditions of --fail-on, separated by commas:
  replace            something is replaced (a job that runs anew is not)
  delete             something is deleted
  delete-data        a volume, or a snapshot, is deleted with its data
  stop-keeping-data  a volume that was kept goes with a later delete or replacement (delete_data
                     is turned on)
  restart            an instance may restart, or is stopped for a restore
  warnings           the report has warnings
  any-change         something changes
  errors             the preview has errors

exit code:
  0    the report is written
  1    it is written, and a condition of --fail-on holds
  2    the arguments are wrong, the input is no preview, the report could not be written, or
       another error
"""


class _Refused(Exception):
    """The input is not a preview, or the report cannot be written. The message is for the user."""


def main(program: str, arguments: Sequence[str]) -> int:
    """Run the command `report`; return the exit code.

    Args:
        program: The name of the command, for messages.
        arguments: The arguments after `report`.
    """
    options = _parser(program).parse_args(arguments)
    # Imported late: help and an invalid option do not need these modules.
    from ..report.preview import NoPreview
    from ..report.report_builder import report_of
    from ..report.report_model import schema

    try:
        if options.schema:
            _write(json.dumps(schema(), indent=2) + "\n", options.output)
            return 0
        text = read_text(options.preview, "preview", _LARGEST)
        try:
            report = report_of(text, tuple(options.fail_on))
        except NoPreview as error:
            name = shown_name(options.preview)
            raise _Refused(f"{name} is no preview: {error}") from None
        _write(_formatted(report, options), options.output)
    except (_Refused, Unreadable) as error:
        _say(f"error: {error}")
        return 2
    except Exception as error:
        from ..errors import internal_error_message

        _say(f"error: {internal_error_message(error)}")
        return 2
    if report.held:
        _say("does not pass: " + ", ".join(held.condition for held in report.held))
        return 1
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [OPTION...] [PREVIEW]",
        description="Show what a reviewer wants to see of `pulumi preview --json`.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "preview",
        metavar="PREVIEW",
        nargs="?",
        default=STANDARD_INPUT,
        help="the file that `pulumi preview --json` wrote; - or nothing reads standard input",
    )
    parser.add_argument(
        "--format",
        choices=["markdown", "terminal", "json"],
        help="terminal on a terminal, else markdown",
    )
    parser.add_argument("--output", metavar="FILE", help="write the report to this file")
    parser.add_argument(
        "--fail-on",
        type=_conditions,
        action="extend",
        default=[],
        metavar="LIST",
        help="end with exit code 1 where one of these holds; see below",
    )
    parser.add_argument(
        "--max-chars",
        type=_characters,
        metavar="N",
        help="what Markdown may have (65536, as much as a comment on GitHub; at least 1000); what "
        "matters least is cut, and the report says so",
    )
    parser.add_argument("--title", default="", metavar="TEXT", help="the title of the report")
    parser.add_argument(
        "--schema",
        action="store_true",
        help="show the JSON Schema of `--format json` instead; no preview is read",
    )
    return parser


def _conditions(text: str) -> "list[Condition]":
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(
            f"{text!r} names no condition; there are {', '.join(_CONDITIONS)}. Leave --fail-on out "
            "for no gate"
        )
    for name in names:
        if name not in _CONDITIONS:
            raise argparse.ArgumentTypeError(
                f"{name!r} is no condition; there are {', '.join(_CONDITIONS)}"
            )
    return names  # type: ignore[return-value]


def _characters(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1000 or more")
    return int(text)


def _formatted(report: "Report", options: argparse.Namespace) -> str:
    on_terminal = options.output is None and os.isatty(1)
    form = options.format or ("terminal" if on_terminal else "markdown")
    if form == "json":
        from ..report.report_model import report_text

        return report_text(report)
    if form == "terminal":
        from ..report.terminal import terminal

        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return terminal(report, title=options.title, colours=on_terminal and not plain)
    from ..report.markdown import MOST_CHARS, markdown

    return markdown(report, title=options.title, max_chars=options.max_chars or MOST_CHARS)


def _write(text: str, file: str | None) -> None:
    try:
        if file is not None:
            Path(file).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
            return
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    except (OSError, ValueError) as error:
        # Without this, Python tries to write the rest again at its exit, and prints an error.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        said = getattr(error, "strerror", None) or error
        raise _Refused(f"{file or 'standard output'}: cannot be written: {said}") from None


def _say(text: str) -> None:
    with suppress(OSError):
        print(one_line(text, 2000), file=sys.stderr)
