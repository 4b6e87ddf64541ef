"""Measure the overhead of a job over a script that sends only create, exec and delete."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.jobs.api import run_job

from .floor import Script
from .machine import IMAGE, Sandbox
from .report import Row, Section, median, seconds

AIM = 1.3
_COMMAND = "echo hello"
_MANY = 20
_PARALLEL = 8


def jobs(box: Sandbox, rounds: int) -> Section:
    """Measure single jobs and many parallel jobs, alternating with the script."""
    script = Script(box.socket, IMAGE, _PARALLEL)
    client = IncusClient(box.socket)
    folder = box.folder / "outputs"

    def ours(name: str) -> None:
        run_job(_spec(name), _COMMAND, instance_type="container", client=client).check(name)

    def brought_home(name: str) -> None:
        run_job(
            _spec(name),
            _COMMAND,
            instance_type="container",
            client=client,
            output_dir=str(folder / name),
        ).check(name)

    one: dict[str, list[float]] = {"script": [], "ours": [], "home": []}
    many: dict[str, list[float]] = {"script": [], "ours": []}
    for turn in range(rounds):
        for kind, work in (("script", script.run), ("ours", ours), ("home", brought_home)):
            one[kind].append(_timed(work, f"job-{turn}"))
    for turn in range(max(1, rounds // 3)):
        names = [f"job-{turn}-{number}" for number in range(_MANY)]
        many["script"].append(script.each(script.run, names))
        many["ours"].append(script.each(ours, names))
    return Section(
        "Jobs",
        f"`run_job` of `{_COMMAND}` in a container, against a script's POST with start, exec with "
        "its output recorded, GET of the output, kill, DELETE, each waited for. Medians of "
        f"{rounds} rounds.",
        list(_rows(one, many)),
    )


def _rows(one: dict[str, list[float]], many: dict[str, list[float]]) -> Iterator[Row]:
    floor, floor_of_many = median(one["script"]), median(many["script"])
    yield Row("script: one", seconds(one["script"]))
    for kind, what in (("ours", "**a job**"), ("home", "a job whose outputs are brought home")):
        yield Row(
            what,
            seconds(one[kind]),
            floor=f"{floor:.2f} s",
            ratio=f"**{median(one[kind]) / floor:.2f}**",
            target=f"at most {AIM}",
        )
    yield Row(f"script: {_MANY}, {_PARALLEL} at a time", seconds(many["script"]))
    yield Row(
        f"{_MANY} jobs, {_PARALLEL} at a time",
        seconds(many["ours"]),
        floor=f"{floor_of_many:.2f} s",
        ratio=f"{median(many['ours']) / floor_of_many:.2f}",
    )


def _spec(name: str) -> dict[str, Any]:
    return {
        "identity": {"runtime_id": name, "instance_name": name},
        "provider": "incus",
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
    }


def _timed(work: Callable[[str], None], name: str) -> float:
    begun = time.perf_counter()
    work(name)
    return time.perf_counter() - begun
