"""Measure `pulumi up`, `preview`, `refresh` and `destroy` of many runtimes, against plain REST
calls and against the same number of empty resources."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pulumi_pika.providers.thread_pool import VARIABLE

from .floor import Script
from .machine import IMAGE, Sandbox
from .report import Row, Section, median, seconds
from .stack import EMPTY, RUNTIMES, Stack

PARALLEL = 8
"""Pulumi's default on two cores (4 per core); the script uses the same number of threads."""
AIM = 1.25
_MANY = 100
"""The number of runtimes from which previews are measured in the first round only."""
Times = dict[str, list[float]]


def lifecycle(box: Sandbox, count: int, rounds: int) -> Section:
    """Measure one number of runtimes. Each round runs the script, the empty resources and the
    runtimes in turns."""
    script: Times = defaultdict(list)
    empty: Times = defaultdict(list)
    ours: Times = defaultdict(list)
    four: Times = defaultdict(list)
    for turn in range(rounds):
        _script(box, count, script)
        for kind, program, width, times in (
            ("empty", EMPTY, "", empty),
            ("ours", RUNTIMES, "", ours),
            ("four", RUNTIMES, "0", four),
        ):
            if kind == "four" and (count < 2 or turn > 0):
                continue
            folder = box.folder / f"{kind}-{count}-{turn}"
            stack = Stack(folder, program, box.socket, PARALLEL, {VARIABLE: width})
            stack.declare({f"{folder.name}-{number}": {} for number in range(count)})
            _commands(
                stack, times, changes_only=kind == "four", previews=turn == 0 or count < _MANY
            )
    return Section(
        f"{count} runtime{'s' if count > 1 else ''}",
        f"Medians of {rounds} rounds (and their spread; what has none was measured in the first). "
        f"Containers without mounts; `--parallel {PARALLEL}`, and as many threads in the script. "
        "The ratio of `up`, `refresh` and `destroy` is ours above that of empty resources, by the "
        "script; of the others, ours by that of empty resources.",
        list(_rows(script, empty, ours, four, count)),
    )


def _script(box: Sandbox, count: int, times: Times) -> None:
    script = Script(box.socket, IMAGE, PARALLEL)
    names = [f"script-{number}" for number in range(count)]
    times["up"].append(script.make(names))
    times["refresh"].append(script.look(names))
    times["destroy"].append(script.remove(names))


def _commands(stack: Stack, times: Times, *, changes_only: bool, previews: bool) -> None:
    previews = previews and not changes_only
    if previews:
        times["preview"].append(stack.preview())
    times["up"].append(stack.up())
    if not changes_only:
        times["up again"].append(stack.up())
        times["refresh"].append(stack.refresh())
    if previews:
        times["preview again"].append(stack.preview())
    times["destroy"].append(stack.destroy())


def _rows(script: Times, empty: Times, ours: Times, four: Times, count: int) -> Iterator[Row]:
    for command in ("up", "refresh", "destroy"):
        floor = median(script[command])
        above = median(ours[command]) - median(empty[command])
        yield Row(f"script: {_SCRIPT[command]}", seconds(script[command]))
        yield Row(f"`pulumi {command}` of empty resources", seconds(empty[command]))
        yield Row(
            f"**`pulumi {command}`**",
            seconds(ours[command]),
            floor=f"{floor:.2f} s",
            ratio=f"**{above / floor:.2f}**",
            target=f"at most {AIM}" if command == "up" and count > 1 else "",
        )
        if four[command]:
            above = median(four[command]) - median(empty[command])
            yield Row(
                f"the same with {VARIABLE}=0 (4 calls at a time)",
                seconds(four[command]),
                floor=f"{floor:.2f} s",
                ratio=f"{above / floor:.2f}",
            )
    for command, shown in _OTHERS.items():
        floor = median(empty[command])
        yield Row(
            shown,
            seconds(ours[command]),
            floor=f"{floor:.2f} s (empty)",
            ratio=f"{median(ours[command]) / floor:.2f}",
        )


_OTHERS = {
    "up again": "`pulumi up`, nothing changed",
    "preview again": "`pulumi preview`, nothing changed",
    "preview": "`pulumi preview` of new ones",
}
_SCRIPT = {
    "up": "POST with start, wait, GET with state",
    "refresh": "GET with state",
    "destroy": "PUT state, wait, DELETE, wait",
}


def waiting(box: Sandbox, counts: Sequence[int]) -> Section:
    """Measure the benefit of parallel calls in the provider process with slow guests."""
    rows = []
    more = {"wait_for": "guest_status", "cloud_init_user_data": _READY_LATER}
    for count in counts:
        taken = {}
        for width in ("0", ""):
            folder = box.folder / f"waiting-{count}-{width or 'wide'}"
            stack = Stack(folder, RUNTIMES, box.socket, count, {VARIABLE: width})
            stack.declare({f"{folder.name}-{number}": more for number in range(count)})
            taken[width] = stack.up()
            stack.destroy()
        rows.append(
            Row(
                f"`pulumi up --parallel {count}` of {count}",
                f"{taken['']:.1f} s",
                floor=f"{taken['0']:.1f} s",
                ratio=f"{taken[''] / taken['0']:.2f}",
            )
        )
    return Section(
        "Guests that take their time",
        f"Containers that say {_READY_AFTER} seconds after their start that they are ready, as a "
        'virtual machine does that boots, with `wait_for="guest_status"`. The floor here is the '
        f"same with {VARIABLE}=0, which leaves Pulumi's four calls at a time. One run each.",
        rows,
    )


_READY_AFTER = 3
_READY_LATER = f"""#!/bin/sh
(
sleep {_READY_AFTER}
mkdir -p /run/pika-cloud
printf '{{"schema_version": 1, "state": "ready", "boot_id": "%s"}}' \\
    "$(cat /proc/sys/kernel/random/boot_id)" > /run/pika-cloud/status.json
) &
"""
