"""Find or install the Pulumi command: the user's, one from Pulumi's installer, or one built with
Go.

An installed command is in the user's cache, in a folder for each version. The folder appears there
in one step after the installation is complete, so that an interrupted run never leaves a part of
it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from dev.console import Failure, StepFailed, run, say, step, without_growth
from dev.go import ensure_go, make_module, numbers
from dev.paths import PULUMI_OLDEST, PULUMI_VERSION, cache, cached_pulumi
from dev.python_env import python

# Needed besides `pulumi` itself: they run Python programs and dynamic providers.
_COMPANIONS = ("pulumi-language-python", "pulumi-resource-pulumi-python")
# The last version of this module that contains the Python language host. Later versions are in a
# module of their own, which Go module proxies don't serve. The older language host works with a
# newer engine.
_LANGUAGE_HOST_SDK = "v3.79.0"
ASKS_NOBODY = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
"""The environment variables that keep the engine from searching for updates."""
_INSTALLER_LIMIT = 300.0
_INSTALLER_STALL = 20.0
_TODO = (
    f"Either install Pulumi (at least {PULUMI_OLDEST}) as its documentation says, so that `pulumi` "
    "is on your PATH, or install Go 1.25 or newer; and run this again."
)


def ensure_pulumi() -> None:
    """Install the Pulumi command unless a suitable one exists."""
    if (found := folder()) is not None:
        say(f"==> Pulumi: {found / 'pulumi'} is there")
        return
    if (on_path := shutil.which("pulumi")) is not None:
        say(f"==> Pulumi: {on_path} is older than {PULUMI_OLDEST} or lacks its Python part")
    _get(PULUMI_VERSION)


def ensure_version(version: str) -> None:
    """Install exactly this version of the Pulumi command, even if other versions exist."""
    if (found := folder_of(version)) is not None:
        say(f"==> Pulumi {version}: {found / 'pulumi'} is there")
        return
    _get(version)


def folder() -> Path | None:
    """Return the folder of the Pulumi command, to be put on PATH; None if there is none yet."""
    on_path = shutil.which("pulumi")
    if on_path is not None and _version(Path(on_path).parent) >= numbers(PULUMI_OLDEST):
        return Path(on_path).parent
    return _own(PULUMI_VERSION)


def folder_of(version: str) -> Path | None:
    """Return the folder of exactly this version of the Pulumi command; None if there is none
    yet."""
    on_path = shutil.which("pulumi")
    if on_path is not None and _version(Path(on_path).parent) == numbers(version):
        return Path(on_path).parent
    return _own(version)


def _own(version: str) -> Path | None:
    # An installed command was tried before it was moved there.
    return cached_pulumi(version) if cached_pulumi(version).is_dir() else None


def _version(place: Path) -> tuple[int, ...]:
    """Return the version of the Pulumi command in a folder; an empty tuple if it is not
    complete."""
    path = f"{place}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if not all(shutil.which(name, path=path) for name in _COMPANIONS):
        return ()
    # The command writes a log even to print its version. The log must not go to the user's home.
    with tempfile.TemporaryDirectory(prefix="pika-pulumi-") as home:
        environment = {"PULUMI_HOME": home, **ASKS_NOBODY}
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
            return ()
    return numbers(shown)


def _get(version: str) -> None:
    if not _install(version):
        _build(version)


def _install(version: str) -> bool:
    """Try Pulumi's own installer; return whether it worked."""
    say(
        f"==> Pulumi {version}: trying its own installer "
        f"(ended after {_INSTALLER_STALL:.0f} s of silence)"
    )
    staging = _staging(version)
    code = (
        "import sys; from pulumi.automation import PulumiCommand; from semver import VersionInfo; "
        "PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]), "
        "skip_version_check=True)"
    )
    begun = time.monotonic()
    try:
        run(
            [str(python()), "-c", code, str(staging), version],
            # The download grows in that folder, which distinguishes a slow network from a missing
            # one.
            env={**os.environ, "TMPDIR": str(staging), "PULUMI_HOME": str(staging / "home")},
            limit=_INSTALLER_LIMIT,
            stalled=without_growth(staging, _INSTALLER_STALL),
        )
    except Failure as error:
        say(f"    not possible: {str(error).splitlines()[-1]}")
        return False
    say(f"    done in {time.monotonic() - begun:.1f} s")
    _publish(staging, version)
    return True


