"""Run a private Incus daemon with a directory and a socket of its own.

A host's own Incus is never used, started or changed. Everything of a sandbox is found by its
directory: the daemon's files, its processes (by their environment or their root file system), and
its mounts. So a sandbox can be deleted completely, even if its daemon was killed or never started.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dev import leftovers, rest
from dev.console import CommandFailed, Failure, run, say
from dev.namespace import Namespace
from dev.paths import ROOT
from dev.root import as_root, is_root

# The size of the path in `struct sockaddr_un`, without the final zero byte.
_SOCKET_LIMIT = 107
_USUAL_PLACES = ("/usr/libexec/incus/incusd", "/opt/incus/bin/incusd", "/usr/lib/incus/incusd")


# The size of the file for a pool of another driver than `dir`. The file is sparse, so that it
# occupies only what is used.
_POOL_SIZE = "8GiB"


class DaemonError(Failure):
    """The daemon could not be started or stopped, or another operation on it failed."""


def incusd() -> Path | None:
    """Return the path of the daemon's program; None if it is not installed."""
    on_path = shutil.which("incusd")
    for place in (*_USUAL_PLACES, *([on_path] if on_path else [])):
        if os.access(place, os.X_OK):
            return Path(place)
    return None


def clear_abandoned(prefix: str) -> None:
    """Destroy the sandboxes of interrupted runs; see `leftovers.abandoned`.

    A sandbox that can't be deleted is reported and kept; it does not disturb later runs.
    """
    with leftovers.abandoned(prefix) as directories:
        for directory in directories:
            try:
                Daemon(directory).destroy()
            except (Failure, OSError) as error:
                say(f"{directory} of an interrupted run stays: {error}")


