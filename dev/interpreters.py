"""Find or install other versions of Python, for release tests.

An existing interpreter is used. Otherwise uv downloads one, if its downloads are reachable.
Otherwise, on Debian, CPython is built from Debian's source package. A built interpreter is in the
user's cache, and appears there in one step after it is complete.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from dev import apt
from dev.apt import Archive
from dev.console import Failure, run, say, step, without_growth
from dev.paths import VENV, cache

# The Debian release that has each version.
_SUITES = {"3.11": "bookworm", "3.13": "trixie"}
# These include the headers for modules that pip, requests and Pulumi's SDK need.
_TO_BUILD = (
    "gcc",
    "libc6-dev",
    "libbz2-dev",
    "libffi-dev",
    "liblzma-dev",
    "libssl-dev",
    "make",
    "pkg-config",
    "xz-utils",
    "zlib1g-dev",
)
_MODULES = "import bz2, ctypes, hashlib, lzma, ssl, zlib"
_DOWNLOAD_LIMIT = 300.0
_DOWNLOAD_STALL = 20.0


def ensure_interpreter(version: str) -> None:
    """Install a Python of a version (`3.14`) unless there is one."""
    if (found := interpreter(version)) is not None:
        say(f"==> Python {version}: {found} is there")
        return
    if not _install(version):
        _build(version)


def interpreter(version: str) -> Path | None:
    """Return a working, complete Python of a version (`3.14`); None if there is none yet."""
    own = _folder(version) / "bin" / f"python{version}"
    if own.exists():
        # It was tested before it was moved there.
        return own
    try:
        shown = subprocess.run(
            [*_uv("find"), "--system", "--no-project", "--no-python-downloads", version],
            # In `/`, where no file selects a version.
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = Path(shown.strip())
    return found if _complete(found) else None


def _uv(*command: str) -> list[str]:
    return [str(VENV / "bin" / "uv"), "python", *command]


def _folder(version: str) -> Path:
    return cache() / f"python-{version}"


def _complete(python: Path) -> bool:
    try:
        done = subprocess.run([python, "-I", "-c", _MODULES], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _install(version: str) -> bool:
    """Try uv's own download; return whether it worked."""
    say(
        f"==> Python {version}: trying uv's download of it "
        f"(ended after {_DOWNLOAD_STALL:.0f} s of silence)"
    )
    try:
        place = Path(run(_uv("dir")).splitlines()[-1])
        run(
            # No link is created in the user's ~/.local/bin.
            [*_uv("install"), "--no-bin", version],
            env={**os.environ, "UV_HTTP_RETRIES": "0"},
            limit=_DOWNLOAD_LIMIT,
            stalled=without_growth(place, _DOWNLOAD_STALL),
        )
    except (Failure, OSError) as error:
        say(f"    not possible: {str(error).splitlines()[-1].strip()}")
        return False
    return interpreter(version) is not None


def _build(version: str) -> None:
    """Build CPython from Debian's source package."""
    by_hand = f"Install Python {version}, so that python{version} is on PATH, and run this again."
    staging = cache() / f"python-{version}.partial"
    with step(f"Python {version}: fetching Debian's source package", by_hand):
        if not apt.available():
            raise Failure(f"uv's download can't be reached, and there is no apt to get {version}")
        shutil.rmtree(staging, ignore_errors=True)
        (staging / "package").mkdir(parents=True)
        with apt.with_source_packages(_SUITES[version]) as archive:
            archive.source(f"python{version}", staging / "package")
        # The pattern excludes the signature, *.orig.tar.xz.asc.
        sources = next((staging / "package").glob("*.orig.tar.[gx]z"), None)
        if sources is None:
            raise Failure(f"Debian's source package of Python {version} has no sources in it")
        _install_to_build()
        (staging / "source").mkdir()
        unpack = ["tar", "--extract", "--file", str(sources), "--strip-components", "1"]
        run([*unpack, "--directory", str(staging / "source")])
    with step(f"Python {version}: building it, once (about 3 minutes with 2 cores)", by_hand):
        _make(staging, _folder(version), version)


def _install_to_build() -> None:
    missing = [name for name in _TO_BUILD if not apt.installed(name)]
    if not missing:
        return
    archive = Archive()
    if not all(archive.candidate(name) for name in missing):
        archive.update()
    archive.install(*missing)


def _make(staging: Path, final: Path, version: str) -> None:
    source = staging / "source"
    root = staging / "root"
    # Without tests and pip, since uv creates the environments.
    options = [f"--prefix={final}", "--without-ensurepip", "--disable-test-modules"]
    # The user's settings for other builds must not affect this one.
    env = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    run(["./configure", *options, "CFLAGS=-g0"], cwd=source, env=env)
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    run(["make", jobs], cwd=source, env=env, progress=lambda count: f"{count} lines of make")
    run(["make", "altinstall", f"DESTDIR={root}"], cwd=source, env=env)
    made = root / final.relative_to("/")
    if not _complete(made / "bin" / f"python{version}"):
        raise Failure(f"the Python in {made} does not run, or lacks modules ({_MODULES})")
    shutil.rmtree(final, ignore_errors=True)
    made.rename(final)
    shutil.rmtree(staging)
