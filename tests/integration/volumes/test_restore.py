"""Restoring at the real daemon, with containers that write."""

import re
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.reconcile.instances.runtime_options import JOB_KEPT, JOB_KEY
from pulumi_pika.reconcile.shared.errors import (
    RestoreFailed,
    RestoreRefused,
    SnapshotMissing,
)
from pulumi_pika.reconcile.shared.ownership import RUNTIME_ID_KEY
from pulumi_pika.reconcile.volumes import restore as module
from pulumi_pika.reconcile.volumes.restore import (
    RESTORING_KEY,
    describe_interrupted_restore,
    plan_restore,
    resume_interrupted_restore,
    safety_name,
)
from pulumi_pika.reconcile.volumes.volume import change_volume, create_or_adopt_volume

from ...conftest import Sandbox
from ...support.proxy import (
    Proxy,
    delay,
    edit,
    error,
    reply,
    reset_after,
    reset_before,
    truncate,
)
from ...support.reconcile import Recorder
from ...support.volumes import (
    CUSTOM,
    claim,
    holds,
    launch,
    options,
    put_back,
    snapshot,
    snapshots,
    status,
    stop,
    there,
    write,
)


@pytest.fixture
def box(client: IncusClient, name: str, sandbox: Sandbox) -> str:
    """A running container `box` with the volume `name`, whose snapshot `one` holds "one" and which
    holds "two" itself."""
    create_or_adopt_volume(client, options(name), Recorder())
    launch(sandbox, f"{name}-box", name)
    write(client, f"{name}-box", "one")
    snapshot(client, name, "one")
    write(client, f"{name}-box", "two")
    return f"{name}-box"


def test_data_comes_back_and_the_restore_can_be_undone(
    client: IncusClient, name: str, box: str, sandbox: Sandbox, reporter: Recorder
) -> None:
    launch(sandbox, f"{name}-idle", name, start=False)

    live = put_back(client, options(name, restore_from="one"), reporter)

    assert status(sandbox, box) == "Running"
    assert status(sandbox, f"{name}-idle") == "Stopped", "one that did not run was started"
    assert holds(client, box, "one")
    assert live.restored == "one"
    safety = live.safety_snapshot
    assert safety.startswith("pika-before-one-20")
    assert snapshots(client, name) == ["one", safety]
    assert RESTORING_KEY not in live.config
    assert plan_restore(client, live, options(name, restore_from="one")) is None

    undone = put_back(client, options(name, restore_from=safety), reporter)
    assert holds(client, box, "two")
    assert undone.safety_snapshot.startswith("pika-before-one-20")
    # The first is not the last restored any more.
    assert plan_restore(client, undone, options(name, restore_from="one")) is not None


def test_a_running_job_is_not_stopped(
    client: IncusClient, name: str, box: str, sandbox: Sandbox
) -> None:
    marks = {JOB_KEY: "host 1 2", RUNTIME_ID_KEY: "nightly"}
    sandbox.daemon.request("PATCH", f"/instances/{box}", {"config": marks})

    with pytest.raises(RestoreRefused, match=rf"{box} .* runs the job of runtime nightly"):
        plan_restore(client, there(client, name), options(name, restore_from="one"))

    # One that has ended and was kept is an instance like another.
    sandbox.daemon.request("PATCH", f"/instances/{box}", {"config": {JOB_KEY: JOB_KEPT}})
    assert plan_restore(client, there(client, name), options(name, restore_from="one"))


def test_safety_snapshot_never_expires(
    client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
) -> None:
    create_or_adopt_volume(client, options(name, snapshots_expiry="1d"), reporter)
    snapshot(client, name, "s")
    live = put_back(client, options(name, restore_from="s"), reporter)
    path = f"{CUSTOM}/{name}/snapshots/{live.safety_snapshot}"
    assert sandbox.daemon.request("GET", path)["expires_at"].startswith("0001-01-01")


def test_no_safety_snapshot_where_not_wanted(
    client: IncusClient, name: str, box: str, reporter: Recorder
) -> None:
    wanted = options(name, restore_from="one", snapshot_before_restore=False)
    live = put_back(client, wanted, reporter)
    assert snapshots(client, name) == ["one"]
    assert live.safety_snapshot == ""
    assert holds(client, box, "one")


