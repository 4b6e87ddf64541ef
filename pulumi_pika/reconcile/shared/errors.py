"""Define the errors of applying a plan to a host."""

from typing import ClassVar

from ...errors import PikaError
from ...message_templates import (
    EXISTS,
    IN_USE,
    MISSING,
    OTHER_OWNER,
    TIMED_OUT,
    UNSUPPORTED,
)


class ReconcileError(PikaError):
    """Signal that a plan could not be applied to the host. The base of the errors below.

    The message is for the user.
    """


class InstanceExists(ReconcileError):
    """Signal that an instance of that name exists already; it was not changed."""

    default_code: ClassVar[str] = EXISTS


class InstanceGone(ReconcileError):
    """Signal that the instance to change no longer exists."""

    default_code: ClassVar[str] = MISSING


class ForeignInstance(ReconcileError):
    """Signal that the instance of that name is not the one that this resource created."""

    default_code: ClassVar[str] = OTHER_OWNER


class AdoptionRefused(ReconcileError):
    """Signal that an existing instance cannot be changed in place to match the plan.

    Nothing was changed.
    """


class ForeignVolume(ReconcileError):
    """Signal that a volume holds the data of another runtime; nothing was created."""

    default_code: ClassVar[str] = OTHER_OWNER


class VolumeElsewhere(ReconcileError):
    """Signal that a volume that would be created empty exists in another pool.

    Nothing was created.
    """

    default_code: ClassVar[str] = EXISTS


class SourceMissing(ReconcileError):
    """Signal that a mount's source is missing; nothing was created."""

    default_code: ClassVar[str] = MISSING


class PlacementError(ReconcileError):
    """Signal that the runtime cannot be placed: no pool or no profile."""


class PreflightFailed(ReconcileError):
    """Signal that what the runtime needs is missing on the host; nothing was created.

    The message lists everything that is missing.
    """

    default_code: ClassVar[str] = MISSING


class ReplacementFailed(ReconcileError):
    """Signal that a replacement cannot be carried out, or failed after the old instance's deletion.

    The message has which of the two happened, and how to continue.
    """


class Unsupported(ReconcileError):
    """Signal that the server is too old for the plan."""

    default_code: ClassVar[str] = UNSUPPORTED


class RestartRefused(ReconcileError):
    """Signal that a change needs a restart, and `allow_restart` does not allow it."""


class WaitFailed(ReconcileError):
    """Signal that the state that `wait_for` names was not reached."""

    default_code: ClassVar[str] = TIMED_OUT


class RuntimeFailed(ReconcileError):
    """Signal that a create, update or delete failed.

    The message lists what was undone and what was not.
    """


class VolumeExists(ReconcileError):
    """Signal that a volume of that name exists and has no owner; it was not changed."""

    default_code: ClassVar[str] = EXISTS


class VolumeGone(ReconcileError):
    """Signal that the volume to change, or to take a snapshot of, does not exist."""

    default_code: ClassVar[str] = MISSING


class VolumeRefused(ReconcileError):
    """Signal that a volume cannot be changed as requested; it was not changed."""


class VolumeInUse(ReconcileError):
    """Signal that a volume cannot be deleted because it is in use; it was not changed."""

    default_code: ClassVar[str] = IN_USE


class SnapshotExists(ReconcileError):
    """Signal that a snapshot of that name exists and this resource does not own it.

    The snapshot was not changed.
    """

    default_code: ClassVar[str] = EXISTS


class SnapshotMissing(ReconcileError):
    """Signal that the snapshot to restore does not exist; nothing was changed."""

    default_code: ClassVar[str] = MISSING


class RestoreRefused(ReconcileError):
    """Signal that a snapshot cannot be restored in the present situation; nothing was changed."""


class RestoreFailed(ReconcileError):
    """Signal that a restore failed halfway.

    The message has the state of the data and of the instances.
    """


class ObjectExists(ReconcileError):
    """Signal that a profile, project, network or pool of that name exists and has no owner.

    It was not changed.
    """


class ForeignObject(ReconcileError):
    """Signal that another resource owns the object of that name; it was not changed."""


class ObjectGone(ReconcileError):
    """Signal that the object to change no longer exists."""


class ObjectInUse(ReconcileError):
    """Signal that an object cannot be deleted or renamed because it is in use.

    It was not changed.
    """


class ObjectRefused(ReconcileError):
    """Signal that an object cannot be created or changed as requested.

    The message says what was undone.
    """
