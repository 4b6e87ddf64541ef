"""List the operations that a server is running."""

from .client import IncusClient


def operations_at(client: IncusClient, path: str) -> list[str]:
    """Return the ids of the operations that are running on the object at a path."""
    by_status = client.get("/1.0/operations", recursion="1").data
    return [
        str(operation.get("id", ""))
        for operation in by_status.get("running") or ()
        if any(
            str(resource).partition("?")[0] == path
            for resources in (operation.get("resources") or {}).values()
            for resource in resources or ()
        )
    ]


def operations_of(client: IncusClient, description: str) -> list[str]:
    """Return the ids of the running operations of one kind.

    Args:
        client: a client in the project of the operations.
        description: the description of the kind, such as `Downloading image`.
    """
    by_status = client.get("/1.0/operations", recursion="1").data
    return [
        str(operation.get("id", ""))
        for operation in by_status.get("running") or ()
        if operation.get("description") == description
    ]
