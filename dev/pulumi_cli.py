"""The Pulumi command: the user's, or from Pulumi's own installer, or built with Go.

An own one is kept in the user's cache, and appears there in one step, when it is complete: so an
interrupted run never leaves half of one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from dev import apt
from dev.apt import Archive
from dev.console import Failure, StepFailed, run, say, step
from dev.paths import PULUMI_VERSION, cache, cached_pulumi
from dev.python_env import python

# Older engines don't have all of what the provider uses.
_OLDEST = (3, 216)
# Beside `pulumi` itself: what runs Python programs, and what runs dynamic providers.
_COMPANIONS = ("pulumi-language-python", "pulumi-resource-pulumi-python")
# The last version of this module that contains the Python language host. The newer one has a
# module of its own, which Go module proxies don't serve; the older runs under a newer engine.
_LANGUAGE_HOST_SDK = "v3.79.0"
_INSTALLER_LIMIT = 300.0
_INSTALLER_STALL = 20.0
# What the engine's go.mod asks for. From 1.21 on, Go gets a newer version of itself if it must.
_GO_ENOUGH = (1, 25, 11)
_GO_OLDEST = (1, 21)
_TODO = (
    "Either install Pulumi (at least 3.216) as its documentation says, so that `pulumi` is on "
    "your PATH, or install Go 1.25 or newer; and run this again."
)


def ensure_pulumi() -> None:
    """Get the Pulumi command unless there is one that will do."""
    if (found := folder()) is not None:
        say(f"==> Pulumi: {found / 'pulumi'} is there")
        return
    if (on_path := shutil.which("pulumi")) is not None:
        say(f"==> Pulumi: {on_path} is older than {_join(_OLDEST)} or lacks its Python part")
    cached_pulumi().parent.parent.mkdir(parents=True, exist_ok=True)
    if not _install():
        _build()


def folder() -> Path | None:
    """The folder of the Pulumi command to use, to be put on PATH; None if there is none yet."""
    on_path = shutil.which("pulumi")
    if on_path is not None and _runs(Path(on_path).parent):
        return Path(on_path).parent
    # An own one was tried before it came there.
    return cached_pulumi() if cached_pulumi().is_dir() else None


def _runs(place: Path) -> bool:
    """Whether the Pulumi command of a folder is new enough and complete."""
    path = f"{place}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if not all(shutil.which(name, path=path) for name in _COMPANIONS):
        return False
    # Even to say its version it writes a log, which is not to litter the user's home.
    with tempfile.TemporaryDirectory(prefix="pika-pulumi-") as home:
        environment = {"PULUMI_HOME": home, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        try:
            shown = subprocess.run(
                [place / "pulumi", "version"],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return False
    return _numbers(shown) >= _OLDEST


def _install() -> bool:
    """Try Pulumi's own installer; whether it worked."""
    say(f"==> Pulumi: trying its own installer (ended after {_INSTALLER_STALL:.0f} s of silence)")
    staging = _staging()
    code = (
        "import sys; from pulumi.automation import PulumiCommand; "
        "PulumiCommand.install(root=sys.argv[1], skip_version_check=True)"
    )
    begun = time.monotonic()
    try:
        run(
            [str(python()), "-c", code, str(staging)],
            # Its download grows there, which is how to tell a slow network from none.
            env={**os.environ, "TMPDIR": str(staging), "PULUMI_HOME": str(staging / "home")},
            limit=_INSTALLER_LIMIT,
            stalled=_no_growth(staging),
        )
    except Failure as error:
        say(f"    not possible: {str(error).splitlines()[-1]}")
        return False
    say(f"    done in {time.monotonic() - begun:.1f} s")
    _publish(staging)
    return True


def _no_growth(watched: Path) -> Callable[[], bool]:
    size, since = -1, time.monotonic()

    def stalled() -> bool:
        nonlocal size, since
        now = _size(watched)
        if now != size:
            size, since = now, time.monotonic()
        return time.monotonic() - since > _INSTALLER_STALL

    return stalled


