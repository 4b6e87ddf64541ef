"""What is looked up before a runtime is made, before a real daemon."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from dev.rest import ApiError
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.transport import Reply, UnixTransport
from pulumi_pika.planner.plan import IncusRuntimePlan
from pulumi_pika.planner.spec import RuntimeSpec
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions, find_option_problems
from pulumi_pika.reconcile.preflight import (
    Finding,
    HostFacts,
    run_preflight,
)

from ...conftest import IMAGE, Sandbox
from ...support.daemons import (
    Certificate,
    Server,
    client_of,
)


class Counting(UnixTransport):
    """Remembers what was sent."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sent: list[str] = []

    def send(self, method: str, path: str, **more: Any) -> Reply:
        self.sent.append(f"{method} {path}")
        return super().send(method, path, **more)


def plan_of(**more: Any) -> IncusRuntimePlan:
    fields = {
        "identity": {"runtime_id": "id", "instance_name": "box"},
        "provider": "incus",
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        **more,
    }
    return RuntimeSpec.model_validate(fields).build_incus_plan()


def container(**more: Any) -> RuntimeOptions:
    return RuntimeOptions(instance_type="container", **more)


def by_path(findings: list[Finding]) -> dict[str, str]:
    return {".".join(map(str, it.path)): it.message(secret=False) for it in findings}


@pytest.fixture
def facts(sandbox: Sandbox) -> HostFacts:
    return HostFacts(IncusClient(sandbox.socket))


def test_all_is_there(facts: HostFacts) -> None:
    assert run_preflight(facts, plan_of(), container(storage_pool="default")) == []


def test_all_that_is_missing_at_once(facts: HostFacts) -> None:
    plan = plan_of(
        incus={"project": "default", "profile": "defualt", "image_alias": "pika/tyni"},
        policies={"restart_policy": "always", "retention_policy": "keep_until_stopped"},
    )
    options = RuntimeOptions(storage_pool="fast", extra_profiles=["gpu"])

    found = by_path(run_preflight(facts, plan, options))

    assert "did you mean default?" in found["incus.profile"]
    assert "did you mean pika/tiny?" in found["incus.image_alias"]
    assert "existing: default" in found["extra_profiles.0"]
    assert "storage pool fast does not exist" in found["storage_pool"]
    assert "instance_type virtual-machine is not supported at" in found["instance_type"]
    assert "it supports these types: container" in found["instance_type"]


@pytest.mark.parametrize(
    ("key", "text", "refused"),
    [
        ("cloud-init.user-data", "#cloud-config\n", "must have content other than comments"),
        (
            "cloud-init.user-data",
            "#cloud-config\n# nothing yet\n",
            "must have content other than comments",
        ),
        (
            "cloud-init.user-data",
            "#cloud-config\nruncmd: []\nruncmd: []\n",
            "must have each key once (line 2",
        ),
        ("cloud-init.user-data", "#cloud-config\n{}\n", ""),
        ("cloud-init.user-data", "#cloud-config", ""),
        ("cloud-init.user-data", "#!/bin/sh\n# nothing yet\n", ""),
        ("cloud-init.vendor-data", "#cloud-config\n", "must have content other than comments"),
        ("cloud-init.network-config", "# nothing yet", "must have content other than comments"),
        ("cloud-init.network-config", "version: 2\n", ""),
    ],
)
def test_cloud_init_that_the_server_refuses_is_found_by_field(
    facts: HostFacts, sandbox: Sandbox, name: str, key: str, text: str, refused: str
) -> None:
    if key == "cloud-init.user-data":
        options, field = container(cloud_init_user_data=text), "cloud_init_user_data"
    else:
        options, field = container(config={key: text}), f"config.{key}"
    instance = {
        "name": name,
        "type": "container",
        "source": {"type": "none"},
        "config": {key: text},
    }

    found = by_path(run_preflight(facts, plan_of(), options))

    try:
        sandbox.daemon.request("POST", "/instances", instance)
    except ApiError as error:
        assert refused in found[field], error  # noqa: PT017
        assert refused
    else:
        assert found == {}


def test_name_of_a_new_volume_that_the_server_refuses_is_found(
    facts: HostFacts, sandbox: Sandbox, name: str
) -> None:
    mount = {
        "kind": "persistent_volume",
        "source": f"{name} b",
        "guest_path": "/x",
        "mode": "read_write",
    }

    found = by_path(run_preflight(facts, plan_of(mounts=[mount]), container()))

    try:
        sandbox.daemon.request(
            "POST", "/storage-pools/default/volumes/custom", {"name": f"{name} b"}
        )
    except ApiError:
        assert "is not a valid name: use an ASCII letter" in found["mounts.0.source"]
    else:
        # One that is there already is taken, whatever its name.
        assert found == {}
        sandbox.daemon.request("DELETE", f"/storage-pools/default/volumes/custom/{name}%20b")


