"""The lab's guest image: Debian's kernel and the real incus-agent, in 30 MB.

It boots by the chain that Debian's signed kernel needs under secure boot: shim, systemd-boot, the
kernel. All else is an initramfs with busybox, so that a boot reads little: each block that is read,
and each character on the serial line, is an exit of two machines where the lab is emulated.
"""

from __future__ import annotations

import lzma
from pathlib import Path

from dev.console import Failure, run
from dev.root import as_root
from dev.vm_lab_outer import ensure_root, root
from dev.vm_lab_qemu import in_tools
from dev.vm_lab_tree import digest, ensure, lab, of_series

# In the order in which they are loaded; what depends on another one comes after it. Debian's kernel
# has built in what is missing here.
_MODULES = (
    "failover",
    "net_failover",
    "virtio_net",
    "evdev",
    "button",
    # By this the server takes memory back from a guest that runs.
    "virtio_balloon",
    "netfs",
    "9pnet",
    "9pnet_virtio",
    "9p",
    "vsock",
    "vmw_vsock_virtio_transport_common",
    "vmw_vsock_virtio_transport",
    # The root disk and block volumes, which Incus attaches by virtio-scsi.
    "scsi_common",
    "scsi_mod",
    "virtio_scsi",
    "crc16",
    "crc32c_generic",
    "crc32c-intel",
    "mbcache",
    "jbd2",
    "ext4",
    "sd_mod",
    "efivarfs",
)
_DIRECTORIES = (
    *("bin", "dev", "etc/acpi/PWRF", "etc/udhcpc", "lib/modules", "lib64", "mnt", "proc", "root"),
    *("run", "sbin", "srv", "sys", "tmp", "usr/bin", "usr/sbin", "var/lib", "workspace"),
)
_INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/virtio-ports
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
for module in /lib/modules/*.ko; do insmod $module 2>/dev/null; done
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
secure=$(tail -c 1 /sys/firmware/efi/efivars/SecureBoot-* | od -An -tu1 | tr -d ' ')
echo "guest: kernel $(uname -r), secure boot ${secure:-unknown}"
# The agent tells Incus by a named port that it is there; udev would name it.
for port in /sys/class/virtio-ports/*; do
    ln -sf /dev/${port##*/} /dev/virtio-ports/$(cat $port/name)
done
hostname guest
ip link set lo up
for interface in /sys/class/net/e*; do
    ip link set ${interface##*/} up 2>/dev/null
    udhcpc -b -S -i ${interface##*/} -s /etc/udhcpc/script >/dev/null 2>&1 &
done
acpid -d >/dev/null 2>&1 &
mkdir -p /run/incus_agent
mount -t 9p -o ro,access=0,trans=virtio config /mnt || mount -t virtiofs -o ro config /mnt
cp /mnt/* /run/incus_agent/ 2>/dev/null
umount /mnt
cd /run/incus_agent
[ -x ./incus-agent ] || cp /bin/incus-agent .
echo "guest: starting the agent"
while :; do
    ./incus-agent
    echo "guest: the agent ended with $?"
    sleep 1
done
"""
_FILES = {
    "init": _INIT,
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "etc/os-release": 'ID=vm-lab\nNAME="guest of the virtual machine lab"\n',
    # acpid of busybox runs this when the button is pressed, which is how Incus asks for a shutdown.
    "etc/acpi/PWRF/00000080": "#!/bin/sh\nsync\npoweroff -f\n",
    "etc/udhcpc/script": """\
#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev $interface
ip addr add $ip/$mask dev $interface
exit 0
""",
}
_OPTIONS = (
    "console=ttyS0 quiet loglevel=4 panic=5 mitigations=off nokaslr highres=off nohz=off "
    "no_timer_check tsc=reliable audit=0 lsm=capability random.trust_cpu=on"
)
_ESP = 128
"""MiB of the EFI partition; the image's disk has two more, for the tables before and after it."""
# The agent serves Incus's interface for guests at a socket, which busybox has no client for.
_SPEAKS_TO_SOCKETS = """\
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* unixcat SOCKET: standard input goes to the socket, what comes back to standard output. */
static void copy(int from, int to) {
    char buffer[4096];
    ssize_t count;
    while ((count = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, count) != count) break;
}

int main(int count, char **arguments) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int line = socket(AF_UNIX, SOCK_STREAM, 0);
    if (count != 2 || line < 0) return 2;
    strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
    if (connect(line, (struct sockaddr *)&address, sizeof address)) return 1;
    copy(0, line);
    copy(line, 1);
    return 0;
}
"""
_BUILD = f"""
gcc -static -O2 -s -o initramfs/bin/unixcat unixcat.c
rm -f esp.img disk.raw rootfs.img
truncate -s {_ESP}M esp.img
mkfs.vfat -n ESP esp.img >/dev/null
mmd -i esp.img ::EFI ::EFI/BOOT ::loader ::loader/entries
mcopy -i esp.img shim.efi ::EFI/BOOT/BOOTX64.EFI
# shim starts what has this name, whatever it is.
mcopy -i esp.img loader.efi ::EFI/BOOT/grubx64.efi
mcopy -i esp.img vmlinuz ::vmlinuz
(cd initramfs && find . | sort | cpio -o -H newc --quiet --reproducible | gzip -n -1) >initrd.gz
mcopy -i esp.img initrd.gz ::initrd.gz
printf 'timeout 0\\ndefault guest\\n' >loader.conf
printf 'title guest\\nlinux /vmlinuz\\ninitrd /initrd.gz\\noptions {_OPTIONS}\\n' >guest.conf
mcopy -i esp.img loader.conf ::loader/loader.conf
mcopy -i esp.img guest.conf ::loader/entries/guest.conf
truncate -s {_ESP + 2}M disk.raw
dd if=esp.img of=disk.raw bs=1M seek=1 conv=notrunc status=none
printf 'label: gpt\\nstart=2048, size={_ESP * 2048}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\\n' |
    sfdisk -q disk.raw
qemu-img convert -O qcow2 -c disk.raw rootfs.img
printf '%s' '{{"architecture": "x86_64", "creation_date": 1735689600, "properties": {{"description":
    "guest of the virtual machine lab", "os": "debian", "release": "vm-lab"}}}}' >metadata.yaml
