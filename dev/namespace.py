"""A mount namespace for a sandbox's daemon whose programs and libraries are those of a tree.

All else there is the machine's: its files, devices, control groups, users and network. The
namespace is kept by a mount in the sandbox's directory, so that a daemon that is started again
finds the storage pools and instances of the one before it as they were.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dev.console import run

# The tree's /usr comes last: up to there the programs are the machine's.
_SCRIPT = """\
set -e
for folder in bin sbin lib lib32 lib64; do
    [ ! -d "/$folder" ] || [ -h "/$folder" ] || mount --rbind "$1/usr/$folder" "/$folder"
done
for path in etc/alternatives etc/ld.so.cache; do
    [ ! -e "/$path" ] || mount --bind "$1/$path" "/$path"
done
if [ -d /usr/lib/modules ] && [ -d "$1/usr/lib/modules" ]; then
    mount --bind /usr/lib/modules "$1/usr/lib/modules"
fi
mount --rbind "$1/usr" /usr
"""


class Namespace:
    """The mount namespace of a sandbox; for root, as its daemon is."""

    def __init__(self, directory: Path, tree: Path) -> None:
        self._tree = tree
        self._folder = directory / "namespace"
        self._mount = self._folder / "mnt"

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in the namespace."""
        return ["nsenter", f"--mount={self._mount}", "--", *argv]

    def ensure(self) -> None:
        """Make the namespace unless it is there."""
        if os.path.ismount(self._mount):
            return
        self._folder.mkdir(exist_ok=True)
        self._mount.touch()
        if not os.path.ismount(self._folder):
            # The kernel keeps no namespace in a mount that others see as well.
            run(["mount", "--bind", str(self._folder), str(self._folder)])
            run(["mount", "--make-private", str(self._folder)])
        # What the machine mounts later is seen there; what the daemon mounts stays there.
        unshare = ["unshare", f"--mount={self._mount}", "--propagation", "slave"]
        run([*unshare, "sh", "-c", _SCRIPT, "sh", str(self._tree)])
