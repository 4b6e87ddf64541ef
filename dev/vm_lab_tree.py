"""Debian systems as folders, in the virtual machine lab's cache, and commands that run in them.

The lab needs a compiler, QEMU's libraries and the tools that make disk images. They are unpacked
into a folder and run there, so that nothing is installed on the machine, whatever it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from dev import apt
from dev.console import Failure, run, step
from dev.incus_tree import keep_packages, mmdebstrap
from dev.paths import cache
from dev.root import as_root

AGAIN = "Look at what is printed above, and run the same command again: it continues from there."
SERIES = ("6.0", "7.0")
"""The series of Incus that the lab can have."""
_CHROOT = """\
set -e
lab=$1 tree=$2; shift 2
mkdir -p "$tree/lab"
mount --bind "$lab" "$tree/lab"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
mount --rbind /sys "$tree/sys"
exec chroot "$tree" "$@"
"""


def lab() -> Path:
    """Return the folder of all that the lab keeps."""
    return cache() / "vm-lab"


def series() -> str:
    """Return the series of Incus that `vm-lab up` made the lab of last."""
    try:
        return (lab() / "series").read_text()
    except FileNotFoundError:
        return SERIES[0]


def choose(name: str) -> None:
    """Choose the series of Incus for the following calls, in all processes."""
    if name not in SERIES:
        raise Failure(f"the lab has Incus {' or '.join(SERIES)}, and not {name}")
    (lab() / "series").write_text(name)


def of_series(name: str) -> Path:
    """Return the place of an artifact that each series of Incus has."""
    stem, dot, ending = name.partition(".")
    return lab() / (name if series() == SERIES[0] else f"{stem}-{series()}{dot}{ending}")


def digest(*parts: object) -> str:
    """Return a short digest of what an artifact is made from."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ensure(place: Path, key: str, title: str, make: Callable[[], None]) -> bool:
    """Make an artifact unless it is there and was made from the same inputs.

    Args:
        place: the artifact, a file or a folder. `make` puts it there as its last action.
        key: the digest of the inputs, written beside the artifact once that is complete.
        title: what a user reads of the step.
        make: makes the artifact.

    Returns:
        Whether it was made now.
    """
    mark = place.with_name(place.name + ".made")
    if place.exists() and mark.exists() and mark.read_text() == key:
        return False
    with step(title, AGAIN):
        mark.unlink(missing_ok=True)
        make()
        mark.write_text(key)
    return True


def ensure_tree(
    place: Path,
    suite: str,
    packages: Sequence[str],
    title: str,
    hooks: Sequence[str] = (),
    others: Sequence[str] = (),
) -> str:
    """Unpack a Debian system unless it is there.

    Args:
        place: its folder.
        suite: the name of Debian's release.
        packages: its packages, besides the smallest set.
        title: what a user reads of the step.
        hooks: shell commands that mmdebstrap runs at last, with the tree as `$1`.
        others: further suites, for packages that are named `PACKAGE/SUITE`.

    Returns:
        The digest of its inputs.
    """
    key = digest(suite, packages, hooks)
    ensure(place, key, title, lambda: _unpack(place, suite, packages, hooks, others))
    return key


def command_in(tree: Path, argv: Sequence[str], folder: str = "/lab") -> list[str]:
    """Return the command that runs another one in a tree; the lab's folder is `/lab` there."""
    inner = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", folder, *argv]
    # What is mounted is seen by this command alone, and ends with it.
    outer = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _CHROOT, "sh"]
    return as_root([*outer, str(lab()), str(tree), *inner], ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"])


def _unpack(
    place: Path,
    suite: str,
    packages: Sequence[str],
    hooks: Sequence[str],
    others: Sequence[str],
) -> None:
    if not apt.available():
        raise Failure("it is unpacked from Debian's archive, and this machine has no apt-get")
    partial = place.with_name(place.name + ".partial")
    kept = place.with_name(place.name + ".packages")
    keep_packages(partial, kept)
    sources = place.with_name(place.name + ".sources")
    sources.write_text("\n".join(apt.source_of(name) for name in (suite, *others)))
    command = [
        *("unshare", "--mount", "perl", str(mmdebstrap())),
        *("--mode=root", "--variant=minbase", "--format=directory"),
        '--aptopt=APT::Install-Recommends "false"',
        f"--include={','.join(packages)}",
        f'--setup-hook=mkdir -p {kept} && cp -r {kept}/. "$1/var/cache/apt/archives/"',
        *(f"--customize-hook={hook}" for hook in hooks),
        "--skip=download/empty",
        *(suite, str(partial), str(sources)),
    ]
    try:
        run(as_root(["nice", "-n", "19", *command]))
    finally:
        keep_packages(partial, kept, remove=False)
    script = 'rm -rf "$1"/var/cache/apt/archives/*.deb "$2" "$3" && mv "$1" "$2"'
    run(as_root(["sh", "-c", script, "sh", str(partial), str(place), str(kept)]))
