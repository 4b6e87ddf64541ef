"""Count the requests of each command that reach the daemon."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from tests.support.proxy import Proxy, Request

from .machine import Sandbox
from .report import Row, Section
from .stack import RUNTIMES, Stack

_PER_PROCESS = ("/1.0", "/1.0/projects/", "/1.0/profiles", "/1.0/images/aliases")
"""The paths that a process requests once (or every half minute) for all runtimes together."""


def count_requests(box: Sandbox, count: int) -> Section:
    """Count the requests of each command for `count` runtimes with a volume each."""
    commands: list[tuple[str, Sequence[str]]] = []
    with Proxy(box.socket, box.folder / "proxy") as proxy:
        stack = Stack(box.folder / "requests", RUNTIMES, proxy.socket, 4)
        for limit in (None, 64):
            stack.declare({f"counted-{n}": _with_volume(n, limit) for n in range(count)})
            if limit is None:
                commands.append(("preview of new ones", _sent(proxy, stack.preview)))
                commands.append(("up", _sent(proxy, stack.up)))
                commands.append(("up, nothing changed", _sent(proxy, stack.up)))
                commands.append(("preview, nothing changed", _sent(proxy, stack.preview)))
                commands.append(("refresh", _sent(proxy, stack.refresh)))
        commands.append(("up, another memory limit", _sent(proxy, stack.up)))
        commands.append(("destroy", _sent(proxy, stack.destroy)))
    rows = [
        Row(
            f"`{command.partition(' ')[0].rstrip(',')}`"
            f"{command[len(command.partition(' ')[0].rstrip(',')) :]}",
            f"{len([line for line in sent if not _is_shared(line)]) / count:g}",
            target=_AIMS.get(command, ""),
        )
        for command, sent in commands
    ]
    return Section(
        "Requests for each runtime",
        f"{count} containers with one volume each, storage pool not named. What a process asks "
        "once for all is not counted here; see docs/requests.md.",
        rows,
        [_listing(commands, count)],
    )


_AIMS = {
    "up": "6: no more than a script that can be run twice",
    "up, nothing changed": "at most 1",
}


def _with_volume(number: int, memory: int | None) -> dict[str, Any]:
    mount = {
        "kind": "persistent_volume",
        "source": f"counted-{number}-state",
        "guest_path": "/mnt/state",
        "mode": "read_write",
    }
    resources = {} if memory is None else {"resources": {"memory_mib": memory}}
    return {"mounts": [mount], "delete_data": True, **resources}


def _sent(proxy: Proxy, command: Callable[[], float]) -> list[str]:
    proxy.clear_requests()
    command()
    return [_line(request) for request in proxy.requests]


def _line(request: Request) -> str:
    query = "&".join(f"{key}={value}" for key, value in request.query.items() if key != "project")
    return f"{request.method} {unquote(request.path)}{'?' if query else ''}{query}"


def _is_shared(line: str) -> bool:
    path = line.partition(" ")[2].partition("?")[0]
    return line.startswith("GET ") and (
        path == "/1.0" or any(path.startswith(begin) for begin in _PER_PROCESS[1:])
    )


def _listing(commands: Sequence[tuple[str, Sequence[str]]], count: int) -> str:
    """Return the requests of each command, without names and ids, and how often each was sent."""
    lines = ["```"]
    for command, sent in commands:
        lines.append(f"{command}:{'' if sent else ' none'}")
        kinds = Counter(_kind(line) for line in sent)
        for kind, times in kinds.items():
            often = "once" if _is_shared(kind) else f"{times / count:g} each"
            lines.append(f"    {often:8} {kind}")
    return "\n".join([*lines, "```"])


def _kind(line: str) -> str:
    line = re.sub(r"counted-\d+", "NAME", line)
    return re.sub(r"/operations/[^/?]+", "/operations/ID", line)
