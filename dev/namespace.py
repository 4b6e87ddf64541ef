"""Create a mount namespace for a sandbox's daemon, with the programs and libraries of a tree.

Everything else in the namespace is the machine's: files, devices, control groups, users and
network. A mount in the sandbox's directory keeps the namespace. So a restarted daemon finds its
storage pools and instances unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dev.console import run

# The tree's /usr is mounted last: before that, the script uses the machine's programs.
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
    """The mount namespace of a sandbox. Its methods need root, like the daemon."""

    def __init__(self, directory: Path, tree: Path) -> None:
        self._tree = tree
        self._folder = directory / "namespace"
        self._mount = self._folder / "mnt"

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` in the namespace."""
        return ["nsenter", f"--mount={self._mount}", "--", *argv]

    def ensure(self) -> None:
        """Create the namespace unless it exists."""
        if os.path.ismount(self._mount):
            return
        self._folder.mkdir(exist_ok=True)
        self._mount.touch()
        if not os.path.ismount(self._folder):
            # The kernel does not keep a namespace in a shared mount.
            run(["mount", "--bind", str(self._folder), str(self._folder)])
            run(["mount", "--make-private", str(self._folder)])
        # Later mounts of the machine are visible in the namespace; mounts of the daemon stay in it.
        unshare = ["unshare", f"--mount={self._mount}", "--propagation", "slave"]
        run([*unshare, "sh", "-c", _SCRIPT, "sh", str(self._tree)])
