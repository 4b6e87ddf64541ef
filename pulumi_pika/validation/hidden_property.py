"""Pack and unpack the one property that only the provider needs and that no preview shows.

Pulumi hides properties whose names begin with two underscores. One of them holds the owner, the
names of the secret inputs, and whatever else only the provider needs. It is unpacked when a call
comes in and packed when its result goes out. In between, its values stand beside the others.
"""

from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "__pika"
SHOWN: Final = "pika_internal"
"""The name of the property with an SDK that hides properties such as `__pika` from providers.

Version 3.216 does so. Previews show the property then.
"""
MANAGED_MOUNTS: Final = "managed_mounts"
"""The indices of the mounts whose volume is a `PersistentVolume` of the program."""
RETAINED: Final = "retain_on_delete"
"""Whether the user set Pulumi's option of that name."""
PREVIEWING: Final = "previewing"
"""Whether the program runs for a preview, which no call of the provider reveals.

`check` reads and drops it.
"""
HOST: Final = "host_digest"
"""A digest of the connection to the host at the last `check`; see `host_connection.host_digest`.

It causes no diff.
"""
CREATE_FIRST: Final = "create_first"
"""Whether the user set Pulumi's option ``delete_before_replace=False``."""
SECRET_RESULTS: Final = "secret_results"
"""The outputs of an `IncusExec` that contain a secret of the call that ran the command."""
KEYS: Final = (
    "owner",
    "backend",
    "secret_inputs",
    "after_others",
    PREVIEWING,
    HOST,
    "replace_on_changes",
    MANAGED_MOUNTS,
    RETAINED,
    CREATE_FIRST,
    "generation",
    SECRET_RESULTS,
)
"""The keys of the property."""


def open_hidden(props: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return properties with the hidden values beside the others.

    A state from before this property existed has them there already.
    """
    tree = dict(props or {})
    for name in (SHOWN, HIDDEN):
        hidden = tree.pop(name, None)
        if isinstance(hidden, Mapping):
            tree.update({key: hidden[key] for key in KEYS if key in hidden})
    return tree
