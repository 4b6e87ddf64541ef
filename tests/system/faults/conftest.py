"""Places for the matrix."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ...conftest import Sandbox
from ...support.faults.matrix import (
    Outcome,
    Place,
    in_places,
)
from ...support.faults.scenarios import SCENARIOS, Scenario
from ...support.faults.steps import Step
from ...support.faults.table import PROPERTY
from ...support.proxy import Proxy

AT_ONCE = 4
Tell = Callable[[Iterable[Outcome]], None]


@pytest.fixture(scope="session")
def image_file(sandbox: Sandbox) -> Path:
    """The sandbox's first image."""
    return sandbox.daemon.directory / "one.tar"


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
    return dict(
        zip((it.name for it in SCENARIOS), in_places(places, SCENARIOS, _from_first), strict=True)
    )


def _from_first(place: Place, scenario: Scenario) -> list[Step]:
    steps = place.record(scenario)
    names = [str(step) for step in steps]
    return steps[names.index(scenario.first) :] if scenario.first else steps


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Puts outcomes into the table at the end of the run, whichever process prints that."""

    def record(outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            record_property(PROPERTY, [outcome.scenario, outcome.fault, outcome.step, outcome.word])

    return record