class Daemon:
    """A private `incusd` on a directory of its own, whose path must be short.

    A started daemon survives this process. A later object for the same directory, also in another
    process, controls the same daemon.

    Args:
        directory: The directory of the daemon.
        core: The number of the only core for the daemon and all processes that it starts. The
            daemon's threads and its database take turns, so that a second core does not help. In a
            virtual machine, where waking another core is expensive, two cores double the time.
        tree: The folder with the daemon's programs, from `incus_tree`; None for the machine's own.
        driver: The storage driver of the pool `default` that `init` creates.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        core: int | None = None,
        tree: Path | None = None,
        driver: str = "dir",
    ) -> None:
        self.directory = Path(directory).absolute()
        self.core = core
        self.tree = tree
        self.driver = driver
        self.socket = self.directory / "unix.socket"
        self.log = self.directory / "daemon.log"
        if len(bytes(self.socket)) > _SOCKET_LIMIT:
            raise DaemonError(
                f"{self.socket} is too long for a socket ({_SOCKET_LIMIT} bytes at most)"
            )

    # Requests

    def request(self, method: str, path: str, body: object | None = None, **more: Any) -> Any:
        """Send a request below `/1.0`; see `rest.request`."""
        return rest.request(self.socket, method, path, body, **more)

    def answers(self) -> bool:
        """Return whether the daemon answers on its socket."""
        try:
            self.request("GET", "", timeout=5)
        except (OSError, Failure):
            return False
        return True

    def as_daemon(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` as root with the daemon's view of files and mounts.

        If the daemon has a mount namespace, the command runs in it, since the storage pools are
        mounted there.
        """
        namespace = self._namespace()
        return as_root(namespace.command(argv) if namespace else argv)

    # Life

    def start(self, timeout: float = 60.0, *, group: str | None = None) -> None:
        """Start the daemon unless it answers already, and wait until it does.

        `group` may use the socket. Default: the user's own group.
        """
        if self.answers():
            return
        group = group or _own_group()
        with _only_on(self.core):
            if is_root():
                self._launch(group, timeout)
            else:
                self._delegate("start", timeout, group)

    def stop(self, timeout: float = 30.0) -> None:
        """Stop all instances and the daemon. No process and no mount is left; all data is kept."""
        self._clean_up("stop", timeout)

    def destroy(self, timeout: float = 30.0) -> None:
        """Stop everything, and delete the directory and everything that Incus created elsewhere."""
        self._clean_up("destroy", timeout)

    def kill(self) -> None:
        """Kill the daemon immediately, like a crash; its containers keep running."""
        if is_root():
            _signal(leftovers.processes(self.directory).daemons, signal.SIGKILL, 10.0)
        else:
            self._delegate("kill")

    def restart(self, timeout: float = 60.0, *, group: str | None = None) -> None:
        """Restart the daemon gracefully; its containers keep running."""
        group = group or _own_group()
        with _only_on(self.core):
            if not is_root():
                self._delegate("restart", timeout, group)
                return
            daemons = leftovers.processes(self.directory).daemons
            if not _signal(daemons, signal.SIGTERM, timeout):
                raise DaemonError(f"incusd did not end within {timeout:.0f} s")
            self._launch(group, timeout)

    # Content

    def init(self) -> None:
        """Create the storage pool `default`, and a root disk in the default profile."""
        pools = self.request("GET", "/storage-pools") or []
        if "/1.0/storage-pools/default" not in pools:
            config = {} if self.driver == "dir" else {"size": _POOL_SIZE}
            pool = {"name": "default", "driver": self.driver, "config": config}
            self.request("POST", "/storage-pools", pool)
        profile = self.request("GET", "/profiles/default")
        if "root" not in profile["devices"]:
            root = {"type": "disk", "path": "/", "pool": "default"}
            self.request("PATCH", "/profiles/default", {"devices": {"root": root}})

    def acknowledge_warnings(self) -> None:
        """Acknowledge what the daemon warns of, such as limits that this machine cannot enforce.

        Previews then do not repeat it, so that their output is the same on every machine.
        """
        for warning in self.request("GET", "/warnings?recursion=1") or []:
            self.request("PUT", f"/warnings/{warning['uuid']}", {"status": "acknowledged"})

    def add_network(self, name: str) -> None:
        """Create a bridge with DHCP, and an `eth0` on it in the default profile.

        A bridge is visible on the whole machine: the name must be unique to this sandbox, with at
        most 15 characters. Firewall, routing and NAT of the machine are not changed, so that
        instances reach only each other and the machine.
        """
        if f"/1.0/networks/{name}" not in self.request("GET", "/networks"):
            config = {
                "ipv4.address": _free_address(name),
                "ipv4.firewall": "false",
                "ipv4.nat": "false",
                "ipv4.routing": "false",
                "ipv6.address": "none",
                "ipv6.firewall": "false",
            }
            self.request("POST", "/networks", {"name": name, "type": "bridge", "config": config})
        nic = {"type": "nic", "name": "eth0", "network": name}
        self.request("PATCH", "/profiles/default", {"devices": {"eth0": nic}})

    def import_image(self, image: Path, alias: str) -> str:
        """Import an image file unless it exists, and point `alias` to it; return its
        fingerprint."""
        with image.open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            if f"/1.0/images/{fingerprint}" not in (self.request("GET", "/images") or []):
                self.request("POST", "/images", upload=file)
        target = {"target": fingerprint}
        try:
            self.request("PATCH", f"/images/aliases/{rest.part(alias)}", target)
        except rest.ApiError as error:
            if error.status != 404:
                raise
            self.request("POST", "/images/aliases", {"name": alias, **target})
        return fingerprint

    # Inside

    def _namespace(self) -> Namespace | None:
        return Namespace(self.directory, self.tree) if self.tree else None

    def _launch(self, group: str, timeout: float) -> None:
        program = Path(_USUAL_PLACES[0]) if self.tree else incusd()
        if program is None:
            raise DaemonError("incusd is not installed; `python3 dev tools` gets it")
        leftovers.claim(self.directory)
        # A running daemon that does not answer would hold the lock of the database.
        self.kill()
        # The daemon needs this directory, regardless of its own one.
        Path("/var/log/incus").mkdir(parents=True, exist_ok=True)
        position = self.log.stat().st_size if self.log.exists() else 0
        argv = [str(program), "--group", group, "--logfile", str(self.log)]
        if namespace := self._namespace():
            namespace.ensure()
            argv = namespace.command(argv)
        with (self.directory / "daemon.out").open("ab") as output:
            # The daemon is forked, so that it is not a child of this process, which may end
            # earlier.
            subprocess.run(
                ["setsid", "--fork", *argv],
                env=_environment(program, self.directory),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=True,
            )
        begun = time.monotonic()
        while not self.answers():
            waited = time.monotonic() - begun
            # It takes a moment until the forked process runs the daemon.
            ended = waited > 1 and not leftovers.processes(self.directory).daemons
            if ended or waited > timeout:
                state = "ended at once" if ended else f"is not up after {timeout:.0f} s"
                raise DaemonError(
                    f"incusd {state}; the end of {self.log}:\n{_tail(self.log, position)}"
                )
            time.sleep(0.05)

    def _clean_up(self, action: str, timeout: float) -> None:
        if not os.path.lexists(self.directory):
            return
        if not is_root():
            self._delegate(action, timeout)
            return
        if self.answers():
            self._stop_instances(timeout)
        if not _signal(leftovers.processes(self.directory).daemons, signal.SIGTERM, timeout):
            self.kill()
        leftovers.end(self.directory)
        if action == "destroy":
            leftovers.remove(self.directory)

    def _stop_instances(self, timeout: float) -> None:
        with contextlib.suppress(OSError, Failure):
            instances = self.request("GET", "/instances?recursion=1&all-projects=true") or []
            paths = [
                f"/instances/{rest.part(it['name'])}/state?project={rest.part(it['project'])}"
                for it in instances
                if it["status"] not in ("Stopped", "Error")
            ]

            def stop(path: str) -> None:
                # An instance that does not shut down is killed later.
                with contextlib.suppress(OSError, Failure):
                    body = {"action": "stop", "force": True, "timeout": 0}
                    self.request("PUT", path, body, timeout=timeout)

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(stop, paths))

    def _delegate(self, action: str, *arguments: object) -> None:
        command = [sys.executable, str(ROOT / "dev"), "daemon", action, str(self.directory)]
        command += map(str, arguments)
        if self.tree:
            command += ["--tree", str(self.tree)]
        try:
            run(as_root(command))
        except CommandFailed as error:
            raise DaemonError(str(error)) from error


