"""Runs a call with a fault at one of its steps, and judges what came of it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from dev.sandbox import Daemon

from ..provider_engine import Managed
from ..proxy import Proxy
from .faults import Fault, Scene
from .provider import (
    Killed,
    Provider,
    Raised,
)
from .scenarios import (
    Scenario,
    problems_after_error,
    problems_when_gone,
    problems_when_up,
)
from .steps import Step, steps_of
from .world import World

Item = TypeVar("Item")
Result = TypeVar("Result")

PROVIDER_ERROR = "pulumi_pika.providers.provider_errors.ProviderError"


@dataclass(frozen=True)
class Outcome:
    """A cell of the table."""

    scenario: str
    fault: str
    step: str
    word: str
    problems: tuple[str, ...] = ()
    error: str = ""
    """What the disturbed call said."""

    def __str__(self) -> str:
        said = f"\n    it said: {self.error}" if self.error else ""
        return f"{self.scenario} / {self.fault} / {self.step}: {'; '.join(self.problems)}{said}"


@dataclass
class Place:
    """A daemon with a proxy of its own before it, for one cell at a time."""

    daemon: Daemon
    proxy: Proxy
    image: Path
    pool: str = "default"

    @contextmanager
    def provider(self, *, impatient_at: tuple[Step, str] | None = None) -> Iterator[Provider]:
        with closing(Provider(self.proxy.socket, impatient_at=impatient_at)) as provider:
            yield provider

    def prepared(self, scenario: Scenario, world: World) -> Managed:
        """What is up before the call."""
        before, wanted = scenario.prepare(world.name)
        managed = Managed(before or wanted)
        if before is not None:
            with closing(Provider(self.daemon.socket)) as provider:
                provider.call(managed, "up")
            managed.change(**{**dict.fromkeys(before), **wanted})
        return managed

    def record(self, scenario: Scenario) -> list[Step]:
        """The steps of the undisturbed call."""
        world = World(self.daemon, self.pool)
        managed = self.prepared(scenario, world)
        self.proxy.clear()
        with self.provider() as provider:
            provider.call(managed, scenario.call)
            steps = steps_of(self.proxy.requests, world.name)
            problems = problems_when_up(scenario, world, managed, provider.call)
        assert not problems, problems
        world.remove()
        return steps

    def disturb(self, scenario: Scenario, fault: Fault, step: Step) -> Outcome:
        """One cell."""
        world = World(self.daemon, self.pool)
        managed = self.prepared(scenario, world)
        self.proxy.clear()
        word, problems, said = self._disturb(scenario, fault, step, world, managed)
        with suppress(Exception):
            world.remove()
        return Outcome(scenario.name, fault.name, str(step), word, tuple(problems), said)

    def _disturb(
        self, scenario: Scenario, fault: Fault, step: Step, world: World, managed: Managed
    ) -> tuple[str, list[str], str]:
        problems: list[str] = []
        impatient_at = (step, world.name) if fault.impatient else None
        with self.provider(impatient_at=impatient_at) as provider:
            scene = Scene(step, world, self.proxy, provider, self.image, [])
            rule = self.proxy.on(
                step.method,
                step.pattern(world.name),
                fault.action(scene),
                nth=step.nth,
                times=fault.times,
            )
            raised = _try(provider, managed, scenario.call)
            for put_right in scene.after:
                put_right()
            self.proxy.clear()
            if not rule.applied:
                problems.append("the step was not taken")
            if raised is not None:
                problems += _unclear(raised, fault)
                problems += problems_after_error(
                    scenario, world, managed, could_undo=fault.could_undo
                )
            clean = not world.instances() and world.volumes() == {world.data}
            if not fault.kills:
                again = _again(scenario, world, managed, provider, raised)
        if fault.kills:
            with self.provider() as provider:
                again = _again(scenario, world, managed, provider, raised)
        problems += again
        if problems:
            word = "FAILED"
        elif raised is None:
            word = "ok"
        elif scenario.creates:
            word = "undone" if clean else "resumed"
        else:
            word = "again"
        return word, problems, str(raised) if raised else ""


def in_places(
    places: Iterable[Place], items: Iterable[Item], work: Callable[[Place, Item], Result]
) -> list[Result]:
    """Does all the work, one piece at a time in each place."""
    free: SimpleQueue[Place] = SimpleQueue()
    for place in (all_places := list(places)):
        free.put(place)

    def one(item: Item) -> Result:
        place = free.get()
        try:
            return work(place, item)
        finally:
            free.put(place)

    with ThreadPoolExecutor(len(all_places)) as pool:
        return list(pool.map(one, items))


def run(places: Iterable[Place], cells: Iterable[tuple[Scenario, Fault, Step]]) -> list[Outcome]:
    """Runs cells."""

    def one(place: Place, cell: tuple[Scenario, Fault, Step]) -> Outcome:
        try:
            return place.disturb(*cell)
        except Exception as error:
            scenario, fault, step = cell
            problem = f"the test itself failed: {type(error).__name__}: {error}"
            return Outcome(scenario.name, fault.name, str(step), "FAILED", (problem,))

    return in_places(places, cells, one)


def _try(provider: Provider, managed: Managed, method: str) -> Raised | Killed | None:
    try:
        provider.call(managed, method)
    except (Raised, Killed) as error:
        return error
    return None


def _again(
    scenario: Scenario,
    world: World,
    managed: Managed,
    provider: Provider,
    raised: Raised | Killed | None,
) -> list[str]:
    """What is wrong with the second time, and with the end of it all."""
    problems = []
    if raised is not None and (second := _try(provider, managed, scenario.call)):
        return [f"the second {scenario.call}: {second}"]
    problems += problems_when_up(scenario, world, managed, provider.call)
    volumes = world.volumes()
    if scenario.call == "up":
        if error := _try(provider, managed, "destroy"):
            return [*problems, f"the delete afterwards: {error}"]
        problems += problems_when_gone(world, volumes)
    return problems


def _unclear(raised: Raised | Killed, fault: Fault) -> list[str]:
    """What is wrong with how a call ended."""
    if isinstance(raised, Killed):
        return [] if fault.kills else ["the process ended"]
    if raised.kind != PROVIDER_ERROR or "internal error in pulumi_pika" in raised.text:
        return [f"it raised {raised}"]
    if fault.could_undo and "NOT be undone" in raised.text:
        return [f"it could not undo: {raised.text}"]
    if "Traceback" in raised.text or "object at 0x" in raised.text:
        return [f"it is not for people: {raised.text}"]
    return []
