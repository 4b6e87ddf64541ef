"""Fetch, create, change, restore and delete custom volumes and their snapshots."""

from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from ..message_templates import missing
from .client import Entity, IncusClient, OnProgress, url
from .errors import NotFound, PlaceMissing


def get_volume(client: IncusClient, pool: str, name: str) -> Entity | None:
    """Return the custom volume, or None.

    Raises:
        PlaceMissing: the pool or the project does not exist.
    """
    try:
        return client.get(volume_url(pool, name))
    except NotFound as error:
        _refuse_missing_place(client, pool, error)
        return None


def _refuse_missing_place(client: IncusClient, pool: str, error: NotFound) -> None:
    """Distinguish a missing volume or snapshot from a missing pool or project, which is 404 too."""
    reason = error.reason.lower()
    if "volume" in reason:
        return
    if "project" in reason:
        thing, command = f"project {client.project}", "incus project list"
    elif "pool" in reason:
        thing, command = f"storage pool {pool}", "incus storage list"
    else:
        raise error
    place = f"at {client.host} (Incus answered {error.status}: {error.reason})"
    text = missing(thing, place, f"`{command}` shows what exists")
    raise PlaceMissing(text, status=error.status, reason=error.reason) from error


def list_volumes(client: IncusClient) -> list[tuple[str, str]]:
    """Return pool and name of each custom volume of the client's project.

    Raises:
        Unauthorised: the client may not list them.
    """
    if client.server().has(_ALL_VOLUMES):
        paths = client.get_list(url("storage-volumes", "custom"))
    else:
        pools = [
            path.rpartition("/")[2] for path in map(str, client.get_list("/1.0/storage-pools"))
        ]
        paths = [
            path
            for pool in pools
            for path in client.get_list(url("storage-pools", unquote(pool), "volumes", "custom"))
        ]
    found = []
    for path in paths:
        # /1.0/storage-pools/POOL/volumes/custom/NAME, with the project or member in the query
        steps = [unquote(step) for step in urlsplit(str(path)).path.split("/") if step]
        found.append((steps[2], steps[-1]))
    return found


def list_all_volumes(client: IncusClient) -> list[tuple[str, str, str]]:
    """Return project, pool and name of the custom volumes of all projects.

    The result is empty if the server is too old to list them.

    Raises:
        Unauthorised: the client may not list them.
    """
    if not client.server().has(_ALL_PROJECTS):
        return []
    found = []
    for listed in map(str, client.get_list("/1.0/storage-pools")):
        pool = unquote(listed.rpartition("/")[2])
        path = url("storage-pools", pool, "volumes", "custom")
        # Only the names: listing the users of a volume costs the server 5 ms for each. Incus
        # refuses a project beside all-projects.
        for volume in client.get_list(path, **{"all-projects": "true", "project": ""}):
            parts = urlsplit(str(volume))
            steps = [unquote(step) for step in parts.path.split("/") if step]
            project = parse_qs(parts.query).get("project", ["default"])[0]
            if len(steps) == 6:  # The path of a snapshot has more steps.
                found.append((project, pool, steps[-1]))
    return found


def list_pool_volumes(client: IncusClient, pool: str) -> list[dict[str, Any]]:
    """Return the custom volumes of a pool, each as the server shows it."""
    path = url("storage-pools", pool, "volumes", "custom")
    listed = client.get_list(path, recursion="1")
    return [data for data in listed if isinstance(data, dict) and "/" not in str(data.get("name"))]


def rename_volume(client: IncusClient, pool: str, name: str, to: str) -> None:
    """Rename a custom volume.

    Incus changes the devices of stopped instances with it, which takes 6.0.4 half a minute.

    Args:
        client: a client in the object's project.
        pool: the storage pool.
        name: the volume's name.
        to: the new name.

    Raises:
        IncusApiError: a running instance uses the volume.
    """
    operation = client.send_change("POST", volume_url(pool, name), {"name": to}, timeout=300.0)
    if operation:
        client.wait(operation, timeout=300.0, what=f"renaming the volume {name}")


def create_volume(
    client: IncusClient,
    pool: str,
    name: str,
    *,
    description: str,
    config: dict[str, str],
    content_type: str = "filesystem",
) -> None:
    """Create an empty custom volume.

    Args:
        client: a client in the object's project.
        pool: the storage pool.
        name: the volume's name.
        description: its description.
        config: its config.
        content_type: `filesystem` or `block`. Default: `filesystem`.

    Raises:
        AlreadyExists: a volume of that name exists.
    """
    body: dict[str, Any] = {
        "name": name,
        "type": "custom",
        "content_type": content_type,
        "description": description,
        "config": config,
    }
    client.send_change("POST", url("storage-pools", pool, "volumes", "custom"), body, timeout=120.0)


def patch_volume(
    client: IncusClient,
    pool: str,
    name: str,
    *,
    description: str,
    config: dict[str, str],
    etag: str = "",
) -> None:
    """Merge `config` by key (``""`` unsets) and set the description.

    Incus clears the description if a PATCH has none. The ETag covers name, type and config, and not
    the description (Incus cmd/incusd/storage_volumes.go).

    Args:
        client: a client in the object's project.
        pool: the storage pool.
        name: the volume's name.
        description: its description.
        config: the keys to merge.
        etag: the ETag; the request is refused if it no longer matches. Empty: no check.
    """
    body = {"description": description, "config": config}
    client.send_change("PATCH", volume_url(pool, name), body, etag=etag, timeout=120.0)


