"""A property tree is parsed once, where it comes in; after that, the calls have typed objects."""

import ast
from pathlib import Path
from typing import Any

import pytest

from dev.paths import ROOT
from pulumi_pika.message_templates import missing
from pulumi_pika.providers import config_object, host_connection
from pulumi_pika.providers.exec import IncusExecProvider
from pulumi_pika.providers.host_provider import HostProvider
from pulumi_pika.providers.image import IncusImageProvider
from pulumi_pika.providers.instance_inputs import InstanceInputs
from pulumi_pika.providers.job import IncusJobProvider
from pulumi_pika.providers.properties import Properties
from pulumi_pika.providers.provider_errors import ProviderError, user_facing_errors
from pulumi_pika.providers.runtime import IncusRuntimeProvider
from pulumi_pika.providers.secret_marking import Redactor
from pulumi_pika.providers.snapshot import VolumeSnapshotProvider
from pulumi_pika.providers.volume import PersistentVolumeProvider
from pulumi_pika.reconcile.shared.errors import PreflightFailed

from ...support.provider_engine import arguments, wire
from ...support.tree_walk import TreeWalk

PROVIDERS = ROOT / "pulumi_pika" / "providers"
BOUNDARY = {
    "host_provider.py": "Pulumi calls it",
    "call_boundary.py": "opens, parses and seals",
    "resource_kind.py": "declares the parsers",
    "hidden_property.py": "closes the hidden property",
    "secret_marking.py": "marks secrets in what goes out, and finds them in what comes in",
    "properties.py": "parses and holds them",
}
"""The modules that may have a property tree, and why."""
TREES = {"Tree", "dict[str, Any]", "Mapping[str, Any]", "MutableMapping[str, Any]"}
ALLOWED = {("host_connection.py", "host_settings")}
"""The stack configuration is no property tree."""
_URN = "urn:pulumi:s::p::pulumi-python:dynamic/pika:X::n"


@pytest.fixture(autouse=True)
def _no_preflight() -> Any:
    host_connection.configure({"pika:preflight": "off"})
    yield
    host_connection.configure({})


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PROVIDERS.glob("*.py")) if path.name not in BOUNDARY],
    ids=lambda path: path.name,
)
def test_no_function_takes_a_property_tree(path: Path) -> None:
    wrong = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and (path.name, node.name) not in ALLOWED:
            taken = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            for argument in (*taken, node.args.vararg, node.args.kwarg):
                if argument and argument.annotation and _names_tree(argument.annotation):
                    wrong.append(f"line {node.lineno}: {node.name}({argument.arg})")
        # `Values` keep their tree for themselves.
        if isinstance(node, ast.Attribute) and node.attr == "_tree":
            wrong.append(f"line {node.lineno}: ._tree")
    assert not wrong


def _names_tree(annotation: ast.expr) -> bool:
    arms = ast.unparse(annotation).strip("'\"").split(" | ")
    return any(arm in TREES for arm in arms)


def test_boundary_modules_exist() -> None:
    assert {name for name in BOUNDARY if not (PROVIDERS / name).is_file()} == set()


KINDS: dict[str, tuple[HostProvider, dict[str, Any]]] = {
    "runtime": (IncusRuntimeProvider(), arguments("box")),
    "job": (IncusJobProvider(), {**arguments("box"), "command": "true", "output_dir": "/x"}),
    "volume": (PersistentVolumeProvider(), {"volume_name": "v", "size": "1GiB"}),
    "snapshot": (VolumeSnapshotProvider(), {"volume_name": "v", "snapshot_name": "s"}),
    "profile": (config_object.IncusProfileProvider(), {"name": "p", "vcpu_count": 2}),
    "project": (config_object.IncusProjectProvider(), {"name": "p"}),
    "network": (config_object.IncusNetworkProvider(), {"name": "net", "ipv4_address": "none"}),
    "image": (IncusImageProvider(), {"source": "images:debian/12", "aliases": ["a"]}),
    "storage pool": (config_object.StoragePoolProvider(), {"name": "s", "driver": "dir"}),
    "exec": (IncusExecProvider(), {"instance": "box", "create": "true", "project": "default"}),
    "files": (
        IncusRuntimeProvider(),
        arguments("box", files=[{"path": "/etc/a", "content": "x"}]),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_check_and_diff_hand_on_no_property_tree(kind: str) -> None:
    provider, given = KINDS[kind]
    news = wire({**given, "owner": _URN, "secret_inputs": []})
    walk = TreeWalk()
    first = walk.follow(provider.check, {}, news)
    assert first.failures == []
    inputs = wire(first.inputs)
    again = walk.follow(provider.check, inputs, news)
    assert again.failures == []
    assert wire(again.inputs) == inputs
    walk.follow(provider.diff, "id", {**inputs, "schema_version": 1.0}, inputs)
    assert_boundary_only(walk)


def test_problems_and_errors_keep_their_codes() -> None:
    given = arguments("box", incus={"project": "default"}, resources={"memory_mib": "x"})
    failures = InstanceInputs(Properties.parse(given)).failures
    codes = {failure.path: failure.code for failure in failures}
    assert codes[("incus", "image_alias")] == "required"
    assert codes[("resources", "memory_mib")] in ("wrong-type", "invalid-value")
    reason = next(f.reason for f in failures if f.path == ("incus", "image_alias"))
    assert reason == "is required (argument `image`, or `incus.image_alias`)"
    with pytest.raises(ProviderError) as caught, user_facing_errors(Redactor(), ""):
        raise PreflightFailed(missing("image a", "in project p", "create it"))
    assert caught.value.code == "missing"


def assert_boundary_only(walk: TreeWalk) -> None:
    """Only the modules of the boundary, and `validation`, got a tree."""
    entered = set(walk.modules())
    assert "providers/call_boundary.py" in entered
    allowed = {f"providers/{name}" for name in BOUNDARY}
    assert {m for m in entered if not m.startswith("validation/")} - allowed == set()
