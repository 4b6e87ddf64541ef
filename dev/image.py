"""Build a tiny Incus container image from busybox, locally and without a download.

Process 1 of the image is a shell script. It exits immediately on Incus's stop signal (busybox's own
init takes three seconds). It runs `/etc/rc` if that exists, and runs a cloud-init user data script
(`#!...`) once, as cloud-init does. Equal inputs give equal bytes, and so an equal fingerprint.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

# Any fixed date is suitable: the fingerprint must not change between builds.
_CREATED = 1735689600

_DIRECTORIES = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "sbin": 0o755,
    "srv": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/lib": 0o755,
    "var/lib/cloud": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
    "workspace": 0o755,
}

_INIT = """\
#!/bin/sh
# Process 1. Leaving it ends the container, and everything in it, at once.
# First of all, since the kernel drops a signal for which process 1 has no handler yet.
trap 'echo "init: stopping"; exit 0' PWR TERM INT
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

ip link set lo up 2>/dev/null
if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    udhcpc -b -S -i eth0 -s /etc/udhcpc >/dev/null 2>&1 &
fi

boot() {
    [ -f /etc/rc ] && sh /etc/rc
    data=/var/lib/cloud/user-data
    if [ -s $data ] && [ ! -e $data.done ] && [ "$(head -c 2 $data)" = "#!" ]; then
        chmod 755 $data
        $data
        echo $? >$data.done
    fi
    echo "init: booted"
}

# In the background, so that the stop signal is never kept waiting.
boot </dev/null &

while :; do
    sleep 2147483647 &
    wait
done
"""

_UDHCPC = """\
#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev $interface
ip addr add $ip/$mask dev $interface
[ -n "$router" ] && ip route replace default via $router
exit 0
"""

_FILES = {
    "etc/group": ("root:x:0:\nnogroup:x:65534:\n", 0o644),
    "etc/hostname": ("pika\n", 0o644),
    "etc/hosts": ("127.0.0.1 localhost\n::1 localhost\n", 0o644),
    "etc/os-release": ('ID=pika\nNAME="pulumi_pika sandbox"\n', 0o644),
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        0o644,
    ),
    "etc/udhcpc": (_UDHCPC, 0o755),
    "sbin/init": (_INIT, 0o755),
}

_TEMPLATES = {
    "hostname.tpl": "{{ container.name }}\n",
    "hosts.tpl": "127.0.0.1 localhost {{ container.name }}\n::1 localhost\n",
    "user-data.tpl": '{{ config_get("cloud-init.user-data", "") }}',
}


def build(
    target: Path,
    busybox: Path,
    *,
    marker: str = "",
    more_files: Mapping[str, tuple[str, int]] | None = None,
) -> str:
    """Write the image to `target` and return its fingerprint.

    `busybox` must be statically linked. Images with different markers are different images for
    Incus. The marker is the content of `/etc/marker` in the image. `more_files` has the text and
    the mode of further files, by their path without the first slash.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # The image is not compressed, since it is unpacked for each instance.
    data = _tar(busybox, marker, more_files or {})
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(data)
    partial.replace(target)
    return hashlib.sha256(data).hexdigest()


def fingerprint(image: Path) -> str:
    """Return the fingerprint that Incus computes for this image."""
    with image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tar(busybox: Path, marker: str, more_files: Mapping[str, tuple[str, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add_file(tar, "metadata.yaml", _metadata().encode(), 0o644)
        _add_directory(tar, "templates", 0o755)
        for name, text in _TEMPLATES.items():
            _add_file(tar, f"templates/{name}", text.encode(), 0o644)
        _add_directory(tar, "rootfs", 0o755)
        for name, mode in _DIRECTORIES.items():
            _add_directory(tar, f"rootfs/{name}", mode)
        for name, (text, mode) in {**_FILES, **more_files}.items():
            _add_file(tar, f"rootfs/{name}", text.encode(), mode)
        if marker:
            _add_file(tar, "rootfs/etc/marker", marker.encode(), 0o644)
        _add_file(tar, "rootfs/bin/busybox", busybox.read_bytes(), 0o755)
        for applet in _applets(busybox):
            # Hard links, since hundreds of symbolic links take longer to create than the rest of
            # the image.
            link = tarfile.TarInfo(f"rootfs/bin/{applet}")
            link.type = tarfile.LNKTYPE
            link.linkname = "rootfs/bin/busybox"
            tar.addfile(link)
    return buffer.getvalue()


def _applets(busybox: Path) -> list[str]:
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    # "init" is omitted, since the image has its own.
    return sorted(set(listed.stdout.split()) - {"busybox", "init", "linuxrc"})


def _metadata() -> str:
    def template(name: str, *when: str) -> dict[str, object]:
        return {"when": list(when), "template": name}

    # JSON is also YAML, and the standard library can write it.
    return json.dumps(
        {
            "architecture": platform.machine(),
            "creation_date": _CREATED,
            "properties": {
                "description": "pulumi_pika sandbox (busybox)",
                "os": "busybox",
                "release": "sandbox",
            },
            "templates": {
                "/etc/hostname": template("hostname.tpl", "create", "copy", "rename"),
                "/etc/hosts": template("hosts.tpl", "create", "copy", "rename"),
                "/var/lib/cloud/user-data": template("user-data.tpl", "create", "copy"),
            },
        },
        indent=2,
    )


def _add_directory(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    entry.mode = mode
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    entry.mode = mode
    tar.addfile(entry, io.BytesIO(data))
