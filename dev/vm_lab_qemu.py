"""The lab's emulator: QEMU from Debian's source, with one fault mended, built once.

An emulated machine whose guest runs guests of its own ends, in QEMU 6.2 to 11.1, with the assertion
`bql_locked()`, as soon as such a guest writes its register CR8: the interrupt that the write may
raise is delivered without the lock that guards it. The two lines that take the lock and release it
are added here; the same function does so a few lines above.
"""

from __future__ import annotations

import os
from pathlib import Path

from dev import apt
from dev.console import Failure, run, say
from dev.root import as_root
from dev.vm_lab_tree import command_in, digest, ensure, ensure_tree, lab

_SUITE = "bookworm"
_PACKAGES = (
    # What QEMU is built with.
    "build-essential",
    "dpkg-dev",
    "libfdt-dev",
    "libglib2.0-dev",
    "libpixman-1-dev",
    "libslirp-dev",
    "meson",
    "ninja-build",
    "pkg-config",
    "python3-venv",
    "zlib1g-dev",
    # What it needs to run: the outer machine's firmware, and what boots a kernel without a disk.
    "qemu-system-data",
    "seabios",
    # What makes the disk images of the outer machine and of the guest.
    "cpio",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "mtools",
    "qemu-utils",
    "xz-utils",
)
_CONFIGURE = (
    "../configure",
    "--target-list=x86_64-softmmu",
    "--disable-docs",
    "--disable-tools",
    "--disable-werror",
    "--without-default-features",
    "--enable-kvm",
    "--enable-slirp",
    "--enable-system",
    "--enable-tcg",
)
_FAULT = Path("target/i386/tcg/sysemu/misc_helper.c")
_PROGRAM = "qemu-system-x86_64"


def tools() -> Path:
    """Return the Debian system in which QEMU is built and run, and disk images are made."""
    return lab() / "tools"


def in_tools(*argv: str, folder: str = "/lab") -> list[str]:
    """Return the command that runs another one in that system; `/lab` is the lab's folder."""
    return command_in(tools(), argv, folder)


def qemu() -> list[str]:
    """Return the emulator's command, as it is in the system of the tools."""
    firmware = ("/usr/share/seabios", "/usr/share/qemu")
    return [f"/lab/qemu/{_PROGRAM}", *(part for place in firmware for part in ("-L", place))]


def ensure_qemu() -> None:
    """Unpack the tools and build QEMU, unless it was done."""
    title = f"Tools: a Debian {_SUITE} with a compiler and image tools (350 MB of packages)"
    ensure_tree(tools(), _SUITE, _PACKAGES, title)
    title = "QEMU: building its x86-64 emulator from Debian's source (once; 6 to 30 minutes)"
    ensure(lab() / "qemu", digest(_SUITE, _CONFIGURE, _MENDED), title, _build)


def _build() -> None:
    source = lab() / "qemu-source"
    if not (source / ".mended").exists():
        _fetch(source)
    (source / "build").mkdir(exist_ok=True)
    jobs = str(len(os.sched_getaffinity(0)))
    nice = ("nice", "-n", "19")
    folder = "/lab/qemu-source/build"
    if not (source / "build" / "build.ninja").exists():
        run(in_tools(*nice, *_CONFIGURE, folder=folder))
    run(in_tools(*nice, "ninja", "-j", jobs, _PROGRAM, folder=folder))
    script = (
        "rm -rf qemu qemu.partial && mkdir qemu.partial && "
        f"cp qemu-source/build/{_PROGRAM} qemu.partial/ && strip qemu.partial/{_PROGRAM} && "
        "mv qemu.partial qemu && rm -rf qemu-source"
    )
    run(in_tools("sh", "-c", script))
    version = run(in_tools(*qemu(), "--version")).splitlines()[0]
    say(f"    {version}, with the mend")


def _fetch(source: Path) -> None:
    download = lab() / "qemu-download"
    download.mkdir(exist_ok=True)
    with apt.with_source_packages(_SUITE) as archive:
        archive.source("qemu", download)
    described = max(download.glob("qemu_*.dsc"), key=lambda path: path.stat().st_mtime)
    run(as_root(["rm", "-rf", str(source)]))
    unpacked = ("dpkg-source", "--no-check", "-x", f"/lab/qemu-download/{described.name}")
    run(in_tools(*unpacked, "/lab/qemu-source", folder="/lab/qemu-download"))
    faulty = source / _FAULT
    mended = _mend(faulty.read_text())
    run(as_root(["chown", "-R", str(os.geteuid()), str(source)]))
    faulty.write_text(mended)
    (source / ".mended").touch()
    run(as_root(["rm", "-rf", str(download)]))


_MENDED = (
    "        qemu_mutex_lock_iothread();\n",
    "        qemu_mutex_unlock_iothread();\n",
)


def _mend(text: str) -> str:
    """Take the lock around the interrupt that a write of CR8 may raise."""
    case = text.find("case 8", text.find("void helper_write_crN"))
    begin = text.find("        if (ctl_has_irq(env)) {", case)
    end = text.find("        break;", begin)
    if min(case, begin, end) < 0:
        raise Failure(f"{_FAULT} of this QEMU is not the one that is known to need a mend")
    return text[:begin] + _MENDED[0] + text[begin:end] + _MENDED[1] + text[end:]
