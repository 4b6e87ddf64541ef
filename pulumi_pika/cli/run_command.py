"""Parse the arguments of `python -m pulumi_pika run`."""

import argparse
from collections.abc import Sequence

_EPILOG = """\
Several words are taken as they are; a single one is a text for the guest's shell, as in
`-- 'make && make test'`. Its output goes to standard output, all else to standard error.

exit code:
  0        the command succeeded
  1..255   its own, where it failed (1 where that is not known, or its result file disagrees)
  2        the arguments or the spec are wrong; nothing was done
  124      it ran out of time
  125      it could not be begun, it is not known how it ended, or another error
  130      interrupted (SIGTERM: 143, SIGHUP: 129); the instance is removed
  141      standard output was closed meanwhile, as by `| head`; the instance is removed
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
        parser.error("give the command after `--`, as in `run spec.json -- make test`")
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
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [OPTION...] SPEC -- COMMAND [ARGUMENT...]",
        description="Run one command in a throw-away instance, and bring its outputs home.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "spec",
        metavar="SPEC",
        help="the spec: a JSON file, or YAML where it is named .yaml or .yml; - reads JSON from "
        "standard input",
    )
    _add_work(parser.add_argument_group("the command"))
    _add_instance(parser.add_argument_group("the instance"))
    _add_host(parser.add_argument_group("the host (by default as the environment says)"))
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--quiet",
        action="store_true",
        help="only the command's output, warnings and errors",
    )
    shown.add_argument(
        "--json",
        action="store_true",
        help="the outcome as one JSON object on standard output, at the end; the command's output "
        "goes to standard error, as text",
    )
    return parser


# The types of numbers are checked here. Their limits are checked together with all other rules.


def _add_work(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--timeout", type=int, metavar="SECONDS", help="how long it may take (3600)")
    group.add_argument(
        "--user",
        type=_user,
        metavar="UID[:GID]",
        help="run it as this user, not as root; the group's number is the user's where it is not "
        "given",
    )
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="KEY[=VALUE]",
        help="a variable of its environment; without a value, with the one that it has here "
        "(may be repeated)",
    )
    group.add_argument(
        "--output-dir", metavar="DIR", help="bring outputs home to this directory (none are)"
    )
    group.add_argument(
        "--max-output-mib",
        type=int,
        metavar="N",
        help="MiB that all outputs together may have (1024)",
    )
    group.add_argument(
        "--max-attempts",
        type=int,
        metavar="N",
        help="how often it runs at most, where policies.restart_policy lets it run again (3)",
    )


def _add_instance(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--type",
        choices=["virtual-machine", "container"],
        help="what kind of instance it runs in (virtual-machine)",
    )
    group.add_argument(
        "--storage-pool", metavar="POOL", help="where volumes and a root disk of its own are"
    )
    group.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar="NAME",
        help="a further profile, applied before the spec's own (may be repeated)",
    )
    group.add_argument("--description", metavar="TEXT", help="shown by `incus list`")
    group.add_argument(
        "--exec-within",
        type=float,
        metavar="SECONDS",
        help="until commands can be run in the guest (300)",
    )


def _add_host(group: argparse._ArgumentGroup) -> None:
    way = group.add_mutually_exclusive_group()
    way.add_argument("--remote", metavar="NAME", help="a remote of the `incus` client's")
    way.add_argument("--socket", metavar="PATH", help="the unix socket of a local daemon")


def _user(text: str) -> tuple[int, int]:
    user, colon, group = text.partition(":")
    numbers = (user, group if colon else user)
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not UID or UID:GID, in numbers")
    return int(numbers[0]), int(numbers[1])
