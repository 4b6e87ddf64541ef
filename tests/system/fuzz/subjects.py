"""The `check` and `diff` of each resource, and what good inputs of it look like."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pulumi.dynamic import CheckResult, DiffResult
from pydantic import BaseModel

from pulumi_pika.jobs.job_options import JobOptions
from pulumi_pika.planner.spec import RuntimeSpec
from pulumi_pika.planner.spec_models import LifecyclePaths
from pulumi_pika.providers.job import IncusJobProvider
from pulumi_pika.providers.runtime import IncusRuntimeProvider
from pulumi_pika.providers.snapshot import VolumeSnapshotProvider
from pulumi_pika.providers.volume import PersistentVolumeProvider
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions
from pulumi_pika.reconcile.volumes.volume_options import SnapshotOptions, VolumeOptions

from .generate import Grammar, Path


@dataclass(frozen=True)
class Subject:
    """One resource's provider."""

    name: str
    models: tuple[type[BaseModel], ...]
    texts: Callable[[Path, random.Random], Any]
    check: Callable[[dict[str, Any]], CheckResult]
    diff: Callable[[dict[str, Any], dict[str, Any]], DiffResult]
    outputs: dict[str, Any]
    """What the resource has in its state beyond its inputs."""

    def good(self, rng: random.Random) -> dict[str, Any]:
        """Inputs that nothing is wrong with, as the wire has them."""
        grammar = Grammar(self.texts)
        tree: dict[str, Any] = {}
        for model in self.models:
            tree.update(grammar.fields(model, rng, (), 0.5))
        tree.pop("provider", None)
        if RuntimeSpec in self.models:
            _sort_out(tree, rng)
        tree["owner"] = "urn:pulumi:test::fuzz::type::name"
        tree["secret_inputs"] = rng.choice(
            ([], ["labels"], ["mounts[0].source", "config"], ["description"], ["metadata.key0"])
        )
        return tree


def _runtime_texts(at: Path, rng: random.Random) -> Any:
    match at:
        case ("identity", "instance_name"):
            return f"box-{rng.randrange(99)}"
        case ("mounts", int(index), "guest_path"):
            return f"/mnt/{index}"
        case ("mounts", int(index), "source"):
            return rng.choice((f"volume-{index}", f"/srv/{index}", f"volume-{index}/sub/dir"))
        case ("paths",) | ("lifecycle_root",):
            # Together or not at all: see below.
            return "later"
        case ("bootstrap", "guest_request_path"):
            return LifecyclePaths().guest_request_path
        case ("config",):
            keys = ("user.a", "security.nesting", "limits.processes", "user.key-é")
            return dict.fromkeys(rng.sample(keys, 2), "true")
        case ("devices",):
            nic = {"type": "nic", "network": "br0"}
            return rng.choice(
                ({}, {"eth0": nic}, {"eth0": nic, "d": {"type": "disk", "path": "/d"}})
            )
        case ("labels",):
            return rng.choice(({}, {"a": "b"}, {"key é": "", "x.y": "1"}))
        case ("restart_triggers",):
            return None
    return None


def _sort_out(tree: dict[str, Any], rng: random.Random) -> None:
    """What two parts of a spec have to agree about."""
    has_root = tree.pop("lifecycle_root", None), tree.pop("paths", None)
    if any(has_root):
        root = rng.choice(("/run/pika-cloud", "/var/lib/x"))
        default = LifecyclePaths()
        paths = {
            name: path.replace(default.state_dir, root)
            for name, path in default.model_dump().items()
        }
        tree["lifecycle_root"], tree["paths"] = root, paths
        tree.get("bootstrap", {}).pop("guest_request_path", None)
    if tree.get("running") is False:
        tree.pop("restart_triggers", None)
        tree.pop("ephemeral", None)
    _sort_out_options(tree)


def _sort_out_options(tree: dict[str, Any]) -> None:
    """Remove options that contradict others, or that need a real file or value."""
    # `incus.profile` is required in a spec, and `profiles` replaces it.
    for name in ("profiles", "files", "cloud_init", "mount_options", "cpu_pinning"):
        tree.pop(name, None)
    for name in ("cpu_allowance", "memory_percent", "snapshots_schedule", "snapshots_expiry"):
        tree.pop(name, None)
    tree.pop("snapshots_pattern", None)
    tree.pop("target", None)


def _volume_texts(at: Path, rng: random.Random) -> Any:
    match at:
        case ("volume_name",):
            return f"v-{rng.randrange(99)}"
        case ("size",):
            return rng.choice(("1GiB", "512MiB", "20GB"))
        case ("config",):
            return {"user.x": "y"}
        case ("labels",):
            return {"a": "b"}
        case ("snapshots_schedule",):
            return rng.choice(("@daily", "0 6 * * *"))
        case ("snapshots_expiry",):
            return "3d"
        case ("content_type",):
            return "filesystem"
        case ("snapshots_pattern",):
            return "snap%d"
        case ("restore_from",):
            return "snap0"
        case ("expires_at",):
            return "2030-01-01T00:00:00Z"
        case ("snapshot_name",):
            return "snap0"
    return None


def _job_texts(at: Path, rng: random.Random) -> Any:
    match at:
        case ("command",):
            return rng.choice(("true", "make test", "echo 'ü' | cat\nexit 3"))
        case ("environment",):
            return rng.choice(({}, {"A": "", "_b2": "x y"}))
        case ("max_attempts",):
            return rng.randint(1, 100)
        case ("triggers",):
            return rng.choice((1, "a", ["b", 2], {"c": None}))
    return _runtime_texts(at, rng)


SUBJECTS = (
    Subject(
        "IncusRuntime",
        (RuntimeSpec, RuntimeOptions),
        _runtime_texts,
        lambda news: IncusRuntimeProvider().check({}, news),
        lambda olds, news: IncusRuntimeProvider().diff("id", olds, news),
        {
            "volume_storage_pool": "default",
            "uuid": "1",
            "status": "Running",
            "original_image_fingerprint": "f",
            "skipped_mounts": [],
        },
    ),
    Subject(
        "IncusJob",
        (RuntimeSpec, RuntimeOptions, JobOptions),
        _job_texts,
        lambda news: IncusJobProvider().check({}, news),
        lambda olds, news: IncusJobProvider().diff("id", olds, news),
        {"status": "completed", "exit_code": 0, "retained_instance": "", "collected_files": []},
    ),
    Subject(
        "PersistentVolume",
        (VolumeOptions,),
        _volume_texts,
        lambda news: PersistentVolumeProvider().check({}, news),
        lambda olds, news: PersistentVolumeProvider().diff("id", olds, news),
        {},
    ),
    Subject(
        "VolumeSnapshot",
        (SnapshotOptions,),
        _volume_texts,
        lambda news: VolumeSnapshotProvider().check({}, news),
        lambda olds, news: VolumeSnapshotProvider().diff("id", olds, news),
        {"created_at": "2026-01-01T00:00:00Z"},
    ),
)
