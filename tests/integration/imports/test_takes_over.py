"""Varied instances that others made: the program that is written takes them over, and then there is
nothing left to change."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from pulumi_pika.choices import MountKind
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.ownership import MARK_PREFIX, OWNER_KEY

from ...conftest import IMAGE, Sandbox
from ...support.command_line import call, environment
from ...support.foreign_instances import make, odd_device
from ...support.stack import make_stack

ODD = 'two "lines",\n\'quotes\' \\ {braces} \u202e é 日本 # """ '


def disk(kind: MountKind, source: str, path: str, **more: str) -> tuple[str, dict[str, str]]:
    """A device as the reference system names it."""
    return device_name(kind, source, path), {
        "type": "disk",
        "source": source,
        "path": path,
        **more,
    }


def snapshot(client: IncusClient, name: str) -> dict[str, Any]:
    """What of an instance is not to change."""
    live = fetch_instance(client, name)
    assert live is not None
    return {
        "uuid": live.uuid,
        "status": live.status,
        # Another one after a restart.
        "pid": (live.raw.get("state") or {}).get("pid"),
        "description": live.description,
        "profiles": live.profiles,
        "devices": live.devices,
        "config": {
            key: value
            for key, value in live.config.items()
            if not key.startswith(("volatile.", MARK_PREFIX)) and key != "boot.autorestart"
        },
        "labels": {k: v for k, v in live.config.items() if k.startswith(MARK_PREFIX + "label.")},
    }


