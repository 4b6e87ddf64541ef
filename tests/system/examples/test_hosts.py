"""The examples `remote_host` and `several_hosts`, with a second daemon."""

import json
from pathlib import Path
from typing import Any

import pytest

from ...conftest import Sandbox
from ...support.daemons import (
    Certificate,
    Server,
    make_certificate,
)
from ...support.stack import Stack
from .helpers import (
    apply,
    configure,
    take,
    there,
    uuids,
)


@pytest.fixture
def certificate(far: Server, tmp_path: Path) -> Certificate:
    made = make_certificate(tmp_path / "certificate")
    far.trust(made)
    return made


def test_remote_host(
    stack: Stack, sandbox: Sandbox, far: Server, certificate: Certificate, name: str
) -> None:
    take(stack, "remote_host", instance_name=name)
    said = stack.preview(fails=True)
    for key in ("url", "server_fingerprint", "certificate"):
        assert f"'{key}'" in said, "Pulumi does not say what is to be configured"

    # Not the server that is meant: a preview says so.
    path = str(certificate.certificate)
    configure(stack, url=far.url, server_fingerprint="0" * 64, certificate=path)
    said = stack.preview(fails=True)
    assert "0" * 64 in said
    assert far.fingerprint in said
    assert "Traceback" not in said

    configure(stack, server_fingerprint=far.fingerprint)
    apply(stack)
    assert set(there(far.daemon, name)) == {name}
    assert there(sandbox.daemon, name) == {}
    outputs = stack.outputs()
    assert outputs["status"] == "Running"
    assert outputs["server_fingerprint"] == far.fingerprint
    key = certificate.key.read_text().splitlines()[1]
    assert key not in json.dumps(stack.export())

    stack.destroy()
    assert there(far.daemon, name) == {}


def where(sandbox: Sandbox, far: Server, prefix: str) -> dict[str, str]:
    """Which host each worker is on, by what the daemons say."""
    found = {}
    for host, daemon in (("local", sandbox.daemon), ("far", far.daemon)):
        for instance, it in there(daemon, prefix).items():
            assert it["config"]["user.pika.label.host"] == host
            worker = instance.removeprefix(f"{prefix}-")
            assert worker not in found, "it is on both"
            found[worker] = host
    return found


def test_several_hosts(
    stack: Stack, sandbox: Sandbox, far: Server, certificate: Certificate, name: str
) -> None:
    hosts: dict[str, Any] = {
        "local": {"socket": str(sandbox.socket)},
        "far": {
            "url": far.url,
            "server_fingerprint": far.fingerprint,
            "certificate": str(certificate.certificate),
        },
    }
    take(stack, "several_hosts", prefix=f"{name}-", hosts=hosts)
    apply(stack)
    first = where(sandbox, far, name)
    assert len(first) == 4
    # The names, and so the rule's answers, are the same each time.
    assert set(first.values()) == {"local", "far"}
    assert stack.outputs()["where"] == first
    assert {it["status"] for it in stack.outputs()["workers"].values()} == {"Running"}

    # One worker more: nobody moves.
    before = uuids(sandbox.daemon, name) | uuids(far.daemon, name)
    configure(stack, workers=5)
    stack.up()
    second = where(sandbox, far, name)
    assert second == {**first, "worker-5": second["worker-5"]}
    after = uuids(sandbox.daemon, name) | uuids(far.daemon, name)
    assert before.items() <= after.items()

    # One host less: its workers move, and no other.
    staying = uuids(sandbox.daemon, name)
    configure(stack, hosts={"local": hosts["local"]})
    stack.up()
    assert where(sandbox, far, name) == dict.fromkeys(second, "local")
    assert staying.items() <= uuids(sandbox.daemon, name).items()

    # And back again, where they were.
    configure(stack, hosts=hosts)
    stack.up()
    stack.settled()
    assert where(sandbox, far, name) == second
    assert staying == uuids(sandbox.daemon, name)

    stack.destroy()
    assert where(sandbox, far, name) == {}