def _size(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:
            # Removed meanwhile.
            continue
    return total


def _build() -> None:
    """Build the command and its companions out of Go modules."""
    go = _go()
    staging = _staging()
    binaries = staging / "bin"
    binaries.mkdir()
    # Go's own temporary files, gigabytes that it leaves lying when it is interrupted.
    scratch = staging / "tmp"
    scratch.mkdir()
    go.env["GOTMPDIR"] = str(scratch)
    engine = f"v{PULUMI_VERSION}"
    todo = "See that Go can reach a module proxy (`go env GOPROXY`), and run this again. " + _TODO
    with step("Pulumi: fetching its Go modules", todo):
        command = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
        main = _module(
            staging / "engine",
            command,
            f"github.com/pulumi/pulumi/pkg/v3 {engine}",
            # The engine's own go.mod replaces this one too, which counts only in a main module.
            "replace github.com/atotto/clipboard => "
            "github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e",
        )
        # -e: a proxy may not serve what only the tests of dependencies need.
        run([*go.argv, "mod", "tidy", "-e"], cwd=main, env=go.env)
        packages = len(set(run([*go.argv, "list", "-deps", command], cwd=main, env=go.env).split()))
        language = "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
        host = _module(
            staging / "language",
            language,
            f"github.com/pulumi/pulumi/sdk/v3 {_LANGUAGE_HOST_SDK}",
        )
        run([*go.argv, "mod", "tidy", "-e"], cwd=host, env=go.env)
        # Downloaded outside of both modules, which must not change by it.
        sdk = ["mod", "download", "-json", f"github.com/pulumi/pulumi/sdk/v3@{engine}"]
        answer = run([*go.argv, *sdk], cwd=binaries, env=go.env)
        scripts = Path(json.loads(answer[answer.index("{") :])["Dir"]) / "python"
    with step("Pulumi: building the engine, once (about 4 minutes with 2 cores)", todo):
        version = f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={engine}"
        _compile(go, main, command, binaries / "pulumi", packages, version)
    with step("Pulumi: building its Python part", todo):
        _compile(go, host, language, binaries / _COMPANIONS[0], 0)
        for script in ("dist/pulumi-resource-pulumi-python", "cmd/pulumi-language-python-exec"):
            target = binaries / Path(script).name
            shutil.copyfile(scripts / script, target)
            target.chmod(0o755)
    for made in (main, host, scratch):
        shutil.rmtree(made)
    _publish(staging)


class _Go:
    """A Go command, and the environment to run it in."""

    def __init__(self, program: str, version: tuple[int, ...], base: Mapping[str, str]) -> None:
        self.argv = [program]
        self.env = {
            **base,
            # Without a C compiler, whatever the user's own settings are.
            "CGO_ENABLED": "0",
            "GO111MODULE": "on",
            "GOFLAGS": "-mod=mod -buildvcs=false",
            "GOWORK": "off",
        }
        for name in ("GOOS", "GOARCH"):
            self.env.pop(name, None)
        if version < _GO_ENOUGH:
            self.env["GOTOOLCHAIN"] = "auto"


def _go() -> _Go:
    """Find Go, or install it."""
    if (found := _find_go()) is not None:
        return found
    with step("Go: installing it with apt, to build Pulumi", _TODO):
        if not apt.available():
            raise Failure(
                "Pulumi's installer can't be reached, and there is no Go to build it with"
            )
        archive = Archive()
        if not archive.candidate("golang-go"):
            archive.update()
        if _numbers(archive.candidate("golang-go").partition(":")[2]) >= _GO_OLDEST:
            archive.install("golang-go")
        else:
            suite = apt.backports_suite()
            with apt.with_backports() as archive:
                version = archive.backported("golang-go", suite)
                if _numbers(version.partition(":")[2]) < _GO_OLDEST:
                    raise Failure(f"no Go of at least {_join(_GO_OLDEST)} in this release")
                # By the suite, so that what golang-go depends on comes from there too.
                archive.install("--target-release", suite, "golang-go")
        found = _find_go()
        if found is None:
            raise Failure("Go was installed, but there is none that can be used")
    return found


def _find_go() -> _Go | None:
    for program in ("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        if (place := shutil.which(program)) is None:
            continue
        # GOTOOLCHAIN=local: asking for the version must not download another one.
        shown = subprocess.run(
            [place, "env", "GOVERSION"],
            env={**os.environ, "GOTOOLCHAIN": "local"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        version = _numbers(shown.stdout)
        if shown.returncode == 0 and version >= _GO_OLDEST:
            return _Go(place, version, os.environ)
    return None


def _module(directory: Path, program: str, require: str, *more: str) -> Path:
    """A throw-away Go module that needs one program of another."""
    directory.mkdir()
    # An older Go gets this version of itself: for a dependency's sake alone, tidy -e would not.
    lines = ["module throwaway", f"go {_join(_GO_ENOUGH)}", f"require {require}", *more]
    (directory / "go.mod").write_text("\n\n".join(lines) + "\n")
    # `go mod tidy` keeps only what is imported; the build tag keeps the file out of all builds.
    source = f'//go:build tools\n\npackage throwaway\n\nimport _ "{program}"\n'
    (directory / "tools.go").write_text(source)
    return directory


def _compile(
    go: _Go, module: Path, program: str, target: Path, packages: int, flags: str = ""
) -> None:
    def progress(count: int) -> str:
        if not packages:
            return f"{count} packages compiled"
        if count >= packages - 1:
            return "linking"
        return f"{count} of at most {packages} packages compiled"

    argv = ["build", "-v", "-trimpath", "-ldflags", f"-s -w {flags}".strip(), "-o", str(target)]
    run([*go.argv, *argv, program], cwd=module, env=go.env, progress=progress)


def _staging() -> Path:
    staging = cache() / f"pulumi-{PULUMI_VERSION}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def _publish(staging: Path) -> None:
    if not _runs(staging / "bin"):
        raise StepFailed("Pulumi", f"the command in {staging / 'bin'} does not run", _TODO)
    final = cached_pulumi().parent
    shutil.rmtree(final, ignore_errors=True)
    staging.rename(final)


def _numbers(text: str) -> tuple[int, ...]:
    match = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def _join(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
