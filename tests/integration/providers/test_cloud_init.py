"""`cloud_init`, `wait_for="cloud_init"` and `replace_on_user_data`, with a stand-in for cloud-init;
see `tests/support/cloud_init_guest.py`."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.instances.cloud_config import NETWORK_KEY, USER_DATA_KEY
from pulumi_pika.reconcile.instances.cloud_init_end import recoverable_errors
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.validation.property_tree import UNKNOWN

from ...conftest import Sandbox
from ...support.cloud_init_guest import cloud_init_image
from ...support.provider_engine import Managed, Refused, arguments
from ...support.reconcile import there

TREE: dict[str, Any] = {
    "users": [{"name": "agent", "groups": ["sudo"], "sudo": "ALL=(ALL) NOPASSWD:ALL"}],
    "packages": ["git"],
    "files": [{"path": "/etc/agent.conf", "content": "a: 1\nb: 2\n", "permissions": "0600"}],
    "runcmd": ["touch /tmp/ran"],
    "network": {"eth0": {"addresses": ["192.0.2.7/24"], "nameservers": ["192.0.2.1"]}},
    "extra": {"timezone": "Etc/UTC"},
}


@pytest.fixture(scope="module")
def cloud_image(sandbox: Sandbox) -> Iterator[str]:
    with cloud_init_image(sandbox) as alias:
        yield alias


def given(name: str, alias: str, **more: Any) -> dict[str, Any]:
    incus = {"project": "default", "profile": "default", "image_alias": alias}
    return arguments(name, mounts=[], incus=incus, timeouts={"wait": 60}, **more)


def test_typed_tree_is_rendered_kept_and_corrected(
    sandbox: Sandbox, client: IncusClient, name: str, cloud_image: str
) -> None:
    managed = Managed(given(name, cloud_image, cloud_init=TREE, wait_for="cloud_init"))
    try:
        managed.up()
        live = there(client, name)
        written = live.config[USER_DATA_KEY]
        assert written.startswith("#cloud-config\nusers:\n- default\n- name: agent\n")
        assert yaml.safe_load(written)["write_files"] == [
            {"path": "/etc/agent.conf", "permissions": "0600", "content": "a: 1\nb: 2\n"}
        ]
        assert yaml.safe_load(live.config[NETWORK_KEY])["ethernets"]["eth0"] == {
            "addresses": ["192.0.2.7/24"],
            "nameservers": {"addresses": ["192.0.2.1"]},
        }
        assert managed.refresh() == {}
        assert managed.up() == "same"

        # Another client writes other user-data: drift, which the next update corrects.
        body = {"config": {USER_DATA_KEY: "#cloud-config\n{}\n"}}
        sandbox.daemon.request("PATCH", f"/instances/{name}", body)
        assert managed.refresh()["config"][1] == {USER_DATA_KEY: "#cloud-config\n{}\n"}
        assert managed.up() == "update"
        assert there(client, name).config[USER_DATA_KEY] == written
        assert managed.refresh() == {}

        sandbox.daemon.request("PATCH", f"/instances/{name}", body)
        managed.refresh()
        body["config"][USER_DATA_KEY] = written
        sandbox.daemon.request("PATCH", f"/instances/{name}", body)
        managed.refresh()
        assert managed.up() == "same"

        managed.change(cloud_init={**TREE, "packages": ["git", "vim"]})
        assert managed.up() == "update"
        assert there(client, name).uuid == live.uuid
        managed.change(cloud_init={**TREE, "packages": ["curl"]}, replace_on_user_data=True)
        assert managed.planned() == "replace"
        assert managed.up() == "replace"
        assert there(client, name).uuid != live.uuid
        # The same text in the other form is not a change of the user-data.
        text = there(client, name).config[USER_DATA_KEY]
        network = {NETWORK_KEY: there(client, name).config[NETWORK_KEY]}
        del managed.arguments["cloud_init"]
        managed.change(cloud_init_user_data=text, config=network)
        assert managed.planned() == "replace"  # The network-config is no longer of `cloud_init`.
        managed.change(replace_on_user_data=False)
        assert managed.up() == "update"
        assert managed.refresh() == {}
    finally:
        managed.destroy()


def test_end_is_waited_for(client: IncusClient, name: str, cloud_image: str) -> None:
    tree = {"runcmd": ["sleep 2", "touch /tmp/ran", "recoverable disk is slow"]}
    managed = Managed(given(name, cloud_image, cloud_init=tree, wait_for="cloud_init"))
    try:
        begun = time.monotonic()
        managed.up()
        assert time.monotonic() - begun > 2
        assert recoverable_errors(client, name) == ["disk is slow"]
        assert client.get_raw(f"/1.0/instances/{name}/files", path="/tmp/ran").status == 200
    finally:
        managed.destroy()


def test_errors_of_cloud_init_are_reported_at_once_and_the_create_is_undone(
    client: IncusClient, name: str, cloud_image: str
) -> None:
    tree = {"runcmd": ["echo no mirror answers", "false"]}
    managed = Managed(given(name, cloud_image, cloud_init=tree, wait_for="cloud_init"))
    managed.change(timeouts={"wait": 600})
    begun = time.monotonic()
    with pytest.raises(ProviderError) as caught:
        managed.up()
    assert time.monotonic() - begun < 60
    said = str(caught.value)
    assert "cloud-init reports errors: ('scripts_user', RuntimeError('Runparts: 1 fail" in said
    assert "ends with:\n  no mirror answers" in said
    assert fetch_instance(client, name) is None


def test_image_without_cloud_init_is_a_clear_error(client: IncusClient, name: str) -> None:
    managed = Managed(given(name, "pika/tiny", cloud_init={}, wait_for="cloud_init"))
    managed.change(timeouts={"wait": 600})
    with pytest.raises(ProviderError, match="the image has no cloud-init"):
        managed.up()
    assert fetch_instance(client, name) is None


def test_disabled_cloud_init_is_a_clear_error(sandbox: Sandbox, name: str) -> None:
    with cloud_init_image(sandbox, disabled=True) as alias:
        managed = Managed(given(name, alias, cloud_init={}, wait_for="cloud_init"))
        with pytest.raises(ProviderError, match="is disabled in the guest: Cloud-init disabled by"):
            managed.up()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cloud_init": {}, "cloud_init_user_data": "#!x"}, "cloud_init: conflicts with"),
        ({"cloud_init": {}, "config": {USER_DATA_KEY: "x"}}, "conflicts with `cloud_init`"),
        ({"cloud_init": {"user": []}}, r"cloud_init.user.* did you mean `users`"),
        ({"cloud_init": {"users": [{"name": "A b"}]}}, r"cloud_init.users\[0\].name: `A b` is not"),
        ({"cloud_init": {"users": [{"name": "a"}] * 2}}, r"users\[1\].name: `a` is not a valid"),
        ({"cloud_init": {"files": [{"path": "x", "content": ""}]}}, r"files\[0\].path: `x` is"),
        (
            {"cloud_init": {"files": [{"path": "/x", "content": "", "permissions": "9"}]}},
            r"files\[0\].permissions: `9` is not",
        ),
        ({"cloud_init": {"runcmd": [" "]}}, r"runcmd\[0\]: must be non-empty"),
        ({"cloud_init": {"extra": {"write_files": []}}}, "set `cloud_init.files` instead"),
    ],
)
def test_refused(name: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        Managed(given(name, "pika/tiny", **change)).checked()


def test_unknown_parts_are_planned(name: str) -> None:
    tree = {"users": [{"name": UNKNOWN}], "runcmd": [UNKNOWN], "files": UNKNOWN}
    assert Managed(given(name, "pika/tiny", cloud_init=tree)).checked()["cloud_init"] == tree
