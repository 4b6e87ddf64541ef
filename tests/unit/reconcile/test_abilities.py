"""Limits that a server accepts and ignores."""

from typing import Any

import pytest

from pulumi_pika.reconcile.instances.abilities import find_ignored_limits, has_limits

from ...support.reconcile import options_of, plan_of

WARNING = {
    "type": "Couldn't find the CGroup memory controller",
    "status": "new",
    "uuid": "1",
    "last_message": "",
}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"memory_percent": 50}, [("memory_percent",)]),
        ({"config": {"limits.memory.enforce": "soft"}}, [("config", "limits.memory.enforce")]),
        ({"cpu_allowance": "50%"}, []),
    ],
)
def test_options_are_limits_too(
    options: dict[str, Any], found: list[tuple[str | int, ...]]
) -> None:
    given = options_of(**options)
    assert has_limits(plan_of("box"), given)
    assert [path for path, _ in find_ignored_limits([WARNING], plan_of("box"), given)] == found