def test_taken_over_without_a_change(
    sandbox: Sandbox, client: IncusClient, name: str, tmp_path: Path
) -> None:
    rest = sandbox.daemon.request
    profile = f"{name}-further"
    cache, artifacts = tmp_path / "cache", tmp_path / "art ifacts-é"
    for folder in (cache, artifacts):
        folder.mkdir()
        folder.chmod(0o777)
    for volume in ("state", "sources"):
        body = {"name": f"{name}-{volume}", "type": "custom", "content_type": "filesystem"}
        rest("POST", "/storage-pools/default/volumes/custom", body)
    rest("POST", "/profiles", {"name": profile, "config": {"boot.autorestart": "true"}})
    other_pool, other_volume = f"{name}-pool", f"{name}-elsewhere"
    rest("POST", "/storage-pools", {"name": other_pool, "driver": "dir"})
    body = {"name": other_volume, "type": "custom", "content_type": "filesystem"}
    rest("POST", f"/storage-pools/{other_pool}/volumes/custom", body)
    root = {"type": "disk", "path": "/", "pool": "default"}
    pool = {"pool": "default"}
    made: dict[str, dict[str, Any]] = {
        "plain": {"start": True},
        "limits": {
            "start": True,
            "config": {
                "limits.cpu": "1",
                "limits.memory": "128MiB",
                "limits.processes": "200",
                "boot.autostart": "true",
                "boot.autorestart": "true",
            },
            "devices": {"root": {**root, "size": "1GiB"}},
        },
        "odd-limits": {
            "config": {"limits.cpu": "0-0", "limits.memory": "50%", "cloud-init.user-data": "#x\n"},
            "devices": {"root": {**root, "size.state": "100MiB"}},
        },
        "devices": {
            "start": True,
            "config": {
                "environment.API_TOKEN": "hunter2 s3cr3t",
                "environment.PLAIN": "1",
                "environment.URL": "https://hunter2 s3cr3t@host",
                "environment.DATABASE_URL": "postgres://u:hunter2@db/x",
                "environment.MYSQL_PWD": "hunter2",
                "user.user-data": "#cloud-config\nruncmd: [curl -u me:hunter2 h]\n",
                f"{MARK_PREFIX}label.origin": "https://hunter2@host",
                f"{MARK_PREFIX}label.db_password": "hunter2",
                "user.quote": "a'b",
            },
            "description": "made by https://me:hunter2@host/'x'",
            "devices": {
                "eth9": {"type": "none"},
                # No name that a program can give: it stays.
                odd_device(sandbox): {"type": "none"},
                "null": {"type": "unix-char", "source": "/dev/null", "path": "/dev/nil"},
                "host": {"type": "disk", "source": str(cache), "path": "/host", "readonly": "true"},
                "web": {
                    "type": "proxy",
                    "listen": f"unix:@{name}",
                    "connect": "tcp:127.0.0.1:80",
                    "user.note": "password: hunter2",
                },
            },
        },
        "mounts": {
            "start": True,
            "config": {
                f"{MARK_PREFIX}runtime_id": "agent 1",
                f"{MARK_PREFIX}lifecycle_root": "/run/other",
                "user.mine": "x",
            },
            "devices": dict(
                [
                    disk("persistent_volume", f"{name}-state", "/mnt/state", **pool),
                    disk("read_only_snapshot", f"{name}-sources", "/src", readonly="true", **pool),
                    disk("artifact_output", str(artifacts), "/mnt/日本"),
                    disk("cache", str(cache), "/var/cache/x", readonly="1"),
                ]
            ),
        },
        "pool": {
            "devices": dict([disk("cache", other_volume, "/mnt/else", pool=other_pool)]),
        },
        "ephemeral": {
            "start": True,
            "ephemeral": True,
            "description": "the agent whose token is hunter2",
            "config": {
                "environment.PROXY": "bob:hunter2@proxy:3128",
                "environment.ORACLE": "scott/hunter2@db",
                "environment.HOOK": "https://hooks.slack.com/services/T0/B0/hunter2",
                "environment.BASE64": "hunter2wJalrXUtnFEMI/K7MDENG/bPxRfi",
                "user.network-config": "wpa-psk hunter2",
            },
        },
        "stopped": {"profiles": [profile, "default"], "config": {"user.note": "-"}},
        "odd": {
            "start": True,
            "description": ODD,
            "config": {
                f'{MARK_PREFIX}label.team\'s "name"': ODD,
                f"{MARK_PREFIX}label.a.b": "1",
                "user.comment": ODD,
                "cloud-init.user-data": "#cloud-config\npackages:\n"
                + "".join(f"  - p{n}  # 'b', \"c\"\n" for n in range(5)),
            },
        },
    }
    for suffix, more in made.items():
        make(sandbox, f"{name}-{suffix}", **more)
    names = [f"{name}-{suffix}" for suffix in made]
    before = {each: snapshot(client, each) for each in names}

    done = call(
        *("import", "--project", "default", "--output", "__main__.py", *names),
        directory=tmp_path,
        env=environment(INCUS_SOCKET=str(sandbox.socket)),
    )
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert "hunter2" not in said
    text = (tmp_path / "__main__.py").read_text()
    assert "hunter2" not in text
    start = f'_plain = IncusRuntime(\n    "{name}-plain",\n    image="{IMAGE}",\n'
    options = '    project="default",\n    instance_type="container",\n    adopt=True,\n)\n'
    assert f"{start}{options}" in text
    assert f'storage_pool="{other_pool}"' in text
    assert '"events_path": "/run/other/events.jsonl"' in text

    stack = make_stack(tmp_path / "stack", sandbox.socket)
    stack.program(text)
    commands = re.findall(r"^  (.*) \| pulumi config set --secret (\S+)$", said, re.MULTILINE)
    assert len(commands) == 15, commands
    for command, secret in commands:
        # As said, and whatever host the user's client takes by default.
        shown = subprocess.run(
            command,
            shell=True,
            capture_output=True,
            check=True,
            env={**environment(INCUS_SOCKET=str(sandbox.socket)), "HOME": str(tmp_path)},
        ).stdout.decode()
        assert "hunter2" in shown, command
        stack.run("config", "set", "--secret", secret, shown.removesuffix("\n"))
    try:
        stack.up()
        assert all(f"adopting instance {each} " in stack.last for each in names)
        stack.run("preview", "--expect-no-changes", "--diff")
        stack.settled()
        assert {each: snapshot(client, each) for each in names} == {
            **before,
            # The one spelling that a mount has.
            f"{name}-mounts": {
                **before[f"{name}-mounts"],
                "devices": {
                    device: {**of, **({"readonly": "true"} if "readonly" in of else {})}
                    for device, of in before[f"{name}-mounts"]["devices"].items()
                },
            },
        }
        assert "hunter2" not in json.dumps(stack.export())
        # Now they belong to resources, and are left out where all are asked for.
        live = fetch_instance(client, f"{name}-plain")
        assert live is not None
        assert live.config[OWNER_KEY].startswith("urn:pulumi:test::")
        again = call(
            *("import", *names),
            directory=tmp_path,
            env=environment(INCUS_SOCKET=str(sandbox.socket)),
        )
        assert again.returncode == 1
        assert again.stdout.decode().count("# Skipped: ") == len(names)
    finally:
        stack.destroy()
        rest("DELETE", f"/profiles/{profile}")
        rest("DELETE", f"/storage-pools/{other_pool}/volumes/custom/{other_volume}")
        rest("DELETE", f"/storage-pools/{other_pool}")
