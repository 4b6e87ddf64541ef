"""Write a Pulumi program that adopts existing instances: `python -m pulumi_pika import`."""

import argparse
import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..imports.reader import HostView, Imported
    from ..incus.client import IncusClient
    from ..reconcile.instances.live_instance import LiveInstance
    from ..reconcile.preflight import HostFacts
    from .console import Screen

LEFT_OUT: Final = 1
"""The exit code if a requested instance was skipped."""
WRONG: Final = 2
CLOSED: Final = 141
"""The exit code that a shell reports for a program that SIGPIPE ended."""

_EPILOG = """\
Nothing is changed: instances are read. `pulumi up` of the program takes them over. Those that a
resource of Pulumi has already are left out. Values that look secret are not written; standard
error, and the program, say how they get into the stack's config.

exit code:
  0    the program is written, with all that was asked for
  1    it is written, and an instance was left out; standard error says why
  2    nothing is written: the arguments are wrong, the host could not be asked, or another error
  141  standard output was closed meanwhile, as by `| head`
"""


class _Refused(Exception):
    """The import failed, and nothing is written. The message is for the user."""


def main(program: str, arguments: Sequence[str]) -> int:
    """Run the command `import`; return the exit code.

    Args:
        program: The name of the command, for messages.
        arguments: The arguments after `import`.
    """
    options = _parser(program).parse_args(arguments)
    # Imported late: help and an invalid option do not need these modules.
    from ..incus.errors import IncusError
    from .console import (
        RED,
        OutputClosed,
        Screen,
    )

    screen = Screen()
    try:
        return _run(options, screen)
    except OutputClosed:
        return CLOSED
    except (_Refused, IncusError) as error:
        screen.line(f"error: {error}", RED)
        return WRONG
    except OSError as error:
        what = options.output or "standard output"
        screen.line(f"error: {what}: cannot be written: {error.strerror or error}", RED)
        return WRONG
    except Exception as error:
        from ..errors import internal_error_message

        screen.line(f"error: {internal_error_message(error)}", RED)
        return WRONG


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [OPTION...] [INSTANCE...]",
        description="Write the Pulumi program that takes over existing instances.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "instances", metavar="INSTANCE", nargs="*", help="an instance (all of the project)"
    )
    parser.add_argument(
        "--project",
        metavar="P",
        help="the Incus project (what the host's settings say, or default)",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the program to this file, if it is not there yet"
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    host = parser.add_argument_group("the host (by default as the environment says)")
    way = host.add_mutually_exclusive_group()
    way.add_argument("--remote", metavar="NAME", help="a remote of the `incus` client's")
    way.add_argument("--socket", metavar="PATH", help="the unix socket of a local daemon")
    return parser


def _run(options: argparse.Namespace, screen: "Screen") -> int:
    from ..imports.codegen import (
        Origin,
        secret_commands,
        write_program,
    )
    from ..imports.reader import read_instance
    from ..incus.hosts import HostSettings
    from ..jobs.api import connected
    from ..reconcile.preflight import HostFacts

    if options.output and not options.force and _is_there(options.output):
        raise _Refused(f"{options.output}: is there already; --force writes over it")
    # An empty path stays empty, so that it is refused: as a path, it would be this directory.
    socket = str(Path(options.socket).absolute()) if options.socket else options.socket
    client = connected(
        HostSettings(remote=options.remote, socket=socket, project=options.project or "")
    )
    facts = HostFacts(client)
    if facts.project(client.project) is None:
        raise _Refused(f"there is no project {client.project} at {client.host}")
    instances = _instances(client, options.instances)
    view = _view(facts, client, instances)
    found = [read_instance(live, view) for live in instances]
    # The remote is named explicitly, since `incus remote switch` may have changed the client's
    # default.
    known_as = (None if socket else os.environ.get("INCUS_REMOTE")) or "local"
    origin = Origin(client.project, client.host, options.remote or "", socket or "", known_as)
    text = write_program(found, origin)
    if options.output:
        with Path(options.output).open("w" if options.force else "x", encoding="utf-8") as opened:
            opened.write(text)
    else:
        screen.raw(text.encode())
    _tell(found, secret_commands(found, origin), screen)
    asked_for = [i for i in found if i.refused and (options.instances or not i.owned)]
    return LEFT_OUT if asked_for else 0


def _is_there(file: str) -> bool:
    try:
        return Path(file).exists() or Path(file).is_symlink()
    except (OSError, ValueError) as error:
        raise _Refused(f"{file!r}: cannot be written: {error}") from None


def _instances(client: "IncusClient", wanted: Sequence[str]) -> "list[LiveInstance]":
    """Return the wanted instances; all instances if none is named.

    Raises:
        _Refused: An instance does not exist.
    """
    from ..reconcile.instances.live_instance import LiveInstance

    there = {
        str(data.get("name")): LiveInstance.of({"project": client.project, **data}, "")
        for data in client.get_list("/1.0/instances", recursion="1")
        if isinstance(data, dict)
    }
    missing = [name for name in wanted if name not in there]
    if missing:
        close = get_close_matches(missing[0], there, n=1)
        raise _Refused(
            f"there is no instance {', '.join(missing)} in project {client.project} at "
            f"{client.host}" + (f"; did you mean {close[0]}?" if close else "")
        )
    return [there[name] for name in sorted(set(wanted) or there)]


def _view(
    facts: "HostFacts", client: "IncusClient", instances: "Sequence[LiveInstance]"
) -> "HostView":
    """Return the other facts of the host that matter for these instances."""
    from ..imports.reader import HostView
    from ..reconcile.instances.desired import AUTORESTART_EXTENSION

    paths = {
        source
        for live in instances
        for device in live.devices.values()
        if (source := device.get("source", "")).startswith("/")
    }
    images = {
        str(image.get("fingerprint")): dict(image.get("properties") or {})
        for image in client.get_list("/1.0/images", recursion="1")
        if isinstance(image, dict)
    }
    return HostView(
        aliases=facts.aliases(client.project),
        images=frozenset(images),
        image_properties=images,
        profile_devices={
            name: data.get("devices") or {} for name, data in facts.profiles(client.project).items()
        },
        missing_paths=frozenset(filter(_is_missing, paths)) if client.is_local else frozenset(),
        autorestart=client.server().has(AUTORESTART_EXTENSION),
    )


def _is_missing(path: str) -> bool:
    try:
        Path(path).stat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        # The daemon may have the permission to read what this process may not.
        return False
    return False


def _tell(found: "Sequence[Imported]", commands: Sequence[str], screen: "Screen") -> None:
    """Show the notes on the program, and the instances that are not in it."""
    from ..text_safety import visible
    from .console import YELLOW

    count = sum(not imported.refused for imported in found)
    screen.line(f"{count} of {len(found)} instance{'' if len(found) == 1 else 's'} in the program")
    for imported in sorted(found, key=lambda imported: imported.name):
        name = visible(imported.name)
        for reason in imported.refused:
            screen.line(f"{name} is left out: {visible(reason)}", YELLOW)
        for note in imported.notes if not imported.refused else ():
            screen.line(f"{name}: {visible(note)}", YELLOW)
    if commands:
        screen.line("before the first `pulumi up`, since these values look secret:")
    for command in commands:
        screen.line(f"  {visible(command)}")
