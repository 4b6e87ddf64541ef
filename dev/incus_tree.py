"""Provide a newer Incus besides the machine's own: a small Debian file tree in the user's cache.

The tree is not installed, and other programs do not see it. The daemon of a sandbox gets its
programs and libraries in a mount namespace (`namespace`). If the tree is not available, everything
else still works.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from dev import apt
from dev.apt import Archive
from dev.console import Failure, StepFailed, run, say, step
from dev.paths import cache
from dev.root import as_root

_SUITE = "trixie"
_BACKPORTS = f"{_SUITE}-backports"
_PACKAGES = (
    f"incus-base/{_BACKPORTS}",
    f"incus-client/{_BACKPORTS}",
    # The programs that the daemon runs, for containers, bridges with DHCP, images and pools.
    "attr",
    "btrfs-progs",
    "dnsmasq-base",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "nftables",
    "procps",
    "rsync",
    "squashfs-tools",
    "xz-utils",
)
_BY_HAND = "Look at what is printed above, and run the same command again."


def tree() -> Path | None:
    """Return the path of the tree; None if it is missing or incomplete."""
    return _place() if _is_complete() else None


def tree_version() -> str:
    """Return the version of Incus in the tree."""
    return (_place() / _COMPLETE).read_text().split()[0]


def ensure_tree() -> None:
    """Create the tree unless it exists; if this machine can't have it, print that and continue."""
    if _is_complete():
        say(f"==> Incus {tree_version()}: {_place()} is there")
        return
    try:
        with step(f"Incus of {_BACKPORTS}, beside the machine's own: unpacking it", _BY_HAND):
            _make()
            say(f"    Incus {tree_version()} is in {_place()}")
    except StepFailed as failure:
        say(str(failure))
        say("    Without it, the tests run with the machine's own Incus only.")


# The file is written last, with the version of Incus and the requested packages.
_COMPLETE = "pika-complete"


def _place() -> Path:
    return cache() / f"incus-{_BACKPORTS}"


def _is_complete() -> bool:
    mark = _place() / _COMPLETE
    return mark.exists() and mark.read_text().split()[1:] == list(_PACKAGES)


def _make() -> None:
    if not apt.available():
        raise Failure("it is unpacked from Debian's archive, and this machine has no apt-get")
    program = mmdebstrap()
    partial = _place().with_name(_place().name + ".partial")
    kept = _place().with_name(_place().name + ".packages")
    keep_packages(partial, kept)
    sources = _place().with_name(_place().name + ".sources")
    sources.write_text("\n".join(apt.source_of(suite) for suite in (_SUITE, _BACKPORTS)))
    command = [
        # The mounts in the tree disappear with the process, however it ends.
        *("unshare", "--mount"),
        "perl",
        str(program),
        *("--mode=root", "--variant=minbase", "--format=directory"),
        '--aptopt=APT::Install-Recommends "false"',
        f"--include={','.join(_PACKAGES)}",
        # Packages that an interrupted run has already downloaded.
        f'--setup-hook=mkdir -p {kept} && cp -r {kept}/. "$1/var/cache/apt/archives/"',
        "--skip=download/empty",
        _SUITE,
        str(partial),
        str(sources),
    ]
    try:
        run(as_root(command))
    finally:
        keep_packages(partial, kept, remove=False)
    _finish(partial)
    run(as_root(["rm", "-rf", str(_place()), str(kept)]))
    run(as_root(["mv", str(partial), str(_place())]))


def mmdebstrap() -> Path:
    """Return the program that unpacks a Debian system: the machine's, or a downloaded one."""
    if found := shutil.which("mmdebstrap"):
        return Path(found)
    folder = cache() / "mmdebstrap"
    if not (folder / "usr/bin/mmdebstrap").exists():
        archive = Archive()
        if not archive.candidate("mmdebstrap"):
            archive.update()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # The package is only unpacked, since it is a single Perl program.
        package = archive.download("mmdebstrap", folder)
        run(["dpkg-deb", "--extract", str(package), str(folder)])
    return folder / "usr/bin/mmdebstrap"


def keep_packages(partial: Path, kept: Path, *, remove: bool = True) -> None:
    """Keep the packages that an interrupted run has downloaded, and delete its other files."""
    script = 'mkdir -p "$2"; cp -n "$1"/var/cache/apt/archives/*.deb "$2" 2>/dev/null || true'
    run(as_root(["sh", "-c", script, "sh", str(partial), str(kept)]))
    if remove:
        run(as_root(["rm", "-rf", "--one-file-system", str(partial)]))


def _finish(partial: Path) -> None:
    status = (partial / "var/lib/dpkg/status").read_text()
    match = re.search(r"^Package: incus-base\n(?:.+\n)*?Version: (?:\d+:)?([\d.]+)", status, re.M)
    if not match:
        raise Failure(f"{_BACKPORTS} has no package incus-base")
    mark = "\n".join([match[1], *_PACKAGES])
    script = 'rm -f "$1"/var/cache/apt/archives/*.deb && printf "%s\\n" "$3" >"$1/$2"'
    run(as_root(["sh", "-c", script, "sh", str(partial), _COMPLETE, mark]))