def _signal(pids: list[int], number: signal.Signals, timeout: float) -> bool:
    """Send a signal to processes and wait for their end; return whether they ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    deadline = time.monotonic() + timeout
    while any(leftovers.alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def _only_on(core: int | None) -> Iterator[None]:
    """Let processes that this thread starts run on one core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _own_group() -> str:
    return "root" if is_root() else grp.getgrgid(os.getgid()).gr_name


def _free_address(name: str) -> str:
    """Return an IPv4 address with a subnet to which this machine has no route, different for each
    name.

    Incus's own choice ("auto") pings the subnet, and finds none if a router answers for every
    address.
    """
    listed = subprocess.run(["ip", "-4", "-j", "route"], capture_output=True, check=True).stdout
    routes = [
        ipaddress.IPv4Network(route["dst"])
        for route in json.loads(listed or b"[]")
        if route["dst"] != "default"
    ]
    for attempt in range(100):
        digest = hashlib.sha256(f"{name}{attempt}".encode()).digest()
        subnet = ipaddress.IPv4Network((bytes([10, digest[0], digest[1], 0]), 24))
        if not any(subnet.overlaps(route) for route in routes):
            return f"{subnet[1]}/24"
    raise DaemonError("no free IPv4 subnet in 10.0.0.0/8 for the sandbox's network")


def _environment(program: Path, directory: Path) -> dict[str, str]:
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "GOGC")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment["INCUS_DIR"] = str(directory)
    environment["HOME"] = "/root"
    prefix = program.parent.parent
    if prefix == Path("/opt/incus"):
        # Packages that contain all dependencies in /opt/incus start the daemon with these
        # variables.
        environment |= {
            "INCUS_EDK2_PATH": f"{prefix}/share/qemu",
            "INCUS_LXC_HOOK": f"{prefix}/share/lxc/hooks",
            "INCUS_LXC_TEMPLATE_CONFIG": f"{prefix}/share/lxc/config",
            "LD_LIBRARY_PATH": f"{prefix}/lib",
            "PATH": f"{prefix}/bin:" + environment.get("PATH", os.defpath),
        }
    return environment


def _tail(log: Path, position: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(position)
            text = file.read().decode(errors="replace")
    except OSError as error:
        return str(error)
    return "\n".join(text.splitlines()[-15:]) or "(empty)"
