"""Where things are: the checkout, its virtual environment, the user's cache, the sandbox."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PULUMI_VERSION = "3.259.0"
"""The engine that these tools get; the same SDK is beside it."""
PULUMI_OLDEST = "3.216.0"
"""The oldest that is supported: older ones don't have all of what the provider uses."""


def cache() -> Path:
    """The folder for what takes long to make and is worth keeping."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pulumi_pika"


def cached_pulumi(version: str = PULUMI_VERSION) -> Path:
    """The folder of the Pulumi command that these tools got themselves."""
    return cache() / f"pulumi-{version}" / "bin"


def sandbox() -> Path:
    """The sandbox of this checkout.

    A Unix socket's path may have 107 bytes at most, which a path below the checkout can exceed;
    so the sandbox has a short path of its own, one for each checkout.
    """
    return Path("/var/tmp") / f"pika-{hashlib.sha256(bytes(ROOT)).hexdigest()[:8]}"
