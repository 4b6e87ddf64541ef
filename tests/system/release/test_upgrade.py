"""A stack that an older version of us made is taken over by the present one.

The older versions are real: wheels of earlier commits, in `older/`. Each makes its stack at the
daemon; then the same environment gets the present wheel, and nothing of the stack may look changed.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pulumi_pika import __version__
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import OTHER_IMAGE, Sandbox
from ...support.reconcile import shell, there
from .environment import Built, make_environment
from .life import (
    LIFE,
    SECRET,
    all_kinds,
    declare,
)

OLDER = Path(__file__).parent / "older"
VERSIONS = ("0.1.0.dev3",)


@pytest.mark.parametrize("older", VERSIONS)
def test_what_an_older_version_made_is_taken_over(
    older: str, built: Built, tmp_path: Path, sandbox: Sandbox, client: IncusClient, name: str
) -> None:
    environment = make_environment(tmp_path / "venv", sys.executable)
    wheel = OLDER / f"pulumi_pika-{older}-py3-none-any.whl"
    environment.install(wheel, f"pulumi=={version('pulumi')}")
    stack = environment.make_stack(tmp_path / "stack", sandbox.socket)
    stack.program(LIFE)
    declared = all_kinds(name, sandbox.socket)
    declare(stack, **declared)
    stack.up()
    before = stack.outputs()
    assert before["version"] == older
    assert Path(before["package"]).is_relative_to(environment.folder)
    kinds = len(stack.resources())
    assert kinds == len(declared.keys() - {"host"})
    first = there(client, name)
    assert shell(client, name, "echo kept > /mnt/state/file; sync") == 0

    # The development versions had another distribution name, and the same files.
    environment.run("-m", "pip", "uninstall", "-q", "-y", "pulumi-pika", cwd=tmp_path)
    environment.install(built.wheel)

    # The program exports the version that it runs with, and that alone is another one.
    shown = stack.preview()
    assert f'"{older}"' in shown
    assert f'"{__version__}"' in shown
    changed = [line for line in shown.splitlines() if line.lstrip()[:2] in ("~ ", "+ ", "- ", "+-")]
    assert [line for line in changed if "version" not in line] == [], shown
    stack.refresh("--expect-no-changes")
    stack.up()
    # Had the job run anew, it would have said another word.
    assert stack.outputs() == {**before, "version": __version__}
    assert there(client, name).uuid == first.uuid
    stack.preview("--expect-no-changes")

    declared["runtime"]["resources"]["memory_mib"] = 96
    declare(stack, **declared)
    stack.up()
    assert there(client, name).uuid == first.uuid
    assert there(client, name).config["limits.memory"] == "96MiB"

    declared["runtime"]["incus"]["image_alias"] = OTHER_IMAGE
    # For the new instance: the old one goes as its own state says, and leaves its volumes.
    declared["runtime"]["delete_data"] = True
    if "volume" in declared:
        declared["volume"]["delete_data"] = True
    declare(stack, **declared)
    stack.up()
    assert there(client, name).uuid != first.uuid
    assert stack.outputs()["runtime.image_fingerprint"] == sandbox.other_image
    assert shell(client, name, '[ "$(cat /mnt/state/file)" = kept ]') == 0

    assert SECRET not in json.dumps(stack.export())
    stack.destroy()
    assert stack.resources() == []
    assert fetch_instance(client, name) is None
    for volume in ("state", "cache", "data"):
        assert get_volume(client, "default", f"{name}-{volume}") is None, volume
