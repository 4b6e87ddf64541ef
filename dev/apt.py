"""Install packages of Debian and Ubuntu with as few changes to the machine as possible.

If the archive of this release does not have a package, the release's backports are searched, and
for a source package another release. Their addresses are derived from the machine's own sources and
used for one command only. The machine's sources and package lists are not changed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev.console import CommandFailed, Failure, run
from dev.root import as_root

_SOURCES = Path("/etc/apt")
_NO_QUESTIONS = ("DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l")


@dataclass(frozen=True)
class Archive:
    """A set of package sources: those of the machine (without options), or with its backports."""

    options: tuple[str, ...] = ()

    def update(self) -> None:
        """Fetch the package lists."""
        try:
            run(as_root([*self._command("apt-get"), "update"], _NO_QUESTIONS))
        except CommandFailed:
            # A broken source of the machine must not matter if another source has the package.
            if not self.candidate("bash"):
                raise

    def candidate(self, package: str) -> str:
        """Return the version that would be installed; empty if there is none."""
        shown = subprocess.run(
            [*self._command("apt-cache"), "policy", package],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        match = re.search(r"^  Candidate: (\S+)$", shown, re.MULTILINE)
        return match[1] if match and match[1] != "(none)" else ""

    def backported(self, package: str, suite: str) -> str:
        """Return the version in a backports suite, which apt does not select by itself."""
        shown = subprocess.run(
            [*self._command("apt-cache"), "madison", package],
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for line in shown.splitlines():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) == 3 and f" {suite}/" in fields[2]:
                return fields[1]
        return ""

    def install(self, *packages: str) -> None:
        """Install packages without their recommended packages."""
        # Another apt (unattended upgrades of a new machine) may hold the lock for some time.
        argv = [*self._command("apt-get"), "-o", "DPkg::Lock::Timeout=300", "install", "--yes"]
        run(as_root([*argv, "--no-install-recommends", *packages], _NO_QUESTIONS))

    def download(self, package: str, folder: Path) -> Path:
        """Download a package's file without installing it."""
        # Otherwise apt, run by root, warns that its download user can't write to the folder.
        folder.chmod(0o755)
        run(
            [*self._command("apt-get"), "-o", "APT::Sandbox::User=root", "download", package],
            cwd=folder,
        )
        return next(folder.glob("*.deb"))

    def source(self, package: str, folder: Path) -> None:
        """Download a source package's files, as they come, into a folder."""
        folder.chmod(0o755)
        # The signed package lists already prove that the files are authentic; dpkg would search for
        # the packager's own key.
        options = ["-o", "APT::Sandbox::User=root", "source", "--download-only"]
        run([*self._command("apt-get"), *options, package], cwd=folder)

    def _command(self, program: str) -> list[str]:
        return [program, *self.options]


def available() -> bool:
    """Return whether this machine has apt."""
    return shutil.which("apt-get") is not None


def installed(package: str) -> bool:
    """Return whether a package is installed on this machine."""
    shown = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout == "installed"


def release() -> dict[str, str]:
    """Return the fields of /etc/os-release."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def backports_suite() -> str:
    """Return the name of the release's backports suite."""
    codename = release().get("VERSION_CODENAME", "")
    if not codename:
        raise Failure("this release has no code name, so its backports can't be found")
    return f"{codename}-backports"


@contextlib.contextmanager
def with_backports() -> Iterator[Archive]:
    """Yield the machine's sources with the release's backports, for the duration of the context."""
    suite = backports_suite()
    source = _source_like(suite.removesuffix("-backports"), suite, "deb")
    with _with_source(source, own=True) as archive:
        yield archive


def source_of(suite: str) -> str:
    """Return a source of any Debian suite, modelled on the machine's own source."""
    if release().get("ID") != "debian":
        raise Failure("packages of another release of Debian are looked for on Debian only")
    return _source_like(release().get("VERSION_CODENAME", ""), suite, "deb")


@contextlib.contextmanager
def with_source_packages(suite: str) -> Iterator[Archive]:
    """Yield Debian's source packages of any suite, for the duration of the context."""
    if release().get("ID") != "debian":
        raise Failure("the source packages of Debian are looked for on Debian only")
    source = _source_like(release().get("VERSION_CODENAME", ""), suite, "deb-src")
    with _with_source(source, own=False) as archive:
        yield archive


@contextlib.contextmanager
def _with_source(source: str, *, own: bool) -> Iterator[Archive]:
    """Yield a source, together with the machine's sources or alone, with package lists of its
    own."""
    scratch = Path(tempfile.mkdtemp(prefix="pika-apt-"))
    try:
        # apt downloads as a user of its own.
        scratch.chmod(0o755)
        parts = scratch / "sources.list.d"
        parts.mkdir()
        for path in (_SOURCES / "sources.list.d").glob("*") if own else ():
            (parts / path.name).symlink_to(path)
        (parts / "pika.sources").write_text(source)
        lists = scratch / "lists"
        (lists / "partial").mkdir(parents=True)
        settings = [
            f"Dir::Etc::sourceparts={parts}",
            f"Dir::State::lists={lists}",
            "Dir::Cache::pkgcache=",
            "Dir::Cache::srcpkgcache=",
        ]
        if not own:
            settings.append("Dir::Etc::sourcelist=/dev/null")
        archive = Archive(tuple(part for setting in settings for part in ("-o", setting)))
        archive.update()
        yield archive
    finally:
        run(as_root(["rm", "-rf", str(scratch)]))


def _source_like(codename: str, suite: str, types: str) -> str:
    """Return a source for another suite and type, modelled on the machine's source of a release."""
    for path in sorted((_SOURCES / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = _fields(stanza)
            suites = fields.get("suites", "").split()
            enabled = fields.get("enabled", "yes") != "no"
            if enabled and codename in suites and "deb" in fields.get("types", "").split():
                fields |= {"suites": suite, "types": types}
                return "".join(f"{name.title()}: {value}\n" for name, value in fields.items())
    lists = [_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*.list"))]
    for path in lists:
        for line in path.read_text().splitlines() if path.exists() else []:
            match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
            if match and match[3] == codename:
                source = f"Types: {types}\nURIs: {match[2]}\nSuites: {suite}\n"
                source += f"Components: {match[4].strip()}\n"
                for option in (match[1] or "").split():
                    name, _, value = option.partition("=")
                    known = {
                        "signed-by": "Signed-By",
                        "trusted": "Trusted",
                        "arch": "Architectures",
                    }
                    if name.lower() in known:
                        source += f"{known[name.lower()]}: {value.replace(',', ' ')}\n"
                return source
    raise Failure(f"no source of {codename} in {_SOURCES}, so none of {suite} can be derived")


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and name:
            # An embedded key has several lines, whose indentation is part of the key.
            fields[name] += "\n" + line
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = value.strip()
    return fields
