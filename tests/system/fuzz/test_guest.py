"""What a guest writes into its status file becomes an output: nothing in it may break the state."""

import json
import random

import pytest

from pulumi_pika.reconcile.instances.guest_status import _parse

from .generate import anything

GOOD = {"schema_version": 1, "state": "ready", "boot_id": "b"}


@pytest.mark.parametrize(
    "details",
    [
        "NaN", "Infinity", "1e400", "9" * 400, '"\\ud800"', '{"\\udfff": 1}',
        "[" * 21 + "]" * 21, '{"a":' * 500 + "1" + "}" * 500,
    ],
)  # fmt: skip
def test_what_no_state_can_hold_is_not_believed(details: str) -> None:
    text = json.dumps(GOOD)[:-1] + f', "details": {details}}}'
    assert isinstance(_parse(text.encode(), "/x"), str)


def test_what_a_state_can_hold_is_believed() -> None:
    details = {"a": [1, 2.5, None, True, "é", {"b": {}}], "n": 10**300}
    status = _parse(json.dumps({**GOOD, "details": details}).encode(), "/x")
    assert isinstance(status, dict)
    assert status["details"] == details


def test_any_file_is_read() -> None:
    rng = random.Random(3)
    for _ in range(2_000):
        tree = {**GOOD, rng.choice(("schema_version", "state", "boot_id", "x")): anything(rng)}
        try:
            text = json.dumps(tree)
        except (TypeError, RecursionError):
            continue
        assert isinstance(_parse(text.encode(), "/x"), dict | str)
        assert isinstance(_parse(text[: rng.randrange(len(text))].encode(), "/x"), str)
