"""The lab's outer machine: a Debian system with Incus, as a disk image that QEMU boots.

Its own kernel has what the lab needs and the machine at hand may lack: nested virtualisation and
vhost_vsock. Incus is Debian's, unchanged. At boot a script starts it, with a pool, a network and
the guest's image, and says on the first serial line how it is reached; the second one is a shell.
"""

from __future__ import annotations

from pathlib import Path

from dev.console import run
from dev.root import as_root
from dev.vm_lab_qemu import in_tools
from dev.vm_lab_tree import SERIES, digest, ensure, ensure_tree, lab, of_series, series

SUITE = "trixie"
MEMORY = 6144
"""MiB of the outer machine; its guests share them."""
ALIAS = "vm-lab/guest"
"""The alias of the guest's image."""
CLIENT = "vm-lab"
"""The name by which the outer machine's Incus knows the client that the token is for."""
BTRFS_POOL = "btrfs"
"""The pool of the driver btrfs, besides `default`, whose driver is dir."""
HTTPS_PORT = 8443
READY = "vm-lab: ready after "
TOKEN = "vm-lab: token "
SAYS = "vm-lab: "

_INCUS = {
    "6.0": ("incus", "incus-agent"),
    "7.0": tuple(
        f"{name}/{SUITE}-backports"
        for name in ("incus", "incus-agent", "incus-base", "incus-client")
    ),
}
"""The packages of each series."""
_PACKAGES = (
    "linux-image-amd64",
    "systemd-sysv",
    "udev",
    "kmod",
    "qemu-system-x86",
    "qemu-system-modules-spice",
    "qemu-utils",
    "ovmf",
    "virtiofsd",
    # What Incus runs: for bridges with DHCP, images, pools.
    "attr",
    "btrfs-progs",
    "dnsmasq-base",
    "e2fsprogs",
    "gdisk",
    "iproute2",
    "procps",
    "rsync",
    "squashfs-tools",
    "xz-utils",
    # For the guest's image.
    "busybox-static",
)
# Signed programs for the guest's boot, fetched but not installed: their installation would look for
# the firmware of the machine at hand.
_SIGNED = ("shim-signed", "systemd-boot-efi-amd64-signed")
_FETCH_SIGNED = (
    'chroot "$1" sh -ec \'mkdir -p /srv/signed && cd /srv/signed && '
    f"apt-get download {' '.join(_SIGNED)} && "
    "for file in *.deb; do dpkg-deb -x $file . && rm $file; done'"
)
_SIZE = "24G"
# Debian starts Incus by these; the script below starts it instead, so that its log and its PATH are
# known. The serial lines are taken as well.
_OFF = (
    "incus.service",
    "incus.socket",
    "incus-user.service",
    "incus-user.socket",
    "incus-startup.service",
    "serial-getty@ttyS0.service",
    "serial-getty@ttyS1.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "dpkg-db-backup.timer",
)

_START = f"""\
#!/bin/sh
# Run once at boot; what it says goes to the first serial line.
exec >/dev/ttyS0 2>&1
# The kernel sends its messages there as well.
dmesg -n 1
up() {{ cut -d' ' -f1 /proc/uptime; }}
echo "{SAYS}booted after $(up) s"
# Emulated, these features of the virtualisation are slower than what stands in for them.
modprobe kvm-amd vgif=0 vls=0 avic=0 nested=0 2>/dev/null || modprobe kvm-intel nested=0
modprobe vhost_vsock
ls /dev/kvm /dev/vhost-vsock >/dev/null || echo "{SAYS}no /dev/kvm or no /dev/vhost-vsock"
for interface in /sys/class/net/e*; do
    ip link set ${{interface##*/}} up
    ip addr add 10.0.2.15/24 dev ${{interface##*/}}
done
ip link set lo up
tries=0
until incus query /1.0 2>/dev/null | grep -q '"driver": ".*qemu'; do
    # Incus looks at QEMU once, when it starts, and gives up soon: the first look, with nothing in
    # the page cache, can take longer than it waits.
    tries=$((tries + 1)); [ $tries -gt 5 ] && echo "{SAYS}Incus finds no QEMU" && exit 1
    [ $tries -gt 1 ] && echo "{SAYS}starting Incus again, since it found no QEMU in time"
    systemctl restart vm-lab-incus
    for second in $(seq 120); do incus query /1.0 >/dev/null 2>&1 && break; sleep 1; done
done
echo "{SAYS}Incus answers after $(up) s"
set -e
incus storage create default dir
incus storage create {BTRFS_POOL} btrfs size=6GiB
incus profile device add default root disk path=/ pool=default
incus network create incusbr0 ipv4.address=10.99.0.1/24 ipv4.nat=false ipv4.firewall=false \\
    ipv6.address=none ipv6.firewall=false
incus profile device add default eth0 nic network=incusbr0 name=eth0
incus image import /srv/guest.tar.gz --alias {ALIAS}
mkdir -p /srv/share && echo hello >/srv/share/greeting
incus config set core.https_address :{HTTPS_PORT}
echo "{TOKEN}$(incus config trust add {CLIENT} --quiet | tail -1)"
echo "{READY}$(up) s"
"""

