"""Runs the command line as a user does: as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ..conftest import IMAGE, Sandbox

ROOT = Path(__file__).resolve().parents[2]
DEFAULTS = {"restart_policy": "never", "retention_policy": "destroy_on_completion"}


def spec_of(name: str, **more: Any) -> dict[str, Any]:
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        **more,
    }


def environment(**more: str) -> dict[str, str]:
    """The environment of a user who has named no host."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("INCUS_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pulumi_pika", *arguments]


def call(
    *arguments: str,
    directory: Path,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        argv(*arguments),
        cwd=directory,
        env=env or environment(),
        input=stdin,
        capture_output=True,
        timeout=180,
    )


def heed_signals() -> None:
    """Makes a process heed what its parent may ignore."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@dataclass(frozen=True)
class Runner:
    """Runs jobs of one name in containers of the tests' daemon."""

    directory: Path
    sandbox: Sandbox
    client: IncusClient
    name: str

    def write(self, **more: Any) -> None:
        (self.directory / "spec.json").write_text(json.dumps(spec_of(self.name, **more)))

    def arguments(self, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        if not (self.directory / "spec.json").exists():
            self.write()
        return ["run", *options, "--type", "container", "spec.json", "--", *command]

    @property
    def environment(self) -> dict[str, str]:
        return environment(INCUS_SOCKET=str(self.sandbox.socket))

    def run(
        self, *command: str, options: tuple[str, ...] = (), **more: str
    ) -> "subprocess.CompletedProcess[bytes]":
        return call(
            *self.arguments(*command, options=options),
            directory=self.directory,
            env={**self.environment, **more},
        )

    def begin(self, *command: str, options: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            argv(*self.arguments(*command, options=options)),
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A signal to it is none to the tests, and none is ignored, as of what is run by nohup.
            start_new_session=True,
            preexec_fn=heed_signals,
        )

    @property
    def there(self) -> bool:
        return fetch_instance(self.client, self.name, inside=False) is not None


def ended(process: "subprocess.Popen[bytes]") -> tuple[bytes, str]:
    """What a process wrote until its end; one that does not end is killed."""
    try:
        output, said = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    return output, said.decode()


def first_line(process: "subprocess.Popen[bytes]") -> bytes:
    """The first line of a process's output, once it comes."""
    assert process.stdout is not None
    return process.stdout.readline()


def until(condition: Any, within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
