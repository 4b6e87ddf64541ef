"""Start a private Incus daemon with one image, and describe the machine."""

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from dev import image, leftovers
from dev.packages import busybox
from dev.sandbox import Daemon, clear_abandoned

IMAGE = "pika/bench"
_PREFIX = "/var/tmp/pika-bench-"


@dataclass(frozen=True)
class Sandbox:
    """The daemon, and a folder for all other files of a run."""

    daemon: Daemon
    folder: Path

    @property
    def socket(self) -> Path:
        """Return the path of the daemon's socket."""
        return self.daemon.socket


@contextlib.contextmanager
def sandbox() -> Iterator[Sandbox]:
    """Yield a daemon for this run; leftovers of an interrupted run are deleted first."""
    clear_abandoned(_PREFIX)
    daemon = Daemon(f"{_PREFIX}{os.getpid()}")
    folder = Path(f"{_PREFIX}{os.getpid()}-work")
    leftovers.claim(folder)
    try:
        daemon.start()
        daemon.init()
        daemon.acknowledge_warnings()
        file = folder / "image.tar"
        image.build(file, busybox())
        daemon.import_image(file, IMAGE)
        yield Sandbox(daemon, folder)
    finally:
        daemon.destroy()
        leftovers.remove(folder)


def description(box: Sandbox) -> list[str]:
    """Return the machine and the versions, one per line."""
    environment = box.daemon.request("GET", "")["environment"]
    pulumi = subprocess.run(["pulumi", "version"], capture_output=True, text=True, check=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; "
        f"{platform.system()} {platform.release()}",
        f"Incus {environment['server_version']} (storage: dir), "
        f"Pulumi engine {pulumi.stdout.strip()}, Pulumi SDK {version('pulumi')}, "
        f"grpcio {version('grpcio')}, pydantic {version('pydantic')}, "
        f"Python {platform.python_version()}",
    ]


def load() -> str:
    """Return the load averages, which show whether the machine had other work."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
