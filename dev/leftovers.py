"""Find and delete everything on this machine that belongs to a sandbox directory.

The functions are for `sandbox` only, and run as root. They send no request to the daemon, which may
be dead. They do not rely on the names of instances alone, since a host's own Incus may use the same
names.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dev.console import Failure

# The file marks each directory of a sandbox, so that no other directory is ever deleted.
_MARK = ".pika-sandbox"
_CGROUPS = re.compile(r"/(lxc\.(?:payload|monitor|pivot)[^/]*)")


@dataclass
class Processes:
    """The running processes of a sandbox: its daemons (more than one only after a failure), and the
    others."""

    daemons: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)


def claim(directory: Path) -> None:
    """Create the directory, or use it if it is empty or already belongs to a sandbox."""
    directory.mkdir(parents=True, exist_ok=True)
    mark = directory / _MARK
    if directory.is_symlink() or directory.stat().st_uid != os.geteuid():
        raise Failure(f"{directory} belongs to somebody else; remove it")
    if not _is_sandbox(directory):
        raise Failure(f"{directory} has files in it that are not a sandbox's; remove them")
    mark.touch()


def processes(directory: Path) -> Processes:
    """Return all processes of this sandbox, without clients of users."""
    found = Processes()
    rootfs = _within_file_system(directory)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        with contextlib.suppress(OSError):
            argv = (entry / "cmdline").read_bytes().split(b"\0")
            if not argv[0]:
                # The process is a kernel thread, or has ended already.
                continue
            if _is_daemon_program(entry, argv, directory):
                options = len(argv) > 1 and argv[1].startswith(b"--")
                (found.daemons if options else found.others).append(pid)
            elif _lives_in(entry, directory, rootfs) or _is_helper(argv, directory):
                found.others.append(pid)
    return found


@contextlib.contextmanager
def abandoned(prefix: str) -> Iterator[list[Path]]:
    """Yield the sandboxes `PREFIX<pid>` and `PREFIX<pid>-...` of runs whose process has ended.

    Other callers wait in the meantime, since two processes that delete the same sandbox would
    disturb each other.
    """
    place = Path(prefix)
    # The folder itself is locked, since a lock file would be left behind.
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        named = _with_pid(place)
        yield [path for path, pid in named if not alive(pid) and _is_sandbox(path)]
    finally:
        os.close(folder)


def alive(pid: int) -> bool:
    """Return whether the process still runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def end(directory: Path) -> None:
    """Kill the processes, and delete their cgroups, network interfaces and mounts."""
    # LXC recreates its pivot group if it is missing, so that an empty one can be deleted.
    groups = {"lxc.pivot"} | {
        f"lxc.{kind}.{instance.name}"
        for kind in ("payload", "monitor")
        for instance in _entries(directory / "containers")
    }
    for _ in range(10):
        found = processes(directory)
        pids = found.daemons + found.others
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(OSError):
                groups |= set(_CGROUPS.findall(Path(f"/proc/{pid}/cgroup").read_text()))
        _kill(pids)
    else:
        raise Failure(f"processes of {directory} can't be killed: {pids}")
    for network in _entries(directory / "networks"):
        _remove_network(network.name)
    _unmount(directory)
    _remove_cgroups(groups)
    _remove_locks(directory)


def remove(directory: Path) -> None:
    """Delete a sandbox's directory, which must no longer have mounts."""
    if not os.path.lexists(directory):
        return
    if mounts := list(_mounts_below(directory)):
        # A delete through a mount would delete the user's own files.
        raise Failure(f"still mounted, not removed: {', '.join(map(str, mounts))}")
    if not _is_sandbox(directory):
        raise Failure(f"{directory} is not a sandbox's directory, not removed")
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _MARK:
            path.unlink()
    # The marker file is deleted last, so that a later run can complete an interrupted delete.
    shutil.rmtree(directory)


def _with_pid(prefix: Path) -> Iterator[tuple[Path, int]]:
    for path in prefix.parent.glob(prefix.name + "*"):
        pid = path.name.removeprefix(prefix.name).partition("-")[0]
        if pid.isdigit():
            yield path, int(pid)


def _is_sandbox(directory: Path) -> bool:
    """Return whether a sandbox created the directory, or the directory has nothing to lose."""
    if directory.is_symlink() or not directory.is_dir():
        return False
    return (directory / _MARK).exists() or not any(directory.iterdir())


