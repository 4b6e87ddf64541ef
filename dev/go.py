"""Find or install Go, for programs that must be built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dev import apt
from dev.apt import Archive
from dev.console import Failure, run, step

# The version that the engine's go.mod requires. From 1.21 on, Go downloads a newer version of
# itself if necessary.
_ENOUGH = (1, 25, 11)
_OLDEST = (1, 21)


class Go:
    """A Go command, and the environment to run it in."""

    def __init__(self, program: str, version: tuple[int, ...], base: Mapping[str, str]) -> None:
        self.argv = [program]
        self.env = {
            **base,
            # No C compiler is used, regardless of the user's settings.
            "CGO_ENABLED": "0",
            "GO111MODULE": "on",
            "GOFLAGS": "-mod=mod -buildvcs=false",
            "GOWORK": "off",
        }
        for name in ("GOOS", "GOARCH"):
            self.env.pop(name, None)
        if version < _ENOUGH:
            self.env["GOTOOLCHAIN"] = "auto"

    def build(
        self, module: Path, program: str, target: Path, packages: int, flags: str = ""
    ) -> None:
        """Build a program that a module requires; `packages` is the total for the progress (0:
        unknown)."""

        def progress(count: int) -> str:
            if not packages:
                return f"{count} packages compiled"
            if count >= packages - 1:
                return "linking"
            return f"{count} of at most {packages} packages compiled"

        argv = ["build", "-v", "-trimpath", "-ldflags", f"-s -w {flags}".strip(), "-o", str(target)]
        run([*self.argv, *argv, program], cwd=module, env=self.env, progress=progress)


def ensure_go(todo: str) -> Go:
    """Find Go, or install it; `todo` is the advice for the user if neither works."""
    if (found := _find()) is not None:
        return found
    with step("Go: installing it with apt, to build Pulumi", todo):
        if not apt.available():
            raise Failure(
                "Pulumi's installer can't be reached, and there is no Go to build it with"
            )
        archive = Archive()
        if not archive.candidate("golang-go"):
            archive.update()
        if numbers(archive.candidate("golang-go").partition(":")[2]) >= _OLDEST:
            archive.install("golang-go")
        else:
            suite = apt.backports_suite()
            with apt.with_backports() as archive:
                version = archive.backported("golang-go", suite)
                if numbers(version.partition(":")[2]) < _OLDEST:
                    raise Failure(f"no Go of at least {joined(_OLDEST)} in this release")
                # Selected by the suite, so that the dependencies of golang-go come from it too.
                archive.install("--target-release", suite, "golang-go")
        found = _find()
        if found is None:
            raise Failure("Go was installed, but there is none that can be used")
    return found


def make_module(directory: Path, program: str, require: str, *more: str) -> Path:
    """Create a temporary Go module that requires one program of another module."""
    directory.mkdir()
    # The line makes an older Go download this version of itself: tidy -e does not do so for a
    # dependency alone.
    lines = ["module throwaway", f"go {joined(_ENOUGH)}", f"require {require}", *more]
    (directory / "go.mod").write_text("\n\n".join(lines) + "\n")
    # `go mod tidy` keeps only imported modules; the build tag excludes the file from all builds.
    source = f'//go:build tools\n\npackage throwaway\n\nimport _ "{program}"\n'
    (directory / "tools.go").write_text(source)
    return directory


def numbers(text: str) -> tuple[int, ...]:
    """Return the first version number in a text; an empty tuple if there is none."""
    match = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def joined(version: tuple[int, ...]) -> str:
    """Return a version number as text."""
    return ".".join(map(str, version))


def _find() -> Go | None:
    for program in ("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        if (place := shutil.which(program)) is None:
            continue
        # GOTOOLCHAIN=local, since a query of the version must not download another one.
        shown = subprocess.run(
            [place, "env", "GOVERSION"],
            env={**os.environ, "GOTOOLCHAIN": "local"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        version = numbers(shown.stdout)
        if shown.returncode == 0 and version >= _OLDEST:
            return Go(place, version, os.environ)
    return None
