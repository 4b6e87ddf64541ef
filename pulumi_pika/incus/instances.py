"""Fetch, create, change, start, stop and delete instances, and reach into their guests."""

import time
from contextlib import suppress
from typing import Any, Final

from .client import Entity, IncusClient, OnProgress, url
from .cluster import member_trouble
from .errors import IncusError, NotFound, ServerFailure, UnexpectedResponse
from .operations import operations_at
from .shapes import describe_mismatch

_NEEDED: Final = ("name", "type", "status", "config", "devices")
_SHOWN_WITHIN: Final = 30.0
"""How long Incus 6.0 may be unable to show a container that is stopping, in seconds.

Its state is the error "Invalid PID" then, usually for less than a second. If the guest ended just
when a file of it was first requested, the state lasts longer. Incus then waits until no file has
been requested for 10 to 20 s (6.0.4 `stopForkfile`). A cluster member that has just come back may
also refuse forwarded requests (6.0.4: "Server isn't ready yet").
"""
_LONGEST_TEXT: Final = 64 * 1024
"""How much of the output of a command is read, in bytes."""
_PASSES: Final = ("invalid pid", "isn't ready yet")


def get_instance(client: IncusClient, name: str, *, state: bool = True) -> Entity | None:
    """Return the instance, with its state if that is requested (one request), or None.

    Without the state, Incus 6.0.4 shows a container that is stopping as running.

    Args:
        client: a client in the object's project.
        name: the instance's name.
        state: whether the state is requested too. Default: True.

    Raises:
        MemberOffline: it is on a cluster member that does not reply.
    """
    deadline = time.monotonic() + _SHOWN_WITHIN
    while True:
        try:
            entity = client.get(url("instances", name), **({"recursion": "1"} if state else {}))
            if wrong := describe_mismatch(entity.data, needs=_NEEDED):
                raise UnexpectedResponse(
                    f"GET {url('instances', name)} ({client.host}): the reply is not valid: {wrong}"
                )
            return entity
        except NotFound:
            return None
        except ServerFailure as error:
            trouble = member_trouble(client, name, error)
            passes = any(text in error.reason.lower() for text in _PASSES)
            if trouble is not error or not passes or time.monotonic() > deadline:
                raise trouble from error
        time.sleep(0.1)


def find_instance(client: IncusClient, uuid: str) -> Entity | None:
    """Return the instance of this project with the id ``volatile.uuid``, or None."""
    # The server's own filter (doc/rest-api.md); an id has no characters with a meaning in it.
    found = client.get_list(
        "/1.0/instances", filter=f"config.volatile.uuid eq {uuid}", recursion="1"
    )
    names = [str(data.get("name")) for data in found if isinstance(data, dict)]
    return get_instance(client, names[0]) if len(names) == 1 else None


def rename_instance(client: IncusClient, name: str, new: str, *, timeout: float) -> None:
    """Rename a stopped instance.

    Args:
        client: a client in the object's project.
        name: the instance's name.
        new: the new name.
        timeout: how long to wait for the operation, in seconds.
    """
    client.run("POST", url("instances", name), {"name": new}, timeout=timeout)


def create_instance(client: IncusClient, body: dict[str, Any]) -> str:
    """Start the creation of an instance; return the id of the operation."""
    return client.send_change("POST", "/1.0/instances", body, params=client.placement)


def running_operations(client: IncusClient, name: str) -> list[str]:
    """Return the ids of the operations that are running on an instance."""
    return operations_at(client, url("instances", name))


def patch_instance(client: IncusClient, name: str, body: dict[str, Any], etag: str) -> None:
    """Merge a change into an instance.

    Config is merged by key (``""`` unsets), devices by name; profiles and description are replaced.

    Args:
        client: a client in the object's project.
        name: the instance's name.
        body: the changes.
        etag: the ETag; the request is refused if it no longer matches. Empty: no check.
    """
    client.send_change("PATCH", url("instances", name), body, etag=etag, timeout=120.0)


def replace_instance(
    client: IncusClient, name: str, body: dict[str, Any], etag: str, timeout: float
) -> None:
    """Replace the whole instance: whatever `body` omits is removed.

    Args:
        client: a client in the object's project.
        name: the instance's name.
        body: the whole instance.
        etag: the ETag; the request is refused if it no longer matches. Empty: no check.
        timeout: how long to wait for the operation, in seconds.
    """
    client.run("PUT", url("instances", name), body, etag=etag, timeout=timeout)


