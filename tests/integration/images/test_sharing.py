"""Images that several resources, stacks, projects and people have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ...conftest import Sandbox
from ...support.image_engine import Image
from ...support.image_server import unified
from ...support.provider_engine import Refused
from .conftest import alias, images, put_by_hand, shown

Declare = Callable[..., Image]


@pytest.fixture
def file(tmp_path: Path, name: str) -> Path:
    return unified(tmp_path, name).metadata


def test_two_stacks_share_an_image(sandbox: Sandbox, declare: Declare, file: Path) -> None:
    one = declare(file=str(file))
    two = declare("-2", stack="prod", file=str(file))
    one.up()
    fingerprint = one["fingerprint"]
    two.up()
    assert two["fingerprint"] == fingerprint
    assert two["adopted"] is False
    for image in (one, two):
        assert image.planned() == ""
        assert image.refresh() == {}
    one.destroy()
    found = shown(sandbox.daemon, fingerprint)
    assert found is not None
    assert [it["name"] for it in found["aliases"]] == [two.name]
    assert two.refresh() == {}
    assert two.planned() == ""
    two.destroy()
    assert shown(sandbox.daemon, fingerprint) is None


def test_two_resources_of_one_stack_and_two_backends(
    sandbox: Sandbox, declare: Declare, file: Path
) -> None:
    of = [declare(file=str(file)), declare("-2", file=str(file))]
    of.append(declare("-3", backend="b2", file=str(file)))
    for image in of:
        image.up()
    for image in of:
        assert shown(sandbox.daemon, image["fingerprint"]) is not None
        fingerprint = image["fingerprint"]
        image.destroy()
    assert shown(sandbox.daemon, fingerprint) is None


def test_settings_that_two_owners_do_not_agree_on(
    sandbox: Sandbox, declare: Declare, file: Path
) -> None:
    one = declare(file=str(file), properties={"team": "a"}, public=False)
    one.up()
    for more in ({"properties": {"team": "b"}}, {"public": True}):
        with pytest.raises(Refused, match=r"belongs to urn:pulumi:dev::.* too; it cannot"):
            declare("-2", stack="prod", file=str(file), **more).checked()
    two = declare("-2", stack="prod", file=str(file), properties={"team": "a"})
    two.up()
    with pytest.raises(Exception, match="too; it cannot be changed"):
        one.up(properties={"team": "c"})
    # What one no longer sets, the other still has.
    one.up(properties={})
    found = shown(sandbox.daemon, one["fingerprint"])
    assert found is not None
    assert found["properties"]["team"] == "a"


def test_alias_of_another_resource_is_refused(
    sandbox: Sandbox, declare: Declare, file: Path, tmp_path: Path, name: str
) -> None:
    one = declare(file=str(file))
    one.up()
    other = unified(tmp_path, f"{name}-other").metadata
    two = declare("-2", stack="prod", file=str(other), aliases=[name])
    with pytest.raises(Refused, match=f"aliases: image alias {name} .* belongs to {one.urn}"):
        two.checked()
    # With adopt, it is still another's.
    two.arguments["adopt"] = True
    with pytest.raises(Refused, match=" belongs to "):
        two.checked()
    found = alias(sandbox.daemon, name)
    assert found is not None
    assert found["target"] == one["fingerprint"]


def test_of_nobody(sandbox: Sandbox, declare: Declare, file: Path, name: str) -> None:
    fingerprint = put_by_hand(sandbox.daemon, file, name)
    before = shown(sandbox.daemon, fingerprint)
    image = declare(file=str(file), properties={"team": "a"})
    with pytest.raises(Refused, match=rf"already exists .*it has {name}, .* no owner.* adopt="):
        image.checked()
    assert image.arguments.setdefault("adopt", True)
    image.up()
    assert image["adopted"] is True
    assert image.planned() == ""
    found = shown(sandbox.daemon, fingerprint)
    assert found is not None
    assert found["properties"]["team"] == "a"
    # Another one shares it; when both are gone, it is still there, with its alias.
    two = declare("-2", stack="prod", file=str(file))
    two.up()
    image.destroy()
    two.destroy()
    after = shown(sandbox.daemon, fingerprint)
    assert after is not None
    assert before is not None
    after["properties"].pop("team")
    assert after == before


def test_alias_of_nobody_and_of_another_image(
    sandbox: Sandbox, declare: Declare, file: Path, name: str
) -> None:
    target = {"name": name, "target": sandbox.image}
    sandbox.daemon.request("POST", "/images/aliases", target)
    image = declare(file=str(file), adopt=True)
    with pytest.raises(Refused, match=rf"of another image .* `incus image alias delete .*{name}`"):
        image.checked()


def test_copy_in_another_project_has_owners_of_its_own(
    sandbox: Sandbox, declare: Declare, file: Path, name: str
) -> None:
    """Incus copies the properties too, and so the label."""
    one = declare(file=str(file))
    one.up()
    config = {"features.images": "true"}
    sandbox.daemon.request("POST", "/projects", {"name": name, "config": config})
    try:
        two = declare("-2", source=one["fingerprint"], source_project="default", project=name)
        two.up()
        [copy] = images(sandbox.daemon, name)
        owners = [it for key, it in copy["properties"].items() if "pika.owner" in key]
        assert [it.rpartition(" ")[2] for it in owners] == [two.urn]
        one.destroy()
        assert len(images(sandbox.daemon, name)) == 1
        two.destroy()
        assert images(sandbox.daemon, name) == []
    finally:
        for image in images(sandbox.daemon, name):
            sandbox.daemon.request("DELETE", f"/images/{image['fingerprint']}?project={name}")
        sandbox.daemon.request("DELETE", f"/projects/{name}")


def test_project_without_images_of_its_own(
    sandbox: Sandbox, declare: Declare, file: Path, name: str
) -> None:
    config = {"features.images": "false"}
    sandbox.daemon.request("POST", "/projects", {"name": name, "config": config})
    try:
        one, two = declare(file=str(file)), declare("-2", file=str(file), project=name)
        one.up()
        two.up()
        one.destroy()
        assert two.refresh() == {}
        two.destroy()
        assert shown(sandbox.daemon, two["fingerprint"] if two.state else "") is None
    finally:
        sandbox.daemon.request("DELETE", f"/projects/{name}")


def test_what_others_change(
    sandbox: Sandbox, declare: Declare, file: Path, name: str, said: list[str]
) -> None:
    image = declare(file=str(file), aliases=[name, f"{name}-b"], properties={"team": "a"})
    image.up()
    fingerprint = image["fingerprint"]
    sandbox.daemon.request("DELETE", f"/images/aliases/{name}-b")
    found: Any = shown(sandbox.daemon, fingerprint)
    properties = {**found["properties"], "team": "b", "more": "x"}
    sandbox.daemon.request("PUT", f"/images/{fingerprint}", {**found, "properties": properties})
    assert image.refresh() == {"aliases": [name], "properties": {"team": "b"}}
    assert image.planned() == "update"
    image.up()
    found = shown(sandbox.daemon, fingerprint)
    assert sorted(it["name"] for it in found["aliases"]) == [name, f"{name}-b"]
    assert found["properties"]["team"] == "a"
    assert found["properties"]["more"] == "x"
    assert image.refresh() == {}

    # Somebody removes the label: it is drift, and written again.
    sandbox.daemon.request("PUT", f"/images/{fingerprint}", {**found, "properties": {"team": "a"}})
    assert image.refresh() == {} or image.planned() == "update"
    assert image.planned() == "update"
    image.up()
    assert image.planned() == ""
    assert image.refresh() == {}

    # Somebody deletes it.
    sandbox.daemon.request("DELETE", f"/images/{fingerprint}")
    assert image.refresh() == {"id": ""}
    assert image.up() == "create"


def test_delete_of_one_without_its_label(
    sandbox: Sandbox, declare: Declare, file: Path, said: list[str]
) -> None:
    image = declare(file=str(file))
    image.up()
    fingerprint = image["fingerprint"]
    found: Any = shown(sandbox.daemon, fingerprint)
    sandbox.daemon.request("PUT", f"/images/{fingerprint}", {**found, "properties": {}})
    image.destroy()
    assert shown(sandbox.daemon, fingerprint) is not None
    assert any("does not have the ownership label" in line for line in said)


def test_forced_replacement(
    sandbox: Sandbox, declare: Declare, file: Path, said: list[str]
) -> None:
    """`--replace` creates the same image, and then deletes by the older state."""
    image = declare(file=str(file))
    image.up()
    old = image.id_, image.state
    image.id_, image.state, image.inputs = "", {}, {}
    image.up()
    older = Image(image.name, image.arguments, state=old[1], id_=old[0])
    older.destroy()
    assert shown(sandbox.daemon, image["fingerprint"]) is not None
    assert image.refresh() == {}
    assert any("belongs to a later create" in line for line in said)


def test_renamed_resource(sandbox: Sandbox, declare: Declare, file: Path, name: str) -> None:
    """With `aliases` of Pulumi, the state goes to another URN."""
    image = declare(file=str(file), aliases=[name])
    image.up()
    moved = Image(f"{name}-new", image.arguments, state=image.state, inputs=image.inputs)
    moved.id_ = image.id_
    assert moved.up() == "update"
    assert moved.planned() == ""
    assert moved.refresh() == {}
    found: Any = shown(sandbox.daemon, moved["fingerprint"])
    assert image.urn + " " not in str(found) + " "
    assert str(found["properties"]).count("pika.owner") == 1
    moved.destroy()
    assert shown(sandbox.daemon, found["fingerprint"]) is None
