"""The lab's outer machine while it runs: its process, its two serial lines, its files.

Each start has a fresh copy of the disk image, so that nothing is left of an earlier one.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dev.console import Failure, elapsed, run, say
from dev.root import as_root, is_root
from dev.vm_lab_outer import CLIENT, HTTPS_PORT, MEMORY, READY, SAYS, TOKEN, image, kernel
from dev.vm_lab_qemu import in_tools, qemu
from dev.vm_lab_tree import lab

_NAME = "pulumi-pika-vm-lab"
_FIRST_PORT = 18443
_KVM_CREATE_VM = 0xAE01
_PROGRESS_EVERY = 20.0
_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[^\[\]])")
"""What positions and colours text on a terminal, or resets it."""


def folder() -> Path:
    """Return the folder of all that belongs to one run of the machine."""
    return lab() / "run"


def pid() -> int | None:
    """Return the process of the machine that runs, or None."""
    try:
        number = int((folder() / "qemu.pid").read_text())
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    # The number may be another process's by now.
    return number if _NAME.encode() in command else None


def port() -> int:
    """Return the loopback port at which its Incus answers."""
    return int((folder() / "port").read_text())


def console() -> str:
    """Return what its first serial line has shown, without control sequences."""
    try:
        text = (folder() / "console.log").read_text(errors="replace").replace("\r", "")
        return _ESCAPE.sub("", text)
    except OSError:
        return ""


def has_kvm() -> bool:
    """Return whether this machine can run virtual machines that run virtual machines."""
    nested = [Path(f"/sys/module/{name}/parameters/nested") for name in ("kvm_amd", "kvm_intel")]
    if not any(path.exists() and path.read_text().strip() in ("1", "Y") for path in nested):
        return False
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(device, _KVM_CREATE_VM, 0))
    except OSError:
        # The device is there, and the processor does not do it.
        return False
    finally:
        os.close(device)
    return True


def start() -> None:
    """Start the machine; it boots while this returns."""
    remove()
    folder().mkdir(mode=0o755)
    number = _free_port()
    (folder() / "port").write_text(str(number))
    run(["cp", "--sparse=always", "--reflink=auto", str(image()), str(folder() / "disk.img")])
    vmlinuz, initramfs = kernel()
    # One processor where it is emulated: with two, the kernel fails now and then over the
    # instructions that it writes into its own code.
    accelerated = ("-accel", "kvm", "-cpu", "host", "-smp", str(min(4, os.cpu_count() or 1)))
    emulated = ("-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1")
    # Firmware and boot messages stay short: each character is slow where it is emulated.
    options = "root=/dev/vda rw console=ttyS0 mitigations=off systemd.show_status=0 quiet"
    arguments = (
        *qemu(),
        *("-name", _NAME, "-machine", "q35", *(accelerated if has_kvm() else emulated)),
        *("-m", str(MEMORY), "-display", "none", "-no-reboot", "-monitor", "none"),
        *("-serial", "file:/lab/run/console.log"),
        *("-serial", "unix:/lab/run/shell.sock,server=on,wait=off"),
        *("-kernel", vmlinuz, "-initrd", initramfs, "-append", options),
        *("-drive", "file=/lab/run/disk.img,if=virtio,format=raw,cache=unsafe"),
        *("-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{number}-:{HTTPS_PORT}"),
        *("-device", "virtio-net-pci,netdev=n0,romfile="),
        *("-daemonize", "-pidfile", "/lab/run/qemu.pid"),
    )
    run(in_tools(*arguments), limit=60)
    if not is_root():
        owned = [str(folder() / name) for name in ("shell.sock", "console.log", "qemu.pid")]
        run(as_root(["chown", str(os.geteuid()), *owned]))


def wait(timeout: float) -> str:
    """Wait until the machine's Incus is set up, saying what is seen; return its trust token."""
    begun = time.monotonic()
    shown = 0
    due = begun + _PROGRESS_EVERY
    while True:
        lines = [line for line in console().splitlines(keepends=True) if line.endswith("\n")]
        for line in lines[shown:]:
            # The firmware's last words have no end of line.
            if SAYS in line and TOKEN not in line:
                _say_after(begun, line.rpartition(SAYS)[2])
                due = time.monotonic() + _PROGRESS_EVERY
        shown = len(lines)
        text = "".join(lines)
        if READY in text and (token := re.search(rf"^{TOKEN}(\S+)$", text, re.MULTILINE)):
            return token[1]
        if pid() is None:
            raise Failure(f"the machine ended; its console's last lines:\n{tail()}")
        now = time.monotonic()
        if now - begun > timeout:
            raise Failure(
                f"the machine is not ready after {elapsed(timeout)}; "
                f"its console's last lines:\n{tail()}"
            )
        if now > due:
            last = (tail(1) or "nothing on its console yet").replace(TOKEN, "")
            _say_after(begun, f"console: {last}")
            due = now + _PROGRESS_EVERY
        time.sleep(0.5)