def test_missing_project(facts: HostFacts) -> None:
    target = {"project": "prod", "profile": "default", "image_alias": IMAGE}

    found = by_path(run_preflight(facts, plan_of(incus=target), container()))

    assert list(found) == ["incus.project"]
    assert "existing: default" in found["incus.project"]


def test_images_by_other_names_than_an_alias(facts: HostFacts, sandbox: Sandbox) -> None:
    def said(image: str) -> str:
        target = {"project": "default", "profile": "default", "image_alias": image}
        found = by_path(run_preflight(facts, plan_of(incus=target), container()))
        return found.get("incus.image_alias", "")

    for fingerprint in (sandbox.image, sandbox.image[:12], sandbox.image.upper()):
        assert said(fingerprint) == ""
    assert "image alias or fingerprint 000" in said("0" * 64)
    assert "image alias 0123" in said("0123")
    copy = "`incus image copy images:debian/12 local: --alias debian/12`"
    assert copy in said("images:debian/12")


def test_two_root_disks(facts: HostFacts, sandbox: Sandbox, name: str) -> None:
    request = sandbox.daemon.request
    root = {"type": "disk", "path": "/", "pool": "default"}
    request("POST", "/profiles", {"name": f"{name}-other", "devices": {"rootfs": root}})
    request("POST", "/profiles", {"name": f"{name}-same", "devices": {"root": root}})
    try:
        options = container(extra_profiles=[f"{name}-other"])
        found = by_path(run_preflight(facts, plan_of(), options))
        assert f"rootfs of profile {name}-other, root of profile default" in found["extra_profiles"]
        masked = container(extra_profiles=[f"{name}-other"], devices={"rootfs": {"type": "none"}})
        assert run_preflight(facts, plan_of(), masked) == []
        options = container(extra_profiles=[f"{name}-same"])
        assert run_preflight(facts, plan_of(), options) == []
        options = container(devices={"mine": root})
        assert "mine of devices" in by_path(run_preflight(facts, plan_of(), options))["devices"]
    finally:
        request("DELETE", f"/profiles/{name}-other")
        request("DELETE", f"/profiles/{name}-same")


def test_a_profile_twice() -> None:
    options = container(extra_profiles=["gpu", "default", "gpu"])
    found = dict(find_option_problems(plan_of(), options))
    assert set(found) == {("extra_profiles", 0), ("extra_profiles", 1)}
    assert (
        "conflicts with another entry or `incus.profile`, which is `default` too"
        in found["extra_profiles", 1]
    )


def test_a_dependent_volume() -> None:
    disk = {"type": "disk", "pool": "default", "source": "data", "path": "/data"}
    options = container(devices={"data": {**disk, "dependent": "TRUE"}})
    [(path, reason)] = find_option_problems(plan_of(), options)
    assert path == ("devices", "data", "dependent")
    assert "delete the volume together with the instance" in reason
    kept = container(devices={"data": {**disk, "dependent": "false"}})
    assert not list(find_option_problems(plan_of(), kept))


def test_target_without_a_cluster(sandbox: Sandbox) -> None:
    for target in ("one", "@gpu"):
        facts = HostFacts(IncusClient(sandbox.socket, target=target))
        found = by_path(run_preflight(facts, plan_of(), container()))
        assert "the server is not a cluster" in found[""]


@pytest.fixture
def limited(sandbox: Sandbox, name: str) -> Iterator[str]:
    config = {
        "features.images": "false",
        "limits.memory": "256MiB",
        "limits.cpu": "2",
        "limits.containers": "1",
        "restricted": "true",
    }
    request = sandbox.daemon.request
    request("POST", "/projects", {"name": name, "config": config})
    root = {"type": "disk", "path": "/", "pool": "default"}
    request("PATCH", f"/profiles/default?project={name}", {"devices": {"root": root}})
    yield name
    for path in request("GET", f"/instances?project={name}"):
        instance = path.partition("?")[0].rpartition("/")[2]
        request("DELETE", f"/instances/{instance}?project={name}")
    request("DELETE", f"/projects/{name}")


