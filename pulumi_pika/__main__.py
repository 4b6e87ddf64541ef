"""Run the command line: `python -m pulumi_pika COMMAND`."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from ._version import __version__

PROGRAM: Final = "python -m pulumi_pika"
COMMANDS: Final = {
    "run": "run one command in a temporary instance",
    "report": "write a report of a preview for its reviewer",
    "plan": "show the plan of a spec, or all its problems",
    "import": "write a program that adopts existing instances",
    "doctor": "show what is missing on a host, and on this machine, for a program",
}
"""For each command, `cli` has a module `NAME_command` with a function `main`. Only the module of
the called command is imported."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _hold_standard_streams()
    try:
        if not given or given[0] not in COMMANDS:
            _explain(given)
        module = import_module(f".cli.{given[0]}_command", __package__)
        return int(module.main(f"{PROGRAM} {given[0]}", given[1:]))
    except KeyboardInterrupt:
        # An interruption before or after the command itself, which handles its own interruptions.
        return 130


def _explain(given: list[str]) -> None:
    """Print help, the version, or an error, and exit."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Work with Incus instances and their specs, without a Pulumi engine.",
    )
    parser.add_argument("--version", action="version", version=f"pulumi_pika {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        commands.add_parser(name, help=what, add_help=False)
    parser.parse_known_args(given)
    parser.error(f"the first argument must be a command: {', '.join(COMMANDS)}")


def _hold_standard_streams() -> None:
    """Open the standard streams that were closed at the start of the process (`>&-`). Otherwise a
    file or connection that is opened later would get their number, and would receive the output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    sys.exit(main())
