"""Run the example stack in a sandbox: `up`, `env` and `down`."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from dev import image, tools
from dev.console import Failure, StepFailed, follow, run, say, step
from dev.packages import busybox
from dev.paths import ROOT, sandbox
from dev.pulumi_cli import ASKS_NOBODY
from dev.sandbox import Daemon

STACK = "sandbox"
# The default image alias of the examples.
IMAGE_ALIAS = "pika-agent/dev"
# A virtual machine needs hardware that may be missing in a sandbox.
_CONFIGURATION = {"instance_type": "container"}
CLIENT_CONFIGURATION = """\
default-remote: local
remotes:
  local: {addr: "unix://", public: false}
"""
_AGAIN = "Look at what is printed above. `python3 dev down` removes everything for a fresh start."


def up() -> None:
    """Set up the sandbox, and run a real preview and update of the example stack in it."""
    tools.ensure()
    has_network = _ensure_sandbox()
    with step(f"Stack: {STACK}, its state in {_state()}", _AGAIN):
        _pulumi("stack", "select", "--create", STACK)
        for name, value in _CONFIGURATION.items():
            _pulumi("config", "set", name, value)
        # The first `up` then shows the address; without a network, there is no address to wait for.
        _pulumi("config", "set", "wait_for", "ipv4" if has_network else "running")
    _show("preview", "--diff")
    _show("up", "--yes", "--skip-preview")
    _show("stack", "output", "--json")
    say()
    say("It runs. To look around:")
    say(f'    eval "$(python3 {_command()} env)"')
    say("    incus list")
    say("    pulumi stack")
    say("To take all of it down:")
    say(f"    python3 {_command()} down")


def env() -> None:
    """Print the shell commands that let `incus` and `pulumi` use the sandbox."""
    first = os.pathsep.join(map(shlex.quote, tools.folders()))
    say(f'export PATH={first}{os.pathsep}"$PATH"')
    for name, value in _settings().items():
        say(f"export {name}={shlex.quote(value)}")


def down() -> None:
    """Destroy the stack, stop the daemon, and delete everything that `up` created, except
    caches."""
    directory = sandbox()
    config = ROOT / f"Pulumi.{STACK}.yaml"
    if not os.path.lexists(directory):
        config.unlink(missing_ok=True)
        say("==> There is no sandbox (any more)")
        return
    _check_owner()
    daemon = _daemon()
    if _state().is_dir() and daemon.answers() and _has_stack():
        say("==> pulumi destroy")
        if follow(
            ["pulumi", "destroy", "--yes", "--skip-preview", "--remove"],
            cwd=ROOT,
            env=_environment(),
        ):
            say("    It failed; everything is removed without it.")
    with step(f"Sandbox: removing {directory}", f"Find out what uses {directory}; try again."):
        daemon.destroy()
        shutil.rmtree(directory)
        config.unlink(missing_ok=True)


def _ensure_sandbox() -> bool:
    """Start the daemon with the image, and with a network if the machine allows it.

    Returns whether it has the network.
    """
    directory = sandbox()
    daemon = _daemon()
    with step(f"Sandbox: a private Incus daemon in {directory}", _AGAIN):
        # Other users may reach the daemon's directory below this one, but cannot list this one.
        directory.mkdir(mode=0o711, exist_ok=True)
        _check_owner()
        _state().mkdir(mode=0o700, exist_ok=True)
        _client().mkdir(mode=0o700, exist_ok=True)
        # Without this file, the first `incus` command prints a welcome text in addition to its
        # output.
        (_client() / "config.yml").write_text(CLIENT_CONFIGURATION)
        daemon.start()
        daemon.init()
    with step(f"Image: {IMAGE_ALIAS}, built locally", _AGAIN):
        archive = directory / "image.tar"
        image.build(archive, busybox())
        daemon.import_image(archive, IMAGE_ALIAS)
    # Bridges of several sandboxes need different names, with at most 15 characters.
    bridge = f"pika{directory.name[-8:]}"
    try:
        daemon.add_network(bridge)
    except (Failure, OSError) as error:
        say(f"==> Network: none, as this machine does not allow it ({error})")
        return False
    say(f"==> Network: {bridge}, with DHCP")
    return True


def _check_owner() -> None:
    directory = sandbox()
    if directory.is_symlink() or directory.stat().st_uid != os.geteuid():
        raise StepFailed(
            "Sandbox",
            f"{directory} belongs to another user",
            "Run this as the user who made it, or have it removed.",
        )


def _daemon() -> Daemon:
    return Daemon(sandbox() / "incus")


def _state() -> Path:
    return sandbox() / "state"


def _client() -> Path:
    return sandbox() / "client"


def _settings() -> dict[str, str]:
    daemon = _daemon()
    return {
        "INCUS_CONF": str(_client()),
        "INCUS_DIR": str(daemon.directory),
        "INCUS_SOCKET": str(daemon.socket),
        "PULUMI_BACKEND_URL": f"file://{_state()}",
        # The passphrase protects nothing: the stack has no secrets and is deleted with the sandbox.
        "PULUMI_CONFIG_PASSPHRASE": "sandbox",
        "PULUMI_HOME": str(sandbox() / "pulumi"),
        **ASKS_NOBODY,
        "PULUMI_STACK": STACK,
    }


def _environment() -> dict[str, str]:
    return tools.neutral_environment() | _settings() | {"PATH": tools.path()}


def _pulumi(*arguments: str) -> str:
    # With PULUMI_STACK set, `stack select` would search for that stack.
    environment = _environment()
    if arguments[:2] == ("stack", "select"):
        del environment["PULUMI_STACK"]
    return run(["pulumi", "--non-interactive", *arguments], cwd=ROOT, env=environment)


def _show(*arguments: str) -> None:
    command = f"pulumi {' '.join(arguments)}"
    say(f"==> {command}")
    code = follow(["pulumi", "--non-interactive", *arguments], cwd=ROOT, env=_environment())
    if code != 0:
        raise StepFailed(command, f"it ended with exit code {code}; see above", _AGAIN)


def _has_stack() -> bool:
    try:
        return f'"{STACK}"' in _pulumi("stack", "ls", "--json")
    except (Failure, OSError):
        # Without Pulumi, or with an unreadable state, nothing can be destroyed.
        return False


def _command() -> str:
    """Return the folder of these commands, relative to the user's working directory."""
    return os.path.relpath(ROOT / "dev")