def test_limits_and_restrictions_of_the_project(
    facts: HostFacts, limited: str, sandbox: Sandbox
) -> None:
    target = {"project": limited, "profile": "default", "image_alias": IMAGE}
    plan = plan_of(
        incus=target,
        resources={"memory_mib": 512},
        mounts=[
            {"kind": "cache", "source": "/tmp", "guest_path": "/c", "mode": "read_write"},
        ],
    )
    found = by_path(run_preflight(facts, plan, container()))
    assert "is 512 MiB" in found["resources.memory_mib"]
    assert "256 of its 256 MiB left" in found["resources.memory_mib"]
    assert "is required: project" in found["resources.vcpu_count"]
    assert "may not mount host paths" in found["mounts.0.source"]

    body = {
        "name": "first",
        "type": "container",
        "source": {"type": "image", "alias": IMAGE},
        "config": {"limits.cpu": "1", "limits.memory": "64MiB"},
    }
    sandbox.daemon.request("POST", f"/instances?project={limited}", body)
    small = plan_of(incus=target, resources={"memory_mib": 64, "vcpu_count": 1})
    grown = plan_of(incus=target, resources={"memory_mib": 224, "vcpu_count": 1})
    now = HostFacts(facts.client)

    assert (
        "its limits.containers allows no more"
        in by_path(run_preflight(now, small, container()))["incus.project"]
    )
    # Its own share counts for what is there already.
    assert run_preflight(now, grown, container(), before=small) == []
    assert by_path(run_preflight(now, grown, container()))["resources.memory_mib"]


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"limits.disk.pool.default": "0"}, "limits.disk.pool.default is 0"),
        (
            {"restricted": "true", "restricted.storage-pools.access": "fast, slow"},
            "restricted.storage-pools.access is fast, slow",
        ),
        ({"restricted": "true", "restricted.storage-pools.access": "fast, default"}, ""),
        ({"restricted.storage-pools.access": "fast"}, ""),
    ],
)
def test_pool_that_the_project_may_not_use(
    facts: HostFacts, sandbox: Sandbox, name: str, config: dict[str, str], why: str
) -> None:
    if "restricted.storage-pools.access" in config and not facts.server().has(
        "projects_restricted_storage_pool_access"
    ):
        pytest.skip("this server knows no such restriction")
    request = sandbox.daemon.request
    body = {"name": name, "config": {"features.images": "false", **config}}
    request("POST", "/projects", body)
    try:
        target = {"project": name, "profile": "default", "image_alias": IMAGE}
        plan = plan_of(incus=target)
        root = {"type": "disk", "path": "/", "pool": "default"}
        instance = {
            "name": "box",
            "type": "container",
            "source": {"type": "none"},
            "devices": {"root": root},
        }

        found = by_path(run_preflight(facts, plan, container(storage_pool="default")))

        try:
            request("POST", f"/instances?project={name}", instance)
        except ApiError as error:
            assert why, error  # noqa: PT017
            assert why in found["storage_pool"]
        else:
            assert not why
            assert found == {}
            request("DELETE", f"/instances/box?project={name}")
    finally:
        request("DELETE", f"/projects/{name}")


def test_restricted_certificate(server: Server, certificate: Certificate, name: str) -> None:
    server.daemon.request(
        "POST", "/projects", {"name": name, "config": {"features.images": "false"}}
    )
    try:
        server.trust(certificate, [name])
        client = client_of(**server.settings(**certificate.settings))
        target = {"project": name, "profile": "default", "image_alias": IMAGE}

        options = container(storage_pool="default")
        assert run_preflight(HostFacts(client), plan_of(incus=target), options) == []
        found = by_path(run_preflight(HostFacts(client), plan_of(), options))
    finally:
        server.daemon.request("DELETE", f"/projects/{name}")

    assert list(found) == ["incus.project"]
    assert f"it may use: {name}" in found["incus.project"]
    assert certificate.fingerprint[:12] in found["incus.project"]


def test_what_is_asked_once_does_for_all(sandbox: Sandbox) -> None:
    transport = Counting(sandbox.socket)
    facts = HostFacts(IncusClient(transport=transport))

    for _ in range(50):
        run_preflight(facts, plan_of(), container(storage_pool="default"))

    assert sorted(transport.sent) == [
        "GET /1.0",
        "GET /1.0/images/aliases",
        "GET /1.0/profiles",
        "GET /1.0/projects/default",
        "GET /1.0/storage-pools/default",
    ]


def test_bad_news_is_asked_for_anew_once_for_all_that_wait(sandbox: Sandbox) -> None:
    transport = Counting(sandbox.socket)
    facts = HostFacts(IncusClient(transport=transport))
    begun = time.monotonic()
    facts.aliases("default")

    facts.invalidate_before(begun)
    facts.aliases("default")
    assert transport.sent == ["GET /1.0/images/aliases"], "it was asked for after that began"

    facts.invalidate_before(time.monotonic())
    facts.aliases("default")
    assert transport.sent == ["GET /1.0/images/aliases"] * 2


