"""What goes wrong at a step."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dev.sandbox import Daemon

from ...conftest import IMAGE
from ..proxy import (
    Action,
    Answer,
    Forward,
    Proxy,
    Request,
    Reset,
    call,
    delay,
    edit,
    error,
    reply,
    reset_after,
    reset_before,
    truncate,
)
from .provider import (
    SLOW,
    SLOW_WAIT,
    Provider,
)
from .steps import Step
from .world import World


@dataclass
class Scene:
    """Where a fault happens, and what has to be put right after the call."""

    step: Step
    world: World
    proxy: Proxy
    provider: Provider
    image: Path
    after: list[Callable[[], object]]
    """Called once the call is over, before anything is looked at."""

    @property
    def daemon(self) -> Daemon:
        return self.world.daemon


@dataclass(frozen=True)
class Fault:
    """One way in which a step goes wrong."""

    name: str
    at: Callable[[Step], bool]
    action: Callable[[Scene], Action]
    times: int | None = 1
    could_undo: bool = True
    """Whether the call is able to take back what it made."""
    impatient: bool = False
    """Whether the answer is not waited for long."""
    kills: bool = False
    """Whether the provider's process ends."""
    same_at_gets: bool = False
    """Whether it comes to the same as another fault, or at another step, where nothing changes."""

    def hits(self, step: Step, *, all_gets: bool) -> bool:
        """Whether it is tried at a step."""
        plain = not (step.changes or step.waits)
        return self.at(step) and not (plain and self.same_at_gets and not all_gets)


def _everywhere(step: Step) -> bool:
    return True


def _truncated(scene: Scene) -> Action:
    """The answer ends in the midst of its JSON, and claims to be whole."""

    def act(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        return replace(answer, body=answer.body[: len(answer.body) // 2])

    return act


def _slow(scene: Scene) -> Action:
    """The request is carried out; the answer comes when nobody waits for it any more."""

    def act(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        time.sleep(SLOW_WAIT if scene.step.waits else SLOW)
        return answer

    return act


def _failed(scene: Scene) -> Action:
    def fail(content: dict[str, Any]) -> None:
        content["metadata"] = {
            **content["metadata"],
            "status": "Failure",
            "status_code": 400,
            "err": "made to fail",
        }

    return edit(fail)


def _vanished(scene: Scene) -> Action:
    """The operation ends, and is forgotten before anybody asks for it."""

    def act(request: Request, forward: Forward) -> Answer:
        forward(request)
        return reply(404, error("Operation not found", 404))(request, forward)

    return act


_numbers = itertools.count()


def _changed(scene: Scene) -> Action:
    """Somebody else changes the instance after it was read."""

    def change(request: Request) -> None:
        path = f"/instances/{scene.world.name}"
        live = scene.daemon.request("GET", path)
        scene.world.theirs = str(next(_numbers))
        theirs = {"user.theirs": scene.world.theirs}
        body = {"description": live["description"], "config": theirs}
        scene.daemon.request("PATCH", path, body)

    return call(change)


def _image_deleted(scene: Scene) -> Action:
    def delete(request: Request) -> None:
        alias = scene.daemon.request("GET", f"/images/aliases/{IMAGE}")
        scene.daemon.request("DELETE", f"/images/{alias['target']}")

    scene.after.append(lambda: scene.daemon.import_image(scene.image, IMAGE))
    return call(delete)


def _process_killed(scene: Scene) -> Action:
    def act(request: Request, forward: Forward) -> Answer:
        forward(request)
        scene.provider.kill()
        raise Reset

    return act


def _host_away(scene: Scene) -> Action:
    """From this step on nothing arrives."""
    rule = scene.proxy.on("*", ".*", reset_before(), nth=10**9, times=None)

    def act(request: Request, forward: Forward) -> Answer:
        rule.nth = 0
        raise Reset

    return act


def _daemon_killed(scene: Scene) -> Action:
    """The daemon is killed while it works on the request, and comes back as fast as it can."""
    back = threading.Thread(target=bring_back, args=(scene.daemon, scene.proxy))

    def act(request: Request, forward: Forward) -> Answer:
        if scene.step.changes:
            threading.Thread(target=_quietly, args=(forward, request)).start()
            time.sleep(0.01)
        scene.daemon.kill()
        back.start()
        raise Reset

    scene.after.append(back.join)
    return act


def bring_back(daemon: Daemon, proxy: Proxy) -> None:
    """Starts a daemon that was killed. Nobody listens until it does."""
    proxy.close()
    daemon.start()
    proxy.start()


def _quietly(forward: Forward, request: Request) -> None:
    with contextlib.suppress(Reset):
        forward(request)


FAULTS = (
    Fault("reset before", _everywhere, lambda scene: reset_before()),
    Fault("reply lost", _everywhere, lambda scene: reset_after(), same_at_gets=True),
    Fault("cut off", _everywhere, lambda scene: truncate(12), same_at_gets=True),
    Fault("bad JSON", _everywhere, _truncated),
    Fault("500", _everywhere, lambda scene: reply(500, error("made to fail", 500))),
    Fault("late reply", _everywhere, _slow, impatient=True, same_at_gets=True),
    Fault(
        "late request",
        lambda step: step.changes,
        lambda scene: delay(SLOW),
        impatient=True,
    ),
    Fault("op fails", lambda step: step.waits, _failed),
    Fault("op vanishes", lambda step: step.waits, _vanished),
    Fault("changed", lambda step: step.etagged, _changed),
    Fault("changed ever", lambda step: step.etagged, _changed, times=None),
    Fault("image gone", lambda step: step.makes_instance, _image_deleted),
    Fault("host away", _everywhere, _host_away, could_undo=False, same_at_gets=True),
    Fault("killed", _everywhere, _process_killed, could_undo=False, kills=True, same_at_gets=True),
)

DAEMON_KILLED = Fault(
    "daemon killed", _everywhere, _daemon_killed, could_undo=False, same_at_gets=True
)
