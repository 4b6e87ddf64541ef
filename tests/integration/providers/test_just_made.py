"""What another resource of the program made a moment ago is there for a runtime."""

from collections.abc import Callable, Iterator

import pytest

from pulumi_pika.providers.properties import HAS_DEPENDENCIES
from pulumi_pika.providers.provider_errors import ProviderError

from ...support.provider_calls import runtime_calls as calls
from ...support.provider_engine import (
    Managed,
    Refused,
    arguments,
    wire,
)


@pytest.fixture
def managed(name: str) -> Iterator[Managed]:
    given = arguments(name)
    given["incus"]["image_alias"] = name
    made = Managed(given)
    yield made
    made.destroy()


def test_check_right_after_it_was_missing(managed: Managed, make_alias: Callable[[], None]) -> None:
    with pytest.raises(Refused, match=r"image alias .* does not exist"):
        managed.checked()
    make_alias()
    assert managed.up() == "create"


def test_create_right_after_it_was_missing(
    managed: Managed, make_alias: Callable[[], None]
) -> None:
    checked = calls.check({**wire(managed.arguments), HAS_DEPENDENCIES: True}, None)
    assert checked.failures == [], "it may come from what the runtime waits for"
    inputs = wire(checked.inputs)
    with pytest.raises(ProviderError, match=r"image alias .* does not exist"):
        calls.create(inputs)
    make_alias()
    created = calls.create(inputs)
    managed.id, managed.outputs, managed.inputs = created.id, wire(created.outs), inputs
