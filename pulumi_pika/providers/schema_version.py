"""The version of what our resources keep in Pulumi's state."""

from typing import Any, Final

from .. import __version__
from ..validation.property_tree import normalize

SCHEMA_VERSION: Final = 1
"""Raised when the shape of a state changes; see docs/architecture.md on how older ones are read."""

GENERATION: Final = "generation"
"""The output that has the generation of the thing; see `reconcile.shared.ownership`."""


def newer(*trees: dict[str, Any]) -> str:
    """What to tell of a state that a newer version of this package wrote; empty if none did.

    To read it as one of ours would be to guess: what it says otherwise would be lost with the next
    update, or be taken for drift.

    Args:
        trees: properties; inputs, which have no version, are none's.
    """
    for tree in trees:
        found = normalize(tree.get("schema_version"))
        if found is None:
            continue
        if isinstance(found, int | float) and found <= SCHEMA_VERSION:
            continue
        return (
            f"the state of this resource has schema_version {_said(found)}, and this is "
            f"pulumi_pika {__version__}, which reads up to {SCHEMA_VERSION}: a newer pulumi_pika "
            "wrote it. Nothing was done. Upgrade pulumi_pika where this runs, to the version "
            "that wrote it or a later one, in the way that it was installed"
        )
    return ""


def _said(found: Any) -> str:
    """A version as it was written; Pulumi's wire has floats only."""
    return f"{found:g}" if isinstance(found, float) else f"{found!r:.20}"
