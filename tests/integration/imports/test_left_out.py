"""What cannot be taken over without a loss is left out, and said; and what the command refuses."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.reconcile.shared.ownership import MARK_PREFIX, OWNER_KEY

from ...conftest import OTHER_IMAGE, Sandbox
from ...support.command_line import call, environment
from ...support.foreign_instances import make, odd_device


def run(
    sandbox: Sandbox, directory: Path, *arguments: str, code: int, **more: str
) -> tuple[str, str]:
    """Runs it; the program, and what was said."""
    env = environment(INCUS_SOCKET=str(sandbox.socket), **more)
    done = call("import", *arguments, directory=directory, env=env)
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said
    text = done.stdout.decode()
    compile(text, "program", "exec")
    return text, said


def reasons(text: str, said: str, name: str) -> str:
    """Why an instance was left out, as the program and standard error both say."""
    found = re.search(rf"^# Skipped: {name}\n((?:#   .*\n?)+)", text, re.MULTILINE)
    assert found is not None, text
    given = [line.removeprefix("#   ") for line in found[1].splitlines()]
    for reason in given:
        assert f"{name} is skipped: {reason}\n" in said
    return "\n".join(given)


def test_left_out(sandbox: Sandbox, client: IncusClient, name: str, tmp_path: Path) -> None:
    rest = sandbox.daemon.request
    gone = tmp_path / "gone"
    gone.mkdir()
    pool, volume = f"{name}-pool", f"{name}-v"
    rest("POST", "/storage-pools", {"name": pool, "driver": "dir"})
    for of in ("default", pool):
        body = {"name": volume, "type": "custom", "content_type": "filesystem"}
        rest("POST", f"/storage-pools/{of}/volumes/custom", body)

    def host_path(source: Path, **more: str) -> dict[str, dict[str, str]]:
        device = {"type": "disk", "source": str(source), "path": "/x", **more}
        return {device_name("artifact_output", str(source), "/x"): device}

    def of_pool(where: str, path: str) -> dict[str, dict[str, str]]:
        device = {"type": "disk", "source": volume, "path": path, "pool": where}
        return {device_name("cache", volume, path): device}

    made: dict[str, dict[str, Any]] = {
        "fine": {},
        "owned": {"config": {OWNER_KEY: "urn:pulumi:other"}},
        "job": {"config": {f"{MARK_PREFIX}job": "1"}},
        "hash": {
            "devices": {
                "pk-cache-00000000": {"type": "disk", "source": str(tmp_path), "path": "/x"}
            }
        },
        "label": {
            "devices": {"pk-x-00000000": {"type": "disk", "source": str(tmp_path), "path": "/x"}}
        },
        "no-disk": {"devices": {"pk-cache-00000000": {"type": "none"}}},
        "more": {"devices": host_path(tmp_path, recursive="true")},
        "gone": {"devices": host_path(gone)},
        "pools": {"devices": {**of_pool("default", "/a"), **of_pool(pool, "/b")}},
        "empty": {"source": {"type": "none"}},
        "image": {"source": {"type": "image", "fingerprint": sandbox.other_image}},
        "unknown": {},
    }
    try:
        for suffix, more in made.items():
            make(sandbox, f"{name}-{suffix}", **more)
        rest("DELETE", f"/images/aliases/{OTHER_IMAGE.replace('/', '%2F')}")
        unknown = {"config": {"volatile.base_image": "f" * 64}}
        rest("PATCH", f"/instances/{name}-unknown", unknown)
        gone.rmdir()
        names = [f"{name}-{suffix}" for suffix in made]
        text, said = run(sandbox, tmp_path, *names, code=1)
        found = {
            suffix: reasons(text, said, f"{name}-{suffix}")
            for suffix in made
            if suffix not in ("fine", "image")
        }
        assert f"2 of {len(made)} instances in the program\n" in said
        assert text.count("= IncusRuntime(") == 2
        # Without an alias, the fingerprint names the image.
        assert f'image="{sandbox.other_image}"' in text
    finally:
        aliases = "/images/aliases"
        if not any(path.endswith("two") for path in rest("GET", aliases)):
            rest("POST", aliases, {"name": OTHER_IMAGE, "target": sandbox.other_image})
        for suffix in made:
            rest("DELETE", f"/instances/{name}-{suffix}")
        rest("DELETE", f"/storage-pools/{pool}/volumes/custom/{volume}")
        rest("DELETE", f"/storage-pools/{pool}")

    release = shlex.join(
        ["incus", "config", "unset", "--project", "default", f"{name}-owned", OWNER_KEY]
    )
    for suffix, what in {
        "owned": "belongs to the Pulumi resource urn:pulumi:other; if no stack has that resource "
        f"any more, release the instance: `{release}`",
        "job": "the instance belongs to a job",
        "hash": "would be named pk-cache-",
        "label": "the label in its name is not that of any kind of mount",
        "no-disk": "it is not a disk with a source and a path",
        "more": "has settings that a mount cannot have (recursive=true)",
        "gone": f"{gone}, the source of device pk-artifa-",
        "pools": f"are in several pools (default, {pool})",
        "empty": "the instance was created without an image",
        "unknown": "its image ffffffffffff does not exist on the host any more",
    }.items():
        assert what in found[suffix], (suffix, found[suffix])
    for suffix in ("hash", "label", "no-disk"):
        assert "an adoption would remove the device" in found[suffix]


def test_notes(sandbox: Sandbox, client: IncusClient, name: str, tmp_path: Path) -> None:
    root, odd = f"{MARK_PREFIX}lifecycle_root", odd_device(sandbox)
    make(sandbox, name, config={f"{MARK_PREFIX}other": "x", root: "relative"})
    text, said = run(sandbox, tmp_path, name, code=1)
    assert "lifecycle_root: runtime spec path" in reasons(text, said, name)
    description = {"description": "", "config": {root: ""}}
    sandbox.daemon.request("PATCH", f"/instances/{name}", description)

    make(
        sandbox,
        f"{name}-e",
        ephemeral=True,
        start=True,
        devices={odd: {"type": "none"}},
        config={
            "user.data": "x",
            "limits.cpu": "1-1,0",
            "limits.memory": "200000kB",
            f"{MARK_PREFIX}label. x": "y",
        },
    )
    sandbox.daemon.request("PUT", f"/instances/{name}-e/state", {"action": "freeze"})
    text, said = run(sandbox, tmp_path, name, f"{name}-e", code=0)
    for note in (
        f"{name}: `pulumi up` removes the key {MARK_PREFIX}other",
        f"{name}-e: the instance is frozen",
        f"{name}-e: limits.memory is 200000kB, which is not a number of MiB: the program does not",
        f"{name}-e: device {odd} cannot be declared (`{odd}` is not a valid device name",
        f"{name}-e: the label ' x' cannot be declared",
    ):
        assert note in said
        assert f"# {note.partition(': ')[2]}" in text
    assert "    running=None,\n" in text
    assert "    ephemeral=True,\n" in text
    assert '    cpu_pinning="1-1,0",\n' in text
    assert odd not in text.partition("IncusRuntime(")[2].partition("\n)")[0]
    again, _ = run(sandbox, tmp_path, f"{name}-e", name, name, code=0)
    assert again == text


def test_output(sandbox: Sandbox, name: str, tmp_path: Path) -> None:
    make(sandbox, name)
    text, _ = run(sandbox, tmp_path, name, code=0)
    output, said = run(sandbox, tmp_path, "--output", "new.py", name, code=0)
    assert output == ""
    assert said == "1 of 1 instance in the program\n"
    assert (tmp_path / "new.py").read_text() == text
    (tmp_path / "new.py").write_text("mine")
    (tmp_path / "link.py").symlink_to("nowhere.py")
    for file in ("new.py", "link.py"):
        output, said = run(sandbox, tmp_path, "--output", file, name, code=2)
        assert output == ""
        assert said == f"error: file {file} already exists; --force replaces it\n"
    assert (tmp_path / "new.py").read_text() == "mine"
    run(sandbox, tmp_path, "--output", "new.py", "--force", name, code=0)
    assert (tmp_path / "new.py").read_text() == text
    _, said = run(sandbox, tmp_path, "--output", "no/new.py", name, code=2)
    assert said == "error: could not write no/new.py: No such file or directory\n"


def test_a_host_that_is_named_is_in_the_program(
    sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    make(sandbox, name)
    done = call(
        *("import", "--socket", str(sandbox.socket), "--project", "default", name),
        directory=tmp_path,
    )
    text = done.stdout.decode()
    assert f'host = IncusHost("host", socket="{sandbox.socket}")\n' in text
    assert "    opts=pulumi.ResourceOptions(provider=host),\n" in text
    assert "environment names" not in text


def test_other_project(sandbox: Sandbox, name: str, tmp_path: Path) -> None:
    rest = sandbox.daemon.request
    features = {"features.images": "false", "features.profiles": "false"}
    rest("POST", "/projects", {"name": name, "config": features})
    try:
        text, said = run(sandbox, tmp_path, "--project", name, code=0)
        assert "# The project has no instances.\n" in text
        assert said == "0 of 0 instances in the program\n"
        source = {"type": "image", "fingerprint": sandbox.image}
        body = {"name": "a", "type": "container", "source": source}
        rest("POST", f"/instances?project={name}", body)
        text, _ = run(sandbox, tmp_path, INCUS_PROJECT=name, code=0)
        assert f'project="{name}"' in text
        rest("DELETE", f"/instances/a?project={name}")
    finally:
        rest("DELETE", f"/projects/{name}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--project", "nowhere"], "error: project nowhere does not exist at "),
        (
            ["surely-not-there"],
            "error: instance surely-not-there does not exist in project default",
        ),
        (["--socket", "/nowhere"], "/nowhere"),
        (["--remote", "nowhere"], "error: remote 'nowhere' does not exist"),
        (["--remote", "a", "--socket", "b"], "not allowed with"),
    ],
)
def test_refused(sandbox: Sandbox, tmp_path: Path, arguments: list[str], said: str) -> None:
    output, shown = run(sandbox, tmp_path, *arguments, code=2)
    assert output == ""
    assert said in shown
    if "usage" not in shown:
        assert len(shown.splitlines()) == 1


def test_keys_of_the_image_that_others_changed_are_in_the_program(
    sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    make(sandbox, name)
    rest = sandbox.daemon.request
    text, _ = run(sandbox, tmp_path, name, code=0)
    assert "image." not in text
    rest("PATCH", f"/instances/{name}", {"config": {"image.os": "Windows"}})
    text, _ = run(sandbox, tmp_path, name, code=0)
    assert '"image.os": "Windows"' in text
    assert text.count('"image.') == 1
