"""Write a Pulumi program that adopts existing instances: `python -m pulumi_pika import`."""

import argparse
import os
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..message_templates import EXISTS, Message, could_not, missing
from .frame import (
    CommandRefused,
    add_host,
    command_parser,
    run_framed,
)

if TYPE_CHECKING:
    from ..imports.reader import HostView, Imported
    from ..incus.client import IncusClient
    from ..reconcile.instances.live_instance import LiveInstance
    from ..reconcile.preflight import HostFacts
    from .console import Screen
    from .interrupts import Interruption

SKIPPED: Final = 1
"""The exit code if a requested instance was skipped."""

_EPILOG: Final = """\
The command reads instances and changes nothing. `pulumi up` of the program adopts them. Instances
that a Pulumi resource owns are skipped. Values that look secret are not written: standard error and
the program have the commands that copy them into the stack configuration.

exit code:
  0    the program is written, with all requested instances
  1    the program is written, but an instance was skipped; standard error has the reason
  2    nothing is written: the arguments are not valid, or another error occurred
  141  the reader of standard output ended first, as with `| head`
"""


def main(program: str, arguments: Sequence[str]) -> int:
    """Run the command `import`; return the exit code.

    Args:
        program: The name of the command, for messages.
        arguments: The arguments after `import`.
    """
    return run_framed(partial(_run, _parser(program).parse_args(arguments)))


def _parser(program: str) -> argparse.ArgumentParser:
    parser = command_parser(
        program,
        usage="[OPTION...] [INSTANCE...]",
        description="Write a Pulumi program that adopts existing instances.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "instances",
        metavar="INSTANCE",
        nargs="*",
        help="the name of an instance (default: all instances of the project)",
    )
    parser.add_argument(
        "--project",
        metavar="NAME",
        help="the Incus project (default: the project of the host's settings, or `default`)",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write the program to this file, which must not exist"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing --output file")
    add_host(parser)
    return parser


def _run(options: argparse.Namespace, screen: "Screen", _: "Interruption") -> int:
    # Imported late: help and an invalid option do not need these modules.
    from ..imports.codegen import (
        Origin,
        secret_commands,
        write_program,
    )
    from ..imports.reader import read_instance
    from ..incus.hosts import HostSettings
    from ..jobs.api import connected
    from ..reconcile.preflight import HostFacts

    if options.output and not options.force and _exists(options.output):
        raise CommandRefused(
            Message(f"file {options.output} already exists; --force replaces it", EXISTS)
        )
    # An empty path stays empty, so that it is refused: as a path, it would be this directory.
    socket = str(Path(options.socket).absolute()) if options.socket else options.socket
    client = connected(
        HostSettings(remote=options.remote, socket=socket, project=options.project or "")
    )
    facts = HostFacts(client)
    if facts.project(client.project) is None:
        raise CommandRefused(
            missing(
                f"project {client.project}",
                f"at {client.host}",
                "`incus project list` lists the projects",
            )
        )
    instances = _instances(client, options.instances)
    view = _view(facts, client, instances)
    found = [read_instance(live, view) for live in instances]
    # The remote is named explicitly, since `incus remote switch` may have changed the client's
    # default.
    known_as = (None if socket else os.environ.get("INCUS_REMOTE")) or "local"
    origin = Origin(client.project, client.host, options.remote or "", socket or "", known_as)
    text = write_program(found, origin)
    if options.output:
        try:
            with Path(options.output).open("w" if options.force else "x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise CommandRefused(
                could_not(f"write {options.output}", error.strerror or str(error))
            ) from None
    else:
        screen.raw(text.encode())
    _show_notes(found, secret_commands(found, origin), screen)
    requested = [
        i for i in found if i.skip_reasons and (options.instances or not i.owned_by_pulumi)
    ]
    return SKIPPED if requested else 0


def _exists(file: str) -> bool:
    try:
        return Path(file).exists() or Path(file).is_symlink()
    except (OSError, ValueError) as error:
        raise CommandRefused(could_not(f"write {file!r}", str(error))) from None


def _instances(client: "IncusClient", wanted: Sequence[str]) -> "list[LiveInstance]":
    """Return the wanted instances; all instances if none is named.

    Raises:
        CommandRefused: An instance does not exist.
    """
    from ..reconcile.instances.live_instance import LiveInstance

    there = {
        str(data.get("name")): LiveInstance.of({"project": client.project, **data}, "")
        for data in client.get_list("/1.0/instances", recursion="1")
        if isinstance(data, dict)
    }
    absent = [name for name in wanted if name not in there]
    if absent:
        close = get_close_matches(absent[0], there, n=1)
        raise CommandRefused(
            missing(
                f"instance {', '.join(absent)}",
                f"in project {client.project} at {client.host}",
                f"did you mean {close[0]}?"
                if close
                else f"`incus list --project {client.project}` lists the instances",
            )
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


def _show_notes(found: "Sequence[Imported]", commands: Sequence[str], screen: "Screen") -> None:
    """Show the notes on the program, and the instances that are not in it."""
    from ..text_safety import visible
    from .console import YELLOW

    count = sum(not imported.skip_reasons for imported in found)
    screen.line(f"{count} of {len(found)} instance{'' if len(found) == 1 else 's'} in the program")
    for imported in sorted(found, key=lambda imported: imported.name):
        name = visible(imported.name)
        for reason in imported.skip_reasons:
            screen.line(f"{name} is skipped: {visible(reason)}", YELLOW)
        for note in imported.notes if not imported.skip_reasons else ():
            screen.line(f"{name}: {visible(note)}", YELLOW)
    if commands:
        screen.line("these values look secret; run these commands before the first `pulumi up`:")
    for command in commands:
        screen.line(f"  {visible(command)}")
