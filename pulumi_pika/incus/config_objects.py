"""Fetch, create, change, rename and delete Incus's own objects: profiles, projects, networks and
storage pools."""

from typing import Any

from .client import Entity, IncusClient, url
from .errors import NotFound, PlaceMissing


def get_object(client: IncusClient, collection: str, name: str) -> Entity | None:
    """Return an object, or None.

    Args:
        client: a client in the object's project.
        collection: the last part of the collection's path, such as `profiles`.
        name: the object's name.

    Raises:
        PlaceMissing: the project of the object does not exist.
    """
    try:
        return client.get(url(collection, name))
    except NotFound as error:
        # A missing project is a 404 too, with its own text (Incus 6.0.4, 7.3).
        if collection != "projects" and "project not found" in error.reason.lower():
            raise PlaceMissing(
                f"project {client.project} does not exist at {client.host}; see `incus project "
                f"list` (Incus answered {error.status}: {error.reason})",
                status=error.status,
                reason=error.reason,
            ) from error
        return None


def list_objects(client: IncusClient, collection: str) -> list[dict[str, Any]]:
    """Return all objects of a collection that this client may see, as the server shows them."""
    listed = client.get_list(url(collection), recursion="1")
    return [data for data in listed if isinstance(data, dict)]


def create_object(
    client: IncusClient,
    collection: str,
    body: dict[str, Any],
    *,
    target: str = "",
    timeout: float = 300.0,
) -> None:
    """Create an object.

    Args:
        client: a client in the object's project.
        collection: the last part of the collection's path.
        body: the object, with its `name`.
        target: the cluster member for which the object is only prepared; empty to create it.
        timeout: how long Incus may take, in seconds. Default: 300.

    Raises:
        AlreadyExists: an object of that name exists.
    """
    params = {"target": target} if target else {}
    _send(client, "POST", url(collection), body, params=params, timeout=timeout)


def replace_object(
    client: IncusClient, collection: str, name: str, body: dict[str, Any], *, etag: str
) -> None:
    """Replace everything of an object that can be changed.

    A PUT is used, since a PATCH of a project drops all config keys that it does not name (Incus
    7.3, `projectPatch`).

    Args:
        client: a client in the object's project.
        collection: the last part of the collection's path.
        name: the object's name.
        body: its whole content.
        etag: the ETag of the object when it was read.

    Raises:
        PreconditionFailed: the object was changed in the meantime.
    """
    _send(client, "PUT", url(collection, name), body, etag=etag)


def rename_object(client: IncusClient, collection: str, name: str, to: str) -> None:
    """Rename an object.

    Args:
        client: a client in the object's project.
        collection: the last part of the collection's path.
        name: the present name.
        to: the new name.
    """
    _send(client, "POST", url(collection, name), {"name": to})


def delete_object(
    client: IncusClient, collection: str, name: str, *, timeout: float = 300.0
) -> None:
    """Delete an object that is not in use.

    Args:
        client: a client in the object's project.
        collection: the last part of the collection's path.
        name: the object's name.
        timeout: how long Incus may take, in seconds. Default: 300.
    """
    _send(client, "DELETE", url(collection, name), timeout=timeout)


def _send(
    client: IncusClient,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    etag: str = "",
    params: dict[str, str] | None = None,
    timeout: float = 120.0,
) -> None:
    # Some versions of Incus do the work before they reply, others in an operation.
    operation = client.send_change(method, path, body, etag=etag, params=params, timeout=timeout)
    if operation:
        client.wait(operation, timeout=timeout, what=f"{method} {path}")
