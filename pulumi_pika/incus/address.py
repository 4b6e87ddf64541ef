"""Find the socket of the local Incus daemon."""

import os
from collections.abc import Mapping
from pathlib import Path

from .errors import BadHostSettings, IncusUnreachable

# The directories of the packages of Debian, Ubuntu and Zabbly; then that of a user's own daemon.
USUAL_SOCKETS = (
    "/var/lib/incus/unix.socket",
    "/run/incus/unix.socket",
    "/var/lib/incus/unix.socket.user",
)


def find_socket(argument: str | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the unix socket to use: the argument, INCUS_SOCKET, INCUS_DIR, or a usual path.

    A path that is named is used whether it exists or not. So a mistyped path is reported, and no
    other daemon is used in its place. The variables are those of the `incus` client (Incus
    doc/environment.md).

    Raises:
        BadHostSettings: the argument is empty.
        IncusUnreachable: no path is named, and no usual path has a socket.
    """
    environ = os.environ if environ is None else environ
    if argument is not None:
        if not argument.strip():
            raise BadHostSettings("socket is empty: set the path of a unix socket, or remove it")
        return Path(argument)
    if socket := environ.get("INCUS_SOCKET"):
        return Path(socket)
    if directory := environ.get("INCUS_DIR"):
        return Path(directory, "unix.socket")
    for usual in USUAL_SOCKETS:
        if Path(usual).exists():
            return Path(usual)
    raise IncusUnreachable(
        "no Incus daemon found: INCUS_SOCKET and INCUS_DIR are not set, and none of these sockets "
        f"exists: {', '.join(USUAL_SOCKETS)}; start Incus, or set INCUS_SOCKET to its unix socket",
        sent=False,
    )
