"""What a daemon should never answer: each part of each answer of a runtime's life, and of a
volume's, is replaced by values of every type. That is an error for people, or makes no difference.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pulumi.runtime import rpc

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.transport import UnixTransport
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.providers import host_connection
from pulumi_pika.providers.provider_errors import ProviderError

from ...conftest import Sandbox
from ...support.provider_calls import runtime_calls, volume_calls
from ...support.provider_engine import (
    arguments,
    volume_mount,
    wire,
)
from .replay import (
    Recorder,
    Replay,
    spoiled,
)


@dataclass(frozen=True)
class Recorded:
    """One call, and what the daemon answered to what it asked."""

    call: Callable[[], Any]
    answers: dict[Any, Any]


class Clock:
    """Time that passes only where it is waited for."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def through(transport: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the providers use a transport."""
    host_connection._hosts.clear()
    monkeypatch.setattr(host_connection, "connect", lambda _: IncusClient(transport=transport))


@pytest.fixture
def calls(
    sandbox: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Recorded]]:
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))
    found: dict[str, Recorded] = {}

    def record(what: str, call: Callable[[], Any]) -> Any:
        recorder = Recorder(UnixTransport(sandbox.socket))
        through(recorder, monkeypatch)
        result = call()
        found[what] = Recorded(call, {key: list(got) for key, got in recorder.answers.items()})
        return result

    given = wire(
        arguments(
            name,
            mounts=[volume_mount(f"{name}-v"), volume_mount("/usr", "/mnt/usr", kind="cache")],
            devices={"eth0": {"type": "nic", "nictype": "p2p"}},
            resources={"memory_mib": 64, "root_disk_gib": 1},
            labels={"a": "b"},
            cloud_init_user_data="#!/bin/sh\n",
            wait_for="agent",
        )
    )
    # The socket is not there any more once the answers are played back.
    inputs = wire(record("check", lambda: runtime_calls.check(given)).inputs)
    state = wire(record("create", lambda: runtime_calls.create(inputs)).outs)
    record("read", lambda: runtime_calls.read("id", state))
    more = {**given, "labels": {"a": "c"}, "mounts": given["mounts"][:1]}
    changed = wire(runtime_calls.check(more).inputs)
    state = wire(record("update", lambda: runtime_calls.update(state, changed)).outs)
    record("delete", lambda: runtime_calls.delete({**state, "delete_data": True}))
    assert device_name("persistent_volume", f"{name}-v", "/mnt/state") in inputs["devices"]

    volume = wire({"volume_name": f"{name}-w", "size": "64MiB", "labels": {"a": "b"}})
    volume_inputs = wire(volume_calls.check(volume).inputs)
    outs = wire(record("volume create", lambda: volume_calls.create(volume_inputs)).outs)
    record("volume read", lambda: volume_calls.read("id", outs))
    grown = {**volume_inputs, "size": "65MiB", "description": "grown"}
    outs = wire(record("volume update", lambda: volume_calls.update(outs, grown)).outs)
    record("volume delete", lambda: volume_calls.delete({**outs, "delete_data": True}))
    yield found
    host_connection._hosts.clear()


def test_odd_answers_are_errors_for_people(
    calls: dict[str, Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    loop = asyncio.new_event_loop()
    rng = random.Random(1)
    wrong: dict[str, str] = {}
    tried = refused = 0
    for what, recorded in calls.items():
        for key, replies in recorded.answers.items():
            for number, reply in enumerate(replies):
                if not reply.body.startswith(b"{"):
                    continue
                for change, body in spoiled(json.loads(reply.body), rng):
                    replay = Replay(recorded.answers, key, number, body)
                    through(replay, monkeypatch)
                    where = f"{what}: {key[0]} {key[1]} #{number}: {change}"
                    tried += 1
                    try:
                        result = recorded.call()
                        for part in ("outs", "inputs"):
                            tree = getattr(result, part, None) or {}
                            loop.run_until_complete(rpc.serialize_properties(tree, {}))
                    except ProviderError as error:
                        refused += 1
                        if "internal error in pulumi_pika" in str(error):
                            wrong[where] = str(error)
                    except Exception as error:
                        wrong[where] = f"{type(error).__name__}: {error}"
    loop.close()
    shown = "\n".join(f"{where}\n    {error[:300]}" for where, error in list(wrong.items())[:40])
    assert not wrong, f"{len(wrong)} of {tried}:\n{shown}"
    print(f"{tried} odd answers, {refused} refused")
    assert refused > tried / 5
