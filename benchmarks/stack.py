"""Create stacks for benchmarks, and measure the time of Pulumi commands."""

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev.paths import ROOT
from dev.pulumi_cli import ASKS_NOBODY

from .machine import IMAGE

_TIMEOUT = 300.0
_STACK = "bench"

RUNTIMES = f"""
import json, pathlib
from pulumi_pika import IncusRuntime

for name, more in json.loads(pathlib.Path("names.json").read_text()).items():
    IncusRuntime(
        name,
        identity={{"runtime_id": name, "instance_name": name}},
        incus={{"project": "default", "profile": "default", "image_alias": "{IMAGE}"}},
        instance_type="container",
        **more,
    )
"""
EMPTY = """
import json, pathlib
from benchmarks.empty import Empty

for name in json.loads(pathlib.Path("names.json").read_text()):
    Empty(name)
"""


@dataclass
class Stack:
    """A stack whose program declares the resources in `names.json` next to it."""

    folder: Path
    program: str
    socket: Path
    parallel: int
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("backend", "home", "project"):
            (self.folder / name).mkdir(parents=True)
        self._project = self.folder / "project"
        (self._project / "Pulumi.yaml").write_text("name: pika-bench\nruntime: python\n")
        (self._project / "__main__.py").write_text(self.program)
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "bench",
            **ASKS_NOBODY,
            "INCUS_SOCKET": str(self.socket),
            **self.environment,
        }
        self._environment["PULUMI_STACK"] = _STACK
        self._run("stack", "init", _STACK)

    def declare(self, names: dict[str, dict[str, Any]]) -> None:
        """Let the program declare exactly these resources, each with its arguments."""
        (self._project / "names.json").write_text(json.dumps(names))

    def up(self) -> float:
        """Run `pulumi up`; return its duration in seconds."""
        return self._timed("up", "--yes", "--skip-preview")

    def preview(self) -> float:
        """Run `pulumi preview`; return its duration in seconds."""
        return self._timed("preview")

    def refresh(self) -> float:
        """Run `pulumi refresh`; return its duration in seconds."""
        return self._timed("refresh", "--yes", "--skip-preview")

    def destroy(self) -> float:
        """Run `pulumi destroy`; return its duration in seconds."""
        return self._timed("destroy", "--yes", "--skip-preview")

    def resources(self) -> list[dict[str, Any]]:
        """Return the resources of this package in the state."""
        state = json.loads(self._run("stack", "export"))
        return [
            resource
            for resource in state["deployment"]["resources"]
            if resource["type"].startswith("pulumi-python:")
        ]

    def _timed(self, *command: str) -> float:
        begun = time.perf_counter()
        self._run(*command, "--parallel", str(self.parallel))
        return time.perf_counter() - begun

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            ["pulumi", *command, "--non-interactive"],
            cwd=self._project,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"pulumi {' '.join(command)}:\n{done.stdout}\n{done.stderr}")
        return done.stdout
