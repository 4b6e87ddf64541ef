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
    return {".".join(map(str, it.path)): it.told(secret=False) for it in findings}


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
    assert "there: default" in found["extra_profiles.0"]
    assert "no storage pool fast" in found["storage_pool"]
    assert "runs no virtual-machine" in found["instance_type"]
    assert "it runs: container" in found["instance_type"]


@pytest.mark.parametrize(
    ("key", "text", "refused"),
    [
        ("cloud-init.user-data", "#cloud-config\n", "no content but comments"),
        ("cloud-init.user-data", "#cloud-config\n# nothing yet\n", "no content but comments"),
        ("cloud-init.user-data", "#cloud-config\nruncmd: []\nruncmd: []\n", "a key twice (line 2"),
        ("cloud-init.user-data", "#cloud-config\n{}\n", ""),
        ("cloud-init.user-data", "#cloud-config", ""),
        ("cloud-init.user-data", "#!/bin/sh\n# nothing yet\n", ""),
        ("cloud-init.vendor-data", "#cloud-config\n", "no content but comments"),
        ("cloud-init.network-config", "# nothing yet", "no content but comments"),
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
        assert "no name that Incus allows" in found["mounts.0.source"]
    else:
        # One that is there already is taken, whatever its name.
        assert found == {}
        sandbox.daemon.request("DELETE", f"/storage-pools/default/volumes/custom/{name}%20b")


def test_missing_project(facts: HostFacts) -> None:
    target = {"project": "prod", "profile": "default", "image_alias": IMAGE}

    found = by_path(run_preflight(facts, plan_of(incus=target), container()))

    assert list(found) == ["incus.project"]
    assert "there: default" in found["incus.project"]


def test_images_by_other_names_than_an_alias(facts: HostFacts, sandbox: Sandbox) -> None:
    def said(image: str) -> str:
        target = {"project": "default", "profile": "default", "image_alias": image}
        found = by_path(run_preflight(facts, plan_of(incus=target), container()))
        return found.get("incus.image_alias", "")

    for fingerprint in (sandbox.image, sandbox.image[:12], sandbox.image.upper()):
        assert said(fingerprint) == ""
    assert "no image with the alias or fingerprint 000" in said("0" * 64)
    assert "no image with the alias 0123" in said("0123")
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
    assert "names the profile default twice" in found["extra_profiles", 1]


def test_target_without_a_cluster(sandbox: Sandbox) -> None:
    for target in ("one", "@gpu"):
        facts = HostFacts(IncusClient(sandbox.socket, target=target))
        found = by_path(run_preflight(facts, plan_of(), container()))
        assert "is no cluster" in found[""]


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
    assert "256 of its 256 left" in found["resources.memory_mib"]
    assert "each instance has to say" in found["resources.vcpu_count"]
    assert "lets no host paths" in found["mounts.0.source"]

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
        "as many as its limits.containers"
        in by_path(run_preflight(now, small, container()))["incus.project"]
    )
    # Its own share counts for what is there already.
    assert run_preflight(now, grown, container(), before=small) == []
    assert by_path(run_preflight(now, grown, container()))["resources.memory_mib"]


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

    facts.forget(begun)
    facts.aliases("default")
    assert transport.sent == ["GET /1.0/images/aliases"], "it was asked for after that began"

    facts.forget(time.monotonic())
    facts.aliases("default")
    assert transport.sent == ["GET /1.0/images/aliases"] * 2
