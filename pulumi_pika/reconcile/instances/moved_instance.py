"""Find an instance that another client moved to another Incus project, and advise on it."""

from ...incus.client import IncusClient
from ...incus.errors import NotFound
from .lifecycle import fetch_instance_by_uuid
from .live_instance import LiveInstance


def find_moved(client: IncusClient, uuid: str) -> LiveInstance | None:
    """Return the instance with an id in any other project that the client may see, or None.

    Args:
        client: a client in the project that the instance was in.
        uuid: the instance's own id, which it keeps when it is moved.
    """
    if not uuid:
        return None
    for path in client.get_list("/1.0/projects"):
        project = str(path).partition("?")[0].rpartition("/")[2]
        if project == client.project:
            continue
        try:
            live = fetch_instance_by_uuid(client.in_project(project), uuid)
        except NotFound:
            continue  # The project was deleted in the meantime.
        if live is not None:
            return live
    return None


def describe_moved(client: IncusClient, name: str, live: LiveInstance) -> str:
    """Return a sentence on an instance that is in another project than its resource."""
    back = f"incus move --project {live.project} {live.name} {name} --target-project "
    return (
        f"instance {name} was moved from project {client.project} to project {live.project}, "
        f"where its name is {live.name}. Set `incus.project` to {live.project}, or stop it and "
        f"move it back: `{back}{client.project}`"
    )
