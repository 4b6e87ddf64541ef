"""Run a command: its parser, its exit codes, and how its errors and interruptions are shown.

Nothing here imports more than the standard library and the small modules of this package, so that
help and an invalid option are fast.
"""

import argparse
from collections.abc import Callable
from typing import ClassVar, Final

from ..errors import PikaError, internal_error_message
from ..message_templates import INVALID_VALUE
from .console import (
    RED,
    OutputClosed,
    Screen,
)
from .interrupts import Interruption, interruptible

WRONG: Final = 2
"""The exit code if the arguments, or a file that they name, cannot be used."""
INTERRUPTED: Final = 130
"""The exit code of an interruption without a known signal."""
CLOSED: Final = 141
"""The exit code that a shell reports for a program that SIGPIPE ended."""

Work = Callable[[Screen, Interruption], int]


class CommandRefused(PikaError):
    """The arguments, or a file that they name, cannot be used. The message is for the user."""

    default_code: ClassVar[str] = INVALID_VALUE


def run_framed(work: Work, *, failed: int = WRONG, when_closed: str = "") -> int:
    """Run the work of a command; return the exit code.

    An error becomes one line on standard error, and never a traceback. A termination signal raises
    KeyboardInterrupt in the work, and the exit code is 128 plus the number of the signal.

    Args:
        work: Does the work, and returns the exit code. Takes the screen for all text, and the state
            of the interruption.
        failed: The exit code of an error that is not a `CommandRefused`.
        when_closed: The error that is shown if the reader of standard output ends before the work;
            empty for none.
    """
    screen = Screen()

    def show(text: str, colour: str = "") -> None:
        # The status line is no longer true.
        screen.status("")
        screen.line(text, colour)

    with interruptible(show) as interruption:
        try:
            return work(screen, interruption)
        except KeyboardInterrupt:
            return interruption.code or INTERRUPTED
        except OutputClosed:
            if when_closed:
                show(when_closed, RED)
            return CLOSED
        except CommandRefused as error:
            code, text = WRONG, str(error)
        except (PikaError, OSError) as error:
            code, text = failed, str(error)
        except Exception as error:
            code, text = failed, internal_error_message(error)
        show(f"error: {text}", RED)
        return interruption.code or code


def command_parser(
    program: str, *, usage: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """Return the parser of a command, without options.

    Args:
        program: The name of the command, for messages.
        usage: The arguments in the usage line, after the name.
        description: What the command does, as a sentence.
        epilog: Further explanations, which `--help` shows unchanged.
    """
    return argparse.ArgumentParser(
        prog=program,
        usage=f"{program} {usage}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_spec(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the argument that names a spec file.

    Args:
        parser: The parser.
        required: Whether the command needs a spec in any case.
    """
    parser.add_argument(
        "spec",
        metavar="SPEC",
        nargs=None if required else "?",
        help="the spec: a JSON file, or a YAML file whose name ends with .yaml or .yml; - reads "
        "JSON from standard input",
    )


def add_host(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the host."""
    group = parser.add_argument_group("host (default: the host that the environment names)")
    way = group.add_mutually_exclusive_group()
    way.add_argument("--remote", metavar="NAME", help="a remote of the `incus` client")
    way.add_argument("--socket", metavar="PATH", help="the unix socket of a local daemon")
