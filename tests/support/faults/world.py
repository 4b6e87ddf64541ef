"""What is at a host of one runtime's: its instance, its volumes, and data from before."""

import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev.sandbox import Daemon

from ...conftest import custom_volumes, sweep

_TEXT = "written before"


@dataclass
class World:
    """A name that nothing else has, and all whose names begin with it.

    A volume with a file in it is there from the beginning, and is nobody's by its marks.
    """

    daemon: Daemon
    pool: str = "default"
    name: str = field(default_factory=lambda: f"f-{secrets.token_hex(4)}")
    theirs: str = ""
    """What somebody else set `user.theirs` of the instance to."""

    def __post_init__(self) -> None:
        body = {"name": self.data, "config": {}}
        self.daemon.request("POST", f"/storage-pools/{self.pool}/volumes/custom", body)
        script = 'printf %s "$1" > "$2"'
        argv = self.daemon.as_daemon(["sh", "-c", script, "sh", _TEXT, str(self._file)])
        subprocess.run(argv, check=True)

    @property
    def data(self) -> str:
        return f"{self.name}-data"

    @property
    def _file(self) -> Path:
        pool = self.daemon.directory / "storage-pools" / self.pool
        return pool / "custom" / f"default_{self.data}" / "file"

    def data_intact(self) -> bool:
        argv = self.daemon.as_daemon(["cat", str(self._file)])
        found = subprocess.run(argv, capture_output=True, text=True, check=False)
        return found.stdout == _TEXT

    def instances(self) -> dict[str, dict[str, Any]]:
        """The instances, by name."""
        listed = self.daemon.request("GET", "/instances?recursion=1")
        return {it["name"]: it for it in listed if it["name"].startswith(self.name)}

    def volumes(self) -> set[str]:
        """The names of the custom volumes, and of snapshots."""
        return custom_volumes(self.daemon, self.name, self.pool)

    def volume(self, name: str) -> dict[str, Any]:
        """A custom volume."""
        path = f"/storage-pools/{self.pool}/volumes/custom/{name}"
        found: dict[str, Any] = self.daemon.request("GET", path)
        return found

    def remove(self) -> None:
        sweep(self.daemon, self.name)
