"""A provider process takes more than the four calls at a time that Pulumi gives it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.providers.thread_pool import VARIABLE, enlarge_thread_pool

from ...conftest import Sandbox
from ...support.proxy import (
    Action,
    Answer,
    Forward,
    Proxy,
    Request,
)
from ...support.stack import make_stack
from .test_up import runtime

MANY = 8


class Counting:
    """Holds requests until as many have come as there are to be, or for some seconds."""

    def __init__(self, together: int, within: float) -> None:
        self._together = threading.Barrier(together, timeout=within)
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def act(self) -> Action:
        def act(request: Request, forward: Forward) -> Answer:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
            try:
                self._together.wait()
            except threading.BrokenBarrierError:
                pass
            finally:
                with self._lock:
                    self._now -= 1
            return forward(request)

        return act


def test_calls_at_a_time_and_the_state_that_does_not_know(
    sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    with Proxy(sandbox.socket, tmp_path / "socket") as proxy:
        stack = make_stack(tmp_path / "stack", proxy.socket)
        many = {
            f"box{number}": runtime(f"{name}-{number}", mounts=[], wait_for="running")
            for number in range(MANY)
        }

        def most(within: float, **environment: str) -> int:
            counting = Counting(MANY, within)
            proxy.clear()
            proxy.on("POST", "/1.0/instances", counting.act(), times=None)
            stack.declare(**many)
            stack.run(
                "up", "--yes", "--skip-preview", "--parallel", str(MANY), env=dict(environment)
            )
            return counting.most

        assert most(120) == MANY
        made = _known(stack.resources())

        # Switched off, nothing of it changes; what is made then is made by four.
        switched = stack.run("up", "--yes", "--skip-preview", env={VARIABLE: "0"})
        assert f"{MANY + 1} unchanged" in switched
        assert _known(stack.resources()) == made

        stack.destroy()
        # As long as four of them wait, no fifth one comes.
        assert most(3, **{VARIABLE: "0"}) <= 4
        stack.destroy()


def _known(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """What of resources an `up` without changes has to leave as it is, in whatever order."""
    kept = ("id", "inputs", "outputs", "provider", "type")
    return {it["urn"]: {key: it[key] for key in kept} for it in resources}


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def servicer(*names: str) -> type:
        methods: dict[str, Callable[..., None]] = {name: lambda *_: None for name in names}
        return type("DynamicResourceProviderServicer", (), methods)

    assert enlarge_thread_pool(8) is False, "this is no provider process"
    main = "__main__.DynamicResourceProviderServicer"
    monkeypatch.setattr(main, servicer("Check", "Create"), raising=False)
    assert enlarge_thread_pool(8) is False, "a Pulumi that we do not know"
    ours = servicer("Check", "Diff", "Create", "Read", "Update", "Delete")
    monkeypatch.setattr(main, ours, raising=False)
    monkeypatch.setenv(VARIABLE, "0")
    assert enlarge_thread_pool() is False
    monkeypatch.setenv(VARIABLE, "12")
    assert enlarge_thread_pool() is True
    pool = ours.Create.experimental_thread_pool  # type: ignore[attr-defined]
    assert pool._max_workers == 12
    assert enlarge_thread_pool() is True
    assert ours.Delete.experimental_thread_pool is pool  # type: ignore[attr-defined]
