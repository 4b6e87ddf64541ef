"""What is wrong with the arguments of an image, without a host."""

from typing import Any

import pytest

from pulumi_pika.providers import host_connection
from pulumi_pika.providers.image import IncusImageProvider
from pulumi_pika.reconcile.images.image_label import (
    AliasLabel,
    claim_property,
    claims_of,
    existed_property,
    has_existed,
    owner_id,
    without_claim,
)

SERVER = {"source": "debian/12", "server": "https://images.example"}


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in host_connection._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INCUS_SOCKET", "/nowhere/unix.socket")


def problems(**arguments: Any) -> dict[str, str]:
    hidden = {"owner": "urn:x", "backend": "b", "secret_inputs": []}
    result = IncusImageProvider().check({}, {"__pika": hidden, **arguments})
    return {failure.property: failure.reason for failure in result.failures}


@pytest.mark.parametrize(
    ("arguments", "where", "text"),
    [
        ({}, "source", "is required"),
        ({"source": "a", "file": "/x"}, "source", "conflicts with `file`"),
        ({"source": "a", "rootfs": "/x"}, "rootfs", "needs `file`"),
        ({"file": "/x", "architecture": "arm64"}, "architecture", "conflicts with `file`"),
        ({"file": "/x", "server": "https://x"}, "server", "conflicts with `file`"),
        ({"source": ""}, "source", "must not be empty"),
        ({"source": "images:"}, "source", "is not a valid image"),
        ({"source": " x"}, "source", "is not a valid image"),
        ({**SERVER, "source": "images:x"}, "source", "conflicts with `server`; remove `images:`"),
        ({**SERVER, "server": "images.example"}, "server", "is not a valid URL"),
        ({**SERVER, "server": "https://u:p@x"}, "server", "is not a valid URL"),
        ({**SERVER, "server": "file:///etc"}, "server", "is not a valid URL"),
        ({"source": "a", "server_certificate": "x"}, "server_certificate", "needs `server`"),
        ({**SERVER, "aliases": ["a b"]}, "aliases[0]", "is not a valid image alias"),
        ({**SERVER, "aliases": ["x" * 65]}, "aliases[0]", "is not a valid image alias"),
        ({**SERVER, "aliases": ["a", "a"]}, "aliases[1]", "twice"),
        ({**SERVER, "aliases": ["0123456789ab"]}, "aliases[0]", "looks like a fingerprint"),
        ({**SERVER, "properties": {"a": ""}}, "properties.a", "must not be empty"),
        ({**SERVER, "properties": {" a": "x"}}, "properties", "is not a valid name"),
        ({**SERVER, "properties": {"user.pika.x": "y"}}, "properties", "is managed by pulumi_pika"),
        ({**SERVER, "update": "never"}, "update", ""),
        ({**SERVER, "protocol": "oci"}, "protocol", ""),
        ({**SERVER, "instance_type": "box"}, "instance_type", ""),
        ({**SERVER, "timeouts": {"create": 0}}, "timeouts.create", ""),
    ],
)
def test_problems(arguments: dict[str, Any], where: str, text: str) -> None:
    found = problems(**arguments)
    [reason] = [said for name, said in found.items() if name.startswith(where)] or [""]
    assert reason, found
    assert text in reason


def test_all_at_once() -> None:
    assert len(problems(source="a", file="/x", rootfs=3, aliases=["a b"], update="x")) == 4


def test_right_arguments_need_no_host() -> None:
    assert problems(**SERVER, aliases=["debian/12", "a.b_c-d"], properties={"a.b": "c d"}) == {}


def test_label() -> None:
    one, two = owner_id("urn:one", "b"), owner_id("urn:two", "b")
    assert one != owner_id("urn:one", "c")
    stored, copied = "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.6Z"
    # The same time as another zone has it.
    shifted = "2026-01-01T01:00:00.500000000+01:00"
    properties = {"os": "Debian", **existed_property(stored)}
    properties |= claim_property(one, "g1", "urn:one", stored)
    properties |= claim_property(two, "g2", "urn:two", copied)
    assert set(claims_of(properties, stored)) == set(claims_of(properties, shifted)) == {one}
    assert claims_of(properties, stored)[one].urn == "urn:one"
    assert claims_of(properties, stored)[one].matches("g1")
    assert not claims_of(properties, stored)[one].matches("g2")
    assert has_existed(properties, shifted)
    assert not has_existed(properties, copied)
    assert without_claim(properties, stored, one) == {"os": "Debian"}
    assert set(without_claim(properties, stored)) == set(properties) - {f"user.pika.owner.{two}"}
    pending = claim_property(one, "g1", "urn:one")
    assert set(claims_of(pending, stored)) == {one}


def test_label_of_an_alias() -> None:
    label = AliasLabel("0123456789ab", "urn:pulumi:dev::p::t::a (b)", adopted=True)
    assert AliasLabel.of(label.text()) == label
    assert AliasLabel.of("somebody's alias") is None