def new_token() -> str:
    """Return another trust token of the machine's Incus. Each can be used once."""
    code, output = execute(f"incus config trust add {CLIENT} --quiet | tail -1")
    if code != 0:
        raise Failure(f"its Incus creates no trust token: {output.strip()}")
    return output.strip()


def tail(lines: int = 15) -> str:
    """Return the last lines of its first serial line, without the token."""
    kept = [line for line in console().splitlines() if line.strip() and TOKEN not in line]
    return "\n".join(kept[-lines:])


def remove() -> None:
    """End the machine and remove its files."""
    number = pid()
    if number is not None:
        run(as_root(["kill", "-TERM", str(number)]))
        deadline = time.monotonic() + 20
        while pid() is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        if pid() is not None:
            run(as_root(["kill", f"-{int(signal.SIGKILL)}", str(number)]))
    run(as_root(["rm", "-rf", str(folder())]))


@contextlib.contextmanager
def shell(timeout: float = 10.0) -> Iterator[socket.socket]:
    """Connect to the root shell on the second serial line; one connection at a time is served."""
    if pid() is None:
        raise Failure("the machine does not run; `python3 dev vm-lab up` starts it")
    # A socket's path has 107 bytes at most, which a home directory may take up.
    with _beside(folder()), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect("shell.sock")
        yield connection


def execute(command: str, timeout: float = 120.0) -> tuple[int, str]:
    """Run a shell command as root in the machine; return its exit code and its output."""
    mark = secrets.token_hex(6)
    encoded = base64.b64encode(command.encode()).decode()
    # The terminal shows what is typed; the marks in it are cut in two, so that it is not taken for
    # the output.
    typed = (
        f"printf '\\n%s%s\\n' {mark} begin; "
        f'sh -c "$(echo {encoded} | base64 -d)" 2>&1 </dev/null; '
        f"printf '\\n%s%s %d\\n' {mark} end $?\n"
    )
    pattern = re.compile(
        rf"{mark}begin\r?\n(?P<output>.*?)\r?\n{mark}end (?P<code>\d+)\r?\n", re.DOTALL
    )
    with shell() as connection:
        # An unfinished line of an earlier user is dropped: to its beginning, and delete to its end.
        connection.sendall(b"\x01\x0b" + typed.encode())
        text = _read_until(connection, lambda seen: pattern.search(seen) is not None, timeout)
    match = pattern.search(text)
    if match is None:
        raise Failure(f"`{command}` did not end in the machine within {elapsed(timeout)}")
    return int(match["code"]), match["output"].replace("\r\n", "\n")


def _read_until(connection: socket.socket, enough: Callable[[str], bool], timeout: float) -> str:
    data = b""
    deadline = time.monotonic() + timeout
    connection.settimeout(0.5)
    while not enough(text := data.decode(errors="replace")):
        if time.monotonic() > deadline:
            break
        with contextlib.suppress(TimeoutError):
            if not (part := connection.recv(65536)):
                raise Failure("the machine ended meanwhile")
            data += part
    return text


@contextlib.contextmanager
def _beside(place: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


def _say_after(begun: float, text: str) -> None:
    say(f"    {elapsed(time.monotonic() - begun):>12}  {text.strip()[:100]}")


def _free_port() -> int:
    for number in range(_FIRST_PORT, _FIRST_PORT + 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # The emulator does not wait for a port that was in use a moment ago either.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", number))
            return number
    raise Failure(f"no free port on 127.0.0.1 from {_FIRST_PORT} on")
