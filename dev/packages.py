"""Find Incus and busybox on the machine, or install them from its package archive."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from dev import apt, sandbox
from dev.apt import Archive
from dev.console import Failure, StepFailed, run, say, step
from dev.paths import cache
from dev.root import as_root

# The systemd units that could start the host's own daemon.
_UNITS = (
    "incus.socket",
    "incus-user.socket",
    "incus.service",
    "incus-user.service",
    "incus-startup.service",
)
_BY_HAND = (
    "Install Incus (the daemon and the `incus` command) as its documentation says for your "
    "system, and run this again. Its service need not run."
)


def ensure_incus() -> None:
    """Install the Incus daemon and client unless they exist."""
    if sandbox.incusd() and client():
        say(f"==> Incus: {sandbox.incusd()} is there")
        return
    with step("Incus: installing it with apt", _BY_HAND):
        if not apt.available():
            raise Failure("Incus is not installed, and this is no Debian or Ubuntu (no apt-get)")
        archive = Archive()
        if not _incus_package(archive):
            archive.update()
        if _incus_package(archive):
            _install_incus(archive)
        else:
            say(f"    this release has no Incus of its own; looking into {apt.backports_suite()}")
            with apt.with_backports() as archive:
                _install_incus(archive)


def ensure_btrfs() -> None:
    """Install what storage pools with the driver `btrfs` need; if that fails, print it and
    continue."""
    if has_btrfs():
        say("==> btrfs: mkfs.btrfs is there")
        return
    todo = "Install the package btrfs-progs, and run this again."
    try:
        with step("btrfs: installing the package btrfs-progs", todo):
            if not apt.available():
                raise Failure("there is no mkfs.btrfs, and no apt-get to get it with")
            archive = Archive()
            if not archive.candidate("btrfs-progs"):
                archive.update()
            archive.install("btrfs-progs")
    except StepFailed as failure:
        say(f"    there is none: {failure.why.splitlines()[0]}")


def has_btrfs() -> bool:
    """Return whether this machine can create storage pools with the driver `btrfs`."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    modules = Path("/lib/modules", os.uname().release, "kernel", "fs", "btrfs")
    known = "btrfs" in Path("/proc/filesystems").read_text().split() or modules.is_dir()
    return known and shutil.which("mkfs.btrfs", path=path) is not None


def client() -> Path | None:
    """Return the path of the `incus` command; None if it is not installed."""
    found = shutil.which("incus", path=f"{os.environ.get('PATH', '')}:/opt/incus/bin")
    return Path(found) if found else None


def busybox() -> Path:
    """Return the path of a static busybox: the machine's, or the one of `ensure_busybox`."""
    for place in (_own_busybox(), Path("/bin/busybox"), Path("/usr/bin/busybox")):
        if place.exists() and _is_static(place):
            return place
    raise Failure("there is no static busybox; `python3 dev tools` gets one")


def ensure_busybox() -> None:
    """Download a static busybox to the cache unless the machine has one."""
    try:
        say(f"==> busybox: {busybox()} is there")
        return
    except Failure:
        pass
    todo = "Install the package busybox-static, and run this again."
    with step("busybox: downloading the package busybox-static", todo):
        if not apt.available():
            raise Failure("there is no static busybox, and no apt-get to get one with")
        archive = Archive()
        if not archive.candidate("busybox-static"):
            archive.update()
        # The package is only unpacked, since its installation would remove another busybox package.
        with tempfile.TemporaryDirectory(prefix="pika-busybox-") as scratch:
            package = archive.download("busybox-static", Path(scratch))
            run(["dpkg-deb", "--extract", str(package), f"{scratch}/root"])
            places = [Path(scratch, "root", place) for place in ("bin/busybox", "usr/bin/busybox")]
            found = next(place for place in places if place.exists())
            own = _own_busybox()
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, own.with_suffix(".partial"))
            own.with_suffix(".partial").replace(own)


def _incus_package(archive: Archive) -> str:
    # Newer distributions have a package of the daemon without the dependencies of virtual machines.
    return next((name for name in ("incus-base", "incus") if archive.candidate(name)), "")


def _install_incus(archive: Archive) -> None:
    package = _incus_package(archive)
    if not package:
        raise Failure("neither this release nor its backports have a package of Incus")
    # dnsmasq assigns addresses in the sandbox's network; this package of it starts no service.
    packages = [package, "busybox-static", "dnsmasq-base"]
    if apt.installed("busybox"):
        packages.remove("busybox-static")
    systemd = Path("/run/systemd/system").is_dir()
    if systemd:
        # The mask keeps the installation from starting a daemon. It is in /run, and the next boot
        # removes it in any case.
        run(as_root(["systemctl", "mask", "--runtime", *_UNITS]))
    try:
        archive.install(*packages)
    finally:
        if systemd:
            run(as_root(["systemctl", "unmask", "--runtime", *_UNITS]))
    if systemd:
        _disable_service()


def _disable_service() -> None:
    """Disable the host's own daemon, which the installed package brought."""
    listed = subprocess.run(
        ["systemctl", "list-unit-files", "--no-legend", *_UNITS],
        capture_output=True,
        text=True,
        check=False,
    )
    units = [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]
    if units:
        run(as_root(["systemctl", "disable", *units]))
        say("    the machine's own Incus service is off; to use it:")
        say("        systemctl enable --now incus.socket incus-startup.service")


def _own_busybox() -> Path:
    return cache() / "busybox"


def _is_static(program: Path) -> bool:
    """Return whether an ELF program has no interpreter, and so needs no shared libraries."""
    data = program.read_bytes()
    if data[:4] != b"\x7fELF":
        return False
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    offset = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    types = (struct.unpack_from(order + "I", data, offset + i * size)[0] for i in range(count))
    return 3 not in types
