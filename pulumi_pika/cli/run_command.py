"""Parse the arguments of `python -m pulumi_pika run`."""

import argparse
from collections.abc import Sequence
from typing import Final

from .frame import add_host, add_spec, command_parser

_EPILOG: Final = """\
A single COMMAND argument is a command line for the guest's shell, as in `-- 'make && make test'`.
Several arguments are passed to the command unchanged. The output of the command goes to standard
output, everything else to standard error.

exit code:
  0        the command succeeded
  1..255   the exit code of the command, if it failed (1 if its exit code is unknown, or if its
           result file contradicts it)
  2        the arguments or the spec are not valid; no request was sent to the host
  124      the command reached its time limit
  125      the command could not be started, its result is unknown, or another error occurred
  130      interrupted (SIGTERM: 143, SIGHUP: 129); the instance is deleted
  141      the reader of standard output ended first, as with `| head`; the instance is deleted
"""


def main(program: str, arguments: Sequence[str]) -> int:
    """Run the command `run`; return the exit code.

    Args:
        program: The name of the command, for messages.
        arguments: The arguments after `run`.
    """
    parser = _parser(program)
    own, command = _split(arguments)
    options = parser.parse_args(own)
    if not command:
        parser.error(
            "the command is missing: put it after `--`, as in `run spec.json -- make test`"
        )
    # Imported late: help and an invalid option do not need this module.
    from .job_execution import run

    return run(options, command)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options of pulumi_pika, and the command after the first `--`."""
    given = list(arguments)
    if "--" not in given:
        return given, []
    at = given.index("--")
    return given[:at], given[at + 1 :]


def _parser(program: str) -> argparse.ArgumentParser:
    parser = command_parser(
        program,
        usage="[OPTION...] SPEC -- COMMAND [ARGUMENT...]",
        description="Run one command in a temporary instance, and collect its outputs.",
        epilog=_EPILOG,
    )
    add_spec(parser, required=True)
    _add_work(parser.add_argument_group("command"))
    _add_instance(parser.add_argument_group("instance"))
    add_host(parser)
    shown = parser.add_argument_group("display")
    shown.add_argument(
        "--quiet",
        action="store_true",
        help="show only the output of the command, warnings and errors",
    )
    shown.add_argument(
        "--json",
        action="store_true",
        help="write the outcome as one JSON object to standard output at the end; the output of "
        "the command goes to standard error, as text",
    )
    return parser


# The types of numbers are checked here. Their limits are checked together with all other rules.


def _add_work(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--timeout",
        type=int,
        metavar="SECONDS",
        help="the time limit of the command (default: 3600)",
    )
    group.add_argument(
        "--user",
        type=_user,
        metavar="UID[:GID]",
        help="the user that runs the command (default: root); GID defaults to UID",
    )
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="KEY[=VALUE]",
        help="an environment variable of the command; without a value, the value in this "
        "environment (repeatable)",
    )
    group.add_argument(
        "--output-dir",
        metavar="DIR",
        help="collect the outputs in this directory (default: no outputs are collected)",
    )
    group.add_argument(
        "--max-output-mib",
        type=int,
        metavar="N",
        help="the size limit for all outputs together, in MiB (default: 1024)",
    )
    group.add_argument(
        "--max-attempts",
        type=int,
        metavar="N",
        help="how often the command runs at most, if policies.restart_policy is not `never` "
        "(default: 3)",
    )


def _add_instance(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--type",
        choices=["virtual-machine", "container"],
        help="the type of the instance (default: virtual-machine)",
    )
    group.add_argument(
        "--storage-pool",
        metavar="POOL",
        help="the pool of volumes, and of a root disk with a size (default: the pool of the root "
        "disk in the profiles)",
    )
    group.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar="NAME",
        help="a further profile, applied before the profile of the spec (repeatable)",
    )
    group.add_argument(
        "--description", metavar="TEXT", help="the description that `incus list` shows"
    )
    group.add_argument(
        "--exec-within",
        type=float,
        metavar="SECONDS",
        help="the time limit until commands can be run in the guest (default: 300)",
    )


def _user(text: str) -> tuple[int, int]:
    user, colon, group = text.partition(":")
    numbers = (user, group if colon else user)
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not UID or UID:GID: use numbers")
    return int(numbers[0]), int(numbers[1])
