"""Clients of the hosts, one for each socket of a provider process, so that connections are kept."""

import threading

from ..incus.address import find_socket
from ..incus.client import IncusClient

_lock = threading.Lock()
_clients: dict[str, IncusClient] = {}


def client_for(project: str) -> IncusClient:
    """The client of the host that the environment names, in an Incus project.

    Raises:
        IncusUnreachable: no host is named and none is found.
    """
    socket = str(find_socket())
    with _lock:
        if socket not in _clients:
            _clients[socket] = IncusClient(socket)
        return _clients[socket].in_project(project)
