"""How large the state of a runtime is, and what a large stack costs before anything happens."""

import json

from .machine import Sandbox
from .report import Row, Section
from .stack import RUNTIMES, Stack

_MANY = 500


def state(box: Sandbox) -> Section:
    """Bytes in the state, and a preview of many runtimes that are not made."""
    stack = Stack(box.folder / "state", RUNTIMES, box.socket, 8)
    mount = {
        "kind": "persistent_volume",
        "source": "sized-0-state",
        "guest_path": "/mnt/state",
        "mode": "read_write",
    }
    stack.declare({"sized-0": {}, "sized-1": {"mounts": [mount], "delete_volumes": True}})
    stack.up()
    sizes = {it["urn"].rpartition("::")[2]: len(json.dumps(it)) for it in stack.resources()}
    stack.destroy()
    stack.declare({f"many-{number}": {} for number in range(_MANY)})
    preview = stack.preview()
    return Section(
        "State, and a large stack",
        "As `stack export` has it, in bytes of compact JSON.",
        [
            Row("a runtime without mounts", f"{sizes['sized-0']:,} bytes"),
            Row("a runtime with a volume", f"{sizes['sized-1']:,} bytes"),
            Row(
                f"`pulumi preview` of {_MANY} new runtimes",
                f"{preview:.1f} s, {preview / _MANY * 1e3:.0f} ms each",
            ),
        ],
    )