def set_power(
    client: IncusClient,
    name: str,
    action: str,
    *,
    timeout: float,
    grace: float = 0,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> None:
    """Start or stop an instance.

    Args:
        client: the client.
        name: the instance.
        action: ``start``, ``stop`` or ``restart``.
        timeout: how long to wait for the operation, in seconds.
        grace: how long the guest may take to shut down before the operation fails, in seconds.
        force: whether to kill it.
        on_progress: see `IncusClient.wait`.
    """
    body: dict[str, Any] = {"action": action, "force": force}
    if grace and not force:
        # Incus takes integers of seconds, and 0 for a kill.
        body["timeout"] = max(1, round(grace))
    path = url("instances", name, "state")
    client.run("PUT", path, body, timeout=timeout, on_progress=on_progress)


def delete_instance(client: IncusClient, name: str, *, timeout: float) -> None:
    """Delete a stopped instance.

    Args:
        client: a client in the object's project.
        name: the instance's name.
        timeout: how long to wait for the operation, in seconds.
    """
    client.run("DELETE", url("instances", name), timeout=timeout)


def push_guest_file(
    client: IncusClient,
    name: str,
    path: str,
    data: bytes,
    *,
    mode: str = "0600",
    user: int = 0,
    group: int = 0,
) -> None:
    """Write a file into the guest. Mode and owner apply only if the file does not exist yet.

    Args:
        client: a client in the object's project.
        name: the instance's name.
        path: the absolute path in the guest.
        data: the contents of the file.
        mode: the permissions, in octal digits. Default: 0600.
        user: the uid of the owner. Default: 0.
        group: the gid of the owner. Default: 0.

    Raises:
        NotFound: its directory does not exist.
        IncusApiError: the guest cannot be reached, for example a virtual machine without its agent.
    """
    client.send_change(
        "POST",
        url("instances", name, "files"),
        data=data,
        headers={
            "X-Incus-type": "file",
            "X-Incus-write": "overwrite",
            "X-Incus-mode": mode,
            "X-Incus-uid": str(user),
            "X-Incus-gid": str(group),
        },
        params={"path": path},
    )


def console_log(client: IncusClient, name: str) -> str:
    """Return the instance's console log; empty if the server keeps none."""
    reply = client.get_raw(url("instances", name, "console"))
    return reply.body.decode(errors="replace") if reply.status == 200 else ""


def start_exec(
    client: IncusClient, name: str, command: list[str], *, user: int = 0, group: int = 0
) -> str:
    """Start a command in the guest, and return the id of the operation.

    The server records its output.

    The command is visible in the operation, in the server's log and in its events: it must not
    contain secrets.

    Args:
        client: a client in the object's project.
        name: the instance's name.
        command: the command and its arguments.
        user: the uid under which it runs. Default: 0.
        group: the gid under which it runs. Default: 0.
    """
    body = {
        "command": command,
        "interactive": False,
        "wait-for-websocket": False,
        "record-output": True,
        "user": user,
        "group": group,
    }
    return client.send_change("POST", url("instances", name, "exec"), body)


def exec_output(name: str, operation: str, stream: str) -> str:
    """Return the path of the output of a command of `start_exec`, while it runs and afterwards.

    Args:
        name: the instance.
        operation: the id of the operation.
        stream: ``stdout`` or ``stderr``.
    """
    return url("instances", name, "logs", "exec-output", f"exec_{operation}.{stream}")


def exec_status(client: IncusClient, name: str, command: list[str], *, timeout: float) -> int:
    """Run a command in the guest, without its output, and return its exit status.

    Args:
        client: a client in the object's project.
        name: the instance's name.
        command: the command and its arguments.
        timeout: how long to wait for the command, in seconds.

    Use it only for commands that end at once: if no client reads the output of a command of a
    virtual machine, Incus 6.0.4 ends the command as soon as it has started, with the status -1.

    Raises:
        OperationFailed: the guest cannot be reached, or the command cannot be started.
    """
    body = {
        "command": command,
        "interactive": False,
        "wait-for-websocket": False,
        "record-output": False,
    }
    done = client.run("POST", url("instances", name, "exec"), body, timeout=timeout)
    status = done.get("return")
    return int(status) if isinstance(status, int | float) else -1


def exec_text(client: IncusClient, name: str, command: list[str], *, timeout: float) -> str:
    """Run a short command in the guest and return what it writes to standard output.

    The command is visible in the operation, in the server's log and in its events: it must not
    contain secrets.

    Args:
        client: a client in the instance's project.
        name: the instance.
        command: the program and its arguments.
        timeout: how long to wait for the command, in seconds.

    Raises:
        OperationFailed: the guest cannot be reached, or the command cannot be started.
        UnexpectedResponse: the command did not end with exit code 0.
    """
    operation = start_exec(client, name, command)
    what = f"`{' '.join(command)}` in {name}"
    try:
        done = client.wait(operation, timeout=timeout, what=what)
        if done.get("return") != 0:
            raise UnexpectedResponse(f"{what} ended with exit code {done.get('return')}")
        reply = client.get_raw(exec_output(name, operation, "stdout"), max_bytes=_LONGEST_TEXT)
        if reply.status != 200:
            raise UnexpectedResponse(f"{what}: the server did not keep its output")
        return reply.body.decode(errors="replace")
    finally:
        # The server stores the output as files of the instance, and does not delete them itself.
        for stream in ("stdout", "stderr"):
            with suppress(IncusError):
                client.send_change("DELETE", exec_output(name, operation, stream))
