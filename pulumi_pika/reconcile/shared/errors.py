"""What can go wrong while a host is brought to a plan."""

from ...errors import PikaError


class ReconcileError(PikaError):
    """Base: the host could not be brought to the plan. The message is for the user."""


class InstanceExists(ReconcileError):
    """There is an instance of that name already; nothing of it was touched."""


class InstanceGone(ReconcileError):
    """The instance that was to be changed is not there any more."""


class ForeignInstance(ReconcileError):
    """The instance of that name is not the one that this resource made."""


class AdoptionRefused(ReconcileError):
    """An existing instance cannot be brought to the plan in place; nothing of it was touched."""


class ForeignVolume(ReconcileError):
    """A volume holds the data of another runtime; nothing was made."""


class VolumeElsewhere(ReconcileError):
    """A volume that would be created empty is in another pool already; nothing was made."""


class SourceMissing(ReconcileError):
    """A mount's source is missing; nothing was made."""


class PlacementError(ReconcileError):
    """Where the runtime is to go cannot be told: no pool, no profile."""


class PreflightFailed(ReconcileError):
    """The host lacks what the runtime needs; nothing was made. Says all that is missing."""


class ReplacementFailed(ReconcileError):
    """A replacement cannot be carried out, or failed after the old instance was deleted. Says which
    of the two, and how to go on."""


class Unsupported(ReconcileError):
    """The server is too old for what the plan asks for."""


class RestartRefused(ReconcileError):
    """A change needs a restart, and `allow_restart` is off."""


class WaitFailed(ReconcileError):
    """What `wait_for` waits for did not come."""


class RuntimeFailed(ReconcileError):
    """A create, update or delete failed; says what was undone and what was not."""


class VolumeExists(ReconcileError):
    """There is a volume of that name that is nobody's by its marks; nothing of it was touched."""


class VolumeGone(ReconcileError):
    """The volume that was to be changed, or to have a snapshot, is not there."""


class VolumeRefused(ReconcileError):
    """A volume cannot become what is asked for; nothing of it was touched."""


class VolumeInUse(ReconcileError):
    """A volume cannot be deleted since something uses it; nothing of it was touched."""


class SnapshotExists(ReconcileError):
    """There is a snapshot of that name that is another's; nothing of it was touched."""


class SnapshotMissing(ReconcileError):
    """There is no such snapshot to restore; nothing was touched."""


class RestoreRefused(ReconcileError):
    """A snapshot cannot be restored as things are; nothing was touched."""


class RestoreFailed(ReconcileError):
    """A restore failed on its way; says what became of the data and of the instances."""
