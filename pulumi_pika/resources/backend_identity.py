"""Distinguish one Pulumi backend from another.

Two users with file backends of their own and a stack `dev` of the same project have the same URNs.
Neither the engine nor the SDK passes the identity of the backend to a program. So this module reads
it where the `pulumi` command reads it: the environment, the project file, the stored credentials.
"""

import functools
import hashlib
import json
import os
import re
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import pulumi

_CLOUD: Final = "https://api.pulumi.com"
_LENGTH: Final = 16
_MACHINE_IDS: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


def backend_digest() -> str:
    """Return a digest of the backend of this program's stack: 16 hexadecimal digits.

    It is the same in each command of one stack. It differs between file backends of other paths or
    other machines, between other backends' URLs, and between organizations of one backend. The URL
    itself cannot be read from it.
    """
    return _digest(
        os.environ.get("PULUMI_BACKEND_URL", ""),
        os.environ.get("PULUMI_CREDENTIALS_PATH") or os.environ.get("PULUMI_HOME", ""),
        str(Path.cwd()),
        _organization(),
    )


@functools.cache
def _digest(named: str, home: str, folder: str, organization: str) -> str:
    project = _project_file(Path(folder))
    url = named or _url_of_project(project) or _url_of_credentials(home) or _CLOUD
    parts = urlsplit(url)
    if parts.scheme == "file":
        base = project.parent if project else Path(folder)
        path = Path(url.removeprefix("file://")).expanduser()
        identity = f"{_machine()}\0{os.path.realpath(base / path)}"
    else:
        # The parameters of a bucket URL only say how the bucket is reached.
        place = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        identity = f"{place}\0{organization}"
    return hashlib.sha256(identity.encode()).hexdigest()[:_LENGTH]


def _organization() -> str:
    try:
        return str(pulumi.get_organization())
    except Exception:  # A program without an engine has no organization.
        return ""


def _project_file(folder: Path) -> Path | None:
    for place in (folder, *folder.parents):
        for name in ("Pulumi.yaml", "Pulumi.yml"):
            if (place / name).is_file():
                return place / name
    return None


def _url_of_project(project: Path | None) -> str:
    text = project.read_text(errors="replace") if project else ""
    if not re.search(r"^backend\s*:", text, re.MULTILINE):
        return ""  # Most project files have none, and no YAML parser is loaded for them.
    import yaml

    try:
        backend = yaml.safe_load(text).get("backend")
    except (yaml.YAMLError, AttributeError):
        return ""
    return str(backend.get("url") or "") if isinstance(backend, dict) else ""


def _url_of_credentials(home: str) -> str:
    folder = Path(home) if home else Path.home() / ".pulumi"
    try:
        stored = json.loads((folder / "credentials.json").read_text())
    except (OSError, ValueError):
        return ""
    return str(stored.get("current") or "") if isinstance(stored, dict) else ""


def _machine() -> str:
    for file in _MACHINE_IDS:
        try:
            if text := file.read_text().strip():
                return text
        except OSError:
            continue
    return socket.gethostname()
