"""What a preview says about a server on which virtual machines run; none is started."""

from collections.abc import Iterator

import pytest

from pulumi_pika.incus.client import url
from pulumi_pika.planner.spec import RuntimeSpec
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions
from pulumi_pika.reconcile.preflight import Finding, HostFacts, run_preflight

from ...support.reconcile import mount
from .machine import VmHost

AGENT = {"agent": {"type": "disk", "source": "agent:config"}}
CLOUD_INIT = {"seed": {"type": "disk", "source": "cloud-init:config"}}


def findings(host: VmHost, options: RuntimeOptions, *mounts: dict[str, object]) -> list[Finding]:
    spec = {
        "identity": {"runtime_id": "id", "instance_name": "box"},
        "provider": "incus",
        "incus": {"project": "default", "profile": "default", "image_alias": host.image},
        "resources": {"memory_mib": 640, "vcpu_count": 1, "root_disk_gib": 3},
        "mounts": list(mounts),
    }
    plan = RuntimeSpec.model_validate(spec).build_incus_plan()
    return run_preflight(HostFacts(host.client), plan, options)


@pytest.fixture
def demanding(host: VmHost) -> Iterator[str]:
    """The fingerprint of the image, which has all requirements meanwhile."""
    target = host.client.get(url("images", "aliases", host.image)).data["target"]
    path = url("images", str(target))
    image = host.client.get(path).data
    requirements = {"secureboot": "false", "cdrom_agent": "true", "cdrom_cloud_init": "true"}
    before = {key: image[key] for key in ("auto_update", "properties", "public", "expires_at")}
    more = {f"requirements.{name}": value for name, value in requirements.items()}
    body = {**before, "properties": {**before["properties"], **more}}
    host.client.send_change("PUT", path, body)
    yield str(target)
    host.client.send_change("PUT", path, before)


def test_nothing_is_said_about_what_the_server_can_do(host: VmHost) -> None:
    """preview: no finding where all is there; limits of a machine are enforced by QEMU"""
    share = mount("read_only_snapshot", host.share, "/mnt/share")
    assert findings(host, RuntimeOptions(wait_for="ipv4"), share) == []


def test_requirements_of_the_image(host: VmHost, demanding: str) -> None:
    """preview: what an image requires (secure boot off, disks of the agent and of cloud-init)"""
    assert demanding
    found = findings(host, RuntimeOptions())
    assert {it.path for it in found} == {("incus", "image_alias")}
    said = "; ".join(it.reason for it in found)
    assert '`config={"security.secureboot": "false"}`' in said
    assert "needs the disk agent:config" in said
    strict = host.client.server().has("storage_volume_nbd")
    assert ("needs the disk cloud-init:config" in said) == strict

    met = RuntimeOptions(config={"security.secureboot": "false"}, devices={**AGENT, **CLOUD_INIT})
    assert findings(host, met) == []
    assert findings(host, RuntimeOptions(running=False)) == []
