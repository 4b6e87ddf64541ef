"""The calls that are disturbed, and what has to be true after them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..provider_engine import (
    Managed,
    arguments,
    volume_mount,
)
from .world import World

Prepare = Callable[[str], tuple[dict[str, Any] | None, dict[str, Any]]]
"""For a name: the arguments that are up before, if any, and those of the disturbed call."""


@dataclass(frozen=True)
class Scenario:
    """A call of the provider's."""

    name: str
    call: str
    """`up` or `destroy`."""
    prepare: Prepare
    loses: tuple[str, ...] = ()
    """Volumes, by the end of their names, that the call deletes."""
    first: str = ""
    """The first step that is disturbed, as another scenario has those before it."""

    @property
    def creates(self) -> bool:
        return self.prepare("x")[0] is None


def runtime(name: str, *volumes: str, **more: Any) -> dict[str, Any]:
    """The arguments of a container with these volumes besides the one from before."""
    mounts = [volume_mount(f"{name}-{end}", f"/mnt/{end}") for end in ("data", *volumes)]
    # What is waited for is there at once, or does not come.
    given = arguments(name, mounts=mounts, **{"running": False, "timeouts": {"wait": 3}, **more})
    # Left to the profile, which has to be asked then.
    if "storage_pool" not in more:
        del given["storage_pool"]
    return given


def problems_after_error(
    scenario: Scenario, world: World, managed: Managed, *, could_undo: bool
) -> list[str]:
    """What is wrong with what a failed call leaves."""
    found = []
    instances, volumes = world.instances(), world.volumes()
    if scenario.creates:
        if managed.outputs is not None:
            found.append("there is a state")
        if could_undo and instances:
            found.append(f"an orphan: instance {', '.join(instances)}")
    elif scenario.call == "up" and list(instances) != [world.name]:
        found.append(f"instances: {', '.join(instances) or 'none'}")
    before, wanted = scenario.prepare(world.name)
    made = volumes_of(before) if before else {world.data}
    if could_undo and scenario.call == "up":
        found += [
            f"an orphan: volume {name}"
            for name in volumes - made
            if not world.volume(name)["used_by"]
        ]
    found += [f"unasked for: volume {name}" for name in volumes - made - volumes_of(wanted)]
    return found + problems_always(scenario, world)


def problems_always(scenario: Scenario, world: World) -> list[str]:
    """What is wrong whatever happened."""
    found = []
    instances, volumes = world.instances(), world.volumes()
    if instances.keys() - {world.name}:
        found.append(f"a duplicate: {', '.join(instances)}")
    before, _ = scenario.prepare(world.name)
    lost = {f"{world.name}-{end}" for end in scenario.loses}
    for name in {world.data} | (volumes_of(before) if before else set()):
        if name not in volumes and name not in lost:
            found.append(f"lost: volume {name}")
    for instance in instances.values():
        if instance["config"].get("user.theirs", "") != world.theirs:
            found.append("lost: what somebody else set meanwhile")
    if not world.data_intact():
        found.append("lost: the data")
    return found


def problems_when_up(
    scenario: Scenario, world: World, managed: Managed, ask: Callable[[Managed, str], Any]
) -> list[str]:
    """What is wrong where the call, or its repetition, is said to have succeeded."""
    found = problems_always(scenario, world)
    instances, volumes = world.instances(), world.volumes()
    before, wanted = scenario.prepare(world.name)
    if scenario.call == "destroy":
        if instances:
            found.append("the instance is there still")
        found += [
            f"volume {world.name}-{end} is there still"
            for end in scenario.loses
            if f"{world.name}-{end}" in volumes
        ]
        return found
    if list(instances) != [world.name]:
        return [*found, f"instances: {', '.join(instances) or 'none'}"]
    if (instances[world.name]["status"] == "Running") != wanted["running"]:
        found.append(f"it is {instances[world.name]['status']}")
    if drift := ask(managed, "refresh"):
        found.append(f"drift: {drift}")
    if (planned := ask(managed, "planned")) != "same":
        found.append(f"the next up would {planned}")
    kept = volumes_of(wanted) | (volumes_of(before) if before else set())
    if volumes != kept:
        found.append(f"volumes: {', '.join(sorted(volumes))}, not {', '.join(sorted(kept))}")
    return found


def problems_when_gone(world: World, volumes: set[str]) -> list[str]:
    """What is wrong after all is destroyed."""
    found = []
    if instances := world.instances():
        found.append(f"not deleted: {', '.join(instances)}")
    if (left := world.volumes()) != volumes:
        found.append(f"volumes after delete: {', '.join(sorted(left))}")
    if not world.data_intact():
        found.append("lost with the delete: the data")
    return found


def volumes_of(given: dict[str, Any]) -> set[str]:
    """The volumes of a program's arguments."""
    return {str(mount["source"]) for mount in given["mounts"]}


CREATE = Scenario("create", "up", lambda name: (None, runtime(name, "state")))
CREATE_RUNNING = Scenario(
    "create, started and waited for",
    "up",
    lambda name: (None, runtime(name, "state", running=True, wait_for="agent")),
    first="POST instances",
)
UPDATE = Scenario(
    "update: a volume more, a device less, start",
    "up",
    lambda name: (
        runtime(name, "state"),
        runtime(name, "more", running=True, config={"user.x": "1"}),
    ),
)
UPDATE_LIVE = Scenario(
    "update while running: limit and a volume more",
    "up",
    lambda name: (
        runtime(name, running=True),
        runtime(name, "more", running=True, resources={"memory_mib": 64}),
    ),
    first="POST default/volumes",
)
UPDATE_RECOVER = Scenario(
    "update: restart",
    "up",
    lambda name: (
        runtime(name, running=True),
        runtime(name, running=True, restart_triggers="again"),
    ),
    first="PUT instances/{name}/state",
)
DELETE = Scenario("delete", "destroy", lambda name: (runtime(name, "state", running=True),) * 2)
DELETE_VOLUMES = Scenario(
    "delete with its volumes",
    "destroy",
    lambda name: (runtime(name, "state", delete_data=True),) * 2,
    loses=("state",),
    first="GET default/volumes/{name}-data",
)

SCENARIOS = (
    CREATE,
    CREATE_RUNNING,
    UPDATE,
    UPDATE_LIVE,
    UPDATE_RECOVER,
    DELETE,
    DELETE_VOLUMES,
)
