"""Check the version of the state that the resources of this package keep in Pulumi."""

from collections.abc import Collection
from typing import Any, Final

from .. import __version__

SCHEMA_VERSION: Final = 1
"""The version of the form of the state. docs/architecture.md describes how older versions are
read."""

GENERATION: Final = "generation"
"""The output with the generation of the object; see `reconcile.shared.ownership`."""


def newer(found: Any) -> str:
    """Return an error text if a newer version of this package wrote a state; else an empty string.

    The form of such a state is unknown: values in it would be lost at the next update, or would
    look like drift.

    Args:
        found: The `schema_version` in the state; None if it has none.
    """
    if found is None or (isinstance(found, int | float) and found <= SCHEMA_VERSION):
        return ""
    return (
        f"the state of this resource has schema_version {_spelled(found)}, and pulumi_pika "
        f"{__version__} reads versions up to {SCHEMA_VERSION}: a newer version of pulumi_pika "
        "wrote it. Nothing was changed. Upgrade pulumi_pika on this machine to that version or a "
        "later one, in the way in which it was installed"
    )


def older(names: Collection[str], only_older: Collection[str]) -> str:
    """Return an error text if a development version before 0.1.0 wrote a state; else an empty
    string.

    Such a state has the same `schema_version` and other names. Without them, values would be taken
    for missing ones.

    Args:
        names: The names in the state.
        only_older: The names that only such a state has.
    """
    found = sorted(set(names).intersection(only_older))
    if not found:
        return ""
    return (
        f"a development version of pulumi_pika before 0.1.0 wrote the state of this resource (it "
        f"has {', '.join(found)}), and pulumi_pika {__version__} cannot read it. Nothing was "
        "changed. Use the version that wrote it, or run `pulumi destroy` with that version and "
        "`pulumi up` with this one"
    )


def _spelled(found: Any) -> str:
    """Return a version as it was written, since Pulumi transfers all numbers as floats."""
    return f"{found:g}" if isinstance(found, float) else f"{found!r:.20}"
