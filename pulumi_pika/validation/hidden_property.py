"""The one property of a resource that only its provider needs, and that no preview shows.

Pulumi hides properties whose names begin with two underscores. What says who owns a thing, which
inputs are secret and what else only the provider needs travels in one of them. It is opened where
a call comes in and closed where its result goes out; in between the values stand beside the others.
"""

from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "__pika"
SHOWN: Final = "pika_internal"
"""Its name with an SDK that keeps properties such as `__pika` from providers (3.216 does): there
the property shows in previews."""
MANAGED_MOUNTS: Final = "managed_mounts"
"""The indices of the mounts whose volume is a `PersistentVolume` of the program."""
RETAINED: Final = "retain_on_delete"
"""Whether the user gave Pulumi's option of that name."""
PREVIEWING: Final = "previewing"
"""Whether the program runs for a preview, which no call tells. `check` takes and drops it."""
HOST: Final = "host_digest"
"""How the host was reached at the last `check`; see `clients.host_digest`. It makes no diff."""
CREATE_FIRST: Final = "create_first"
"""Whether the user gave Pulumi's option ``delete_before_replace=False``."""
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
)
"""What is in it."""


def open_hidden(props: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return properties with what is hidden beside the others; a state of before this property
    existed has it there already."""
    tree = dict(props or {})
    for name in (SHOWN, HIDDEN):
        hidden = tree.pop(name, None)
        if isinstance(hidden, Mapping):
            tree.update({key: hidden[key] for key in KEYS if key in hidden})
    return tree
