"""Show what a host, and this machine, lack for a program: `python -m pulumi_pika doctor`."""

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..doctor.finding import Finding
    from ..incus.hosts import HostSettings
    from .console import Screen

LACKING: Final = 1
"""The exit code if something is missing without which a program fails."""
WRONG: Final = 2
CLOSED: Final = 141
"""The exit code that a shell reports for a program that SIGPIPE ended."""

_EPILOG = """\
Nothing is changed. Each line says what was found, and the next line what to do about it. The host
is examined with the rights of this client; a trust token is not used.

exit code:
  0    nothing is missing without which a program fails; there may be warnings
  1    something is missing
  2    the arguments are wrong, or another error
  141  standard output was closed meanwhile, as by `| head`
"""
_SIGNS: Final = {"ok": "ok", "note": "note", "warning": "WARNING", "error": "ERROR"}
_TITLES: Final = {"machine": "this machine", "host": "the host"}


def main(program: str, arguments: Sequence[str]) -> int:
    """Run the command `doctor`; return the exit code.

    Args:
        program: The name of the command, for messages.
        arguments: The arguments after `doctor`.
    """
    options = _parser(program).parse_args(arguments)
    # Imported late: help and an invalid option do not need these modules.
    from .console import RED, OutputClosed, Screen

    screen = Screen()
    try:
        return _run(options, screen)
    except OutputClosed:
        return CLOSED
    except OSError as error:
        screen.line(f"error: standard output: cannot be written: {error.strerror or error}", RED)
        return WRONG
    except Exception as error:
        from ..errors import internal_error_message

        screen.line(f"error: {internal_error_message(error)}", RED)
        return WRONG


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [OPTION...]",
        description="Show what a host, and this machine, lack for a program, and what to do.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="show the findings as JSON")
    parser.add_argument(
        "--type",
        choices=["virtual-machine", "container"],
        help="the type of instance that the program needs (any)",
    )
    parser.add_argument(
        "--project", metavar="P", help="the Incus project (that of the host's settings, or default)"
    )
    host = parser.add_argument_group("the host (default: the one that the environment names)")
    way = host.add_mutually_exclusive_group()
    way.add_argument("--remote", metavar="NAME", help="a remote of the `incus` client")
    way.add_argument("--socket", metavar="PATH", help="the unix socket of a local daemon")
    way.add_argument("--url", metavar="URL", help="https://HOST:PORT of a server")
    for name, metavar, text in (
        ("certificate", "FILE", "the client certificate; for a server with --url"),
        ("key", "FILE", "the private key of the client certificate (the .key beside it)"),
        ("server-certificate", "FILE", "the certificate of the server"),
        ("server-fingerprint", "SHA256", "the fingerprint of the server's certificate"),
        ("ca-certificate", "FILE", "the CA that signed the server's certificate"),
    ):
        host.add_argument(f"--{name}", metavar=metavar, default="", help=text)
    host.add_argument(
        "--connect-timeout",
        metavar="SECONDS",
        type=_seconds,
        help="the limit for a connection (10)",
    )
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a valid time limit: it is a number of seconds from 0 to 3600"
        )
    return seconds


def _run(options: argparse.Namespace, screen: "Screen") -> int:
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
