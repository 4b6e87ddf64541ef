"""Does what a page says, on hosts of its own.

The shell of a page has a home of its own, an Incus with the images `pika-agent/dev` and
`ci/debian-12` (both the tests' tiny one), and Pulumi with a folder as backend. `remote NAME` makes
another host that is reached over https, with NAME_ADDRESS, NAME_FINGERPRINT and NAME_SOCKET;
`cluster NAME` a cluster of the members `one` and `two`.
"""

import json
import os
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from dev import rest
from dev.paths import ROOT
from dev.python_env import PROGRAMS
from dev.sandbox import Daemon
from dev.stack import CLIENT_CONFIGURATION
from dev.tools import neutral_environment

from ...conftest import IMAGE, one_more_daemon
from ..daemons import (
    Server,
    make_cluster,
    serve,
)
from .page import (
    BadPage,
    Command,
    Page,
    Step,
)
from .shell import Shell, prints_as_said

ALIASES: Final = ("pika-agent/dev", "ci/debian-12")
_PRELUDE: Final = """\
import pulumi as _pulumi

# A machine without KVM runs containers only.
def _as_container(args):
    if args.type_.endswith((":IncusRuntime", ":IncusJob", ":IncusImage")):
        args.props["instance_type"] = "container"
    return _pulumi.ResourceTransformationResult(args.props, args.opts)

_pulumi.runtime.register_stack_transformation(_as_container)
"""
_PROJECT: Final = "name: docs\nruntime: python\n"


@contextmanager
def session(page: Page, directory: Path) -> Iterator["Session"]:
    """A session for the page, all of which is gone after."""
    with ExitStack() as stack:
        local = _host(stack, "docs").daemon
        environment = _environment(directory, local)
        yield Session(stack.enter_context(Shell(directory / "work", environment)), stack)


class Session:
    """Does the steps of a page one by one."""

    def __init__(self, shell: Shell, stack: ExitStack) -> None:
        self._shell = shell
        self._stack = stack
        self._stands: list[tuple[str, str]] = []

    def do(self, step: Step) -> None:
        """Does a step.

        Raises:
            AssertionError: it is not as the page says.
        """
        match step.kind:
            case "commands":
                for command in step.commands:
                    self._command(command)
            case "file":
                file = self._shell.directory() / self._filled(step.name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self._filled(step.text))
            case "program":
                self._up(step)
            case "data":
                parse = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}
                parse[step.name](step.text)
            case "stands":
                shown, _, real = step.text.partition(" for ")
                self._stands.append((shown.strip(), self._shell.say(real.strip())))
            case "host":
                self._more(step)
            case _:
                raise BadPage(f"line {step.line}: {step.kind}")

    def _command(self, command: Command) -> None:
        text = self._filled(command.text)
        printed = self._expect(text, command.ends)
        if command.prints and text.startswith("incus exec") and not printed.strip():
            # On a busy machine Incus 6.0.4 loses what a command printed, about once in 800 times.
            printed = self._expect(text, command.ends)
        if command.prints is not None:
            said = self._filled(command.prints)
            assert prints_as_said(said, printed), (
                f"line {command.line}: {command.text}\nprints:\n{printed}\nthe page says:\n{said}"
            )

    def _up(self, step: Step) -> None:
        directory = self._shell.directory()
        if not (directory / "Pulumi.yaml").exists():
            (directory / "Pulumi.yaml").write_text(_PROJECT)
            self._expect("pulumi stack init dev", 0)
        (directory / "__main__.py").write_text(_PRELUDE + self._filled(step.text))
        if step.only_preview:
            self._expect("pulumi preview", 0)
            return
        self._expect("pulumi up --yes --skip-preview", 0)
        self._expect("pulumi preview --expect-no-changes", 0)

    def _expect(self, command: str, ends: int) -> str:
        printed, code = self._shell.run(command)
        assert code == ends, f"{command}\nends with {code}, not {ends}:\n{printed}"
        return printed

    def _filled(self, text: str) -> str:
        for shown, real in self._stands:
            text = text.replace(shown, real)
        return text

    def _more(self, step: Step) -> None:
        name = step.text
        if step.name == "remote":
            server = _host(self._stack, name.lower())
        else:
            one, two = (_daemon(self._stack, f"{name.lower()}{at}") for at in (1, 2))
            server, _ = make_cluster(one, two)
            _add_aliases(one)
        for key, value in (
            ("ADDRESS", server.address),
            ("FINGERPRINT", server.fingerprint),
            ("SOCKET", server.daemon.socket),
        ):
            self._expect(f"export {name}_{key}={value}", 0)


def _environment(directory: Path, local: Daemon) -> dict[str, str]:
    for name in ("home", "work", "backend", "pulumi", "incus"):
        (directory / name).mkdir(parents=True)
    (directory / "incus" / "config.yml").write_text(CLIENT_CONFIGURATION)
    # Incus's own processes have to read what a page mounts.
    for folder in (directory, directory / "work"):
        folder.chmod(0o755)
    kept = {
        name: value
        for name, value in neutral_environment().items()
        if not name.startswith(("GITHUB_", "CI_"))
    }
    return {
        **kept,
        "PATH": f"{PROGRAMS / 'bin'}:{os.environ['PATH']}",
        "CHECKOUT": str(ROOT),
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")),
        "HOME": str(directory / "home"),
        "INCUS_CONF": str(directory / "incus"),
        "INCUS_SOCKET": str(local.socket),
        "PULUMI_BACKEND_URL": f"file://{directory / 'backend'}",
        "PULUMI_HOME": str(directory / "pulumi"),
        "PULUMI_CONFIG_PASSPHRASE": "docs",
        "PYTHONWARNINGS": "default",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }


def _daemon(stack: ExitStack, number: str) -> Daemon:
    daemon = one_more_daemon(number)
    stack.callback(daemon.destroy)
    return daemon


def _host(stack: ExitStack, number: str) -> Server:
    server = serve(_daemon(stack, number))
    _add_aliases(server.daemon)
    return server


def _add_aliases(daemon: Daemon) -> None:
    target: Any = daemon.request("GET", f"/images/aliases/{rest.part(IMAGE)}")["target"]
    for alias in ALIASES:
        daemon.request("POST", "/images/aliases", {"name": alias, "target": target})
