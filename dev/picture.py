"""Draw docs/assets/preview.svg: the report of a real preview, as a terminal shows it.

Run as `python3 dev picture`. The tool creates a stack on a private daemon, changes and previews it,
and draws the report that the terminal shows. `tests/system/docs/test_picture.py` repeats this and
compares the result.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dev import image, tools
from dev.console import run
from dev.packages import busybox
from dev.paths import ROOT
from dev.sandbox import Daemon

TARGET = ROOT / "docs" / "assets" / "preview.svg"
COLUMNS = 104
COMMAND = "pulumi preview --json | python -m pulumi_pika report --fail-on delete-data"
_PROJECT = "name: shop\nruntime: python\n"
_PROGRAM = """\
import pulumi
from pulumi_pika import IncusRuntime

after = pulumi.Config().get_bool("after")
where = {"project": "default", "profile": "default", "image_alias": "ci/debian-12"}


def volume(name, path):
    return {"kind": "persistent_volume", "source": name, "guest_path": path, "mode": "read_write"}


IncusRuntime(
    "agent",
    identity={"runtime_id": "agent-1", "instance_name": "pika-agent"},
    incus=where,
    resources={"vcpu_count": 2, "memory_mib": 512 if after else 256},
    mounts=[
        volume("agent-state", "/mnt/state"),
        *([volume("agent-models", "/mnt/models")] if after else []),
    ],
    instance_type="container",
)
IncusRuntime(
    "db",
    identity={"runtime_id": "db-1", "instance_name": "pika-db-2" if after else "pika-db"},
    incus=where,
    resources={"vcpu_count": 2, "memory_mib": 512},
    mounts=[volume("db-data", "/var/lib/db")],
    instance_type="container",
    delete_data=True,
)
"""
# The template of Rich, without the fonts that it loads from the internet.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    """Draw the picture."""
    TARGET.write_text(draw(report()))


def report() -> str:
    """Return what a terminal shows of the report, with control sequences."""
    daemon = Daemon(f"/var/tmp/pika-picture-{os.getpid()}")
    place = Path(tempfile.mkdtemp(prefix="pika-picture-"))
    try:
        daemon.start()
        daemon.init()
        daemon.acknowledge_warnings()
        archive = place / "image.tar"
        image.build(archive, busybox())
        daemon.import_image(archive, "ci/debian-12")
        return _report(place, daemon)
    finally:
        daemon.destroy()
        shutil.rmtree(place)


def draw(shown: str) -> str:
    """Return the picture of a terminal's content as SVG."""
    from rich.console import Console
    from rich.text import Text

    with Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="standard"
        )
        console.print(Text.assemble("$ ", (COMMAND, "bold")))
        # Long lines are wrapped at the edge, as in a terminal.
        console.print(Text.from_ansi(shown), overflow="fold")
    return console.export_svg(title="", code_format=_FORMAT, unique_id="preview")


def _report(place: Path, daemon: Daemon) -> str:
    for name in ("project", "backend", "home"):
        (place / name).mkdir()
    project = place / "project"
    (project / "Pulumi.yaml").write_text(_PROJECT)
    (project / "__main__.py").write_text(_PROGRAM)
    kept = tools.neutral_environment()
    kept.pop("NO_COLOR", None)
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PULUMI_BACKEND_URL": f"file://{place / 'backend'}",
        "PULUMI_HOME": str(place / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "picture",
        "INCUS_SOCKET": str(daemon.socket),
        "COLUMNS": str(COLUMNS),
        "TERM": "xterm",
    }
    for arguments in (
        ["stack", "init", "prod"],
        ["up", "--yes", "--skip-preview"],
        ["config", "set", "after", "true"],
    ):
        run(["pulumi", *arguments, "--non-interactive"], cwd=project, env=environment)
    try:
        return _on_terminal(["bash", "-c", COMMAND], project, environment)
    finally:
        destroy = ["pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive"]
        run(destroy, cwd=project, env=environment)


def _on_terminal(argv: list[str], directory: Path, environment: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    shown = b""
    try:
        process = subprocess.Popen(argv, cwd=directory, env=environment, stdout=theirs)
        os.close(theirs)
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                # The error of Linux if the other side of a terminal is closed.
                break
            if not piece:
                break
            shown += piece
        # A condition of `--fail-on` holds, so that the exit code is 1.
        if process.wait() != 1:
            raise RuntimeError(f"{COMMAND}: {process.returncode}\n{shown.decode()}")
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")


if __name__ == "__main__":
    main()
