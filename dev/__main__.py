"""Run as a folder: `python3 dev COMMAND`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (not installed, so nobody else checks it)
    sys.exit("This needs Python 3.11 or newer: install one, and run this with it.")

# Python puts the folder itself first on the path if it runs a folder. The modules, however, are
# named dev.*.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from dev import checks, stack, tools, vm_lab  # noqa: E402
from dev.console import Failure, say  # noqa: E402
from dev.sandbox import Daemon  # noqa: E402


def main() -> int:
    """Run the command that the arguments name; return its exit code."""
    arguments = _parser().parse_args()
    try:
        return _run(arguments)
    except Failure as failure:
        say()
        say(str(failure))
        return 1
    except KeyboardInterrupt:
        say()
        say("Interrupted. The same command goes on where it is needed.")
        return 130


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "tools":
            tools.ensure(servers=True, supported=True)
        case "up":
            stack.up()
        case "env":
            stack.env()
        case "down":
            stack.down()
        case "test":
            return checks.test(
                arguments.arguments, everything=arguments.all, matrix=arguments.matrix
            )
        case "docs":
            checks.docs()
        case "picture":
            checks.picture()
        case "site":
            return checks.site(serve=arguments.serve)
        case "lint":
            return checks.lint()
        case "daemon":
            _daemon(arguments)
        case "vm-lab":
            return _vm_lab(arguments)
    return 0


def _vm_lab(arguments: argparse.Namespace) -> int:
    match arguments.action:
        case "up":
            vm_lab.up(arguments.arguments)
        case "down":
            vm_lab.down()
        case "status":
            vm_lab.status()
        case "shell":
            return vm_lab.shell(arguments.arguments)
        case "socket":
            vm_lab.serve(arguments.arguments)
    return 0


def _daemon(arguments: argparse.Namespace) -> None:
    """Run the part of other commands that needs root."""
    daemon = Daemon(arguments.directory, tree=arguments.tree)
    match arguments.action:
        case "start":
            daemon.start(arguments.timeout, group=arguments.group)
        case "restart":
            daemon.restart(arguments.timeout, group=arguments.group)
        case "kill":
            daemon.kill()
        case "stop":
            daemon.stop(arguments.timeout)
        case "destroy":
            daemon.destroy(arguments.timeout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 dev", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="set everything up and run the example stack in a sandbox")
    commands.add_parser("env", help='use the sandbox in a shell: eval "$(python3 dev env)"')
    commands.add_parser("down", help="take the sandbox down, leaving nothing behind")
    test = commands.add_parser(
        "test", help="set everything up and run the tests that must pass before a commit"
    )
    test.add_argument("--all", action="store_true", help="run every test")
    test.add_argument(
        "--matrix", action="store_true", help="run every test, with each server and storage driver"
    )
    test.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments for pytest")
    commands.add_parser("lint", help="check format, style and types")
    commands.add_parser("docs", help="write the pages that are made from code")
    commands.add_parser("picture", help="draw the picture of a preview, from a real one")
    site = commands.add_parser("site", help="build the documentation's site, in build/site")
    site.add_argument(
        "--serve", action="store_true", help="serve it, and build it again on changes"
    )
    commands.add_parser(
        "tools",
        help="only get what is needed: .venv, Incus, busybox, Pulumi, a newer Incus, and the "
        "oldest and newest Python and Pulumi that are supported",
    )
    lab = commands.add_parser(
        "vm-lab", help="a host with Incus where virtual machines run, with KVM or emulated"
    )
    lab.add_argument(
        "action",
        choices=["up", "down", "shell", "socket", "status"],
        help="make and start it; end it; open its root shell, or run a command there; serve its "
        "Incus on a Unix socket; describe it",
    )
    lab.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        help="a command for the root shell; the path of the socket; the series of Incus (6.0 or "
        "7.0) of the machine to start",
    )
    daemon = commands.add_parser("daemon")
    daemon.add_argument("action", choices=["start", "restart", "kill", "stop", "destroy"])
    daemon.add_argument("directory")
    daemon.add_argument("timeout", nargs="?", type=float, default=60.0)
    daemon.add_argument("group", nargs="?")
    daemon.add_argument("--tree", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
