"""Record killed creates on this machine, so that a later `pulumi destroy` can warn about them.

Pulumi calls no provider for a create whose end it did not see. After `pulumi cancel`, a destroy
leaves the instance and its volumes, and reports success. So each create writes a note to a folder
of the user, and locks it until the create ends. A note without a lock belongs to a killed create.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ..incus.client import IncusClient
from ..incus.errors import IncusError
from ..incus.storage import get_volume
from ..reconcile.instances.data_volumes import own_volumes
from ..reconcile.instances.lifecycle import fetch_instance
from ..reconcile.shared.ownership import OWNER_KEY
from ..reconcile.shared.reporter import Reporter
from ..validation.plan_inputs import PlannedInputs
from .engine_watch import (
    EngineGone,
    calls,
    is_watched,
)
from .host_connection import client_for
from .instance_inputs import InstanceInputs

_NAMES: Final = ("identity", "incus", "mounts", "storage_pool")
"""The inputs whose names a note contains."""


@dataclass(frozen=True, slots=True)
class _Note:
    """What a create may leave on a host."""

    owner: str
    host: str
    project: str
    instance: str
    volumes: list[str]


_lock = threading.Lock()
_warned: set[str] = set()


@contextmanager
def record_create(client: IncusClient, new: InstanceInputs) -> Iterator[None]:
    """Keep a note of the create of a runtime, during the create and after it was killed.

    No note is written without an engine, for secret names, or if the folder is not writable.
    """
    owner = new.planned.options.owner
    secret = any(path[0] in _NAMES for path in new.hidden.secret)
    file = None if secret or not owner or not is_watched() else _write_note(client, new.planned)
    try:
        yield
    except (Exception, EngineGone):
        # The create is undone, or the error names what is left.
        _remove(file)
        raise
    else:
        # If the engine has ended, the state does not contain what was created.
        if not calls.closed:
            _remove(file)
    finally:
        if file is not None:
            os.close(file[1])


def warn_of_unfinished(owner: str, reporter: Reporter) -> None:
    """Warn, once per process, about what killed creates of a stack left on the host.

    Args:
        owner: The URN of a resource of the stack.
        reporter: Receives the warning.
    """
    # urn:pulumi:STACK::PROJECT::TYPE::NAME
    stack = "::".join(owner.split("::")[:2]) + "::"
    with _lock, suppress(OSError, IncusError):
        for path in sorted(_folder().glob("*.json")):
            note = _abandoned(path)
            if note is None or not note.owner.startswith(stack) or path.name in _warned:
                continue
            client = client_for(note.project)
            if client.host != note.host:
                continue
            left = _left(client, note)
            if not left:
                path.unlink(missing_ok=True)
                continue
            _warned.add(path.name)
            things = ", ".join(what for what, _ in left)
            commands = "; ".join(f"`{command}`" for _, command in left)
            reporter.warn(
                f"the create of {note.owner} was killed and left these objects at {client.host}: "
                f"{things}. `pulumi destroy` does not delete them, unless `pulumi stack "
                "--show-urns` lists that URN. To finish the create, run `pulumi up`. To delete the "
                f"objects with all their data, run {commands}"
            )


def _folder() -> Path:
    home = Path(os.environ["HOME"]) if os.environ.get("HOME") else Path.home()
    state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state")
    return state / "pulumi_pika" / "creates"


def _write_note(client: IncusClient, examined: PlannedInputs) -> tuple[Path, int] | None:
    """Return the path of the note and its open, locked file."""
    plan = examined.plan
    note = _Note(
        owner=examined.options.owner,
        host=client.host,
        project=client.project,
        instance=plan.identity.instance_name,
        volumes=own_volumes(plan),
    )
    name = hashlib.sha256(f"{note.owner} {client.host}".encode()).hexdigest()[:32]
    path = _folder() / f"{name}.json"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(file, json.dumps(asdict(note)).encode())
        return path, file
    return None


def _remove(note: tuple[Path, int] | None) -> None:
    if note is not None:
        with suppress(OSError):
            note[0].unlink(missing_ok=True)


def _abandoned(path: Path) -> _Note | None:
    """Return the content of a note that no create has locked; None if a create has locked it."""
    with suppress(OSError, ValueError, TypeError), path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return _Note(**json.load(file))
    return None


def _left(client: IncusClient, note: _Note) -> list[tuple[str, str]]:
    """Return what a create left on the host, each with the command that deletes it."""
    left = []
    at = f"--project {client.project}"
    live = fetch_instance(client, note.instance, inside=False)
    if live is not None and live.config.get(OWNER_KEY) == note.owner:
        left.append((f"instance {live.name}", f"incus delete --force {at} {live.name}"))
    pools = [str(path).rpartition("/")[2] for path in client.get_list("/1.0/storage-pools")]
    for name in note.volumes:
        for pool in pools:
            volume = get_volume(client, pool, name)
            if volume and volume.data["config"].get(OWNER_KEY) == note.owner:
                command = f"incus storage volume delete {at} {pool} {name}"
                left.append((f"volume {name} in pool {pool}", command))
    return left