def _is_daemon_program(entry: Path, argv: list[bytes], directory: Path) -> bool:
    if argv[0].startswith(b"[lxc monitor] " + bytes(directory) + b"/"):
        return True
    if not (entry / "exe").readlink().name.startswith("incusd"):
        return False
    return b"INCUS_DIR=" + bytes(directory) in (entry / "environ").read_bytes().split(b"\0")


def _is_helper(argv: list[bytes], directory: Path) -> bool:
    program = Path(os.fsdecode(argv[0])).name
    if program not in ("dnsmasq", "swtpm", "virtiofsd") and not program.startswith("qemu-"):
        return False
    return any(bytes(directory) + b"/" in argument for argument in argv[1:])


def _lives_in(entry: Path, directory: Path, rootfs: str) -> bool:
    """Return whether the process's root directory is a mount of a file or folder below the sandbox.

    It may be a folder, or a file system in a file there, which pools other than `dir` use.
    """
    with (entry / "mountinfo").open() as mounts:
        for line in mounts:
            fields = line.split(" ", 5)
            if fields[4] == "/":
                source = line.partition(" - ")[2].split(" ")[1]
                return fields[3].startswith(rootfs + "/") or _is_in_file(source, directory)
    return False


def _is_in_file(device: str, directory: Path) -> bool:
    """Return whether a block device is a loop device of a file below the sandbox."""
    if not device.startswith("/dev/loop"):
        return False
    file = Path("/sys/class/block", device.removeprefix("/dev/"), "loop", "backing_file")
    try:
        return Path(file.read_text().strip()).is_relative_to(directory)
    except OSError:
        return False


def _within_file_system(directory: Path) -> str:
    """Return the directory's path from the root of its file system, as the kernel shows it in
    mounts."""
    best, result = "", str(directory)
    for root, mount_point in _mounts():
        if directory.is_relative_to(mount_point) and len(mount_point) >= len(best):
            best = mount_point
            relative = directory.relative_to(mount_point)
            result = str(Path(root) / relative)
    return result


def _mounts() -> Iterator[tuple[str, str]]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ", 5)
        yield _unescape(fields[3]), _unescape(fields[4])


def _mounts_below(directory: Path) -> Iterator[Path]:
    for _, mount_point in _mounts():
        # The kernel appends this to a mount point that was deleted.
        path = Path(mount_point.removesuffix("//deleted"))
        if path.is_relative_to(directory):
            yield path


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _unmount(directory: Path) -> None:
    for _ in range(3):
        mounts = list(_mounts_below(directory))
        if not mounts:
            return
        for mount in reversed(mounts):
            # Lazily: a busy mount disappears from the tree immediately, and completely after its
            # last user ends.
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)


def _remove_network(name: str) -> None:
    """Delete a managed network's bridge, and the firewall chains that Incus created for it."""
    if Path(f"/sys/class/net/{name}/bridge").exists():
        subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
    if not shutil.which("nft"):
        return
    for family in ("inet", "bridge"):
        table = [family, "incus"]
        listed = _nft("list", "table", *table)
        chains = re.findall(r"^\s*chain (\S+) {", listed, re.MULTILINE)
        ours = [chain for chain in chains if chain.endswith(f".{name}")]
        for chain in ours:
            _nft("delete", "chain", *table, chain)
        if ours and ours == chains:
            _nft("delete", "table", *table)


def _nft(*arguments: str) -> str:
    return subprocess.run(["nft", *arguments], capture_output=True, text=True, check=False).stdout


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _remove_cgroups(names: set[str]) -> None:
    """Delete empty cgroups; the kernel refuses to delete those in use."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if not after.startswith("cgroup"):
            continue
        base = Path(_unescape(before.split(" ", 5)[4]))
        for name in names:
            for folder, _, _ in os.walk(base / name, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()


def _remove_locks(directory: Path) -> None:
    """Delete LXC's lock files for this directory, and the folders that become empty."""
    base = Path("/run/lxc")
    locks = base / "lock" / directory.relative_to("/")
    shutil.rmtree(locks, ignore_errors=True)
    for folder in locks.parents:
        if not folder.is_relative_to(base):
            break
        try:
            folder.rmdir()
        except OSError:
            break


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
