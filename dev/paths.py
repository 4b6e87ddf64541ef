"""The paths of the checkout, its virtual environment, the user's cache and the sandbox."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PULUMI_VERSION = "3.259.0"
"""The version of the engine that these tools install; the SDK has the same version."""
PULUMI_OLDEST = "3.216.0"
"""The oldest supported version; older ones lack features that the provider uses."""


def cache() -> Path:
    """Return the folder for files that take long to create and are worth keeping."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pulumi_pika"


def cached_pulumi(version: str = PULUMI_VERSION) -> Path:
    """Return the folder of a Pulumi command that these tools installed."""
    return cache() / f"pulumi-{version}" / "bin"


def sandbox() -> Path:
    """Return the directory of the sandbox of this checkout.

    The path of a Unix socket has at most 107 bytes, which a path below the checkout can exceed. So
    the sandbox of each checkout has a short path of its own.
    """
    return Path("/var/tmp") / f"pika-{hashlib.sha256(bytes(ROOT)).hexdigest()[:8]}"
