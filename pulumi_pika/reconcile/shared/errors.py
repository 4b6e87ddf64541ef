"""Define the errors of bringing a host to a plan."""

from ...errors import PikaError


class ReconcileError(PikaError):
    """Signal that the host could not be brought to the plan. The base of the errors below.

    The message is for the user.
    """


class InstanceExists(ReconcileError):
    """Signal that an instance of that name exists already; it was not changed."""


class InstanceGone(ReconcileError):
    """Signal that the instance to change no longer exists."""


class ForeignInstance(ReconcileError):
    """Signal that the instance of that name is not the one that this resource created."""


class AdoptionRefused(ReconcileError):
    """Signal that an existing instance cannot be changed in place to match the plan.

    Nothing was changed.
    """


class ForeignVolume(ReconcileError):
    """Signal that a volume holds the data of another runtime; nothing was created."""


class VolumeElsewhere(ReconcileError):
    """Signal that a volume that would be created empty exists in another pool.

    Nothing was created.
    """


class SourceMissing(ReconcileError):
    """Signal that a mount's source is missing; nothing was created."""


class PlacementError(ReconcileError):
    """Signal that the runtime cannot be placed: no pool or no profile."""


class PreflightFailed(ReconcileError):
    """Signal that what the runtime needs is missing on the host; nothing was created.

    The message lists everything that is missing.
    """


class ReplacementFailed(ReconcileError):
    """Signal that a replacement cannot be carried out, or failed after the old instance's deletion.

    The message says which of the two, and how to go on.
    """


class Unsupported(ReconcileError):
    """Signal that the server is too old for the plan."""


class RestartRefused(ReconcileError):
    """Signal that a change needs a restart, and `allow_restart` does not allow it."""


class WaitFailed(ReconcileError):
    """Signal that the state that `wait_for` names was not reached."""


class RuntimeFailed(ReconcileError):
    """Signal that a create, update or delete failed.

    The message says what was undone and what was not.
    """


class VolumeExists(ReconcileError):
    """Signal that a volume of that name exists and has no owner; it was not changed."""


class VolumeGone(ReconcileError):
    """Signal that the volume to change, or to take a snapshot of, does not exist."""


class VolumeRefused(ReconcileError):
    """Signal that a volume cannot be changed as requested; it was not changed."""


class VolumeInUse(ReconcileError):
    """Signal that a volume cannot be deleted because it is in use; it was not changed."""


class SnapshotExists(ReconcileError):
    """Signal that a snapshot of that name exists and this resource does not own it.

    The snapshot was not changed.
    """


class SnapshotMissing(ReconcileError):
    """Signal that the snapshot to restore does not exist; nothing was changed."""


class RestoreRefused(ReconcileError):
    """Signal that a snapshot cannot be restored in the present situation; nothing was changed."""


class RestoreFailed(ReconcileError):
    """Signal that a restore failed halfway.

    The message says what became of the data and of the instances.
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
