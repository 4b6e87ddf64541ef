"""Write a report of a preview for its reviewer: `python -m pulumi_pika report`."""

import argparse
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..message_templates import could_not, invalid_value
from ..report.text import one_line
from .frame import CommandRefused, command_parser, run_framed
from .text_file import (
    STANDARD_INPUT,
    read_text,
    shown_name,
)

if TYPE_CHECKING:
    from ..report.report_model import Condition, Report
    from .console import Screen
    from .interrupts import Interruption

HELD: Final = 1
"""The exit code if a condition of `--fail-on` holds."""
_LARGEST: Final = 512 * 1024 * 1024
_LONGEST_ERROR: Final = 2000
_CONDITIONS: Final = (
    "replace", "delete", "delete-data", "stop-keeping-data", "restart", "warnings", "any-change",
    "errors",
)  # fmt: skip
"""The conditions of `report.gate`, repeated here so that `--help` needs no import; a test compares
them."""

_EPILOG: Final = """\
For a gate, use `pulumi preview --json --show-replacement-steps`. Without that option, the JSON
lacks the deletes that an earlier, failed update left pending.

If standard output is not a terminal, or --output is given, the report is Markdown. If NO_COLOR is
set, the terminal format has no colors.

conditions of --fail-on, separated by commas:
  replace            a resource is replaced (a job that runs again does not count)
  delete             a resource is deleted
  delete-data        a volume, or a snapshot, is deleted with its data
  stop-keeping-data  delete_data is turned on: a later delete or replacement deletes a volume that
                     is kept until now
  restart            an instance may restart, or is stopped for a restore
  warnings           the report has warnings
  any-change         a resource changes
  errors             the preview has errors

exit code:
  0    the report is written
  1    the report is written, and a condition of --fail-on holds
  2    the arguments are not valid, the input is not a preview, the report could not be written, or
       another error occurred
  141  the reader of standard output ended first, as with `| head`
"""


def main(program: str, arguments: Sequence[str]) -> int:
    """Run the command `report`; return the exit code.

    Args:
        program: The name of the command, for messages.
        arguments: The arguments after `report`.
    """
    return run_framed(partial(_run, _parser(program).parse_args(arguments)))


def _run(options: argparse.Namespace, screen: "Screen", _: "Interruption") -> int:
    # Imported late: help and an invalid option do not need these modules.
    from ..report.preview import NoPreview
    from ..report.report_builder import report_of
    from ..report.report_model import schema
    from .console import RED

    if options.schema:
        _write(json.dumps(schema(), indent=2) + "\n", options.output, screen)
        return 0
    text = read_text(options.preview, "preview", _LARGEST)
    try:
        report = report_of(text, tuple(options.fail_on))
    except NoPreview as error:
        name = shown_name(options.preview)
        raise CommandRefused(
            invalid_value(name, "preview", one_line(str(error), _LONGEST_ERROR))
        ) from None
    _write(_formatted(report, options), options.output, screen)
    if report.held:
        screen.line("gate failed: " + ", ".join(held.condition for held in report.held), RED)
        return HELD
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = command_parser(
        program,
        usage="[OPTION...] [PREVIEW]",
        description="Write a report of `pulumi preview --json` for its reviewer.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "preview",
        metavar="PREVIEW",
        nargs="?",
        default=STANDARD_INPUT,
        help="the output of `pulumi preview --json` (default: -, which is standard input)",
    )
    parser.add_argument(
        "--format",
        choices=["markdown", "terminal", "json"],
        help="the format of the report (default: terminal on a terminal, else markdown)",
    )
    parser.add_argument("--output", metavar="FILE", help="write the report to this file")
    parser.add_argument(
        "--fail-on",
        type=_conditions,
        action="extend",
        default=[],
        metavar="LIST",
        help="exit with code 1 if one of these conditions holds; see below",
    )
    parser.add_argument(
        "--max-chars",
        type=_characters,
        metavar="N",
        help="the most characters of Markdown, at least 1000 (default: 65536, the limit of a "
        "comment on GitHub); the least important parts are cut, and the report says so",
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
            f"{text!r} has no condition: use one or more of {', '.join(_CONDITIONS)}. To turn the "
            "gate off, omit --fail-on"
        )
    for name in names:
        if name not in _CONDITIONS:
            raise argparse.ArgumentTypeError(
                f"{name!r} is not a valid condition: use {', '.join(_CONDITIONS)}"
            )
    return names  # type: ignore[return-value]


def _characters(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1000")
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


def _write(text: str, file: str | None, screen: "Screen") -> None:
    if file is None:
        screen.raw(text.encode("utf-8", "backslashreplace"))
        return
    try:
        Path(file).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CommandRefused(could_not(f"write {file}", reason)) from None