def _build(version: str) -> None:
    """Build the command and its companion programs from Go modules."""
    go = ensure_go(_TODO)
    staging = _staging(version)
    binaries = staging / "bin"
    binaries.mkdir()
    # Go's own temporary files: an interrupted Go leaves gigabytes of them.
    scratch = staging / "tmp"
    scratch.mkdir()
    go.env["GOTMPDIR"] = str(scratch)
    engine = f"v{version}"
    todo = "See that Go can reach a module proxy (`go env GOPROXY`), and run this again. " + _TODO
    with step(f"Pulumi {version}: fetching its Go modules", todo):
        package = "github.com/pulumi/pulumi/pkg/v3"
        command = f"{package}/cmd/pulumi"
        # Downloaded separately for its error: if a version is not available, `go mod tidy -e`
        # silently uses another one.
        run([*go.argv, "mod", "download", f"{package}@{engine}"], cwd=binaries, env=go.env)
        main = make_module(
            staging / "engine",
            command,
            f"{package} {engine}",
            # The engine's own go.mod has this replacement too, but it applies only to a main
            # module.
            "replace github.com/atotto/clipboard => "
            "github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e",
        )
        # -e, since a proxy may not serve modules that only the tests of dependencies need.
        run([*go.argv, "mod", "tidy", "-e"], cwd=main, env=go.env)
        listed = [*go.argv, "list", "-m", "-f", "{{.Version}}", package]
        if (got := run(listed, cwd=main, env=go.env).splitlines()[-1]) != engine:
            raise Failure(f"Go takes {got} of {package} where {engine} was asked for")
        packages = len(set(run([*go.argv, "list", "-deps", command], cwd=main, env=go.env).split()))
        language = "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
        host = make_module(
            staging / "language",
            language,
            f"github.com/pulumi/pulumi/sdk/v3 {_LANGUAGE_HOST_SDK}",
        )
        run([*go.argv, "mod", "tidy", "-e"], cwd=host, env=go.env)
        # Downloaded outside of both modules, so that the download does not change them.
        sdk = ["mod", "download", "-json", f"github.com/pulumi/pulumi/sdk/v3@{engine}"]
        answer = run([*go.argv, *sdk], cwd=binaries, env=go.env)
        scripts = Path(json.loads(answer[answer.index("{") :])["Dir"]) / "python"
    with step(f"Pulumi {version}: building the engine, once (about 4 minutes with 2 cores)", todo):
        stamp = f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={engine}"
        go.build(main, command, binaries / "pulumi", packages, stamp)
    with step(f"Pulumi {version}: building its Python part", todo):
        go.build(host, language, binaries / _COMPANIONS[0], 0)
        for script in ("dist/pulumi-resource-pulumi-python", "cmd/pulumi-language-python-exec"):
            target = binaries / Path(script).name
            shutil.copyfile(scripts / script, target)
            target.chmod(0o755)
    for made in (main, host, scratch):
        shutil.rmtree(made)
    _publish(staging, version)


def _staging(version: str) -> Path:
    staging = cache() / f"pulumi-{version}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def _publish(staging: Path, version: str) -> None:
    if _version(staging / "bin") != numbers(version):
        raise StepFailed(
            "Pulumi", f"the command in {staging / 'bin'} does not run, or is not {version}", _TODO
        )
    final = cached_pulumi(version).parent
    shutil.rmtree(final, ignore_errors=True)
    staging.rename(final)
