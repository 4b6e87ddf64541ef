"""Measures everything and writes RESULTS.md: `.venv/bin/python -m benchmarks`."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dev import tools

from .report import Section

RESULTS = Path(__file__).with_name("RESULTS.md")

_HEAD = """\
# How fast it is

Written by `.venv/bin/python -m benchmarks`, which makes an Incus daemon of its own and takes it
down again (`python3 dev tools` gets what it needs). Every floor was measured in the same run, in
turns with what it is the floor of.
""".splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, and no 100 runtimes")
    parser.add_argument(
        "--only",
        action="append",
        metavar="PART",
        help="planner, import, calls, memory, requests, state, waiting, jobs, vm, 1, 20 or 100; "
        "nothing is written then. May be given several times",
    )
    parser.add_argument("--rounds", type=int, help="rounds of each number of runtimes (3)")
    given = parser.parse_args()
    os.environ["PATH"] = tools.path()
    os.environ.pop("INCUS_DIR", None)

    begun = time.monotonic()
    lines = list(_measure(given.only or [], quick=given.quick, rounds=given.rounds))
    text = "\n".join(lines).rstrip() + "\n"
    if given.only or given.quick:
        print(f"\n{text}")
    else:
        RESULTS.write_text(text)
        print(f"written to {RESULTS}")
    print(f"took {time.monotonic() - begun:.0f} s", file=sys.stderr)


def _measure(only: list[str], *, quick: bool, rounds: int | None) -> Iterator[str]:
    from . import calls, jobs, lifecycle, machine, memory, requests, state, virtual_machines

    few, many = (2, 3) if quick else (5, 15)
    turns = rounds or (1 if quick else 3)
    with machine.sandbox() as box:
        parts: dict[str, Callable[[], Section]] = {
            "planner": lambda: calls.planner(few),
            "import": lambda: calls.imports(many),
            "calls": lambda: calls.provider_calls(few),
            "memory": lambda: memory.memory(box, 1000),
            "requests": lambda: requests.count_requests(box, 4),
            "1": lambda: lifecycle.lifecycle(box, 1, turns),
            "20": lambda: lifecycle.lifecycle(box, 20, turns),
            "100": lambda: lifecycle.lifecycle(box, 100, turns),
            "jobs": lambda: jobs.jobs(box, many),
            "waiting": lambda: lifecycle.waiting(box, (20,)),
            "state": lambda: state.state(box),
            "vm": virtual_machines.virtual_machines,
        }
        if unknown := [name for name in only if name not in parts]:
            sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(parts)}")
        wanted = only or [name for name in parts if not (quick and name == "100")]
        yield from _HEAD
        yield ""
        date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        yield f"- {date}; load before: {machine.load()}"
        for line in machine.description(box):
            yield f"- {line}"
        yield ""
        for name in wanted:
            begun = time.monotonic()
            print(f"==> {name}", file=sys.stderr, flush=True)
            section = parts[name]()
            print(f"    {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
            yield from section.lines()
        yield f"Load after: {machine.load()}"


if __name__ == "__main__":
    main()
