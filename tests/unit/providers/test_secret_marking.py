"""What is marked secret, and what is taken out of messages."""

import json
import random
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pulumi.runtime import rpc

from pulumi_pika.planner.device_names import device_name
from pulumi_pika.providers import host_connection
from pulumi_pika.providers.properties import Properties
from pulumi_pika.providers.provider_errors import ProviderError, user_facing_errors
from pulumi_pika.providers.secret_marking import (
    Redactor,
    check_failures,
    mark_secrets,
    secret_paths_after_refresh,
)
from pulumi_pika.redaction import HIDDEN
from pulumi_pika.validation.lenient_validation import Failure
from pulumi_pika.validation.property_tree import parse_path, path_text

from ...support.provider_calls import runtime_calls

SECRET = "5ec-r3t"


@pytest.fixture(autouse=True)
def _no_preflight() -> Any:
    host_connection.configure({"pika:preflight": "off"})
    yield
    host_connection.configure({})


def inputs(*secret: str, **more: Any) -> dict[str, Any]:
    return {
        "identity": {"runtime_id": "r", "instance_name": "box"},
        "incus": {"project": "default", "profile": "default", "image_alias": "tiny"},
        "resources": {"memory_mib": 64, "root_disk_gib": 4},
        "mounts": [
            {"kind": "cache", "source": "one", "guest_path": "/one", "mode": "read_only"},
            {"kind": "cache", "source": "two", "guest_path": "/two", "mode": "read_write"},
        ],
        "labels": {"a": "x", "b": "y"},
        "metadata": {"deep": [{"er": "z"}]},
        "config": {"user.a": "x", "user.b": "y"},
        "devices": {"eth0": {"type": "nic", "network": "br0"}},
        "description": "shown",
        "running": True,
        "secret_inputs": list(secret),
        **more,
    }


def redactor(tree: dict[str, Any]) -> Redactor:
    return Redactor(Properties.parse(tree))


def hidden(tree: Any, at: tuple[str | int, ...] = ()) -> set[str]:
    """The property paths of what is marked."""
    if rpc.is_rpc_secret(tree):
        return {path_text(at)}
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree if isinstance(tree, list) else ())
    )
    return {path for key, item in items for path in hidden(item, (*at, key))}


CHECKED = {
    "identity.instance_name": {
        "identity.instance_name", "plan.identity.instance_name", "instance_name",
    },
    "identity": {"identity", "plan.identity", "instance_name"},
    "identity.runtime_id": {"identity.runtime_id", "plan.identity.runtime_id"},
    "incus.image_alias": {"incus.image_alias", "plan.incus.image_alias"},
    "labels.a": {"labels.a", "plan.labels.a"},
    "labels": {"labels", "plan.labels"},
    "metadata.deep[0].er": {"metadata.deep[0].er", "plan.metadata.deep[0].er"},
    'config["user.a"]': {'config["user.a"]'},
    "devices.eth0.network": {"devices.eth0.network"},
    "description": {"description"},
    "resources.memory_mib": {"resources.memory_mib", "plan.resources.memory_mib"},
    "resources.root_disk_gib": {
        "resources.root_disk_gib", "plan.resources.root_disk_gib", "devices",
    },
    "mounts[1].source": {
        "mounts[1].source", "plan.mounts[1].source", "plan.mounts[1].device_name", "devices",
        "on_delete",
    },
    "mounts[0].mode": {
        "mounts[0].mode", "plan.mounts[0].read_only", "plan.mounts[0].io_bus", "devices",
        "on_delete",
    },
    "mounts": {"mounts", "plan.mounts", "devices", "on_delete"},
    "running": {"running"},
}  # fmt: skip


@pytest.mark.parametrize("secret", CHECKED)
def test_what_check_marks(secret: str) -> None:
    checked = runtime_calls.check(inputs(secret))
    assert checked.failures == []
    assert hidden(checked.inputs) == CHECKED[secret]


def test_outputs_that_tell_of_inputs() -> None:
    outputs: dict[str, Any] = {
        "original_image_fingerprint": "f", "image_fingerprint": "f", "volume_storage_pool": "p",
        "devices": {"a": {}},
        "skipped_mounts": ["x"], "on_delete": "keeps", "status": "Running", "plan_digest": "d",
        "guest_status": {"state": "unknown", "reason": "/x is missing"},
        "uuid": "u",
        "instance_name": "n", "location": "none",
    }  # fmt: skip
    for secret, expected in {
        "incus.image_alias": {"original_image_fingerprint", "image_fingerprint", "plan_digest"},
        "incus.profile": {"volume_storage_pool", "devices", "plan_digest"},
        "storage_pool": {"volume_storage_pool", "devices"},
        "paths.status_path": {"guest_status", "plan_digest"},
        "running": {"status"},
        "delete_data": {"on_delete"},
        "mounts[0]": {"devices", "skipped_mounts", "on_delete", "plan_digest"},
        "identity": {"instance_name", "plan_digest"},
        "labels.a": {"plan_digest"},
        "description": set(),
    }.items():
        tree = mark_secrets(json.loads(json.dumps(outputs)), [parse_path(secret)])
        assert hidden(tree) == expected, secret


def test_guest_that_repeats_a_secret() -> None:
    tree = {"description": SECRET, "guest_status": {"state": "failed", "message": f"no {SECRET}!"}}
    assert hidden(mark_secrets(tree, [("description",)])) == {"description", "guest_status"}