def test_volume_of_a_profile(
    client: IncusClient, name: str, sandbox: Sandbox, reporter: Recorder
) -> None:
    create_or_adopt_volume(client, options(name), reporter)
    disk = {"type": "disk", "pool": "default", "source": name, "path": "/data"}
    body = {"name": name, "devices": {"data": disk}}
    sandbox.daemon.request("POST", "/profiles", body)
    try:
        launch(sandbox, f"{name}-box", name, profiles=["default", name], devices={})
        write(client, f"{name}-box", "one")
        snapshot(client, name, "one")
        write(client, f"{name}-box", "two")

        put_back(client, options(name, restore_from="one"), reporter)

        assert holds(client, f"{name}-box", "one")
    finally:
        stop(sandbox, f"{name}-box")
        sandbox.daemon.request("DELETE", f"/instances/{name}-box")
        sandbox.daemon.request("DELETE", f"/profiles/{name}")


def test_instance_of_another_project(
    client: IncusClient, name: str, sandbox: Sandbox, reporter: Recorder
) -> None:
    create_or_adopt_volume(client, options(name), reporter)
    features = {f"features.{part}": "false" for part in ("images", "profiles", "storage.volumes")}
    sandbox.daemon.request("POST", "/projects", {"name": name, "config": features})
    inner = client.in_project(name)
    try:
        disk = {"type": "disk", "pool": "default", "source": name, "path": "/data"}
        body = {
            "name": f"{name}-box",
            "type": "container",
            "devices": {"data": disk},
            "start": True,
            "source": {"type": "image", "alias": "pika/tiny"},
        }
        sandbox.daemon.request("POST", f"/instances?project={name}", body)
        write(inner, f"{name}-box", "one")
        snapshot(client, name, "one")
        write(inner, f"{name}-box", "two")

        put_back(client, options(name, restore_from="one"), reporter)

        assert holds(inner, f"{name}-box", "one")
    finally:
        path = f"/instances/{name}-box"
        body = {"action": "stop", "force": True}
        sandbox.daemon.request("PUT", f"{path}/state?project={name}", body)
        sandbox.daemon.request("DELETE", f"{path}?project={name}")
        sandbox.daemon.request("DELETE", f"/projects/{name}")


def test_block_volume_is_restored(
    client: IncusClient, name: str, sandbox: Sandbox, reporter: Recorder
) -> None:
    create_or_adopt_volume(client, options(name, content_type="block", size="1MiB"), reporter)
    disk = sandbox.daemon.directory / f"storage-pools/default/custom/default_{name}/root.img"

    def write(text: str) -> None:
        script = 'printf %s "$1" | dd of="$2" conv=notrunc'
        argv = sandbox.daemon.as_daemon(["sh", "-c", script, "sh", text, str(disk)])
        subprocess.run(argv, check=True, capture_output=True)

    write("one")
    snapshot(client, name, "one")
    write("two")
    put_back(client, options(name, restore_from="one"), reporter)
    argv = sandbox.daemon.as_daemon(["head", "-c", "3", str(disk)])
    assert subprocess.run(argv, check=True, capture_output=True).stdout == b"one"