_UNITS = {
    "vm-lab-incus.service": """\
[Service]
Environment=PATH=/usr/libexec/incus:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/usr/libexec/incus/incusd --group root --logfile /var/log/incus/incusd.log
KillMode=process
LimitNOFILE=1048576
LimitMEMLOCK=infinity
TasksMax=infinity
Delegate=yes
""",
    "vm-lab.service": """\
[Unit]
After=basic.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/srv/start
TimeoutStartSec=0
[Install]
WantedBy=multi-user.target
""",
    "vm-lab-shell.service": """\
[Unit]
After=basic.target
[Service]
Environment=HOME=/root TERM=linux
WorkingDirectory=/root
ExecStart=/bin/bash --norc -i
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
Restart=always
RestartSec=0
[Install]
WantedBy=multi-user.target
""",
}
_FILES = {
    "etc/hostname": "vm-lab\n",
    "etc/hosts": "127.0.0.1 localhost vm-lab\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 0\n",
    "srv/start": _START,
    **{f"etc/systemd/system/{name}": text for name, text in _UNITS.items()},
}


def root() -> Path:
    """Return the outer machine's system as a folder."""
    return of_series("outer-root")


def image() -> Path:
    """Return the outer machine's disk image, as it is before its first boot."""
    return of_series("outer.img")


def kernel() -> tuple[str, str]:
    """Return the paths of its kernel and initramfs, as they are in the system of the tools."""
    found = max((root() / "boot").glob("vmlinuz-*"))
    version = found.name.removeprefix("vmlinuz-")
    return f"/lab/{root().name}/boot/{found.name}", f"/lab/{root().name}/boot/initrd.img-{version}"


def ensure_root() -> str:
    """Unpack the outer machine's system unless it is there; return the digest of its inputs."""
    title = (
        f"Outer machine: a Debian {SUITE} with Incus {series()}, QEMU and a kernel (350 MB of "
        "packages)"
    )
    packages = (*_INCUS[series()], *_PACKAGES)
    others = [f"{SUITE}-backports"] if series() != SERIES[0] else []
    return ensure_tree(root(), SUITE, packages, title, [_FETCH_SIGNED], others)


def ensure_image(guest: Path, guest_key: str) -> None:
    """Make the outer machine's disk image unless it is there.

    Args:
        guest: the guest's image.
        guest_key: the digest of its inputs.
    """
    key = digest(ensure_root(), guest_key, _SIZE, _FILES, _OFF)
    ensure(image(), key, "Outer machine: making its disk image", lambda: _make(guest))


def _make(guest: Path) -> None:
    # The system of packages stays as it is: what is added to it is put into a copy, of hard links.
    copy = lab() / "outer-copy"
    own = lab() / "outer-files"
    run(as_root(["rm", "-rf", str(copy), str(own)]))
    own.mkdir(parents=True)
    for name, text in _FILES.items():
        path = own / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    units = own / "etc/systemd/system"
    wants = units / "multi-user.target.wants"
    wants.mkdir()
    for name, text in _UNITS.items():
        if "[Install]" in text:
            (wants / name).symlink_to(f"/etc/systemd/system/{name}")
    for name in _OFF:
        (units / name).symlink_to("/dev/null")
    script = f"""
        cp -al {root().name} {copy.name}
        # A file of the packages is not written through its hard link.
        cp -a --remove-destination --no-preserve=ownership {own.name}/. {copy.name}/
        cp {guest.name} {copy.name}/srv/guest.tar.gz
        mkdir -p {copy.name}/var/log/incus
        rm -f {image().name}.partial
        truncate -s {_SIZE} {image().name}.partial
        nice -n 19 mkfs.ext4 -q -E lazy_itable_init=1 -O ^has_journal \\
            -d {copy.name} {image().name}.partial
        rm -rf {copy.name} {own.name}
        mv {image().name}.partial {image().name}
    """
    run(in_tools("sh", "-ec", script))