IGNORED = "memory limits will be ignored"


@pytest.fixture
def warned(sandbox: Sandbox) -> Iterator[str]:
    """The daemon's warning that it enforces no memory limits, as it is before it is acknowledged.

    The warning exists if the memory controller of this machine is not in version 2.
    """
    listed = sandbox.daemon.request("GET", "/warnings?recursion=1")
    found = [warning["uuid"] for warning in listed if warning["last_message"] == IGNORED]
    if not found:
        pytest.skip("this daemon enforces memory limits")
    path = f"/warnings/{found[0]}"
    sandbox.daemon.request("PUT", path, {"status": "new"})
    yield found[0]
    sandbox.daemon.request("PUT", path, {"status": "acknowledged"})


def test_limit_that_the_server_ignores(facts: HostFacts, warned: str, sandbox: Sandbox) -> None:
    plan = plan_of(resources={"memory_mib": 64})

    [found] = run_preflight(facts, plan, container())

    assert found.path == ("resources", "memory_mib")
    assert found.advisory
    assert IGNORED in found.reason
    assert f"incus warning acknowledge {warned}" in found.reason
    [other] = run_preflight(facts, plan_of(), container(config={"limits.memory.swap": "false"}))
    assert other.path == ("config", "limits.memory.swap")
    assert run_preflight(facts, plan_of(), container()) == []
    # Those of a virtual machine are enforced by QEMU.
    machine = run_preflight(facts, plan, RuntimeOptions())
    assert not any(finding.advisory for finding in machine)

    sandbox.daemon.request("PUT", f"/warnings/{warned}", {"status": "acknowledged"})
    assert run_preflight(HostFacts(facts.client), plan, container()) == []


def test_why_a_type_does_not_run(facts: HostFacts, sandbox: Sandbox) -> None:
    listed = sandbox.daemon.request("GET", "/warnings?recursion=1")
    [why] = [it["last_message"] for it in listed if it["type"] == "Instance type not operational"]

    found = by_path(run_preflight(facts, plan_of(), RuntimeOptions()))

    assert f"{why}; it supports these types: container" in found["instance_type"]


def test_size_that_the_pool_does_not_enforce(facts: HostFacts, sandbox: Sandbox, name: str) -> None:
    plan = plan_of(resources={"root_disk_gib": 1})
    request, volumes = sandbox.daemon.request, "/storage-pools/default/volumes/custom"
    existing = [it for it in facts.volumes("default") if it[0] == "default"]
    if not existing:
        # Nothing tells yet what the file system can do.
        assert run_preflight(facts, plan, container()) == []
    request("POST", volumes, {"name": name})
    enforced = bool(request("GET", f"{volumes}/{name}/state").get("usage"))

    now = HostFacts(facts.client)
    found = run_preflight(now, plan, container(storage_pool="default"))

    if enforced:
        assert found == []
        return
    assert sandbox.daemon.driver == "dir"
    assert [(it.path, it.advisory) for it in found] == [(("resources", "root_disk_gib"), True)]
    assert "no project quotas" in found[0].reason
    assert run_preflight(now, plan_of(), container()) == []


def test_wait_for_an_address_without_a_network(
    facts: HostFacts, sandbox: Sandbox, name: str
) -> None:
    nic = {"type": "nic", "nictype": "p2p"}
    sandbox.daemon.request("POST", "/profiles", {"name": name, "devices": {"eth0": nic}})
    try:
        waits = container(wait_for="ipv4")
        assert "have a nic" in by_path(run_preflight(facts, plan_of(), waits))["wait_for"]
        # The instance exists, and may have a nic that another client added.
        assert run_preflight(facts, plan_of(), waits, before=plan_of()) == []
        for options in (
            container(wait_for="ipv4", devices={"eth0": nic}),
            container(wait_for="ipv4", extra_profiles=[name]),
            container(wait_for="ipv4", running=False),
            container(wait_for="ipv4", adopt=True),
            container(),
        ):
            assert run_preflight(facts, plan_of(), options) == []
        masked = container(
            wait_for="ipv4", extra_profiles=[name], devices={"eth0": {"type": "none"}}
        )
        assert "have a nic" in by_path(run_preflight(facts, plan_of(), masked))["wait_for"]
    finally:
        sandbox.daemon.request("DELETE", f"/profiles/{name}")
