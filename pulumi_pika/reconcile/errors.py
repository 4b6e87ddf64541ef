"""What can go wrong while a host is brought to a plan."""


class ReconcileError(Exception):
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


class SourceMissing(ReconcileError):
    """A mount's source is missing; nothing was made."""


class PlacementError(ReconcileError):
    """Where the runtime is to go cannot be told: no pool, no profile."""


class Unsupported(ReconcileError):
    """The server is too old for what the plan asks for."""


class RestartRefused(ReconcileError):
    """A change needs a restart, and `allow_restart` is off."""


class WaitFailed(ReconcileError):
    """What `wait_for` waits for did not come."""


class RuntimeFailed(ReconcileError):
    """A create, update or delete failed; says what was undone and what was not."""
