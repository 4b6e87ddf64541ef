"""The daemon is killed at each step, and comes back."""

import io
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from pulumi_pika.incus.client import IncusClient

from ...conftest import IMAGE, one_more_daemon
from ...support.faults.faults import DAEMON_KILLED, bring_back
from ...support.faults.matrix import Place, run
from ...support.faults.provider import (
    Killed,
    Provider,
    Raised,
)
from ...support.faults.scenarios import (
    CREATE,
    CREATE_RUNNING,
    DELETE,
    UPDATE,
    UPDATE_LIVE,
    Scenario,
    runtime,
)
from ...support.faults.steps import Step
from ...support.faults.world import World
from ...support.provider_engine import Managed
from ...support.proxy import (
    Answer,
    Forward,
    Proxy,
    Request,
    Reset,
)
from .conftest import Tell

BIG_IMAGE = "pika/big"
FILES = 600


@pytest.fixture(scope="module")
def mortal_places(
    image_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Place]]:
    """Daemons that nobody else uses."""
    sockets = tmp_path_factory.mktemp("k")
    with ExitStack() as stack:
        places = []
        for number in ("k1", "k2"):
            daemon = one_more_daemon(number)
            stack.callback(daemon.destroy)
            daemon.start()
            daemon.init()
            daemon.import_image(image_file, IMAGE)
            proxy = stack.enter_context(Proxy(daemon.socket, sockets / number))
            places.append(Place(daemon, proxy, image_file))
        yield places


@pytest.mark.parametrize(
    "scenario",
    [CREATE, CREATE_RUNNING, UPDATE, UPDATE_LIVE, DELETE],
    ids=lambda scenario: scenario.name,
)
def test_daemon_killed_at_each_step(
    scenario: Scenario, mortal_places: list[Place], steps: dict[str, list[Step]], tell: Tell
) -> None:
    hit = [step for step in steps[scenario.name] if DAEMON_KILLED.hits(step, all_gets=False)]
    outcomes = run(mortal_places, [(scenario, DAEMON_KILLED, step) for step in hit])
    tell(outcomes)
    failed = [str(outcome) for outcome in outcomes if outcome.problems]
    assert not failed, "\n" + "\n".join(failed)


@pytest.fixture(scope="module")
def unpacking_place(
    mortal_places: list[Place], image_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Place:
    """With an image that takes a while to unpack."""
    big = tmp_path_factory.mktemp("big") / "big.tar.gz"
    with tarfile.open(image_file) as small, tarfile.open(big, "w:gz", compresslevel=1) as target:
        for member in small:
            target.addfile(member, small.extractfile(member) if member.isreg() else None)
        for number in range(FILES):
            member = tarfile.TarInfo(f"rootfs/filler-{number}")
            member.size = 40_000
            target.addfile(member, io.BytesIO(os.urandom(1000) * 40))
    mortal_places[0].daemon.import_image(big, BIG_IMAGE)
    return mortal_places[0]


@pytest.mark.parametrize("process_dies_too", [False, True])
@pytest.mark.parametrize("running", [False, True])
def test_daemon_killed_while_it_unpacks(
    unpacking_place: Place, running: bool, process_dies_too: bool
) -> None:
    """It leaves an instance with half a root disk, which must not pass for a whole one."""
    place = unpacking_place
    for _ in range(5):
        world = World(place.daemon)
        given = runtime(world.name, "state", running=running)
        given["incus"] = {**given["incus"], "image_alias": BIG_IMAGE}
        managed = Managed(given)
        in_its_midst = kill_while_it_unpacks(place, world, managed, process_dies_too)
        with closing(Provider(place.proxy.socket)) as provider:
            provider.call(managed, "up")
            assert provider.call(managed, "refresh") == {}
            assert provider.call(managed, "planned") == "same"
            if not running:
                body = {"action": "start"}
                world.daemon.request("PUT", f"/instances/{world.name}/state", body)
            last = IncusClient(world.daemon.socket).get_raw(
                f"/1.0/instances/{world.name}/files", path=f"/filler-{FILES - 1}"
            )
            assert last.status == 200, "half a root disk passes for a whole one"
            provider.call(managed, "destroy")
        assert world.instances() == {}
        assert world.data_intact()
        world.remove()
        if in_its_midst:
            return
    raise AssertionError("it had been unpacked already each time: the image has to be bigger")


def kill_while_it_unpacks(
    place: Place, world: World, managed: Managed, process_dies_too: bool
) -> bool:
    """Kills the daemon in the midst of an `up`; whether it was still unpacking."""
    place.proxy.clear()
    back = threading.Thread(target=bring_back, args=(place.daemon, place.proxy))
    # The call may end, with its process, before the thread that ended it has gone on.
    on_its_way = threading.Event()

    def kill(request: Request, forward: Forward) -> Answer:
        forward(request)
        deadline = time.monotonic() + 60
        while not world.instances():
            assert time.monotonic() < deadline
        place.daemon.kill()
        if process_dies_too:
            provider.kill()
        back.start()
        on_its_way.set()
        raise Reset

    with closing(Provider(place.proxy.socket)) as provider:
        place.proxy.on("POST", "/1.0/instances", kill)
        # In time it may also have made another by itself.
        with suppress(Raised, Killed):
            provider.call(managed, "up")
        assert on_its_way.wait(30)
        back.join()
        config = world.instances().get(world.name, {}).get("config", {})
        return "volatile.apply_template" not in config or managed.outputs is not None