tar -czf guest.tar.gz metadata.yaml rootfs.img
"""


def image() -> Path:
    """Return the guest's image, as `incus image import` takes it."""
    return of_series("guest.tar.gz")


def ensure_image() -> str:
    """Make the guest's image unless it is there; return the digest of its inputs."""
    key = digest(
        ensure_root(), _MODULES, _DIRECTORIES, _FILES, _OPTIONS, _BUILD, _SPEAKS_TO_SOCKETS
    )
    ensure(image(), key, "Guest: making its image", _make)
    return key


def _make() -> None:
    folder = lab() / "guest"
    run(as_root(["rm", "-rf", str(folder)]))
    initramfs = folder / "initramfs"
    for name in _DIRECTORIES:
        (initramfs / name).mkdir(parents=True)
    for name, text in _FILES.items():
        path = initramfs / name
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    (folder / "unixcat.c").write_text(_SPEAKS_TO_SOCKETS)
    busybox = _found("usr/bin/busybox", "bin/busybox")
    _copy(busybox, initramfs / "bin/busybox", 0o755)
    for applet in run([str(busybox), "--list"]).split():
        if applet != "busybox":
            (initramfs / "bin" / applet).symlink_to("busybox")
    _copy(
        _found("usr/bin/incus-agent", "usr/libexec/incus/incus-agent"),
        initramfs / "bin/incus-agent",
        0o755,
    )
    for number, module in enumerate(_MODULES):
        for found in (root() / "usr/lib/modules").rglob(f"{module}.ko.xz"):
            target = initramfs / "lib/modules" / f"{number:02}-{module}.ko"
            target.write_bytes(lzma.decompress(found.read_bytes()))
            break
        else:
            raise Failure(f"Debian's kernel has no module {module} any more")
    _copy(max((root() / "boot").glob("vmlinuz-*")), folder / "vmlinuz")
    signed = "srv/signed/usr/lib"
    _copy(_found(f"{signed}/shim/shimx64.efi.signed"), folder / "shim.efi")
    loader = f"{signed}/systemd/boot/efi/systemd-bootx64.efi.signed"
    _copy(_found(loader), folder / "loader.efi")
    run(in_tools("nice", "-n", "19", "sh", "-ec", _BUILD, folder="/lab/guest"))
    (folder / "guest.tar.gz").replace(image())
    run(as_root(["rm", "-rf", str(folder)]))


def _found(*names: str) -> Path:
    for name in names:
        if (root() / name).exists():
            return root() / name
    raise Failure(f"Debian's packages have no {' nor '.join(names)} any more")


def _copy(source: Path, target: Path, mode: int = 0o644) -> None:
    target.write_bytes(source.read_bytes())
    target.chmod(mode)