def delete_volume(client: IncusClient, pool: str, name: str, *, timeout: float = 120.0) -> None:
    """Delete a custom volume that is not in use, with its snapshots.

    Args:
        client: a client in the object's project.
        pool: the storage pool.
        name: the volume's name.
        timeout: how long Incus may take, in seconds. Default: 120.

    Raises:
        BadRequest: it is in use, if only by a stopped instance or a profile.
    """
    client.send_change("DELETE", volume_url(pool, name), timeout=timeout)


def restore_volume(
    client: IncusClient,
    pool: str,
    name: str,
    snapshot: str,
    *,
    description: str,
    config: dict[str, str],
    etag: str,
    timeout: float,
) -> None:
    """Replace the contents of the volume by those of a snapshot, and then set its config.

    This is one request, which the server answers at the end. The config of a snapshot is not
    restored; `config` replaces the volume's whole config, and only if the restore succeeded.

    Args:
        client: a client in the object's project.
        pool: the storage pool.
        name: the volume's name.
        snapshot: the snapshot's name.
        description: the volume's description afterwards.
        config: the volume's config afterwards.
        etag: the ETag of the volume when it was read; empty for no check.
        timeout: how long to wait for the reply, in seconds.
    """
    body = {"restore": snapshot, "description": description, "config": config}
    client.send_change("PUT", volume_url(pool, name), body, etag=etag, timeout=timeout)


def pool_driver(client: IncusClient, pool: str) -> str:
    """Return the storage driver of a pool: dir, zfs, btrfs, lvm, ..."""
    return str(client.get(url("storage-pools", pool)).data.get("driver", ""))


def volume_url(pool: str, name: str) -> str:
    """Return the path of a custom volume."""
    return url("storage-pools", pool, "volumes", "custom", name)


def snapshot_url(pool: str, volume: str, name: str) -> str:
    """Return the path of a custom volume's snapshot."""
    return url("storage-pools", pool, "volumes", "custom", volume, "snapshots", name)


def get_snapshot(client: IncusClient, pool: str, volume: str, name: str) -> Entity | None:
    """Return a snapshot of a custom volume; None if the snapshot or the volume is missing.

    Raises:
        PlaceMissing: the pool or the project does not exist.
    """
    try:
        return client.get(snapshot_url(pool, volume, name))
    except NotFound as error:
        _refuse_missing_place(client, pool, error)
        return None


def list_snapshots(client: IncusClient, pool: str, volume: str) -> list[dict[str, Any]]:
    """Return the snapshots of a custom volume, the oldest first.

    Their names are without the volume's name.
    """
    path = url("storage-pools", pool, "volumes", "custom", volume, "snapshots")
    found = [data for data in client.get_list(path, recursion="1") if isinstance(data, dict)]
    for data in found:
        data["name"] = str(data.get("name", "")).rpartition("/")[2]
    return sorted(found, key=lambda data: str(data.get("created_at", "")))


def create_snapshot(
    client: IncusClient, pool: str, volume: str, name: str, expires_at: str | None
) -> str:
    """Start a snapshot, which copies the volume's config and description.

    Args:
        client: the client.
        pool: the pool.
        volume: the volume.
        name: the snapshot's name.
        expires_at: when it is deleted, as RFC 3339; `NEVER`, or None for the default, the volume's
            `snapshots.expiry`.

    Returns:
        The id of the operation.
    """
    body = {"name": name, "expires_at": expires_at}
    path = url("storage-pools", pool, "volumes", "custom", volume, "snapshots")
    return client.send_change("POST", path, body)


def patch_snapshot(
    client: IncusClient,
    pool: str,
    volume: str,
    name: str,
    *,
    description: str,
    expires_at: str,
    etag: str,
) -> None:
    """Set description and expiry, the only values of a snapshot that can be changed.

    Args:
        client: a client in the object's project.
        pool: the storage pool.
        volume: the volume's name.
        name: the snapshot's name.
        description: its description.
        expires_at: when it is deleted, as RFC 3339, or `NEVER`.
        etag: the ETag; the request is refused if it no longer matches. Empty: no check.
    """
    body = {"description": description, "expires_at": expires_at}
    client.send_change("PUT", snapshot_url(pool, volume, name), body, etag=etag)


def delete_snapshot(
    client: IncusClient,
    pool: str,
    volume: str,
    name: str,
    *,
    timeout: float,
    on_progress: OnProgress | None = None,
) -> None:
    """Delete a snapshot.

    Args:
        client: a client in the object's project.
        pool: the storage pool.
        volume: the volume's name.
        name: the snapshot's name.
        timeout: how long to wait for the operation, in seconds.
        on_progress: see `IncusClient.wait`.
    """
    path = snapshot_url(pool, volume, name)
    client.run("DELETE", path, timeout=timeout, on_progress=on_progress)


_ALL_PROJECTS: Final = "storage_volumes_all_projects"
_ALL_VOLUMES: Final = "storage_volumes_all"

NEVER: Final = "0001-01-01T00:00:00Z"
"""The expiry of a snapshot that does not expire (Go's zero time)."""
