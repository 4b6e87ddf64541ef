"""Measure the size of a runtime's state, and the cost of a large stack without changes."""

import json
import resource

from .machine import Sandbox
from .report import Row, Section
from .stack import EMPTY, RUNTIMES, Stack

_MANY = 500
_CHECKPOINTS = (100, 400)


def state(box: Sandbox) -> Section:
    """Measure the bytes in the state, a preview of many runtimes, and the cost of checkpoints in a
    file."""
    stack = Stack(box.folder / "state", RUNTIMES, box.socket, 8)
    mount = {
        "kind": "persistent_volume",
        "source": "sized-1-state",
        "guest_path": "/mnt/state",
        "mode": "read_write",
    }
    stack.declare({"sized-0": {}, "sized-1": {"mounts": [mount], "delete_data": True}})
    stack.up()
    resources = {it["urn"].rpartition("::")[2]: it for it in stack.resources()}
    stack.destroy()
    one = stack.preview()
    stack.declare({f"many-{number}": {} for number in range(_MANY)})
    many = stack.preview()
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    each = (many - one) / (_MANY - 2)
    return Section(
        "State, and a large stack",
        "Bytes of compact JSON, and as the file backend indents it.",
        [
            Row(name, f"{_compact(value):,} ({len(json.dumps(value, indent=4)):,} on disk)")
            for name, value in (
                ("a runtime without mounts", resources["sized-0"]),
                ("a runtime with a volume", resources["sized-1"]),
            )
        ]
        + [
            Row(
                "of the first, Pulumi's own stack trace",
                f"{_compact(resources['sized-0'].get('stackTrace')):,}",
            ),
            Row(
                f"`pulumi preview` of {_MANY} new runtimes",
                f"{many:.1f} s; {each * 1e3:.0f} ms for each above the start of Pulumi",
            ),
            Row("the largest process of Pulumi's in it", f"{largest:.0f} MiB"),
            *_checkpoints(box),
        ],
    )


def _checkpoints(box: Sandbox) -> list[Row]:
    """Measure the checkpoints of growing stacks; Pulumi writes the whole state at each step."""
    rows = []
    for count in _CHECKPOINTS:
        taken = []
        for skip in ("false", "true"):
            folder = box.folder / f"checkpoints-{count}-{skip}"
            environment = {"PULUMI_EXPERIMENTAL": skip, "PULUMI_SKIP_CHECKPOINTS": skip}
            stack = Stack(folder, EMPTY, box.socket, 8, environment)
            stack.declare({f"empty-{number}": {} for number in range(count)})
            taken.append(stack.up())
        rows.append(
            Row(
                f"`pulumi up` of {count} empty resources",
                f"{taken[0]:.1f} s; without checkpoints {taken[1]:.1f} s",
            )
        )
    return rows


def _compact(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":")))
