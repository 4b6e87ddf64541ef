"""Two hundred generated runtimes: create, refresh, preview, and nothing changes, ever."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pulumi_pika.incus.client import IncusClient

from ...conftest import OTHER_IMAGE, Sandbox
from ...support.provider_engine import Managed, arguments

SEED = 20261124
COUNT = 200
WORDS = ("data", "Zfs", "é-vol", "日本", "under_score", "a.b", "UPPER", "x")


def generated(rng: random.Random, name: str, directory: Path) -> dict[str, Any]:
    """Any valid arguments of a container, each part there or not."""
    given = arguments(name, mounts=[])
    maybe = rng.random
    if maybe() < 0.5:
        given["resources"] = {
            key: value
            for key, value in (
                ("vcpu_count", rng.choice([1, 2])),
                ("memory_mib", rng.randint(32, 512)),
                ("root_disk_gib", rng.randint(1, 9)),
            )
            if maybe() < 0.6
        }
    for index in range(rng.choice([0, 0, 1, 2, 4])):
        kind = rng.choice(["persistent_volume", "artifact_output", "cache", "read_only_snapshot"])
        host = kind != "persistent_volume" or maybe() < 0.2
        word = rng.choice(WORDS)
        source = f"{directory}/{word}{index}" if host else f"{name}-v{index}"
        if (host and maybe() < 0.8) or kind == "read_only_snapshot":
            Path(source).mkdir(exist_ok=True)
        required = not host or Path(source).exists()
        given["mounts"].append(
            {
                "kind": kind,
                "guest_path": f"/mnt/{word}/{index}",
                "source": source,
                "mode": rng.choice(["read_only", "read_write"]),
                **({"required": required and maybe() < 0.5} if maybe() < 0.5 else {}),
            }
        )
    if maybe() < 0.3:
        root = f"/run/{rng.choice(WORDS)}"
        given["lifecycle_root"] = root
        files = {"events_path": "e", "status_path": "s", "result_path": "r", "logs_dir": "l"}
        more = {"guest_request_path": "q", "guest_log_path": "l/g", "artifacts_dir": "a"}
        given["paths"] = {key: f"{root}/{end}" for key, end in {**files, **more}.items()}
        given["paths"]["state_dir"] = root
    if maybe() < 0.5:
        given["policies"] = {
            "restart_policy": rng.choice(["never", "on_failure", "always"]),
            "retention_policy": rng.choice(["destroy_on_completion", "debug_keep"]),
            **(
                {"output_collection": {"mode": "none", "artifact_globs": ["*.log"]}}
                if maybe() < 0.3
                else {}
            ),
        }
    if maybe() < 0.5:
        given["labels"] = {
            f"{word}{rng.randint(0, 9)}": rng.choice(["", "x", "a b", "ü", "1", "true"])
            for word in rng.sample(WORDS, 3)
        }
    if maybe() < 0.4:
        given["metadata"] = {"n": 1, "f": 1.5, "deep": {"list": [1, "two", True, {"x": 0}]}}
    if maybe() < 0.3:
        given["bootstrap"] = {"entry_command": "/bin/run --now"}
    if maybe() < 0.4:
        given["config"] = {
            "user.note": rng.choice(["1", "multi\nline", " padded "]),
            "security.nesting": rng.choice(["true", "false"]),
            "limits.processes": str(rng.randint(100, 999)),
        }
    if maybe() < 0.3:
        given["devices"] = {
            "null-dev": {"type": "unix-char", "path": "/dev/x", "source": "/dev/null"}
        }
    if maybe() < 0.1 and "root_disk_gib" not in given.get("resources", {}):
        given.setdefault("devices", {})["root"] = {
            "type": "disk",
            "path": "/",
            "pool": "default",
            "size": "2GiB",
        }
    if maybe() < 0.3:
        given["description"] = rng.choice(["", "text", "with\ttab and ünicode"])
    if maybe() < 0.3:
        given["cloud_init_user_data"] = "#cloud-config\npackages: []\n"
    if maybe() < 0.3:
        given["timeouts"] = {"create": 120, "stop": 0.5}
    if maybe() < 0.5:
        del given["storage_pool"]
    if maybe() < 0.2:
        given["incus"]["image_alias"] = OTHER_IMAGE
    power = maybe()
    if power < 0.1:
        del given["running"]
    elif power > 0.55:
        given["running"] = False
    return given


def test_nothing_changes_ever(
    client: IncusClient, name: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    directory = tmp_path / "sources"
    directory.mkdir()
    directory.chmod(0o755)
    specs = [generated(rng, f"{name}-{index}", directory) for index in range(COUNT)]

    def live(given: dict[str, Any]) -> str:
        managed = Managed(given)
        try:
            managed.up()
            for _ in range(2):
                if drift := managed.refresh():
                    return f"{given}: drift {drift}"
                if (step := managed.planned()) != "same":
                    return f"{given}: a second up would {step}"
        finally:
            managed.destroy()
        return ""

    with ThreadPoolExecutor(6) as workers:
        wrong = [said for said in workers.map(live, specs) if said]
    assert not wrong, "\n".join(wrong[:5])
