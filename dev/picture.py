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

from rich.terminal_theme import TerminalTheme

from dev import image, tools
from dev.console import run
from dev.packages import busybox
from dev.paths import ROOT
from dev.sandbox import Daemon

TARGET = ROOT / "docs" / "assets" / "preview.svg"
COLUMNS = 88
COMMAND = "pulumi preview --json | python -m pulumi_pika report --fail-on delete-data"
_PROJECT = "name: shop\nruntime: python\n"
_PROGRAM = """\
import pulumi
from pulumi_pika import IncusRuntime

after = pulumi.Config().get_bool("after")

IncusRuntime(
    "db",
    instance_name="pika-db-2" if after else "pika-db",
    image="ci/debian-12",
    instance_type="container",
    memory_mib=512,
    mounts=[
        {
            "kind": "persistent_volume",
            "source": "db-data",
            "guest_path": "/var/lib/db",
            "mode": "read_write",
        }
    ],
    delete_data=True,
)
"""
FONT_SIZE = 14
"""Pixels; the picture is shown in its own size."""
PADDING = 24
"""Pixels between the window's edge and the text."""
THEME = TerminalTheme(
    background=(0x14, 0x17, 0x1D),
    foreground=(0xE6, 0xE6, 0xE6),
    normal=[
        (0x14, 0x17, 0x1D),
        (0xFF, 0x8A, 0x80),
        (0x9C, 0xCC, 0x65),
        (0xFF, 0xCA, 0x58),
        (0x82, 0xB1, 0xFF),
        (0xE1, 0xA6, 0xEC),
        (0x80, 0xDE, 0xEA),
        (0xE6, 0xE6, 0xE6),
    ],
)
"""Tones that are light enough on the background: at least 4.5:1 (WCAG AA), also dimmed ones."""
# Rich draws letters of 20 units. The template has no fonts that are loaded from elsewhere.
_LETTER = 20
_CONTENT = """\
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
}}
{styles}
</style>
<defs>
{lines}
</defs>
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
<!-- {terminal_width} {terminal_height} -->
"""
_WINDOW = """\
<svg class="rich-terminal" width="{width}" height="{height}" viewBox="0 0 {width} {height}" \
xmlns="http://www.w3.org/2000/svg">
<rect fill="{background}" stroke="#3d424e" x="0.5" y="0.5" width="{inner_width}" \
height="{inner_height}" rx="8"/>
<circle cx="{first}" cy="{middle}" r="6" fill="#ff5f57"/>
<circle cx="{second}" cy="{middle}" r="6" fill="#febc2e"/>
<circle cx="{third}" cy="{middle}" r="6" fill="#28c840"/>
<g transform="translate({padding}, {top}) scale({scale})">
{content}</g>
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
    drawn = console.export_svg(title="", theme=THEME, code_format=_CONTENT, unique_id="preview")
    content, size = drawn.rsplit("<!-- ", 1)
    # The sizes of Rich's own window, which has a margin around the text.
    wide, high = (float(word) for word in size.split()[:2])
    scale, top = FONT_SIZE / _LETTER, 2 * PADDING
    width, height = round(wide * scale) + 2 * PADDING, round(high * scale) + top
    return _WINDOW.format(
        width=width,
        height=height,
        inner_width=width - 1,
        inner_height=height - 1,
        background=THEME.background_color.hex,
        padding=PADDING,
        top=top,
        middle=PADDING,
        first=PADDING + 6,
        second=PADDING + 26,
        third=PADDING + 46,
        scale=scale,
        content=content,
    )


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
