"""Show what is missing on a host, and on this machine: `python -m pulumi_pika doctor`."""

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .frame import command_parser, run_framed

if TYPE_CHECKING:
    from ..doctor.finding import Finding
    from ..incus.hosts import HostSettings
    from .console import Screen
    from .interrupts import Interruption

LACKING: Final = 1
"""The exit code if something is missing without which a program fails."""

_EPILOG: Final = """\
The command changes nothing. Each line has a finding, and the next line has what to do about it. The
host is examined with the rights of this client. A trust token is not used.

exit code:
  0    nothing is missing without which a program fails; there may be warnings
  1    something is missing
  2    the arguments are not valid, or another error occurred
  141  the reader of standard output ended first, as with `| head`
"""
_SIGNS: Final = {"ok": "ok", "note": "note", "warning": "WARNING", "error": "ERROR"}
_TITLES: Final = {"machine": "this machine", "host": "the host"}


def main(program: str, arguments: Sequence[str]) -> int:
    """Run the command `doctor`; return the exit code.

    Args:
        program: The name of the command, for messages.
        arguments: The arguments after `doctor`.
    """
    return run_framed(partial(_run, _parser(program).parse_args(arguments)))


def _parser(program: str) -> argparse.ArgumentParser:
    parser = command_parser(
        program,
        usage="[OPTION...]",
        description="Show what is missing on a host, and on this machine, and what to do.",
        epilog=_EPILOG,
    )
    parser.add_argument("--json", action="store_true", help="show the findings as JSON")
    parser.add_argument(
        "--type",
        choices=["virtual-machine", "container"],
        help="the type of instance that the program needs (default: any)",
    )
    parser.add_argument(
        "--project",
        metavar="NAME",
        help="the Incus project (default: the project of the host's settings, or `default`)",
    )
    host = parser.add_argument_group("host (default: the host that the environment names)")
    way = host.add_mutually_exclusive_group()
    way.add_argument("--remote", metavar="NAME", help="a remote of the `incus` client")
    way.add_argument("--socket", metavar="PATH", help="the unix socket of a local daemon")
    way.add_argument("--url", metavar="URL", help="https://HOST:PORT of a server")
    for name, metavar, text in (
        ("certificate", "FILE", "the client certificate; for a server with --url"),
        (
            "key",
            "FILE",
            "the private key of the client certificate (default: the .key beside the certificate)",
        ),
        ("server-certificate", "FILE", "the certificate of the server"),
        ("server-fingerprint", "SHA256", "the fingerprint of the server's certificate"),
        ("ca-certificate", "FILE", "the CA that signed the server's certificate"),
    ):
        host.add_argument(f"--{name}", metavar=metavar, default="", help=text)
    host.add_argument(
        "--connect-timeout",
        metavar="SECONDS",
        type=_seconds,
        help="the time limit of a connection (default: 10)",
    )
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a valid time limit: use a number of seconds above 0, up to 3600"
        )
    return seconds


def _run(options: argparse.Namespace, screen: "Screen", _: "Interruption") -> int:
    # Imported late: help and an invalid option do not need these modules.
    from ..doctor.examination import count_levels, examine, findings_json
    from ..text_safety import visible_json

    findings: list[Finding] = []
    with _waiting(screen, findings):
        for finding in examine(_settings(options), options.type or ""):
            if not options.json:
                screen.status("")
                screen.raw(_shown(finding, findings).encode("utf-8", "backslashreplace"))
            findings.append(finding)
    counts = count_levels(findings)
    if options.json:
        screen.raw(visible_json(findings_json(findings)).encode("utf-8", "backslashreplace"))
    else:
        errors, warnings = counts["error"], counts["warning"]
        screen.line(
            f"{errors} error{'' if errors == 1 else 's'}, "
            f"{warnings} warning{'' if warnings == 1 else 's'}"
        )
    return LACKING if counts["error"] else 0


def _settings(options: argparse.Namespace) -> "HostSettings":
    from ..incus.hosts import HostSettings

    # An empty path stays empty, so that it is refused: as a path, it would be this directory.
    socket = str(Path(options.socket).absolute()) if options.socket else options.socket
    limits = {"connect_timeout": options.connect_timeout} if options.connect_timeout else {}
    return HostSettings(
        socket=socket,
        url=options.url,
        remote=options.remote,
        certificate=options.certificate,
        key=options.key,
        server_certificate=options.server_certificate,
        server_fingerprint=options.server_fingerprint,
        ca_certificate=options.ca_certificate,
        project=options.project or "",
        **limits,
    )


def _shown(finding: "Finding", before: "list[Finding]") -> str:
    from ..text_safety import without_breaks

    new = not before or before[-1].subject != finding.subject
    lines = [f"{_TITLES[finding.subject]}:"] if new else []
    lines.append(f"  {_SIGNS[finding.level]:<7}  {finding.text}")
    if finding.advice and finding.level != "ok":
        lines.append(f"           -> {finding.advice}")
    return "".join(f"{without_breaks(line)}\n" for line in lines)


@contextmanager
def _waiting(screen: "Screen", findings: "list[Finding]") -> Iterator[None]:
    """Show that the examination still runs: first after 2 s without a finding, then every 5 s."""
    from ..reconcile.shared.reporter import EVERY, FIRST_AFTER

    ended = threading.Event()

    def watch() -> None:
        count, since, due = 0, time.monotonic(), FIRST_AFTER
        while not ended.wait(0.2):
            if len(findings) != count:
                count, since, due = len(findings), time.monotonic(), FIRST_AFTER
            elapsed = time.monotonic() - since
            if elapsed >= due:
                due = elapsed + (1.0 if screen.live else EVERY)
                text = f"waiting for an answer: {elapsed:.0f} s"
                (screen.status if screen.live else screen.line)(text)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        screen.status("")