def test_mounts_that_moved_are_hidden_whole() -> None:
    paths = [("mounts", 1, "source"), ("labels", "a")]
    assert secret_paths_after_refresh(paths, ["x", "y"], ["x", "y"]) == paths
    assert secret_paths_after_refresh(paths, ["x", "y"], ["y"]) == [("mounts",), ("labels", "a")]
    # Also where nobody says that they moved: one mount fewer, so that the secret one has no place.
    tree = {"mounts": [{"source": SECRET}], "plan": {"mounts": [{"source": SECRET}]}}
    assert hidden(mark_secrets(tree, paths)) == {"mounts", "plan.mounts"}


@pytest.mark.parametrize(
    "spelled",
    [
        lambda text: text,
        lambda text: f"before{text}after",
        lambda text: quote(text, safe=""),
        lambda text: quote(text),
        lambda text: quote_plus(text),
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(text).replace("<", "\\u003c").replace("&", "\\u0026"),
        repr,
        lambda text: text.strip(),
    ],
)
def test_spellings_of_a_secret(spelled: Any) -> None:
    core = "ab12cd34"
    for secret in (core, f" {core} é€", f"\"{core}'\\", f"{core}&a=b<c>", f"a/{core}?#%"):
        redact = redactor({"secret_inputs": ["description"], "description": secret})
        said = redact(f"Incus says: {spelled(secret)}.")
        assert core not in said, (secret, said)
        assert said.startswith("Incus says:")


def test_parts_of_a_secret_script() -> None:
    script = "#!/bin/sh\nexport TOKEN=tok-77ab01\ncurl -H 'Authorization: Bearer abc123def456' x\n"
    redact = redactor({"secret_inputs": ["cloud_init_user_data"], "cloud_init_user_data": script})
    for shown in (
        "+ export TOKEN=tok-77ab01",
        "the token is tok-77ab01!",
        "Bearer abc123def456",
        "console:\n  #!/bin/sh\n  export TOKEN=tok-77ab01",
    ):
        assert "77ab01" not in redact(shown)
        assert "abc123def456" not in redact(shown)
    assert (
        redact("could not create box: no such network") == "could not create box: no such network"
    )


def test_names_made_of_a_secret() -> None:
    given = inputs("mounts[1].source")
    given["mounts"][1] = {**given["mounts"][1], "source": f"{SECRET}/dir"}
    name = device_name("cache", f"{SECRET}/dir", "/two")
    redact = redactor({**given, "plan": {"mounts": [{"device_name": "x"}, {"device_name": name}]}})
    said = redact(f"created volume {SECRET} for {name} and {SECRET}/dir; one is shown")
    assert said == f"created volume {HIDDEN} for {HIDDEN} and {HIDDEN}; one is shown"


def test_field_names_are_not_secret() -> None:
    redact = redactor(
        {"secret_inputs": ["incus", "labels"], "incus": {"project": "hush"}, "labels": {"kee": "v"}}
    )
    assert redact("project hush kee") == f"project {HIDDEN} {HIDDEN}"


def test_check_failures_tell_no_secret() -> None:
    """The engine prints the value of a property that is named whole (tried: `{&{{...}}}`)."""
    given = inputs(
        "description", "labels", "metadata.deep[0].er", "mounts[0].source", "storage_pool",
        description=5.5, labels={SECRET: 7}, storage_pool=f"{SECRET}/x",
    )  # fmt: skip
    given["mounts"] = {"no": "list"}
    checked = runtime_calls.check(given)
    said = [(failure.property, failure.reason) for failure in checked.failures]
    assert ("", "description must be a string") in said
    assert ("", "mounts must be a list") in said
    assert ("", "labels in a secret part: must be a string") in said
    assert any(
        p == "" and r.startswith("storage_pool `[secret]` is not a valid name") for p, r in said
    )
    assert SECRET not in str(said)
    assert checked.inputs == {}, "what is refused goes nowhere"


def test_failures_elsewhere_keep_their_property() -> None:
    given = inputs("labels.a")
    (failure,) = check_failures([Failure(("labels", "b"), "is odd")], Properties.parse(given))
    assert (failure.property, failure.reason) == ("labels.b", "is odd")
    (failure,) = check_failures([Failure(("description",), "is odd")], Properties.parse(given))
    assert (failure.property, failure.reason) == ("description", "is odd")


def test_every_exception_is_without_secrets() -> None:
    given = inputs("description", description=SECRET)
    for error in (ValueError(SECRET), KeyError(SECRET), ProviderError(f"x {SECRET}")):
        with pytest.raises(ProviderError) as caught, user_facing_errors(redactor(given), ""):
            raise error
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_no_command_reaches_the_terminal() -> None:
    with (
        pytest.raises(ProviderError, match="line\n\tof �\\[2J�"),
        user_facing_errors(Redactor(), ""),
    ):
        raise ProviderError("line\n\tof \x1b[2J\x9b")


def test_property_paths_are_read_as_they_were_written() -> None:
    rng = random.Random(7)
    parts = ("a", "user.x", "", '"', "\\", "[0]", "0", "a b", "é", "\n", '"]["', "\\\\", "..", ".")
    for _ in range(3000):
        path = tuple(
            rng.randrange(20)
            if rng.random() < 0.3
            else "".join(rng.choices(parts, k=rng.randrange(4)))
            for _ in range(rng.randrange(1, 5))
        )
        path = ("top", *path)
        assert parse_path(path_text(path)) == path
