"""Places for the matrix, and the table at the end of the run."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..conftest import Sandbox
from ..real.proxy import Proxy
from .matrix import Outcome, Place
from .scenarios import SCENARIOS, Scenario
from .steps import Step

AT_ONCE = 4
OUTCOMES: list[Outcome] = []


@pytest.fixture(scope="session")
def image_file(sandbox: Sandbox) -> Path:
    """The sandbox's first image."""
    return sandbox.daemon.directory / "one.tar.gz"


@pytest.fixture(scope="session")
def places(
    sandbox: Sandbox, image_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Place]]:
    sockets = tmp_path_factory.mktemp("p")
    with ExitStack() as stack:
        yield [
            Place(
                sandbox.daemon,
                stack.enter_context(Proxy(sandbox.socket, sockets / str(number))),
                image_file,
            )
            for number in range(AT_ONCE)
        ]


@pytest.fixture(scope="session")
def steps(places: list[Place]) -> dict[str, list[Step]]:
    """The steps of each scenario that are disturbed."""
    return {scenario.name: _from_first(scenario, places[0]) for scenario in SCENARIOS}


def _from_first(scenario: Scenario, place: Place) -> list[Step]:
    steps = place.record(scenario)
    names = [str(step) for step in steps]
    return steps[names.index(scenario.first) :] if scenario.first else steps


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not OUTCOMES:
        return
    terminalreporter.section("faults")
    for line in _table(OUTCOMES):
        terminalreporter.line(line)


def _table(outcomes: list[Outcome]) -> Iterator[str]:
    yield "ok: succeeded all the same    undone: an error, nothing left, the next up succeeds"
    yield "again, resumed: an error, and the next up (or delete) finishes what was left"
    for scenario in dict.fromkeys(outcome.scenario for outcome in outcomes):
        cells = {(o.step, o.fault): o.word for o in outcomes if o.scenario == scenario}
        faults = list(dict.fromkeys(fault for _, fault in cells))
        width = max(len(step) for step, _ in cells)
        yield ""
        yield scenario
        yield "  ".join([" " * width, *faults])
        for step in dict.fromkeys(step for step, _ in cells):
            words = (cells.get((step, fault), "-").ljust(len(fault)) for fault in faults)
            yield "  ".join([step.ljust(width), *words]).rstrip()
