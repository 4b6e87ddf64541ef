"""Two processes at once, each as the engine has one: one wins, the other is told clearly, and
nothing is half done."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest

from ...conftest import Sandbox
from ...support.faults.matrix import PROVIDER_ERROR
from ...support.faults.provider import Provider, Raised
from ...support.faults.scenarios import runtime
from ...support.faults.world import World
from ...support.provider_engine import Managed, Refused

ROUNDS = 4
REFUSED = f"{Refused.__module__}.{Refused.__qualname__}"
"""What `check` ends with if the other one was there first."""


@pytest.fixture
def world(sandbox: Sandbox) -> Iterator[World]:
    world = World(sandbox.daemon)
    yield world
    world.remove()


@pytest.fixture
def two(sandbox: Sandbox) -> Iterator[tuple[Provider, Provider]]:
    with ExitStack() as stack:
        first, second = (stack.enter_context(closing(Provider(sandbox.socket))) for _ in range(2))
        yield first, second


def at_once(
    providers: tuple[Provider, Provider], managed: tuple[Managed, Managed], method: str = "up"
) -> list[Raised | None]:
    """What two calls at the same time raised."""

    def one(provider: Provider, it: Managed) -> Raised | None:
        try:
            provider.call(it, method)
        except Raised as error:
            return error
        return None

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, providers, managed))


def given(world: World, *volumes: str, **more: Any) -> dict[str, Any]:
    return runtime(world.name, *volumes, **more)


def owner(of: str) -> str:
    return f"urn:pulumi:{of}::state::pulumi-python:dynamic/pika:IncusRuntime::it"


def clear(error: Raised | None) -> Raised:
    assert error is not None
    assert error.kind in (PROVIDER_ERROR, REFUSED), "neither by a call nor by `check`"
    assert "internal error in pulumi_pika" not in error.text
    assert "NOT be undone" not in error.text
    return error


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_stacks_make_one_instance(
    world: World, two: tuple[Provider, Provider], running: bool, _round: int
) -> None:
    both = (
        Managed(given(world, "state", owner=owner("one"), running=running)),
        Managed(given(world, "state", owner=owner("two"), running=running)),
    )
    errors = at_once(two, both)
    assert errors.count(None) == 1, errors
    won = errors.index(None)
    said = clear(errors[1 - won]).text
    assert world.name in said
    assert both[1 - won].outputs is None

    assert list(world.instances()) == [world.name]
    assert world.volumes() == {world.data, f"{world.name}-state"}
    mark = world.instances()[world.name]["config"]["user.pika.owner"]
    assert mark == both[won].arguments["owner"]
    assert world.volume(f"{world.name}-state")["config"]["user.pika.owner"] == mark
    assert two[won].call(both[won], "refresh") == {}
    assert two[won].call(both[won], "planned") == "same"
    # The loser is told the same once more, and still touches nothing.
    assert both[won].arguments["owner"] in clear(at_once(two, both)[1 - won]).text
    two[won].call(both[won], "destroy")
    assert world.instances() == {}
    assert world.data_intact()


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_processes_make_one_resource(
    world: World, two: tuple[Provider, Provider], _round: int
) -> None:
    """As two `up`s of one stack would, which Pulumi's own lock keeps apart as a rule."""
    both = (Managed(given(world, "state")), Managed(given(world, "state")))
    errors = at_once(two, both)
    assert None in errors, errors
    for error in errors:
        if error is not None:
            clear(error)
    assert list(world.instances()) == [world.name]
    assert world.volumes() == {world.data, f"{world.name}-state"}
    # Whoever took it over last owns it: the state that has the generation on the instance.
    generation = world.instances()[world.name]["config"]["user.pika.generation"]
    owns = [bool(it.outputs) and it["generation"] == generation for it in both]
    assert any(owns), owns
    won = owns.index(True)
    assert two[won].call(both[won], "refresh") == {}
    assert two[won].call(both[won], "planned") == "same"
    if not all(owns) and both[1 - won].outputs is not None:
        two[1 - won].call(both[1 - won], "destroy")
        assert list(world.instances()) == [world.name], "a state that does not own it removed it"


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_runtimes_make_one_volume(
    world: World, two: tuple[Provider, Provider], _round: int
) -> None:
    def other(end: str) -> Managed:
        mine = given(world, "state", owner=owner(end))
        identity = {"runtime_id": f"id-{end}", "instance_name": f"{world.name}-{end}"}
        return Managed({**mine, "identity": identity})

    both = (other("one"), other("two"))
    errors = at_once(two, both)
    assert errors.count(None) == 1, errors
    won = errors.index(None)
    said = clear(errors[1 - won]).text
    assert f"{world.name}-state" in said
    names = [it.arguments["identity"]["instance_name"] for it in both]
    assert list(world.instances()) == [names[won]]
    volume = world.volume(f"{world.name}-state")
    assert volume["config"]["user.pika.owner"] == both[won].arguments["owner"]
    assert two[won].call(both[won], "planned") == "same"


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_two_updates_at_once(world: World, two: tuple[Provider, Provider], _round: int) -> None:
    before = given(world, "state")
    first = Managed(before)
    two[0].call(first, "up")
    second = Managed(before, first.outputs, first.inputs, first.id)
    first.change(**given(world, "state", "a", config={"user.who": "first"}))
    second.change(**given(world, "state", "b", config={"user.who": "second"}))
    errors = at_once(two, (first, second))
    for error in errors:
        if error is not None:
            clear(error)
    assert None in errors, errors

    # Whatever came of it, each can have its way afterwards, whole.
    live = world.instances()[world.name]
    assert live["config"]["user.who"] in ("first", "second")
    volumes = world.volumes()
    for end in ("a", "b"):
        mounted = any(it.get("source") == f"{world.name}-{end}" for it in live["devices"].values())
        made = f"{world.name}-{end}" in volumes
        assert made or not mounted
    for provider, it in zip(two, (first, second), strict=True):
        provider.call(it, "refresh")
        provider.call(it, "up")
        assert provider.call(it, "refresh") == {}
        assert provider.call(it, "planned") == "same"
    assert {world.data, f"{world.name}-state"} <= world.volumes()
    assert world.data_intact()


def test_two_deletes_at_once(world: World, two: tuple[Provider, Provider]) -> None:
    given_ = given(world, "state", running=True, delete_data=True)
    first = Managed(given_)
    two[0].call(first, "up")
    second = Managed(given_, first.outputs, first.inputs, first.id)
    errors = at_once(two, (first, second), "destroy")
    for error in errors:
        if error is not None:
            clear(error)
    for provider, it, error in zip(two, (first, second), errors, strict=True):
        if error is not None:
            provider.call(it, "destroy")
    assert world.instances() == {}
    assert world.volumes() == {world.data}
    assert world.data_intact()


def test_delete_and_update_at_once(world: World, two: tuple[Provider, Provider]) -> None:
    before = given(world, "state")
    first = Managed(before)
    two[0].call(first, "up")
    second = Managed(before, first.outputs, first.inputs, first.id)
    second.change(**given(world, "state", "more", running=True))

    with ThreadPoolExecutor(1) as pool:
        updating = pool.submit(two[1].call, second, "up")
        try:
            two[0].call(first, "destroy")
        except Raised as error:
            clear(error)
            updating.exception()
            two[0].call(first, "destroy")
        if (refused := updating.exception()) is not None:
            assert isinstance(refused, Raised)
            clear(refused)
    assert world.instances() == {}
    assert f"{world.name}-state" in world.volumes()
    assert world.data_intact()