class TestRefused:
    """Before anything is touched."""

    def test_missing_snapshot(
        self, client: IncusClient, name: str, box: str, sandbox: Sandbox, reporter: Recorder
    ) -> None:
        before = there(client, name)
        with pytest.raises(
            SnapshotMissing,
            match=r"snapshot three of .* does not exist .*; it has these snapshots: one\. Nothing",
        ):
            put_back(client, options(name, restore_from="three"), reporter)
        assert there(client, name) == before
        assert status(sandbox, box) == "Running"

    def test_ephemeral_instance(
        self, client: IncusClient, name: str, sandbox: Sandbox, reporter: Recorder
    ) -> None:
        create_or_adopt_volume(client, options(name), reporter)
        launch(sandbox, f"{name}-box", name, ephemeral=True)
        snapshot(client, name, "one")
        try:
            with pytest.raises(RestoreRefused, match="ephemeral: a stop would delete it"):
                put_back(client, options(name, restore_from="one"), reporter)
            assert status(sandbox, f"{name}-box") == "Running"
        finally:
            stop(sandbox, f"{name}-box")

    def test_frozen_instance(
        self, client: IncusClient, name: str, box: str, sandbox: Sandbox, reporter: Recorder
    ) -> None:
        sandbox.daemon.request("PUT", f"/instances/{box}/state", {"action": "freeze"})
        with pytest.raises(RestoreRefused, match="is Frozen"):
            put_back(client, options(name, restore_from="one"), reporter)
        sandbox.daemon.request("PUT", f"/instances/{box}/state", {"action": "unfreeze"})

    @pytest.mark.parametrize(
        ("wanted", "said"),
        [
            (
                {"restore_from": "one"},
                "only restore the newest snapshot.*two.*Delete the newer.*copy the volume",
            ),
            (
                {"restore_from": "one", "snapshot_before_restore": False},
                "newer than one are: two.*Delete the newer",
            ),
            ({"restore_from": "two"}, "copy the volume"),
            ({"restore_from": "two", "snapshot_before_restore": False}, ""),
        ],
    )
    def test_driver_that_would_lose_snapshots(
        self,
        client: IncusClient,
        name: str,
        reporter: Recorder,
        monkeypatch: pytest.MonkeyPatch,
        wanted: dict[str, Any],
        said: str,
    ) -> None:
        # No ZFS here: only what the pool's answer says differs.
        monkeypatch.setattr(module, "pool_driver", lambda *_: "zfs")
        create_or_adopt_volume(client, options(name), reporter)
        snapshot(client, name, "one")
        snapshot(client, name, "two")
        if not said:
            assert plan_restore(client, there(client, name), options(name, **wanted))
            return
        with pytest.raises(RestoreRefused, match=said):
            plan_restore(client, there(client, name), options(name, **wanted))

    def test_qcow2_volume_of_a_shared_lvm_pool(
        self,
        client: IncusClient,
        name: str,
        reporter: Recorder,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # No shared LVM here: only what the pool's and the volume's answers say differs.
        monkeypatch.setattr(module, "pool_driver", lambda *_: "lvmcluster")
        create_or_adopt_volume(client, options(name), reporter)
        snapshot(client, name, "one")
        live = there(client, name)
        assert plan_restore(client, live, options(name, restore_from="one"))
        qcow2 = replace(live, config={**live.config, "block.type": "qcow2"})
        with pytest.raises(RestoreRefused, match="can only restore the newest snapshot"):
            plan_restore(client, qcow2, options(name, restore_from="one"))


def test_two_restores_within_a_second_take_a_snapshot_each(
    client: IncusClient, name: str, reporter: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Stopped":
            return cls(2026, 1, 2, 3, 4, 59, tzinfo=tz)

    monkeypatch.setattr(module, "datetime", Stopped)
    create_or_adopt_volume(client, options(name), reporter)
    snapshot(client, name, "one")
    first, second = "pika-before-one-20260102-030459", "pika-before-one-20260102-030500"

    put_back(client, options(name, restore_from="one"), reporter)
    put_back(client, options(name, restore_from=first), reporter)

    assert snapshots(client, name) == ["one", first, second]


class TestFailures:
    """Whatever fails, what ran runs again."""

    @pytest.mark.parametrize(
        ("method", "path", "said"),
        [
            ("PUT", f"/1.0{CUSTOM}/.*", "It is unknown whether the data was changed"),
            ("POST", ".*/snapshots", "The data was not changed"),
        ],
    )
    def test_instances_run_again(
        self,
        proxied: IncusClient,
        client: IncusClient,
        proxy: Proxy,
        name: str,
        box: str,
        sandbox: Sandbox,
        reporter: Recorder,
        method: str,
        path: str,
        said: str,
    ) -> None:
        proxy.on(method, path, reply(500, error("disk full", 500)))
        with pytest.raises(RestoreFailed) as caught:
            put_back(proxied, options(name, restore_from="one"), reporter)
        assert "disk full" in str(caught.value)
        assert said.lower() in str(caught.value).lower()
        assert f"{box} (project default) run again" in str(caught.value)
        assert status(sandbox, box) == "Running"
        assert holds(client, box, "two")
        live = there(client, name)
        assert RESTORING_KEY not in live.config
        assert live.restored == ""
        # And the next succeeds.
        put_back(client, options(name, restore_from="one"), reporter)
        assert holds(client, box, "one")

    def test_instance_that_does_not_shut_down(
        self,
        proxied: IncusClient,
        proxy: Proxy,
        client: IncusClient,
        name: str,
        box: str,
        sandbox: Sandbox,
        reporter: Recorder,
    ) -> None:
        launch(sandbox, f"{name}-two", name)
        proxy.on("PUT", f".*{name}-two/state", reply(400, error("will not", 400)))
        with pytest.raises(RestoreFailed, match="did not shut down"):
            put_back(proxied, options(name, restore_from="one"), reporter)
        assert status(sandbox, box) == "Running"
        assert status(sandbox, f"{name}-two") == "Running"
        assert holds(client, box, "two")
        assert snapshots(client, name) == ["one"]

    @pytest.mark.parametrize(
        "action", [(reset_after(),), (truncate(10),), (delay(1), reset_after())]
    )
    def test_lost_reply_is_no_matter(
        self,
        proxied: IncusClient,
        proxy: Proxy,
        client: IncusClient,
        name: str,
        box: str,
        reporter: Recorder,
        action: tuple[Any, ...],
    ) -> None:
        proxy.on("PUT", f"/1.0{CUSTOM}/{name}", *action)
        live = put_back(proxied, options(name, restore_from="one"), reporter)
        assert live.restored == "one"
        assert holds(client, box, "one")
        assert len(proxy.sent("PUT", f"/1.0{CUSTOM}/{name}")) == 1

    def test_request_that_never_arrived(
        self,
        proxied: IncusClient,
        proxy: Proxy,
        client: IncusClient,
        name: str,
        box: str,
        sandbox: Sandbox,
        reporter: Recorder,
    ) -> None:
        proxy.on("PUT", f"/1.0{CUSTOM}/{name}", reset_before())
        wanted = options(name, restore_from="one", timeouts={"restore": 4, "stop": 30})
        with pytest.raises(RestoreFailed, match="It is unknown whether the data was changed"):
            put_back(proxied, wanted, reporter)
        assert status(sandbox, box) == "Running"
        assert holds(client, box, "two")

    def test_cut_off_is_finished_by_the_next(
        self,
        client: IncusClient,
        name: str,
        box: str,
        sandbox: Sandbox,
        reporter: Recorder,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        class Killed(BaseException):
            pass

        def killed(*_: Any) -> None:
            raise Killed

        wanted = options(name, restore_from="one")
        with monkeypatch.context() as patch:
            # As where the process is killed once all is stopped: nothing is cleaned up.
            patch.setattr(module, "_take_safety", killed)
            patch.setattr(module, "_start_again", killed)
            with pytest.raises(Killed):
                put_back(client, wanted, reporter)
        assert status(sandbox, box) == "Stopped"
        assert f"{box} (project default)" in describe_interrupted_restore(there(client, name))

        put_back(client, wanted, reporter)

        assert status(sandbox, box) == "Running"
        assert holds(client, box, "one")
        assert describe_interrupted_restore(there(client, name)) == ""

    def test_instance_that_does_not_start_is_tried_by_the_next(
        self,
        proxied: IncusClient,
        proxy: Proxy,
        client: IncusClient,
        name: str,
        box: str,
        sandbox: Sandbox,
        reporter: Recorder,
    ) -> None:
        proxy.on("PUT", f".*{box}/state", reply(400, error("no memory", 400)), nth=2)
        wanted = options(name, restore_from="one")
        with pytest.raises(RestoreFailed) as caught:
            put_back(proxied, wanted, reporter)
        assert "was restored from one" in str(caught.value)
        assert f"`incus start --project default {box}`" in str(caught.value)
        live = there(client, name)
        assert plan_restore(client, live, wanted) is None, "it would be restored once more"
        resume_interrupted_restore(client, live, wanted, reporter)
        assert status(sandbox, box) == "Running"
        assert holds(client, box, "one")

    def test_cut_off_and_given_up(
        self, client: IncusClient, name: str, box: str, sandbox: Sandbox, reporter: Recorder
    ) -> None:
        stop(sandbox, box)
        mark = f'{{"snapshot": "one", "safety_snapshot": "", "start": [["default", "{box}"]]}}'
        sandbox.daemon.request("PATCH", f"{CUSTOM}/{name}", {"config": {RESTORING_KEY: mark}})
        resume_interrupted_restore(client, there(client, name), options(name), reporter)
        assert status(sandbox, box) == "Running"
        assert RESTORING_KEY not in there(client, name).config

    def test_mark_that_is_no_sense_is_passed_over(
        self, client: IncusClient, name: str, reporter: Recorder, sandbox: Sandbox
    ) -> None:
        create_or_adopt_volume(client, options(name), reporter)
        for text in ("{", "[]", '{"snapshot": 1}', '{"start": 1, "snapshot": "", "x": ""}'):
            sandbox.daemon.request("PATCH", f"{CUSTOM}/{name}", {"config": {RESTORING_KEY: text}})
            resume_interrupted_restore(client, there(client, name), options(name), reporter)
        assert reporter.warnings == []

    def test_daemon_that_died_is_not_waited_for(
        self,
        proxied: IncusClient,
        proxy: Proxy,
        client: IncusClient,
        name: str,
        box: str,
        sandbox: Sandbox,
        reporter: Recorder,
    ) -> None:
        def another(answer: dict[str, Any]) -> None:
            answer["metadata"]["environment"]["server_pid"] = 1

        proxy.on("PUT", f"/1.0{CUSTOM}/{name}", reset_before())
        proxy.on("GET", "/1.0", edit(another), nth=2)
        begun = time.monotonic()
        wanted = options(name, restore_from="one", timeouts={"restore": 120, "stop": 30})
        with pytest.raises(RestoreFailed, match="It is unknown whether the data was changed"):
            put_back(proxied, wanted, reporter)
        assert time.monotonic() - begun < 100
        assert status(sandbox, box) == "Running"


def test_clearing_does_nothing_and_lets_it_be_restored_again(
    client: IncusClient, name: str, box: str, sandbox: Sandbox, reporter: Recorder
) -> None:
    wanted = options(name, restore_from="one")
    live = put_back(client, wanted, reporter)
    write(client, box, "three")

    live = change_volume(client, options(name), wanted, reporter, claim=claim(live.created_at))

    assert live.restored == ""
    assert holds(client, box, "three")
    put_back(client, wanted, reporter)
    assert holds(client, box, "one")


def test_said_while_it_goes_on(
    proxied: IncusClient, proxy: Proxy, name: str, reporter: Recorder
) -> None:
    create_or_adopt_volume(proxied, options(name), reporter)
    snapshot(proxied, name, "one")
    proxy.on("PUT", f"/1.0{CUSTOM}/{name}", delay(4))
    put_back(proxied, options(name, restore_from="one"), reporter)
    said = re.compile(r"restoring .*: \d s")
    assert any(said.match(line) for line in reporter.infos), reporter.infos


def test_in_words(client: IncusClient, name: str, box: str) -> None:
    wanted = options(name, restore_from="one")
    plan = plan_restore(client, there(client, name), wanted)
    assert plan is not None
    assert plan.text(wanted) == (
        f"the volume {name} in pool default (project default) will be restored from its snapshot "
        f"one; stops {box} (project default) first; takes snapshot pika-before-one-<time> before, "
        f"so that restore_from can undo it; starts {box} (project default) again afterwards"
    )
    wanted = options(name, restore_from="one", snapshot_before_restore=False)
    plan = plan_restore(client, there(client, name), wanted)
    assert plan is not None
    assert "LOST" in plan.text(wanted)


@pytest.mark.parametrize(
    ("snapshot_name", "expected"),
    [
        ("one", "pika-before-one-20260102-030405"),
        ("pika-before-one-20250102-030405", "pika-before-one-20260102-030405"),
        ("x" * 64, f"pika-before-{'x' * 36}-20260102-030405"),
        ("ä" * 32, f"pika-before-{'ä' * 18}-20260102-030405"),
    ],
)
def test_safety_name(snapshot_name: str, expected: str) -> None:
    found = safety_name(snapshot_name, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert found == expected
    assert len(found.encode()) <= 64
