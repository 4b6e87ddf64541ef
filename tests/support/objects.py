"""What the tests of profiles, projects, networks and pools build and look at."""

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest

from dev.rest import ApiError
from dev.sandbox import Daemon

from ..conftest import IMAGE, Sandbox, sweep

LABEL = ("user.pika.owner", "user.pika.backend", "user.pika.generation", "user.pika.adopted")


def sweep_objects(daemon: Daemon, prefix: str) -> None:
    """Removes the objects whose names begin with a prefix, and what is in them."""
    sweep(daemon, prefix)
    for collection in ("profiles", "projects", "networks", "storage-pools"):
        for path in daemon.request("GET", f"/{collection}"):
            thing = path.partition("?")[0].rpartition("/")[2]
            if thing.startswith(prefix):
                _remove(daemon, collection, thing)


def _remove(daemon: Daemon, collection: str, thing: str) -> None:
    if collection == "projects":
        sweep(daemon, "", thing)
        for path in daemon.request("GET", f"/profiles?project={thing}"):
            profile = path.partition("?")[0].rpartition("/")[2]
            if profile != "default":
                daemon.request("DELETE", f"/profiles/{profile}?project={thing}")
    with contextlib.suppress(ApiError):
        daemon.request("DELETE", f"/{collection}/{thing}")


def shown(sandbox: Sandbox, collection: str, name: str, project: str = "default") -> dict[str, Any]:
    """An object as the server shows it."""
    found: dict[str, Any] = sandbox.daemon.request("GET", f"/{collection}/{name}?project={project}")
    return found


def edit(
    sandbox: Sandbox,
    collection: str,
    name: str,
    *,
    project: str = "default",
    config: Mapping[str, str | None] | None = None,
    **more: Any,
) -> None:
    """Changes an object as another client would; None takes a config key away."""
    data = shown(sandbox, collection, name, project)
    merged = {**data["config"], **(config or {})}
    body = {
        "description": data["description"],
        "config": {key: value for key, value in merged.items() if value is not None},
        **({"devices": data["devices"]} if "devices" in data else {}),
        **more,
    }
    sandbox.daemon.request("PUT", f"/{collection}/{name}?project={project}", body)


def there(sandbox: Sandbox, collection: str, name: str, project: str = "default") -> bool:
    try:
        shown(sandbox, collection, name, project)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def instance(sandbox: Sandbox, name: str, *profiles: str, project: str = "default") -> None:
    """A container that does not run."""
    body = {
        "name": name,
        "type": "container",
        "profiles": list(profiles),
        "devices": {"root": {"type": "disk", "path": "/", "pool": "default"}},
        "source": {"type": "image", "alias": IMAGE},
    }
    sandbox.daemon.request("POST", f"/instances?project={project}", body)


def require_bridges(sandbox: Sandbox) -> None:
    """Skips a test of bridges where the server finds no program for the host's firewall.

    Incus 6.0 of Debian needs iptables or nft, which it does not bring along.
    """
    body = {"name": "tprobe", "config": {"ipv4.address": "none", "ipv6.address": "none"}}
    try:
        sandbox.daemon.request("POST", "/networks", body)
    except ApiError as error:
        if "executable file not found" not in str(error):
            raise
        pytest.skip(f"this host can have no bridges: {error}")
    sandbox.daemon.request("DELETE", "/networks/tprobe")
