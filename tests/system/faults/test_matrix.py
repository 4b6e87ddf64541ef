"""Each fault at each step of create, update and delete."""

import pytest

from ...support.faults.faults import FAULTS, Fault
from ...support.faults.matrix import Place, run
from ...support.faults.scenarios import (
    CREATE,
    SCENARIOS,
    Scenario,
)
from ...support.faults.steps import Step
from .conftest import Tell


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_fault_at_each_step(
    scenario: Scenario, fault: Fault, places: list[Place], steps: dict[str, list[Step]], tell: Tell
) -> None:
    all_gets = scenario is CREATE
    hit = [step for step in steps[scenario.name] if fault.hits(step, all_gets=all_gets)]
    # Without its image nothing at all can be made meanwhile.
    at_once = places[:1] if fault.name == "image gone" else places
    outcomes = run(at_once, [(scenario, fault, step) for step in hit])
    tell(outcomes)
    failed = [str(outcome) for outcome in outcomes if outcome.problems]
    assert not failed, "\n" + "\n".join(failed)
